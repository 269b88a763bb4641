"""Probes from a given address of this machine, on real sockets: what the other side sees, and what is without one."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

import pytest

from extsync.health.target import Probe, Target, Timing
from extsync.model import UNKNOWN
from extsync.seams import ProbeSocket, SystemProbeIO
from tests.health.listeners import LOOPBACK, listening, live, until
from tests.health.support import TCP, http, udp

pytestmark = pytest.mark.sockets

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SOURCES = ("127.0.0.2", "::1")


async def peer_of_a_connection(io: SystemProbeIO, host: str) -> str:
    """Where a connection to ``host`` comes from, as the listener sees it."""
    peers: list[str] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        peers.append(writer.get_extra_info("peername")[0])
        writer.write(OK)

    async with listening(note, host=host) as port, live(io) as probing:
        assert await probing.passes(http(), port, host=host)
    assert len(peers) == 1
    return peers[0]


@pytest.mark.parametrize(
    ("sources", "host", "peer"),
    [
        (SOURCES, "127.0.0.1", "127.0.0.2"),
        (SOURCES, "::1", "::1"),
        (("::1",), "127.0.0.1", "127.0.0.1"),
        ((), "127.0.0.1", "127.0.0.1"),
    ],
)
async def test_a_listener_sees_the_address_that_was_asked_for(sources: tuple[str, ...], host: str, peer: str) -> None:
    assert await peer_of_a_connection(SystemProbeIO(source_addresses=sources), host) == peer


async def test_datagrams_come_from_it_too() -> None:
    peers: list[str] = []

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        echo.bind((LOOPBACK, 0))
        echo.setblocking(False)

        def answer() -> None:
            _, peer = echo.recvfrom(100)
            peers.append(peer[0])
            echo.sendto(b"pong", peer)

        asyncio.get_running_loop().add_reader(echo, answer)
        async with live(SystemProbeIO(source_addresses=SOURCES)) as probing:
            assert await probing.passes(udp(), echo.getsockname()[1])
        asyncio.get_running_loop().remove_reader(echo)
    assert peers == ["127.0.0.2"]


async def test_a_thousand_connections_at_a_time_share_the_ports_of_one_address() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent, host="0.0.0.0") as port, live(SystemProbeIO(source_addresses=SOURCES)) as probing:
        timing = Timing(period=60.0, timeout=30.0)
        hosts = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(1000)]
        verdicts = await probing.verdicts(
            [Target(host, (Probe(TCP, timing, host, port),), immediate=True) for host in hosts]
        )
        assert len(verdicts) == 1000
        assert probing.prober.stats.failed == probing.prober.stats.skipped == 0


class Leaving(SystemProbeIO):
    """The source address leaves this machine, and comes again."""

    is_there = True

    def socket(self, family: int) -> ProbeSocket:
        if not self.is_there:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        return super().socket(family)


async def test_while_the_address_is_gone_probes_are_skipped_and_prove_nothing() -> None:
    io = Leaving(source_addresses=SOURCES)
    with socket.create_server((LOOPBACK, 0)) as listener:
        async with live(io) as probing:
            io.is_there = False
            timing = Timing(period=1.0, failure_threshold=1)
            target = Target("it", (Probe(TCP, timing, LOOPBACK, listener.getsockname()[1]),), immediate=True)
            probing.prober.upsert([target])
            await until(lambda: probing.prober.stats.skipped > 0)
            assert probing.prober.verdict("it") == UNKNOWN
            assert probing.prober.evidence("it")[0].reason == "skipped: cannot assign requested address"
            assert probing.prober.stats.failed == 0
