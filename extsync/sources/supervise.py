"""Runs a source so that whatever it does stays its own affair: it may raise, return, flood or refuse to stop.

Two things no task can be kept from: blocking the event loop, and using up the memory of the process.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, NoReturn

import msgspec

from extsync.model import Backend, Observation, Outcome
from extsync.printable import printable
from extsync.seams import Clock, Random, Timer
from extsync.sources.base import Emit, Source
from extsync.sources.told import told

FIRST_RESTART: Final = 1.0
"""Seconds before a source that ended is started again, for the first time; the pause doubles from then on."""

LAST_RESTART: Final = 30.0
"""The longest pause before a restart, in seconds."""

MIN_INTERVAL: Final = 0.25
"""Seconds between two reports that are handed on; of those that come in between, only the newest is."""

STOP_GRACE: Final = 5.0
"""Seconds that a cancelled source has to clean up before it is left behind."""

_log = logging.getLogger(__name__)


async def supervise(source: Source, emit: Emit, *, clock: Clock, random: Random) -> NoReturn:
    """Runs ``source`` until this task is cancelled, and starts it again whenever it ends.

    An exception or a plain return is reported through ``emit`` as ERROR. The pause that follows has jitter, only ever
    shorter, and is the shortest again once the source has run for longer than the longest pause. Reports are handed on
    at most once every ``MIN_INTERVAL`` seconds, the newest one winning.
    """
    gate = _Gate(emit, clock)
    pause = FIRST_RESTART
    try:
        while True:
            started = clock.monotonic()
            ending = await _run_once(source, gate.emit, clock)
            if clock.monotonic() - started > LAST_RESTART:
                pause = FIRST_RESTART
            wait = pause * random.uniform(0.5, 1.0)
            gate.emit(Observation(Outcome.ERROR, detail=f"{ending}; it is started again"))
            await clock.sleep(wait)
            pause = min(pause * 2, LAST_RESTART)
    finally:
        gate.close()


async def first_report(source: Source, clock: Clock, timeout: float) -> Observation:
    """Runs ``source`` until it has reported, for commands that run once.

    A SUSPECT report is no answer yet, since the source then reads again in a stronger mode: it counts only where
    nothing better follows within ``timeout`` seconds. A source that reports nothing in that time, ends or raises
    gives an ERROR that says so.
    """
    latest: Observation | None = None
    decided = asyncio.Event()

    def emit(observation: Observation) -> None:
        nonlocal latest
        if not decided.is_set():
            latest = _checked(observation)
            if latest.outcome is not Outcome.SUSPECT:
                decided.set()

    runner = _start(source, emit)
    runner.add_done_callback(lambda _: decided.set())
    try:
        async with clock.timeout(timeout):
            await decided.wait()
    except TimeoutError:
        return latest or Observation(Outcome.ERROR, detail=f"the source did not report within {timeout:.3g} s")
    finally:
        await _stop(runner, clock)
    return latest or Observation(Outcome.ERROR, detail=_ending(runner))


class _Gate:
    """Hands reports on, the first at once and further ones at intervals."""

    def __init__(self, emit: Emit, clock: Clock) -> None:
        self._emit = emit
        self._clock = clock
        self._held: Observation | None = None
        self._timer: Timer | None = None
        self._open_at = clock.monotonic()
        self._closed = False

    def emit(self, observation: Observation) -> None:
        if self._closed:
            return
        self._held = _checked(observation)
        if self._timer is None:
            wait = self._open_at - self._clock.monotonic()
            if wait <= 0:
                self._hand_on()
            else:
                self._timer = self._clock.call_later(wait, self._hand_on)

    def close(self) -> None:
        """Drops what is held, and whatever comes later from a source that did not stop."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _hand_on(self) -> None:
        observation, self._held, self._timer = self._held, None, None
        self._open_at = self._clock.monotonic() + MIN_INTERVAL
        if observation is not None:
            self._emit(observation)


async def _run_once(source: Source, emit: Emit, clock: Clock) -> str:
    """Runs ``source`` to its end and returns in words how it ended."""
    # A task of its own, so that a source that cancels itself is told apart from this task being cancelled.
    runner = _start(source, emit)
    try:
        await asyncio.wait({runner})
    finally:
        await _stop(runner, clock)
    return _ending(runner)


def _start(source: Source, emit: Emit) -> asyncio.Task[None]:
    async def body() -> None:
        try:
            await source.run(emit)
        except SystemExit as error:  # out of a task, it would end the process
            raise RuntimeError(f"called sys.exit({error.code!r})") from error

    runner = asyncio.create_task(body())
    runner.add_done_callback(_ending)  # so that an exception of its last moments counts as seen
    return runner


async def _stop(runner: asyncio.Task[None], clock: Clock) -> None:
    """Cancels a running source and waits until it has ended, for ``STOP_GRACE`` seconds at most."""
    if runner.done():
        return
    runner.cancel()
    try:
        async with clock.timeout(STOP_GRACE):
            await asyncio.wait({runner})
    except TimeoutError:
        _log.warning("a source does not stop: it ignores being cancelled")


def _ending(runner: asyncio.Task[None]) -> str:
    if runner.cancelled():
        return "the source cancelled itself"
    error = runner.exception()
    return "the source ended by itself" if error is None else f"the source raised {told(error)}"


def _checked(report: Any) -> Observation:
    """The report of a plugin if it keeps to the contract, else an ERROR that says what is wrong with it."""
    if not isinstance(report, Observation):
        return Observation(Outcome.ERROR, detail=f"the source emitted {type(report).__name__}, not an Observation")
    backends: Any = report.backends
    if not isinstance(backends, tuple) or not all(isinstance(entry, Backend) for entry in backends):
        return Observation(Outcome.ERROR, detail="the source emitted backends that are no tuple of Backend")
    if report.outcome in (Outcome.ERROR, Outcome.SUSPECT) and not report.detail:
        report = Observation(report.outcome, rejected=report.rejected, detail="the source does not say why")
    return _shown(report)


def _shown(report: Observation) -> Observation:
    """The report with printable words alone: they go into logs, events and pages, and may be those of a server."""
    rejected = tuple(
        one
        if one.entry.isprintable() and one.reason.isprintable()
        else msgspec.structs.replace(one, entry=printable(one.entry), reason=printable(one.reason))
        for one in report.rejected
    )
    parts = tuple((name, _shown(part)) for name, part in report.parts)
    return msgspec.structs.replace(report, detail=printable(report.detail), rejected=rejected, parts=parts)
