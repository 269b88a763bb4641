from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from extsync.errors import ConfigError
from extsync.health.http import HttpCheck
from extsync.health.registry import GROUP, CheckRegistry
from extsync.health.tcp import TcpCheck


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


def test_the_kinds_of_this_package_are_found_by_their_keys_in_a_manifest() -> None:
    registry = CheckRegistry()
    assert {"httpGet", "tcpSocket"} <= set(registry.kinds())
    assert registry.factory("tcpSocket") is TcpCheck
    assert registry.factory("httpGet") is HttpCheck


def test_only_the_kind_that_is_asked_for_is_imported() -> None:
    registry = CheckRegistry(
        [point("broken", "no_such_module:Check"), point("tcpSocket", "extsync.health.tcp:TcpCheck")]
    )
    registry.factory("tcpSocket")
    assert "no_such_module" not in sys.modules
    with pytest.raises(ConfigError, match=r"'broken' cannot be loaded from no_such_module:Check"):
        registry.factory("broken")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        CheckRegistry([point("tcpSocket", "extsync.health.tcp:NoSuchCheck")]).factory("tcpSocket")


def test_a_name_that_is_registered_twice_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"two checks are registered as 'ping': one:Check and two:Check"):
        CheckRegistry([point("ping", "one:Check"), point("ping", "two:Check")])


def test_an_unknown_kind_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no check of type 'pong'; there are: ping"):
        CheckRegistry([point("ping", "one:Check")]).factory("pong")
