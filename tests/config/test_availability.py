"""What the format has and this version does not: said, with its place, and never silently ignored."""

from __future__ import annotations

import sys

import pytest

from extsync.config import availability
from tests.config.texts import PORTS, SOURCES, load_one, manifest, said


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, ...]]:
    """What seems to be installed, whatever is."""
    points = {"extsync.sources": ("file", "rackdb", "static"), "extsync.checks": ("httpGet", "tcpSocket")}
    monkeypatch.setattr(availability, "registered", points.__getitem__)
    return points


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("http: {url: 'http://a'}", "http: the source http is not available in this version"),
        ("dns: {names: [a]}", "dns: the source dns is not available in this version"),
        ("consul: {server: a, services: [b]}", "consul: the source consul is not available in this version"),
        ("consul_sd_configs: [{server: a, services: [b]}]", "consul: the source consul is not available"),
        (
            "pods: {selector: {matchLabels: {a: b}}}",
            "pods: the source pods is not available in this version; available: file, rackdb",
        ),
        (
            "plugin: {type: nosuch}",
            "plugin.type: no source named 'nosuch' is installed; installed: file, rackdb, static",
        ),
    ],
)
def test_a_source_that_is_not_there_is_an_error_at_its_place(source: str, problem: str) -> None:
    [line] = said(manifest(PORTS + f"sources: [{{name: a, {source}}}]\npublish: [Endpoints]\n"))
    assert line.startswith("6:")
    assert f"error: spec.sources[0].{problem}" in line


@pytest.mark.usefixtures("registered")
def test_a_source_of_another_package_is_available() -> None:
    [source] = load_one(
        manifest(PORTS + "sources: [{name: a, plugin: {type: rackdb, config: {x: [1]}}}]\n")
    ).spec.sources
    assert (source.kind, source.factory, source.config) == ("plugin", "rackdb", {"x": [1]})


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("check", ["grpc", "tls", "mysql", "postgres", "redis"])
def test_a_check_that_is_not_there_is_an_error_at_its_place(check: str) -> None:
    [line] = said(manifest(PORTS + SOURCES + f"checks: [{{{check}: {{port: 1}}}}]\n"))
    assert line == (
        f"7:{15 + len(check)}: error: spec.checks[0].{check}: the check {check} is not available in this version; "
        "available: httpGet, tcpSocket"
    )


def test_every_policy_is_available() -> None:
    guard = "guard: {maxRemovalPercent: 30, minRemovals: 1, window: 5m, confirmAfter: 600s}"
    load_one(manifest(PORTS + SOURCES + f"policy: {{adopt: IfUnmanaged, {guard}}}\n"))


@pytest.mark.usefixtures("registered")
def test_what_is_missing_is_reported_beside_other_faults() -> None:
    lines = said(manifest(PORTS + "sources: [{name: A, dns: {names: [a]}}, {name: b, dns: {names: [a]}}]\n"))
    assert ["'A' is not allowed" in line for line in lines] == [True, False]
    assert "spec.sources[1].dns: the source dns is not available" in lines[1]


def test_plugins_are_looked_up_without_importing_them() -> None:
    imported = set(sys.modules)
    assert "static" in availability.registered.__wrapped__("extsync.sources")
    assert not {name for name in set(sys.modules) - imported if name.startswith("extsync.")}
