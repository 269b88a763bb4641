"""Which name servers are asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from extsync.errors import ReadFailed
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.sources.dns.exchange import Server
from extsync.sources.dns.servers import MOST_BYTES, READ_EVERY, SystemNameservers, parse_server

CLOCK = VirtualClock()
TEXT = """\
# made by hand
search example.com
nameserver 192.0.2.53
  nameserver 2001:db8::53   # the other one
nameserver not-an-address
nameserver
options ndots:5
"""


def system(path: Path, port: int = 53) -> SystemNameservers:
    return SystemNameservers(CLOCK, port=port, path=path)


@pytest.mark.parametrize("text", ["192.0.2.53:53", "[2001:db8::53]:5353"])
def test_a_server_is_an_address_and_a_port(text: str) -> None:
    assert str(parse_server(text)) == text
    assert parse_server("[2001:db8::53]:5353") == Server("2001:db8::53", 5353)


@virtual_time
async def test_the_systems_servers_come_from_resolv_conf(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(TEXT)
    assert system(path)() == (Server("192.0.2.53", 53), Server("2001:db8::53", 53))
    assert system(path, port=853)()[0] == Server("192.0.2.53", 853)


@virtual_time
async def test_no_more_servers_count_than_in_the_c_library(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("".join(f"nameserver 192.0.2.{n}\n" for n in range(1, 6)))
    assert [server.address for server in system(path)()] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]


@virtual_time
async def test_a_change_of_resolv_conf_counts(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.53\n")
    servers = system(path)
    assert servers() == (Server("192.0.2.53", 53),)
    path.write_text("nameserver 192.0.2.54\n")
    assert servers() == (Server("192.0.2.53", 53),)
    await CLOCK.sleep(READ_EVERY)
    assert servers() == (Server("192.0.2.54", 53),)


@virtual_time
async def test_a_resolv_conf_that_comes_back_counts_at_once(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    servers = system(path)
    with pytest.raises(ReadFailed, match="there is no such file or directory; name the nameservers"):
        servers()
    path.write_text("nameserver 192.0.2.53\n")
    assert servers() == (Server("192.0.2.53", 53),)


@virtual_time
async def test_a_resolv_conf_without_a_server_says_so(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_bytes(b"search \xff\n")
    with pytest.raises(ReadFailed, match="names no name server"):
        system(path)()


@virtual_time
async def test_a_resolv_conf_is_read_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.53\n" + "#" * MOST_BYTES)
    with pytest.raises(ReadFailed, match="larger than 64 KiB"):
        system(path)()
