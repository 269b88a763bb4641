"""What the pool says to a worker and makes of what it hears, with a worker that the test plays."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from extsync.health.target import Target
from extsync.health.workers.pool import ProberPool
from extsync.health.workers.wire import FRAME_LIMIT, Frames, Order, Ping, Ready, Report, Setup, Unfit, frame
from extsync.model import Health, Verdict
from extsync.seams import SystemClock
from extsync.seams.child import Child
from tests.health.support import HOST
from tests.health.workers.checks import Plain
from tests.health.workers.support import OFTEN, eventually, target

MANY = 50_000


class Played:
    """A worker that the test plays."""

    pid = 0

    def __init__(self) -> None:
        self.sock, self.theirs = socket.socketpair()
        self.sock.setblocking(False)
        self.theirs.setblocking(False)
        self.killed = False
        self._frames = Frames()

    def kill(self) -> None:
        self.killed = True

    def status(self) -> int | None:
        return 0 if self.sock.fileno() < 0 else None  # it ends when the pool hangs up

    def say(self, message: object) -> None:
        self.theirs.send(frame(message))

    async def hear(self) -> list[object]:
        """The next messages."""
        while not (heard := list(self._frames.feed(await asyncio.get_running_loop().sock_recv(self.theirs, 1 << 16)))):
            pass
        return heard

    async def order(self) -> Order:
        """The next order; what else is said is passed over."""
        while not (orders := [message for message in await self.hear() if isinstance(message, Order)]):
            pass
        [order] = orders
        return order


class Stage:
    """A pool whose workers are played."""

    def __init__(self, beat: float) -> None:
        self.workers: list[Played] = []
        self.pool = ProberPool(clock=SystemClock(), workers=1, wake=lambda: None, launcher=self._launch, beat=beat)

    def _launch(self, module: str, /) -> Child:
        self.workers.append(Played())
        return self.workers[-1]

    async def worker(self, number: int = 0) -> Played:
        """A worker that has just been started and has its setup."""
        await eventually(lambda: len(self.workers) > number)
        worker = self.workers[number]
        assert [type(message) for message in await worker.hear()] == [Setup]
        return worker


@asynccontextmanager
async def stage(*, beat: float = 10.0) -> AsyncIterator[Stage]:
    """A pool that asks every ``beat`` seconds whether its worker is there."""
    play = Stage(beat)
    await play.pool.start()
    try:
        yield play
    finally:
        await play.pool.close()
        for worker in play.workers:
            worker.theirs.close()


async def test_nothing_is_said_before_the_worker_is_ready_and_then_everything_with_each_check_once() -> None:
    async with stage() as play:
        worker = await play.worker()
        play.pool.upsert([target("a", 80, host=HOST), target("b", 81, host=HOST)])
        worker.say(Ready())
        order = await worker.order()
        assert len(order.rules) == 1
        assert [fields[0] for _, fields in order.upserts] == ["a", "b"]
        play.pool.upsert([target("c", 82, host=HOST)])
        order = await worker.order()
        assert order.rules == []
        assert [fields[0] for _, fields in order.upserts] == ["c"]


async def test_a_target_that_leaves_and_comes_back_at_once_starts_from_nothing() -> None:
    async with stage() as play:
        worker = await play.worker()
        worker.say(Ready())
        play.pool.upsert([target("a", 80, host=HOST)])
        await worker.hear()
        play.pool.remove(["a"])
        play.pool.upsert([target("a", 80, host=HOST)])
        order = await worker.order()
        assert order.removals == ["a"]
        assert [fields[0] for _, fields in order.upserts] == ["a"]


async def test_a_check_that_nothing_uses_any_more_is_forgotten() -> None:
    async with stage() as play:
        worker = await play.worker()
        worker.say(Ready())
        play.pool.upsert([target("a", 80, host=HOST)])
        first = await worker.order()
        play.pool.upsert([target("a", 80, host=HOST, check=Plain("other"))])
        second = await worker.order()
        assert second.retired == [number for number, _ in first.rules]


async def test_a_worker_that_is_told_much_is_asked_whether_it_is_there_in_between() -> None:
    async with stage(beat=0.2) as play:
        worker = await play.worker()
        worker.say(Ready())
        play.pool.upsert([Target(f"t{number}", target("", 80, host=HOST).probes) for number in range(MANY)])
        shard = play.pool._shards[0]
        await eventually(lambda: shard._link is not None and shard._link.full)
        before = shard._silence
        await eventually(lambda: shard._silence >= before + 2)
        heard: list[object] = []
        while (Ping(), Ping()) not in pairwise(heard):  # with nothing between them, since there was no room for it
            heard += await worker.hear()
        assert sum(len(message.upserts) for message in heard if isinstance(message, Order)) < MANY


async def test_a_worker_that_reads_nothing_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    async with stage(beat=0.2) as play:
        worker = await play.worker()
        worker.say(Ready())
        play.pool.upsert([target(f"t{number}", 80, host=HOST) for number in range(MANY)])
        await play.worker(1)
        assert worker.killed
        assert "did not answer for 1 s and is killed" in caplog.text


async def test_a_worker_that_says_what_is_no_message_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    async with stage() as play:
        worker = await play.worker()
        worker.theirs.send(struct.pack("!I", FRAME_LIMIT + 1))
        await play.worker(1)
        assert worker.killed
        assert "is too long" in caplog.text


async def test_a_worker_that_cannot_probe_says_why(caplog: pytest.LogCaptureFixture) -> None:
    async with stage() as play:
        worker = await play.worker()
        worker.say(Unfit("no epoll here"))
        worker.theirs.close()
        await play.worker(1)
        assert "probe worker 1 cannot probe: no epoll here; its targets (0) keep their verdicts" in caplog.text


async def test_a_new_worker_gets_the_rules_without_the_initial_delay_for_those_the_first_had() -> None:
    async with stage() as play:
        worker = await play.worker()
        worker.say(Ready())
        play.pool.upsert([target("a", 80, host=HOST, timing=OFTEN)])
        order = await worker.order()
        [(number, _)] = order.rules
        [(revision, fields)] = order.upserts
        assert fields[1] == [(number, HOST, 80)]
        up = Verdict(Health.HEALTHY, 1.0, "passed")
        worker.say(Report([(("a", revision), up)], []))
        await eventually(lambda: play.pool.verdict("a") == up)
        worker.theirs.close()
        worker = await play.worker(1)
        play.pool.upsert([target("b", 80, host=HOST, timing=OFTEN)])
        worker.say(Ready())
        order = await worker.order()
        assert [fields[:2] for _, fields in order.upserts] == [
            ("a", [(-number, HOST, 80)]),
            ("b", [(number, HOST, 80)]),
        ]
        assert play.pool.verdict("a") == up
