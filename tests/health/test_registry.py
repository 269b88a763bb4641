from __future__ import annotations

import pickle
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from extsync.config.checks import Check as CheckBlock
from extsync.errors import ConfigError
from extsync.health.grpc import GrpcCheck
from extsync.health.handshake import TlsCheck
from extsync.health.http import HttpCheck
from extsync.health.mysql import MysqlCheck
from extsync.health.postgres import PostgresCheck
from extsync.health.redis import RedisCheck
from extsync.health.registry import GROUP, CheckRegistry
from extsync.health.tcp import TcpCheck
from extsync.health.udp import UdpCheck
from extsync.seams.virtual import virtual_time
from extsync.seams.virtual_net import Listening
from tests.health.support import context, probing, target

SMTP = Path(__file__).parents[1] / "plugins" / "smtp"


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


def test_the_kinds_of_this_package_are_found_by_their_keys_in_a_manifest() -> None:
    registry = CheckRegistry()
    kinds = {kind: registry.factory(kind) for kind in registry.kinds()}
    assert kinds.items() >= {
        ("grpc", GrpcCheck),
        ("httpGet", HttpCheck),
        ("mysql", MysqlCheck),
        ("postgres", PostgresCheck),
        ("redis", RedisCheck),
        ("tcpSocket", TcpCheck),
        ("tls", TlsCheck),
        ("udp", UdpCheck),
    }


@pytest.fixture
def smtp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs the third-party package as far as Python can tell, and forgets it afterwards."""
    monkeypatch.syspath_prepend(str(SMTP))
    monkeypatch.setitem(sys.modules, "extsync_smtp", None)
    monkeypatch.delitem(sys.modules, "extsync_smtp")


@pytest.mark.usefixtures("smtp")
def test_a_check_of_another_package_registers_by_entry_point_and_probes() -> None:
    @virtual_time
    async def reasons() -> list[str]:
        block = CheckBlock.model_validate({"plugin": {"type": "smtp", "config": {"name": "probe.example.org"}}})
        check = CheckRegistry().factory(block.factory)(block.config, context())
        assert pickle.loads(pickle.dumps(check)) == check
        async with probing() as bench:
            bench.script(Listening(greeting=b"220 ready\r\n", answer=b"250 pleased to meet you\r\n"))
            bench.prober.upsert([target("up", check=check), target("down", check=check, port=81)])
            await bench.sleep(2.5)
            return [bench.prober.verdict(name).reason for name in ("up", "down")]

    assert reasons() == ["smtp 192.0.2.1 80: passed", "smtp 192.0.2.1 81: connection refused"]


@pytest.mark.usefixtures("smtp")
def test_what_a_plugin_says_against_its_configuration_is_passed_on() -> None:
    with pytest.raises(ConfigError, match=r"config\.name must be a text"):
        CheckRegistry().factory("smtp")({"name": 7}, context())


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
