"""What the tests of sources share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from extsync.model import Observation
from extsync.seams import Clock, SystemClock, SystemDialer
from extsync.seams.virtual import SeededRandom
from extsync.sources.base import Source, SourceContext

GENEROUS = 30.0
"""Seconds after which a report that does not come is given up; no test is right because of it."""


def context(base_dir: Path = Path(), *, clock: Clock | None = None) -> SourceContext:
    return SourceContext(
        name="rack",
        namespace="default",
        base_dir=base_dir,
        clock=clock or SystemClock(),
        random=SeededRandom(1),
        dialer=SystemDialer(),
    )


class Reports:
    """Receives what a source emits, and waits for what a test expects of it.

    ``seen`` are the reports without those that say the same once more; ``reads`` counts all of them.
    """

    def __init__(self) -> None:
        self.reads = 0
        self.seen: list[Observation] = []
        self._came = asyncio.Event()

    def __call__(self, observation: Observation) -> None:
        self.reads += 1
        if not self.seen or self.seen[-1] is not observation:
            self.seen.append(observation)
        self._came.set()

    async def until(self, wanted: Callable[[Observation], bool]) -> Observation:
        """Waits until the latest report is one that is wanted, and returns it; says what came instead if none does."""
        try:
            async with asyncio.timeout(GENEROUS):
                while not (self.seen and wanted(self.seen[-1])):
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            came = "\n".join(map(repr, self.seen[-5:]))
            raise AssertionError(
                f"not reported within {GENEROUS:g} s; {self.reads} reads, the last news:\n{came}"
            ) from None
        return self.seen[-1]

    async def addresses(self, *wanted: str) -> Observation:
        """Waits until the latest report names just these addresses."""
        return await self.until(lambda report: addresses(report) == sorted(wanted))


def addresses(report: Observation) -> list[str]:
    return sorted(backend.address for backend in report.backends)


@asynccontextmanager
async def running(source: Source) -> AsyncIterator[Reports]:
    """Runs a source beside the test; an exception that leaves it fails the test."""
    reports = Reports()
    task = asyncio.create_task(source.run(reports))
    try:
        yield reports
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
