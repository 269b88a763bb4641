"""Networks and directories in settings: what is taken, what is refused, and what limits they come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from extsync.address_policy import AddressRules, ClusterRanges, Lists
from extsync.config.limiting import limits_of
from extsync.config.settings import load_settings
from extsync.errors import ConfigError
from extsync.file_roots import FileRoots
from extsync.limits import Limits
from extsync.variables import Variables


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for variable in list(os.environ):
        if variable.startswith("EXTSYNC_"):
            monkeypatch.delenv(variable)


def limits(path: Path, text: str) -> Limits:
    path = path / "settings.yaml"
    path.write_text(text)
    return limits_of(load_settings(path))


def wrong(path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        limits(path, text)
    return str(caught.value).removeprefix(f"{path}/")


def test_every_list_has_its_place(tmp_path: Path) -> None:
    text = """\
allowedCidrs: [10.0.0.0/8]
deniedCidrs: [10.1.0.0/16]
contactAllowedCidrs: [2001:DB8::/32]
contactDeniedCidrs: [192.0.2.1]
namespaceCidrs: {shop: {published: {allowed: [10.2.0.0/16]}, contacted: {denied: ["2001:db8::1"]}}}
podCidrs: [10.244.0.0/16]
serviceCidrs: [10.96.0.0/12]
nodeCidrs: [192.0.2.7]
fileRoots: [/etc/extsync/]
manifestVariables: [CONSUL_TOKEN, EXTSYNC_SECRET_*]
"""
    assert limits(tmp_path, text) == Limits(
        AddressRules(
            Lists(("10.0.0.0/8",), ("10.1.0.0/16",)),
            Lists(("2001:db8::/32",), ("192.0.2.1/32",)),
            (("shop", Lists(("10.2.0.0/16",))),),
            (("shop", Lists((), ("2001:db8::1/128",))),),
        ),
        ClusterRanges(("10.244.0.0/16",), ("10.96.0.0/12",), ("192.0.2.7/32",)),
        FileRoots(("/etc/extsync",)),
        Variables(("CONSUL_TOKEN", "EXTSYNC_SECRET_*")),
    )


def test_without_settings_there_are_the_usual_limits() -> None:
    assert limits_of(load_settings()) == Limits()


def test_variables_write_lists_with_commas_and_the_mapping_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTSYNC_ALLOWED_CIDRS", "10.0.0.0/8, 2001:db8::/32")
    monkeypatch.setenv("EXTSYNC_FILE_ROOTS", "/etc/extsync,/srv/lists")
    monkeypatch.setenv("EXTSYNC_NAMESPACE_CIDRS", '{"shop": {"published": {"allowed": ["10.2.0.0/16"]}}}')
    found = limits_of(load_settings())
    assert found.rules.published == Lists(("10.0.0.0/8", "2001:db8::/32"))
    assert found.rules.published_in == (("shop", Lists(("10.2.0.0/16",))),)
    assert found.roots == FileRoots(("/etc/extsync", "/srv/lists"))


def test_a_variable_that_is_no_json_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTSYNC_NAMESPACE_CIDRS", "shop=10.0.0.0/8")
    with pytest.raises(ConfigError, match=r"^EXTSYNC_NAMESPACE_CIDRS: is no JSON: write it as "):
        load_settings()


def test_a_fault_within_a_variable_has_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTSYNC_NAMESPACE_CIDRS", '{"shop": {"published": {"allow": ["10.0.0.0/8"]}}}')
    with pytest.raises(ConfigError, match=r"^EXTSYNC_NAMESPACE_CIDRS: shop\.published\.allow: unknown key 'allow' "):
        load_settings()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("deniedCidrs: [10.0.0.1/8]", "'10.0.0.1/8' is an address within a network: write 10.0.0.0/8 for the network"),
        ("deniedCidrs: [example.org]", "'example.org' is no network: write 10.0.0.0/8, 2001:db8::/32 or one address"),
        ("podCidrs: [10.0.0.0/33]", "'10.0.0.0/33' is no network"),
        ("nodeCidrs: ['::ffff:192.0.2.0/120']", "is an IPv4 network in IPv6 form: write 192.0.2.0/24"),
        ("manifestVariables: ['${TOKEN}']", "'${TOKEN}' is no name of a variable: write NAME, or a pattern such as"),
        ("fileRoots: [lists]", "'lists' is no absolute path"),
        ("namespaceCidrs: {Shop: {}}", "'Shop'"),
        ("namespaceCidrs: {shop: {publish: {}}}", "did you mean 'published'?"),
        ("namespaceCidrs: {shop: {published: {allowed: [10.0.0.1/8]}}}", "write 10.0.0.0/8 for the network"),
        ("clusterRanges: read", "must be 'Read' or 'Settings', not 'read'"),
    ],
)
def test_a_fault_is_told_with_its_place_and_cure(tmp_path: Path, text: str, told: str) -> None:
    message = wrong(tmp_path, text)
    assert message.startswith("settings.yaml:1:")
    assert told in message
