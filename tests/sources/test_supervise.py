"""Running sources that misbehave, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from extsync.model import Backend, Observation, Outcome, Rejected
from extsync.seams.virtual import SeededRandom, VirtualClock, virtual_time
from extsync.sources.base import Emit
from extsync.sources.supervise import LAST_RESTART, MIN_INTERVAL, STOP_GRACE, first_report, supervise

FOUND = Observation(Outcome.FOUND, (Backend("10.0.0.1"),))
CLOCK = VirtualClock()


class Scripted:
    """A source that does what a test says; ``starts`` are the times at which it was run."""

    def __init__(self, script: Callable[[Emit], Awaitable[None]]) -> None:
        self._script = script
        self.starts: list[float] = []

    async def run(self, emit: Emit) -> None:
        self.starts.append(CLOCK.monotonic())
        await self._script(emit)


class Log:
    """What was handed on, and when."""

    def __init__(self) -> None:
        self.entries: list[tuple[float, Observation]] = []

    def __call__(self, observation: Observation) -> None:
        self.entries.append((CLOCK.monotonic(), observation))

    @property
    def outcomes(self) -> list[Outcome]:
        return [observation.outcome for _, observation in self.entries]


async def supervised(source: Scripted, seconds: float) -> Log:
    """Supervises ``source`` for some time, and stops."""
    log = Log()
    task = asyncio.create_task(supervise(source, log, clock=CLOCK, random=SeededRandom(7)))
    await CLOCK.sleep(seconds)
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    return log


def numbered(number: int) -> Observation:
    return Observation(Outcome.FOUND, (Backend("10.0.0.1", port=number),))


@virtual_time
async def test_a_source_that_keeps_running_is_run_once_and_its_reports_are_handed_on() -> None:
    async def script(emit: Emit) -> None:
        emit(FOUND)
        await asyncio.Event().wait()

    source = Scripted(script)
    log = await supervised(source, 1000)
    assert len(source.starts) == 1
    assert log.entries == [(0.0, FOUND)]


@virtual_time
async def test_an_exception_is_reported_and_the_source_is_started_again() -> None:
    async def script(emit: Emit) -> None:
        if len(source.starts) == 1:
            raise ConnectionError("the registry hung up")
        emit(FOUND)
        await asyncio.Event().wait()

    source = Scripted(script)
    log = await supervised(source, 10)
    assert log.outcomes == [Outcome.ERROR, Outcome.FOUND]
    assert "ConnectionError: the registry hung up" in log.entries[0][1].detail


@virtual_time
async def test_a_source_that_ends_by_itself_is_reported_and_started_again() -> None:
    async def script(emit: Emit) -> None:
        return

    source = Scripted(script)
    log = await supervised(source, 10)
    assert "ended by itself" in log.entries[0][1].detail
    assert len(source.starts) > 1


@virtual_time
async def test_restarts_back_off_to_a_bound_with_jitter() -> None:
    async def script(emit: Emit) -> None:
        raise ValueError

    source = Scripted(script)
    await supervised(source, 600)
    pauses = [after - before for before, after in pairwise(source.starts)]
    assert all(pause <= LAST_RESTART for pause in pauses)
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(pauses, [1, 2, 4, 8, 16], strict=False))
    assert min(pauses[5:]) >= LAST_RESTART / 2
    assert len(set(pauses[5:])) > 1


@virtual_time
async def test_the_back_off_begins_anew_after_a_long_run() -> None:
    async def script(emit: Emit) -> None:
        if len(source.starts) == 6:
            await CLOCK.sleep(LAST_RESTART + 1)
        raise ValueError

    source = Scripted(script)
    await supervised(source, 200)
    long_run_ended = source.starts[5] + LAST_RESTART + 1
    assert source.starts[6] - long_run_ended <= 1.0


def leave(_: Emit) -> None:
    sys.exit(3)


def cancel_itself(_: Emit) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(("act", "told"), [(leave, "sys.exit(3)"), (cancel_itself, "cancelled itself")])
def test_no_way_of_ending_takes_the_process_or_the_supervisor_along(act: Callable[[Emit], None], told: str) -> None:
    @virtual_time
    async def ends_badly() -> None:
        async def script(emit: Emit) -> None:
            act(emit)

        source = Scripted(script)
        log = await supervised(source, 10)
        assert told in log.entries[0][1].detail
        assert len(source.starts) > 1

    ends_badly()


@virtual_time
async def test_of_a_flood_only_the_newest_reports_are_handed_on_at_intervals() -> None:
    async def script(emit: Emit) -> None:
        for number in range(1, 10_001):
            emit(numbered(number))
            await CLOCK.sleep(0.0005)
        await asyncio.Event().wait()

    log = await supervised(Scripted(script), 60)
    times = [time for time, _ in log.entries]
    assert len(times) <= 5 / MIN_INTERVAL + 2
    assert all(after - before >= MIN_INTERVAL - 1e-9 for before, after in pairwise(times))
    assert log.entries[0][1] == numbered(1), "the first report does not wait"
    assert log.entries[-1][1] == numbered(10_000), "the last report is never lost"


@virtual_time
async def test_a_flood_within_one_step_hands_on_its_first_and_its_last_report() -> None:
    async def script(emit: Emit) -> None:
        for number in range(1, 1001):
            emit(numbered(number))
        await asyncio.Event().wait()

    log = await supervised(Scripted(script), 5)
    assert [observation for _, observation in log.entries] == [numbered(1), numbered(1000)]


@virtual_time
async def test_stopping_cancels_the_source_and_nothing_is_handed_on_afterwards() -> None:
    cancelled = asyncio.Event()

    async def script(emit: Emit) -> None:
        emit(numbered(1))
        emit(numbered(2))
        try:
            await asyncio.Event().wait()
        finally:
            emit(numbered(3))
            cancelled.set()

    log = await supervised(Scripted(script), 0.01)
    await CLOCK.sleep(10)
    assert cancelled.is_set()
    assert [observation for _, observation in log.entries] == [numbered(1)]


@virtual_time
async def test_a_source_that_ignores_being_cancelled_is_left_behind_after_a_while() -> None:
    done = asyncio.Event()

    async def script(emit: Emit) -> None:
        emit(numbered(1))
        while not done.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await done.wait()
        emit(numbered(2))

    started = CLOCK.monotonic()
    log = await supervised(Scripted(script), 1)
    assert CLOCK.monotonic() - started <= 1 + STOP_GRACE + 0.1
    done.set()
    await CLOCK.sleep(10)
    assert [observation for _, observation in log.entries] == [numbered(1)], "what it says now is nobody's concern"


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ("backends", "emitted str, not an Observation"),
        (Observation(Outcome.FOUND, ["10.0.0.1"]), "no tuple of Backend"),  # type: ignore[arg-type]
        (Observation(Outcome.FOUND, ("10.0.0.1",)), "no tuple of Backend"),  # type: ignore[arg-type]
        (Observation(Outcome.ERROR), "does not say why"),
    ],
)
def test_a_report_against_the_contract_becomes_an_error_that_says_so(report: Any, told: str) -> None:
    @virtual_time
    async def reports_badly() -> None:
        async def script(emit: Emit) -> None:
            emit(report)
            await asyncio.Event().wait()

        log = await supervised(Scripted(script), 1)
        assert log.outcomes == [Outcome.ERROR]
        assert told in log.entries[0][1].detail

    reports_badly()


@virtual_time
async def test_once_the_first_report_is_the_answer_and_the_source_is_stopped() -> None:
    stopped = asyncio.Event()

    async def script(emit: Emit) -> None:
        await CLOCK.sleep(3)
        emit(FOUND)
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    assert await first_report(Scripted(script), CLOCK, 10) == FOUND
    assert CLOCK.monotonic() == pytest.approx(3)
    assert stopped.is_set()


@virtual_time
async def test_once_an_error_is_the_answer_too() -> None:
    error = Observation(Outcome.ERROR, detail="there is no such file")

    async def script(emit: Emit) -> None:
        emit(error)
        await CLOCK.sleep(1)
        emit(FOUND)

    assert await first_report(Scripted(script), CLOCK, 10) == error


@virtual_time
async def test_what_a_server_said_is_printable_when_it_is_handed_on() -> None:
    steers, shown = "a\x1b[2J\n\u202e\ud800b", "a\ufffd[2J\ufffd\ufffd\ufffdb"
    part = Observation(Outcome.FOUND, rejected=(Rejected(steers, "no address", denied=True), Rejected("x", steers)))
    error = Observation(Outcome.ERROR, detail=steers, parts=(("one", part),))

    async def script(emit: Emit) -> None:
        emit(error)

    report = await first_report(Scripted(script), CLOCK, 10)
    assert report.detail == shown
    [(name, told)] = report.parts
    assert name == "one"
    assert told.rejected == (Rejected(shown, "no address", denied=True), Rejected("x", shown))


@virtual_time
async def test_once_a_suspect_report_waits_for_a_better_one() -> None:
    async def script(emit: Emit) -> None:
        emit(Observation(Outcome.SUSPECT, detail="no leader"))
        await CLOCK.sleep(2)
        emit(FOUND)
        await asyncio.Event().wait()

    assert await first_report(Scripted(script), CLOCK, 10) == FOUND


@virtual_time
async def test_once_a_suspect_report_counts_when_nothing_better_comes() -> None:
    suspect = Observation(Outcome.SUSPECT, detail="no leader")

    async def script(emit: Emit) -> None:
        emit(suspect)
        await asyncio.Event().wait()

    assert await first_report(Scripted(script), CLOCK, 10) == suspect
    assert CLOCK.monotonic() == pytest.approx(10)


@virtual_time
async def test_once_a_source_that_reports_nothing_is_an_error_that_names_the_time() -> None:
    async def script(emit: Emit) -> None:
        await asyncio.Event().wait()

    report = await first_report(Scripted(script), CLOCK, 12.5)
    assert report.outcome is Outcome.ERROR
    assert "did not report within 12.5 s" in report.detail


@virtual_time
async def test_once_a_source_that_raises_or_ends_is_an_error() -> None:
    async def raises(emit: Emit) -> None:
        raise OSError("no route")

    async def ends(emit: Emit) -> None:
        return

    assert "OSError: no route" in (await first_report(Scripted(raises), CLOCK, 10)).detail
    assert "ended by itself" in (await first_report(Scripted(ends), CLOCK, 10)).detail


@virtual_time
async def test_once_a_report_counts_even_if_the_source_then_raises() -> None:
    async def script(emit: Emit) -> None:
        emit(FOUND)
        raise ValueError

    assert await first_report(Scripted(script), CLOCK, 10) == FOUND
