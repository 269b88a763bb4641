"""Bare connects to what is near: they are over before anything would wait for them."""

from __future__ import annotations

import asyncio
import errno

import pytest

from extsync.health.base import Check
from extsync.health.prober import Prober
from extsync.model import Health
from extsync.seams import Poller, SystemClock, SystemProbeIO
from extsync.seams.virtual_net import BlackHole
from tests.health.listeners import LONG, LOOPBACK, black_hole, listening, nobody, silent
from tests.health.support import http, probing, target, tcp


class Watched:
    """The system's poller, which counts what it is to watch; it has no room for more than ``room`` sockets."""

    def __init__(self, poller: Poller, room: int) -> None:
        self._poller = poller
        self._room = room
        self.registered = 0
        self.unregister = poller.unregister
        self.modify = poller.modify
        self.poll = poller.poll
        self.close = poller.close

    def fileno(self) -> int:
        return self._poller.fileno()  # type: ignore[attr-defined, no-any-return]

    def register(self, fd: int, eventmask: int, /) -> None:
        if self.registered >= self._room:
            raise OSError(errno.ENOSPC, "no room")
        self.registered += 1
        self._poller.register(fd, eventmask)


class WatchedIO(SystemProbeIO):
    def __init__(self, room: int = 1000) -> None:
        super().__init__()
        self._room = room
        self.watched: Watched

    def poller(self) -> Poller:
        self.watched = Watched(super().poller(), self._room)
        return self.watched


async def _settled(prober: Prober, *, results: int) -> None:
    while prober.stats.passed + prober.stats.failed + prober.stats.skipped < results:  # noqa: ASYNC110
        await asyncio.sleep(0)


@pytest.mark.sockets
async def test_what_stands_or_is_refused_at_once_needs_no_poller() -> None:
    io = WatchedIO()
    prober = Prober(clock=SystemClock(), io=io, wake=lambda: None)
    await prober.start()
    with nobody() as refusing:
        async with listening(silent) as port:
            prober.upsert([target("up", host=LOOPBACK, port=port, timing=LONG)])
            prober.upsert([target("down", host=LOOPBACK, port=refusing, timing=LONG)])
            await _settled(prober, results=2)
            assert [prober.verdict(name).health for name in ("up", "down")] == [Health.HEALTHY, Health.UNHEALTHY]
            assert prober.verdict("down").reason.endswith("connection refused")
            assert io.watched.registered == 0
    await prober.close()


@pytest.mark.sockets
async def test_a_connect_that_the_poller_has_no_room_for_is_skipped() -> None:
    io = WatchedIO(room=0)
    prober = Prober(clock=SystemClock(), io=io, wake=lambda: None)
    await prober.start()
    with black_hole() as hole:
        prober.upsert([target("far", host=LOOPBACK, port=hole, timing=LONG)])
        await _settled(prober, results=1)
        assert prober.evidence("far")[0].reason == "skipped: no space left on device"
    await prober.close()


@pytest.mark.parametrize("check", [tcp(), http()], ids=["tcp", "http"])
async def test_a_far_endpoint_is_watched_and_keeps_its_deadline(check: Check) -> None:
    async with probing() as bench:
        bench.script(BlackHole())
        bench.prober.upsert([target(check=check, timing=LONG)])
        await bench.sleep(LONG.timeout - 0.5)
        assert bench.prober.stats.failed == 0
        await bench.sleep(1.0)
        assert bench.prober.stats.failed == 1
