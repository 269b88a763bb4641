"""When each probe's attempts start, and when they have taken too long.

1. A probe's first attempt is at its initial delay plus a stable fraction of its period, so that neither a start nor a
   restart makes a herd; where the period is longer than ten seconds, of these, and only the second is where the period
   would have it. From then on each attempt belongs one period after the one before, however long that took:
   phases do not drift. An attempt that outlasts its period is followed by the next at once. There is no random jitter:
   the fraction, which every check of every endpoint has for itself, spreads them as well, and stays; jitter would only
   make some failures show later.
2. While results disagree with the verdict, or there is none yet, the transition period takes the period's place.
3. What cannot start (too many in flight, no descriptor left) waits in a queue, from which each attempt that ends lets
   one go. Where no port is left towards one endpoint, that one is tried again a second later. Either counts as skipped,
   which is no evidence.
4. Where the wheel turns over a second late, because the process was stopped or the machine suspended, the attempts that
   were missed are skipped and each probe goes on in its phase: no burst. Nor is a deadline that passed then evidence.
   Where no result counts as evidence any more for that, those before the stop and those after it are not in a row.
5. A deadline counts only once everything that arrived before it has been read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from extsync.health.attempt_words import stage
from extsync.health.attempts import Attempts
from extsync.health.record import Record
from extsync.health.sockets import NO_ROOM
from extsync.health.thresholds import in_transition
from extsync.health.wheel import TICKS_PER_SECOND, Wheel, tick_at, ticks
from extsync.seams import Clock, ProbeIO, Timer

_AT_ONCE: Final = 256
"""How many attempts one turn of the event loop may start."""

_LATE: Final = ticks(1.0)
_RETRY: Final = ticks(1.0)
_RESPITE: Final = 0.1
"""Seconds without a new attempt after the system had no room for one."""


class Scheduler:
    """Keeps records in their rhythm, at most ``capacity`` attempts at a time.

    ``on_result(record, failure, now)`` gets each result, None for a pass, and brings the record's health up to date, on
    which its next attempt depends. ``on_lapse(record)`` is called where results so far begin no run any more.
    ``on_settled()`` is called after each portion of work.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        io: ProbeIO,
        on_result: Callable[[Record, str | None, float], None],
        on_lapse: Callable[[Record], None],
        on_settled: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._on_result = on_result
        self._on_lapse = on_lapse
        self._on_settled = on_settled
        self._wheel: Wheel[Record] = Wheel(clock, self._on_tick)
        self._attempts = Attempts(
            clock=clock, io=io, on_events=self._on_events, concluded=self._concluded, stranded=self._stranded
        )
        self._begun: list[Record] = []
        self._waiting: OrderedDict[Record, None] = OrderedDict()
        self._capacity = 0
        self._resumption: Timer | None = None
        self._resting = False
        self.started = 0
        self.skipped = 0

    @property
    def in_flight(self) -> int:
        return len(self._attempts.flying)

    @property
    def kept(self) -> int:
        """The number of connections that wait for the next attempt."""
        return self._attempts.kept

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def open(self, capacity: int, sockets: int) -> None:
        """Begins to schedule, with at most ``sockets`` sockets in all: kept connections take some, too."""
        self._capacity = capacity
        self._attempts.open(sockets)

    def close(self) -> None:
        """Ends all attempts and drops all records."""
        self._capacity = 0
        self._cancel_resumption()
        self._waiting.clear()
        self._begun.clear()
        self._wheel.close()
        self._attempts.close()

    def add(self, record: Record, *, at_once: bool) -> None:
        """Schedules the first attempt, where it is planned or as soon as there is room."""
        if at_once:
            self._waiting[record] = None
            self._resume_after(0.0)
        else:
            self._wheel.schedule(record, record.planned)

    def drop(self, record: Record) -> None:
        """Forgets a record."""
        self._wheel.cancel(record)
        self._attempts.abandon(record)
        self._waiting.pop(record, None)
        if self._waiting:
            self._resume_after(0.0)

    # ---- the event loop calls ---------------------------------------------------------------------------------------

    def _on_events(self) -> None:
        self._attempts.pump()
        self._settle()

    def _on_tick(self) -> None:
        tick = self._tick()
        drained = self._attempts.pump()
        flying, room = self._attempts.flying, _AT_ONCE
        while room > 0 and (slot := self._wheel.take(tick, room)) is not None:
            due, records = slot
            late = tick - due > _LATE
            room -= len(records)
            for record in records:
                if record.sock is not None:
                    self._expire(record, tick, drained)
                elif late:
                    self._miss(record, "skipped: it was not its turn in time", tick, tick - due)
                elif self._waiting or self._resting or len(flying) >= self._capacity:
                    self._skip(record, "skipped: too many probes in flight")
                    self._waiting[record] = None
                else:
                    self._begin(record, tick)
        # Starting a portion takes longer than a near network: what it has answered by now needs no wake-up of its own.
        self._attempts.pump()
        self._set_deadlines(tick)
        self._settle()

    def _set_deadlines(self, tick: int) -> None:
        """Gives those that began at ``tick`` their deadline, except where they are over already: most are, nearby."""
        for record in self._begun:
            if record.sock is not None:
                self._wheel.schedule(record, tick + record.pace.timeout)
        self._begun.clear()

    def _settle(self) -> None:
        """Starts what waits, as far as there is room and not too much for one turn of the loop."""
        if self._waiting and self._has_room():
            tick = self._tick()
            room = _AT_ONCE
            while self._waiting and room > 0 and self._has_room():
                room -= 1
                self._begin(self._waiting.popitem(last=False)[0], tick)
            self._attempts.look()
            self._set_deadlines(tick)
            if self._waiting and self._has_room():
                self._resume_after(0.0)
        self._on_settled()

    def _resume_after(self, seconds: float) -> None:
        if self._resumption is None:
            self._resumption = self._clock.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._resumption = None
        self._resting = False
        self._settle()

    def _cancel_resumption(self) -> None:
        if self._resumption is not None:
            self._resumption.cancel()
            self._resumption = None

    # ---- one record -------------------------------------------------------------------------------------------------

    def _tick(self) -> int:
        return tick_at(self._clock.monotonic())

    def _has_room(self) -> bool:
        return not self._resting and len(self._attempts.flying) < self._capacity

    def _begin(self, record: Record, tick: int) -> None:
        behind = tick - record.planned
        if behind > 0:
            period = _period(record)
            record.planned += behind // period * period
        self.started += 1
        self._begun.append(record)
        self._attempts.begin(record)

    def _concluded(self, record: Record, failure: str | None, now: float) -> None:
        self._on_result(record, failure, now)
        if record.second is None:
            planned = record.planned = record.planned + _period(record)
        else:
            planned, record.planned, record.second = record.second, record.second, None
        # The comparison comes first because it nearly always decides: this is on the way of every attempt.
        is_ahead = planned > now * TICKS_PER_SECOND
        self._wheel.schedule(record, planned if is_ahead else self._overdue(record, tick_at(now)))

    def _overdue(self, record: Record, tick: int) -> int:
        """When the next attempt starts that should have by now; the one before it may have lasted through a stop."""
        if tick - tick_at(record.began) > ticks(record.pace.lapse):
            self._on_lapse(record)
        return max(record.planned, tick)

    def _stranded(self, record: Record, reason: str, code: int) -> None:
        self.started -= 1
        self._skip(record, f"skipped: {reason}")
        if code in NO_ROOM:
            self._wheel.cancel(record)
            self._waiting[record] = None
            self._waiting.move_to_end(record, last=False)
            self._resting = True
            self._cancel_resumption()
            self._resume_after(_RESPITE)
        else:
            self._wheel.schedule(record, self._tick() + _RETRY)

    def _expire(self, record: Record, tick: int, drained: bool) -> None:
        """The deadline of an attempt has come."""
        behind = tick - tick_at(record.began) - record.pace.timeout
        late = behind > _LATE
        if not late and not drained:
            self._wheel.schedule(record, tick + 1)
            return
        at = stage(record)
        self._attempts.abandon(record)
        if late:
            self._miss(record, "skipped: the prober was held up", tick, behind)
        else:
            timeout = record.probe.timing.timeout
            self._concluded(record, f"timed out after {timeout:g} s {at}", self._clock.monotonic())

    def _skip(self, record: Record, reason: str) -> None:
        self.skipped += 1
        record.skipped += 1
        record.outcome = reason

    def _miss(self, record: Record, reason: str, tick: int, behind: int) -> None:
        """The wheel turns ``behind`` ticks late for an attempt: by the stop, less what was left until its turn."""
        self._skip(record, reason)
        lapse = ticks(record.pace.lapse)
        if tick - tick_at(record.ended) > lapse and behind > lapse - record.pace.period:
            self._on_lapse(record)
        self._schedule_in_phase(record, tick)

    def _schedule_in_phase(self, record: Record, tick: int) -> None:
        """Leaves out what was missed: the next attempt is the first that belongs after ``tick``."""
        period = _period(record)
        record.planned += max(0, (tick - record.planned) // period + 1) * period
        self._wheel.schedule(record, record.planned)


def _period(record: Record) -> int:
    pace = record.pace
    if pace.transition == pace.period:
        return pace.period
    return pace.transition if in_transition(record.health, record.run) else pace.period
