"""A pool on real processes, its launcher, and what to wait for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from extsync.health.base import Check
from extsync.health.target import Evidence, Probe, Target, Timing
from extsync.health.workers.pool import ProberPool
from extsync.model import Health, Verdict
from extsync.seams import SystemClock
from extsync.seams.child import SystemChild, launch
from tests.health.listeners import LOOPBACK, sockets_open
from tests.health.workers.checks import Plain

OFTEN = Timing(period=0.2, timeout=5.0, failure_threshold=1)
PLAIN = Plain()


def target(name: str, port: int, *, check: Check = PLAIN, timing: Timing = OFTEN, host: str = LOOPBACK) -> Target:
    """A target with one probe, which starts at once."""
    return Target(name, (Probe(check, timing, host, port),), immediate=True)


async def eventually(condition: Callable[[], bool]) -> None:
    """Waits until ``condition`` holds, at most until the test's time is over."""
    while not condition():  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0.005)


def gone(pid: int) -> bool:
    """Whether a process has ended and was taken out of the process table, or only waits for that elsewhere."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


class Running:
    """A pool that is running, the processes that it started, and all transitions so far."""

    def __init__(self, *, workers: int, beat: float, refusals: list[OSError]) -> None:
        self.children: list[SystemChild] = []
        self.refusals = refusals
        self.told: list[tuple[str, Health]] = []
        self.wakes = 0
        self.pool = ProberPool(clock=SystemClock(), workers=workers, wake=self._wake, launcher=self._launch, beat=beat)

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self.children]

    def health(self, name: str) -> Health:
        self.collect()
        return self.pool.verdict(name).health

    def collect(self) -> None:
        """Takes what there is to drain."""
        self.told += [(str(name), verdict.health) for name, verdict in self.pool.drain()]

    async def becomes(self, name: str, health: Health) -> Verdict:
        await eventually(lambda: self.health(name) is health)
        return self.pool.verdict(name)

    async def evidence(self, name: str) -> Evidence:
        """What its worker says of the only probe of a target, as soon as one does."""
        while True:
            with suppress(TimeoutError):
                for evidence in await self.pool.evidence(name, timeout=10.0):
                    return evidence
            await asyncio.sleep(0.005)

    async def known(self, name: str, condition: Callable[[Evidence], bool]) -> Evidence:
        """Waits until the evidence of the only probe of a target fulfils ``condition``."""
        while not condition(evidence := await self.evidence(name)):  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.005)
        return evidence

    async def replaced(self, times: int = 1) -> None:
        """Waits until workers were replaced so often and all are ready."""
        workers = len(self.pool._shards)
        await eventually(lambda: self.pool.stats.replaced >= times and self.pool.stats.workers == workers)

    def _launch(self, module: str, /) -> SystemChild:
        if self.refusals:
            raise self.refusals.pop(0)
        child = launch(module)
        self.children.append(child)
        return child

    def _wake(self) -> None:
        self.wakes += 1


@asynccontextmanager
async def running(
    *, workers: int = 1, beat: float = 1.0, refusals: list[OSError] | None = None
) -> AsyncIterator[Running]:
    """A pool whose processes and descriptors must all be gone in the end; ``refusals``: the first launches' errors."""
    before = sockets_open()
    setup = Running(workers=workers, beat=beat, refusals=refusals or [])
    await setup.pool.start()
    try:
        yield setup
    finally:
        await setup.pool.close()
    assert [child.pid for child in setup.children if child.status() is None] == []
    assert [pid for pid in setup.pids if os.path.exists(f"/proc/{pid}")] == []  # noqa: ASYNC240 - no file of a disk
    await eventually(lambda: sockets_open() <= before)  # the listeners close their ends a little later
