"""One worker and its part of the targets: starts it, tells it, watches it, and replaces it when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import signal
from collections.abc import Hashable
from typing import Final

from extsync.health.target import Evidence, Stats
from extsync.health.workers.counts import NOTHING, added, without_gauges
from extsync.health.workers.ledger import Entry, Ledger
from extsync.health.workers.link import Link
from extsync.health.workers.outbox import Outbox
from extsync.health.workers.rules import Rules
from extsync.health.workers.wire import (
    Answer,
    Ask,
    BadRule,
    BadTarget,
    Ping,
    Pong,
    Ready,
    Report,
    Setup,
    Unfit,
)
from extsync.seams import Clock
from extsync.seams.child import Child, Launcher

log = logging.getLogger(__name__)

MODULE: Final = "extsync.health.workers"

ASKED: Final = 64
"""Questions that may be open at a time."""

SILENT: Final = 5
"""Beats without an answer after which a worker counts as stuck. Beats are counted, not seconds: when this process was
stopped or the machine suspended, that was not the worker's fault."""

SILENT_AT_START: Final = 60
"""The same for a worker that has not said yet that it is ready: a busy machine takes long to start an interpreter."""

FIRST_WAIT: Final = 0.1
LONGEST_WAIT: Final = 30.0
"""Seconds until a worker that is gone is replaced: doubled each time up to the longest."""

STEADY: Final = 60.0
"""A worker that was ready for so many seconds was no part of a crash loop."""

ENDING: Final = 0.5
"""Seconds that a worker has to end by itself once it has closed its side, for the sake of its exit status."""

GRACE: Final = 2.0
"""Seconds that a worker has to end by itself once it is told to."""

REAPING: Final = 5.0
"""Seconds within which a process that was killed is gone, unless the kernel holds it."""

_LOOK: Final = 0.01


class Shard:
    """The targets of ``ledger``, and the worker that probes them."""

    def __init__(
        self,
        number: int,
        *,
        ledger: Ledger,
        rules: Rules,
        setup: Setup,
        clock: Clock,
        launch: Launcher,
        beat: float,
    ) -> None:
        """``beat`` is how many seconds are between two questions whether the worker is there."""
        self.ledger = ledger
        self.replaced = 0
        self._name = f"probe worker {number}"
        self._rules = rules
        self._setup = setup
        self._clock = clock
        self._launch = launch
        self._beat = beat
        self._link: Link | None = None
        self._ready_at: float | None = None
        self._silence = 0
        self._unfit = ""
        self._outbox = Outbox(ledger)
        self._pumping = False
        self._stats = self._past = NOTHING
        self._asked: dict[int, asyncio.Future[tuple[Evidence, ...]]] = {}
        self._asking = asyncio.Semaphore(ASKED)
        self._numbers = itertools.count(1)

    @property
    def ready(self) -> bool:
        """Whether the worker is there and takes orders."""
        return self._ready_at is not None

    @property
    def stats(self) -> Stats:
        """The counts of this worker and those before it, as it last told them."""
        return added(self._past, self._stats)

    def tell(self, target: Hashable) -> None:
        """Has the worker told of a target that is new or changed."""
        if self.ready:  # else it is told of all once it is
            self._outbox.put(target)
            self._pump_soon()

    def tell_gone(self, target: Hashable, entry: Entry) -> None:
        """Has the worker told that a target, which was ``entry``, is gone."""
        if self.ready:
            self._outbox.put_gone(target, entry)
            self._pump_soon()

    def retire(self, rule: int) -> None:
        """Has the worker told that nothing follows a rule any more."""
        self._outbox.put_retired(rule)
        self._pump_soon()

    async def ask(self, target: Hashable, *, timeout: float) -> tuple[Evidence, ...]:
        """What the worker knows of a target. Raises TimeoutError, also where the worker is being replaced."""
        async with self._clock.timeout(timeout), self._asking:
            if self._link is None or not self.ready:
                raise TimeoutError(f"{self._name} is being replaced")
            number = next(self._numbers)
            answer: asyncio.Future[tuple[Evidence, ...]] = asyncio.get_running_loop().create_future()
            self._asked[number] = answer
            self._link.send(Ask(number, target))
            try:
                return await answer
            finally:
                del self._asked[number]

    # ---- one worker after another ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keeps a worker running until it is cancelled."""
        wait = FIRST_WAIT
        since = self._clock.monotonic()
        while True:
            steady = False
            try:
                ending, steady = await self._serve()
            except OSError as error:
                ending = f"cannot be started: {error}"
            except Exception:  # a defect: it must not stop the other workers, nor this one for good
                log.exception("%s: a defect in extsync", self._name)
                ending = "cannot be served"
            if steady:
                wait, since = FIRST_WAIT, self._clock.monotonic()
            self.ledger.age(self._clock.monotonic() - since)
            log.warning(
                "%s %s; its targets (%d) keep their verdicts, and it is replaced in %.1f s",
                self._name, ending, len(self.ledger), wait,
            )  # fmt: skip
            await self._clock.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)
            self.replaced += 1

    async def _serve(self) -> tuple[str, bool]:
        """Runs one worker until it is gone; returns how it ended, in words, and whether it had been steady."""
        child = self._launch(MODULE)
        self._unfit = ""
        log.info("%s runs with process id %d", self._name, child.pid)
        link = Link(on_message=self._receive, on_room=self._pump)
        grace, stuck = GRACE, ""
        try:
            await link.open(child.sock)
            link.send(self._setup)
            self._link = link
            stuck = await self._watch(link)
            grace = 0.0 if stuck else ENDING
        finally:
            steady = self._ready_at is not None and self._clock.monotonic() - self._ready_at >= STEADY
            self._lose()
            link.close()
            child.sock.close()
            status = await _to_its_end(asyncio.create_task(self._end(child, grace)))
        return stuck or self._unfit or _words(status), steady

    async def _watch(self, link: Link) -> str:
        """Returns when the link is lost, with "", or the worker is stuck, with that in words."""
        self._silence = 0
        while not link.lost.is_set():
            try:
                async with self._clock.timeout(self._beat):
                    await link.lost.wait()
            except TimeoutError:
                limit = SILENT if self.ready else SILENT_AT_START
                if self._silence >= limit:
                    return f"did not answer for {limit * self._beat:g} s and is killed"
                self._silence += 1
                if self.ready:  # also where the link is full: a worker that is told much has to answer meanwhile
                    link.send(Ping())
                    self.ledger.age_unprobed(self._clock.monotonic())
                    self._outbox.beat()
                    self._pump_soon()
        return ""

    async def _end(self, child: Child, grace: float) -> int | None:
        """Sees to it that the process is gone; its exit status, None where the kernel does not let go of it."""
        with contextlib.suppress(TimeoutError):
            async with self._clock.timeout(grace):
                await self._ended(child)
        child.kill()
        with contextlib.suppress(TimeoutError):
            async with self._clock.timeout(REAPING):
                await self._ended(child)
        return child.status()

    async def _ended(self, child: Child) -> None:
        while child.status() is None:
            await self._clock.sleep(_LOOK)

    def _lose(self) -> None:
        """Forgets what belongs to the worker that is gone."""
        self._link = self._ready_at = None
        self._outbox.clear()
        self._past, self._stats = without_gauges(self.stats), NOTHING
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(TimeoutError(f"{self._name} is being replaced"))

    # ---- what comes --------------------------------------------------------------------------------------------------

    def _receive(self, message: object) -> None:
        match message:
            case Report():
                self.ledger.hear(message)
            case Pong(stats):
                self._silence = 0
                self._stats = stats
            case Ready():
                self._begin()
            case Unfit(reason):
                self._unfit = f"cannot probe: {reason}"
            case Answer(number, evidence):
                if (answer := self._asked.get(number)) and not answer.done():
                    answer.set_result(evidence)
            case BadRule(number, fault):
                self._outbox.refuse(number)
                self._rules.refuse(number, fault)
            case BadTarget(given, fault):
                if self.ledger.refuse(given, fault) and fault:
                    log.error("%s cannot be probed: %s", given[0], fault)

    def _begin(self) -> None:
        self._silence = 0
        self._ready_at = self._clock.monotonic()
        self._outbox.begin()
        self._pump_soon()

    # ---- what goes ---------------------------------------------------------------------------------------------------

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            self._clock.call_later(0.0, self._pumped)

    def _pumped(self) -> None:
        self._pumping = False
        self._pump()

    def _pump(self) -> None:
        """Sends one order where there is room, and sees to the next: 100,000 targets must not hold up the loop."""
        if self._link is not None and not self._link.full and self._outbox:
            self._link.send(self._outbox.take())
            if self._outbox:
                self._pump_soon()


async def _to_its_end(task: asyncio.Task[int | None]) -> int | None:
    """Waits for a task that must not be cancelled, even where the waiting is: no process is left behind."""
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
    return task.result()


def _words(status: int | None) -> str:
    if status is None:
        return "was killed and has not ended yet"
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal has no name
        return f"was ended by signal {-status}"
