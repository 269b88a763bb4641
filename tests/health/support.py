"""What the tests of this room share: checks from manifest blocks, and a prober on a scripted network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from extsync.config.checks import Grpc, HttpGet, Mysql, Postgres, Redis, TcpSocket, TlsHandshake, Udp
from extsync.health.base import Check, CheckContext
from extsync.health.grpc import GrpcCheck
from extsync.health.handshake import TlsCheck
from extsync.health.http import HttpCheck
from extsync.health.mysql import MysqlCheck
from extsync.health.postgres import PostgresCheck
from extsync.health.prober import Prober
from extsync.health.redis import RedisCheck
from extsync.health.target import Probe, Target, Timing
from extsync.health.tcp import TcpCheck
from extsync.health.udp import UdpCheck
from extsync.seams.virtual import VirtualClock
from extsync.seams.virtual_net import Behaviour, Listening, ScriptedProbeIO

HOST = "192.0.2.1"
PORT = 80
LISTENING = Listening()


def context(base_dir: Path = Path(), **environ: str) -> CheckContext:
    return CheckContext(base_dir, environ)


def tcp(**block: Any) -> TcpCheck:
    """A tcpSocket check from the keys of its block, the port aside."""
    return TcpCheck(TcpSocket.model_validate({"port": PORT, **block}), context())


def http(base_dir: Path = Path(), **block: Any) -> HttpCheck:
    """An httpGet check from the keys of its block, the port aside."""
    return HttpCheck(HttpGet.model_validate({"port": PORT, **block}), context(base_dir))


def grpc(base_dir: Path = Path(), **block: Any) -> GrpcCheck:
    """A grpc check from the keys of its block, the port aside."""
    return GrpcCheck(Grpc.model_validate({"port": PORT, **block}), context(base_dir))


def handshake(base_dir: Path = Path(), **block: Any) -> TlsCheck:
    """A tls check from the keys of its block, the port aside."""
    return TlsCheck(TlsHandshake.model_validate({"port": PORT, **block}), context(base_dir))


def udp(**block: Any) -> UdpCheck:
    """A udp check from the keys of its block, the port aside."""
    return UdpCheck(Udp.model_validate({"port": PORT, "send": "ping", "expect": "pong", **block}), context())


def mysql(**block: Any) -> MysqlCheck:
    """A mysql check from the keys of its block, the port aside."""
    return MysqlCheck(Mysql.model_validate({"port": PORT, **block}), context())


def postgres(**block: Any) -> PostgresCheck:
    """A postgres check from the keys of its block, the port aside."""
    return PostgresCheck(Postgres.model_validate({"port": PORT, **block}), context())


def redis(**block: Any) -> RedisCheck:
    """A redis check from the keys of its block, the port aside."""
    return RedisCheck(Redis.model_validate({"port": PORT, **block}), context())


TCP = tcp()
EVERY_SECOND = Timing(period=1.0)


def target(
    name: str = "a",
    *,
    check: Check = TCP,
    timing: Timing = EVERY_SECOND,
    host: str = HOST,
    port: int = PORT,
    immediate: bool = True,
) -> Target:
    """A target with one probe."""
    return Target(name, (Probe(check, timing, host, port),), immediate)


class Bench:
    """A running prober, the network it probes, and what it did: ``starts`` are the times of all connections."""

    def __init__(self, *, max_in_flight: int, descriptors: int, descriptor_limit: int) -> None:
        self.clock = VirtualClock()
        self.starts: dict[tuple[str, int], list[float]] = {}
        self.wakes = 0
        self.on_start: Callable[[], object] = lambda: None
        self.net = ScriptedProbeIO(self.clock, descriptors=descriptors, on_connect=self._note)
        self.prober = Prober(
            clock=self.clock,
            io=self.net,
            wake=self._wake,
            max_in_flight=max_in_flight,
            descriptor_limit=lambda: descriptor_limit,
        )

    def script(self, behaviour: Behaviour, host: str = HOST, port: int = PORT) -> None:
        self.net.script(host, port, behaviour)

    def times(self, host: str = HOST, port: int = PORT) -> list[float]:
        return self.starts.get((host, port), [])

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    def _note(self, host: str, port: int) -> None:
        self.starts.setdefault((host, port), []).append(self.clock.monotonic())
        self.on_start()

    def _wake(self) -> None:
        self.wakes += 1


@asynccontextmanager
async def probing(
    *, max_in_flight: int = 10_000, descriptors: int = 1 << 20, descriptor_limit: int = 1 << 20
) -> AsyncIterator[Bench]:
    """A prober in virtual time, which must leave no socket behind.

    ``descriptors`` is how many there are, and ``descriptor_limit`` how many the prober takes for granted.
    """
    bench = Bench(max_in_flight=max_in_flight, descriptors=descriptors, descriptor_limit=descriptor_limit)
    await bench.prober.start()
    try:
        yield bench
    finally:
        await bench.prober.close()
        assert bench.net.open_sockets == 0
