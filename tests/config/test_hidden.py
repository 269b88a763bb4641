"""Secrets of sources are in no form of a manifest that anybody sees: problems, dumps, representations, the command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from extsync.config import availability
from extsync.config.dump import to_yaml
from extsync.config.secret import HIDDEN, Secret, is_telling, masked, masked_url
from extsync.config.sources import Source
from tests.cli.command import extsync
from tests.config.texts import PORTS, load_one, load_text, manifest

SECRET = "hunter2"

SOUND = {
    "a token": "consul: {server: a, services: [b], token: hunter2}",
    "a password": "http: {url: 'http://a', basicAuth: {username: u, password: hunter2}}",
    "credentials": "http: {url: 'http://a', authorization: {credentials: hunter2}}",
    "a header by its name": "http: {url: 'http://a', httpHeaders: {X-Api-Key: hunter2}}",
    "a header by what is said of it": "http_sd_configs: [{url: http://a, http_headers: {X-A: {secrets: [hunter2]}}}]",
    "the password of a proxy": "http: {url: 'http://a', proxyUrl: 'http://u:hunter2@proxy:1'}",
    "the old password of a consul entry": "consul_sd_configs: [{services: [a], username: u, password: hunter2}]",
    "a parameter of a query": "http: {url: 'http://a/?page=1&access_token=hunter2'}",
    "the configuration of a plugin": "plugin: {type: x, config: {auth: {password: hunter2, a: [{apiKey: hunter2}]}}}",
}

FAULTY = {
    "a token that is no text": "consul: {server: a, services: [b], token: [hunter2]}",
    "a broken reference": "consul: {server: a, services: [b], token: 'hunter2${'}",
    "a password twice": "http: {url: 'http://a', basicAuth: {username: u, password: hunter2, passwordFile: b}}",
    "a header with a line break": 'http: {url: "http://a", httpHeaders: {X-Token: "hunter2\\nb"}}',
    "a header with two values": "http: {url: 'http://a', httpHeaders: {X-Token: {values: [hunter2, b]}}}",
    "a header that is a mapping": "http: {url: 'http://a', httpHeaders: {X-Token: {secret: hunter2}}}",
    "a scheme with its credentials": "http: {url: 'http://a', authorization: {type: Bearer hunter2, credentials: x}}",
    "a proxy that is none": "http: {url: 'http://a', proxyUrl: 'socks://u:hunter2@proxy:1'}",
    "credentials in a URL": "http: {url: 'http://u:hunter2@a/'}",
    "credentials in a URL with a wrong port": "http: {url: 'http://u:hunter2@a:99999/'}",
    "credentials in a URL of another scheme": "http: {url: 'ftp://u:hunter2@a/'}",
    "a query in a URL that is none": "http: {url: 'ftp://a/?token=hunter2'}",
    "credentials of a consul server": "consul: {server: 'u:hunter2@a:8500', services: [b]}",
    "an oauth2 block": "http: {url: 'http://a', oauth2: {client_secret: hunter2}}",
    "a bearer token": "http: {url: 'http://a', bearer_token: hunter2}",
    "a private key": "http: {url: 'http://a', tlsConfig: {key: hunter2}}",
    "a password that YAML takes for an alias": "http: {url: 'http://a', basicAuth: {username: u, password: *hunter2 }}",
    "a password that YAML takes for a tag": "http: {url: 'http://a', basicAuth: {username: u, password: !hunter2 }}",
    "a list of entries": "consul_sd_configs: [{token: hunter2}, {token: hunter2}]",
    "an entry that is none": "consul_sd_configs: hunter2",
}


@pytest.fixture(autouse=True)
def _every_source_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "registered", lambda group: ("consul", "http", "x"))


def text(source: str) -> str:
    return manifest(PORTS + f"sources: [{{name: a, {source}}}]\n")


@pytest.mark.parametrize("source", SOUND.values(), ids=SOUND)
@pytest.mark.parametrize("defaults", [False, True])
def test_a_sound_manifest_shows_no_secret(source: str, defaults: bool) -> None:
    loaded = load_one(text(source))
    forms = [repr(loaded), str(loaded), str(loaded.model_dump()), loaded.model_dump_json()]
    forms += [to_yaml(loaded, defaults=defaults), *map(str, load_text(text(source)).problems)]
    assert [form for form in forms if SECRET in form] == []
    assert HIDDEN in to_yaml(loaded)


@pytest.mark.parametrize("source", FAULTY.values(), ids=FAULTY)
def test_a_problem_shows_no_secret(source: str) -> None:
    problems = load_text(text(source)).problems
    assert problems
    assert [problem for problem in problems if SECRET in str(problem)] == []


@pytest.mark.parametrize("arguments", [("validate",), ("validate", "-o", "yaml"), ("render", "-vv"), ("apply", "-vv")])
def test_no_command_shows_a_secret(arguments: tuple[str, ...], tmp_path: Path) -> None:
    for number, source in enumerate((*SOUND.values(), *FAULTY.values())):
        (tmp_path / f"{number}.yaml").write_text(text(source).replace("orders", f"orders-{number}"))
    ended = extsync(*arguments, "-f", tmp_path, env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]})
    assert "error" in ended.stdout + ended.stderr
    assert SECRET not in ended.stdout + ended.stderr


def test_the_error_of_a_block_shows_no_input() -> None:
    with pytest.raises(ValidationError) as caught:
        Source.model_validate({"name": "a", "consul": {"server": "a", "services": ["b"], "token": {"x": SECRET}}})
    assert SECRET not in f"{caught.value}{caught.value!r}"


def test_what_was_said_to_be_a_secret_cannot_be_marked_as_harmless() -> None:
    assert str(Secret("hunter2", confidential=True).as_harmless()) == HIDDEN
    assert str(Secret("text/plain").as_harmless()) == "text/plain"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://a/b", "http://a/b"),
        ("http://a/b?page=1", "http://a/b?page=1"),
        ("http://a/b?page=1&token=x&q=y#f", f"http://a/b?page=1&token={HIDDEN}&q=y#f"),
        ("http://a/b?X-Amz-Signature=x;Key=y", f"http://a/b?X-Amz-Signature={HIDDEN};Key={HIDDEN}"),
        ("http://a/b?token", "http://a/b?token"),
        ("http://a/b?pwd=x&pass=y&sig=z", f"http://a/b?pwd={HIDDEN}&pass={HIDDEN}&sig={HIDDEN}"),
        ("http://a/b?user_pass=x&passphrase=y&design=z", f"http://a/b?user_pass={HIDDEN}&passphrase={HIDDEN}&design=z"),
    ],
)
def test_a_url_is_shown_without_the_secrets_of_its_query(url: str, shown: str) -> None:
    assert masked_url(url) == shown


def test_plain_data_is_shown_without_what_its_keys_tell() -> None:
    data = {
        "user": "u",
        "password": "p",
        "tokenFile": "f",
        "token": "${T}",
        "deep": [{"secret": "s", "n": 1}],
        "key": 5,
    }
    assert masked(data) == {**data, "password": HIDDEN, "deep": [{"secret": HIDDEN, "n": 1}]}
    assert is_telling("Authorization")
    assert not is_telling("Accept")
    assert not is_telling("X-Passive-Design")
