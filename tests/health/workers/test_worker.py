"""A worker process with nobody who would kill it: when it ends by itself, and when not."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from extsync.health.base import Check
from extsync.health.workers.shard import MODULE
from extsync.health.workers.wire import Frames, Order, Ping, Pong, Ready, Setup, frame, packed
from extsync.seams.child import SystemChild, launch
from tests.health.support import HOST
from tests.health.workers.checks import Hanging, Seizing, Sleeping
from tests.health.workers.support import OFTEN, eventually, target

pytestmark = pytest.mark.sockets

STUCK_AFTER = 1.0


class Raw:
    """A worker that does not get more attention than this."""

    def __init__(self, child: SystemChild) -> None:
        self.child = child
        self._frames = Frames()

    def say(self, message: object) -> None:
        self.child.sock.send(frame(message))

    async def hear(self) -> object:
        """The next message."""
        while not (heard := list(self._frames.feed(await asyncio.get_running_loop().sock_recv(self.child.sock, 4096)))):
            pass
        [message] = heard
        return message

    def probe(self, check: Check) -> None:
        """Has it probe something at once."""
        rule = pickle.dumps((check, OFTEN))
        self.say(Order([(1, rule)], [], [(1, packed(target("a", 80, host=HOST, check=check), (1,)))], []))


@asynccontextmanager
async def worker() -> AsyncIterator[Raw]:
    """A worker that is ready, and counts as stuck after ``STUCK_AFTER`` seconds."""
    child = launch(MODULE)
    try:
        raw = Raw(child)
        raw.say(Setup(max_in_flight=10, source_addresses=(), stuck_after=STUCK_AFTER))
        assert await raw.hear() == Ready()
        yield raw
    finally:
        child.kill()
        child.sock.close()
        await eventually(lambda: child.status() is not None)


@pytest.mark.parametrize(
    ("check", "status"),
    [(Hanging(), 1), (Sleeping(), 1), (Seizing(), -signal.SIGPROF)],
    ids=["busy", "asleep", "with the lock"],
)
async def test_it_ends_where_a_plugin_does_not_return(
    check: Check, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    async with worker() as raw:
        raw.probe(check)
        await eventually(lambda: raw.child.status() is not None)
        assert raw.child.status() == status
    assert "in request" in capfd.readouterr().err


async def test_time_for_which_it_was_stopped_does_not_count() -> None:
    async with worker() as raw:
        os.kill(raw.child.pid, signal.SIGSTOP)
        await asyncio.sleep(1.5 * STUCK_AFTER)  # this is what it must endure, not what the test hopes is enough
        os.kill(raw.child.pid, signal.SIGCONT)
        raw.say(Ping())
        assert isinstance(await raw.hear(), Pong)
        await asyncio.sleep(0.5 * STUCK_AFTER)
        raw.say(Ping())
        assert isinstance(await raw.hear(), Pong)
