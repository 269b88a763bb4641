"""The kubeconfig and the context are the ones that kubectl would take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from extsync.errors import ConfigError
from extsync.kube import kubeconfig


def config(*names: str, current: str | None = None, **more: Any) -> dict[str, Any]:
    """A kubeconfig with a context, a cluster and a user of each name."""
    content: dict[str, Any] = {
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in names],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}"}} for name in names],
        "users": [{"name": name, "user": {"token": f"token-of-{name}"}} for name in names],
    }
    return content | ({"current-context": current} if current else {}) | more


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


# ---- which files ----------------------------------------------------------------------------------------------------


def test_the_flag_wins_over_the_variable_and_that_over_home(tmp_path: Path) -> None:
    flag, variable, home = (tmp_path / name for name in ("flag", "variable", "home/.kube/config"))
    for path in (flag, variable, home):
        write(path, config("a"))
    environ = {"KUBECONFIG": str(variable)}
    assert kubeconfig.find(str(flag), environ=environ, home=tmp_path / "home") == (flag,)
    assert kubeconfig.find(None, environ=environ, home=tmp_path / "home") == (variable,)
    assert kubeconfig.find(None, environ={"KUBECONFIG": ""}, home=tmp_path / "home") == (home,)
    assert kubeconfig.find(None, environ={}, home=tmp_path / "elsewhere") == ()


def test_a_file_that_the_flag_names_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.*--kubeconfig.*does not exist"):
        kubeconfig.find(str(tmp_path / "none"), environ={}, home=tmp_path)


def test_of_the_files_that_the_variable_lists_one_must_exist(tmp_path: Path) -> None:
    there = write(tmp_path / "there", config("a"))
    listed = f"{tmp_path / 'none'}::{there}:{there}"
    assert kubeconfig.find(None, environ={"KUBECONFIG": listed}, home=tmp_path) == (there,)
    with pytest.raises(ConfigError, match=r"no file that \$KUBECONFIG names exists"):
        kubeconfig.find(None, environ={"KUBECONFIG": str(tmp_path / "none")}, home=tmp_path)


# ---- which context --------------------------------------------------------------------------------------------------


def test_the_current_context_is_taken_where_none_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "config", config("a", "b", current="b"))
    assert kubeconfig.select([path], None).cluster.server == "https://b"
    assert kubeconfig.select([path], "a").user.token == "token-of-a"


def test_the_namespace_is_the_contexts_or_default(tmp_path: Path) -> None:
    contexts = [
        {"name": "a", "context": {"cluster": "a", "namespace": "shop"}},
        {"name": "b", "context": {"cluster": "a"}},
    ]
    path = write(tmp_path / "config", config("a", contexts=contexts))
    assert kubeconfig.select([path], "a").namespace == "shop"
    assert kubeconfig.select([path], "b").namespace == "default"


def test_of_several_files_the_first_that_says_something_wins(tmp_path: Path) -> None:
    first = write(tmp_path / "first", config("a"))
    other = config("a", "b", current="b")
    other["clusters"][0]["cluster"] = {"server": "https://other", "proxy-url": "http://other"}
    second = write(tmp_path / "second", other)
    third = write(tmp_path / "third", config("c", current="c"))
    selected = kubeconfig.select([first, second, third], None)
    assert selected.cluster.server == "https://b"
    # Of an entry that two files have nothing is taken from the second one.
    assert kubeconfig.select([first, second], "a").cluster == kubeconfig.Cluster(server="https://a")


def test_paths_are_relative_to_the_file_that_has_them(tmp_path: Path) -> None:
    content = config("a")
    content["clusters"][0]["cluster"]["certificate-authority"] = "ca.crt"
    content["users"][0]["user"] = {
        "client-certificate": "pki/me.crt",
        "client-key": "/etc/me.key",
        "tokenFile": "../token",
    }
    selected = kubeconfig.select(
        [write(tmp_path / "one/config", config("b", current="a")), write(tmp_path / "two/config", content)], None
    )
    assert selected.cluster.certificate_authority == str(tmp_path / "two/ca.crt")
    assert selected.user.client_certificate == str(tmp_path / "two/pki/me.crt")
    assert selected.user.client_key == "/etc/me.key"
    assert selected.user.token_file == str(tmp_path / "two/../token")
    assert selected.base == tmp_path / "two"


def test_a_context_without_user_is_anonymous(tmp_path: Path) -> None:
    content = config("a", contexts=[{"name": "a", "context": {"cluster": "a"}}])
    assert kubeconfig.select([write(tmp_path / "config", content)], "a").user == kubeconfig.User()


# ---- what is wrong --------------------------------------------------------------------------------------------------


def test_an_unknown_context_is_answered_with_those_there_are(tmp_path: Path) -> None:
    path = write(tmp_path / "config", config("production", "staging"))
    with pytest.raises(ConfigError) as error:
        kubeconfig.select([path], "prodution")
    assert str(error.value) == (
        f"{path} has no context 'prodution' (--context), did you mean 'production'?; "
        "contexts there: production, staging"
    )


def test_no_current_context_is_answered_with_the_contexts_there_are(tmp_path: Path) -> None:
    path = write(tmp_path / "config", config("b", "a"))
    with pytest.raises(ConfigError, match="no current-context; choose one with --context: contexts there: a, b"):
        kubeconfig.select([path], None)


@pytest.mark.parametrize("content", ["", "{}", "apiVersion: v1\nclusters: null\n"])
def test_an_empty_file_has_no_contexts(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigError, match="there are no contexts in it"):
        kubeconfig.select([write(tmp_path / "config", content)], None)


@pytest.mark.parametrize("missing", ["clusters", "users"])
def test_a_context_must_not_name_what_is_not_there(tmp_path: Path, missing: str) -> None:
    path = write(tmp_path / "config", config("a", current="a", **{missing: []}))
    with pytest.raises(ConfigError, match=f"context 'a' of {path} names the .*'a'.*add .* to {missing}"):
        kubeconfig.select([path], None)


def test_what_is_not_yaml_is_named_by_its_place_without_a_quote(tmp_path: Path) -> None:
    path = write(tmp_path / "config", "users:\n- name: a\n  user: {token: *s3cret}\n")
    with pytest.raises(ConfigError) as error:
        kubeconfig.select([path], None)
    assert str(error.value).startswith(f"{path}:3:")
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("[]", "Expected `object`, got `array`"),
        ({"clusters": [{"name": "a"}]}, r"\$.clusters\[0\]"),
        ({"users": [{"name": "a", "user": {"token": 5}}]}, r"\$.users\[0\].user.token"),
    ],
)
def test_what_is_no_kubeconfig_is_named_by_its_field(tmp_path: Path, content: Any, place: str) -> None:
    path = write(tmp_path / "config", content)
    with pytest.raises(ConfigError, match=rf"{path}: not a kubeconfig: .*{place}"):
        kubeconfig.select([path], None)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        kubeconfig.select([tmp_path], None)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read: it is not UTF-8"):
        kubeconfig.select([binary], None)


def test_a_user_shows_no_secrets() -> None:
    assert "s3cret" not in repr(kubeconfig.User(token="s3cret", password="s3cret"))
