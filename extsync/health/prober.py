"""The prober: targets in, transitions of their verdicts out; everything in between stays here.

One record for each probe of an endpoint, one timer wheel for starts and deadlines, one poller for all sockets.
``scheduler`` says when attempts start, ``attempts`` and ``conversation`` how they go, ``thresholds`` what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from socket import AF_INET, AF_INET6, inet_pton

import msgspec

from extsync.health.evidence import evidence_of
from extsync.health.history import PASSED, Reasons, with_change, with_result
from extsync.health.limits import affordable, raise_descriptor_limit
from extsync.health.record import Record, pace_of
from extsync.health.scheduler import Scheduler
from extsync.health.staleness import Staleness
from extsync.health.target import Evidence, Probe, Sign, Stats, Target, latencies
from extsync.health.thresholds import advance, in_transition
from extsync.health.verdicts import conclude
from extsync.health.wheel import tick_after
from extsync.model import UNKNOWN, Health, Verdict
from extsync.seams import Clock, ProbeIO, stable_fraction

FIRST_WITHIN = 10.0
"""Seconds in which the first attempts are made where a period is longer: a new endpoint should not wait for an hour."""


class _Entry(msgspec.Struct, gc=False, eq=False):
    """One target, as it is kept."""

    records: tuple[Record, ...]
    verdict: Verdict


class Prober:
    """Probes targets and reports transitions of their verdicts.

    ``wake`` is called when there is something to drain, once until ``drain`` is called; it may come in the middle of
    any method, and must do no more than note it down. Methods belong to the event loop in which ``start`` was awaited.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        io: ProbeIO,
        wake: Callable[[], None],
        max_in_flight: int = 10_000,
        descriptor_limit: Callable[[], int] = raise_descriptor_limit,
    ) -> None:
        """``descriptor_limit`` is called at the start: it raises the limit as far as it can and returns it."""
        self._clock = clock
        self._wake = wake
        self._max_in_flight = max_in_flight
        self._descriptor_limit = descriptor_limit
        self._scheduler = Scheduler(
            clock=clock, io=io, on_result=self._on_result, on_lapse=self._on_lapse, on_settled=self._tell
        )
        self._staleness = Staleness(
            clock=clock, endpoints=lambda: list(self._entries.values()), on_stale=self._on_stale
        )
        self._reasons = Reasons()
        self._entries: dict[Hashable, _Entry] = {}
        self._transitions: dict[Hashable, Verdict] = {}
        self._signs: dict[Hashable, Sign] = {}
        self._told = self._news = False
        self._passed = 0
        self._failed = 0
        self._stale = 0
        self._latency = latencies()

    async def start(self) -> None:
        """Makes the prober ready for targets."""
        limit = self._descriptor_limit()
        self._scheduler.open(affordable(self._max_in_flight, limit), affordable(limit, limit))

    async def close(self) -> None:
        """Ends all attempts and forgets all targets."""
        self._scheduler.close()
        self._staleness.close()
        self._entries.clear()
        self._stale = 0
        self._transitions.clear()
        self._signs.clear()

    def upsert(self, targets: Iterable[Target]) -> None:
        """Adds targets, or changes them: a probe that is as before goes on, any other starts from nothing.

        Raises ValueError for a target without probes, or with a host that is not an IP address; those before it are in.
        """
        self._staleness.start()
        for target in targets:
            entry = self._entries.get(target.id)
            if entry is None or not _same(entry.records, target.probes):
                self._put(target, entry)
        self._tell()

    def remove(self, ids: Iterable[Hashable]) -> None:
        """Forgets targets, also what is not drained of them yet; unknown ids are ignored."""
        for target in ids:
            entry = self._entries.pop(target, None)
            if entry is not None:
                self._stale -= entry.verdict.stale
                self._transitions.pop(target, None)
                self._signs.pop(target, None)
                for record in entry.records:
                    self._scheduler.drop(record)

    def drain(self) -> list[tuple[Hashable, Verdict]]:
        """The targets whose verdict has changed or become stale or ceased to be, or has another note, each with
        its present verdict."""
        changed = list(self._transitions.items())
        self._transitions.clear()
        self._told = False
        return changed

    def drain_signs(self) -> list[tuple[Hashable, Sign]]:
        """The targets that began to fail or ceased to since the last call, long before that is a verdict."""
        signs = list(self._signs.items())
        self._signs.clear()
        return signs

    def verdict(self, target: Hashable) -> Verdict:
        """The verdict on a target; UNKNOWN also where there is no such target."""
        entry = self._entries.get(target)
        return UNKNOWN if entry is None else entry.verdict

    def evidence(self, target: Hashable) -> tuple[Evidence, ...]:
        """What is known of each probe of a target; empty where there is no such target."""
        entry = self._entries.get(target)
        if entry is None:
            return ()
        now, wall = self._clock.monotonic(), self._clock.wall()
        return tuple(evidence_of(record, self._reasons, now=now, wall=wall) for record in entry.records)

    @property
    def stats(self) -> Stats:
        """The counts at this moment."""
        return Stats(
            attempts=self._scheduler.started,
            passed=self._passed,
            failed=self._failed,
            skipped=self._scheduler.skipped,
            in_flight=self._scheduler.in_flight,
            waiting=self._scheduler.waiting,
            kept=self._scheduler.kept,
            targets=len(self._entries),
            stale=self._stale,
            latency=self._latency.copy(),
        )

    def _put(self, target: Target, entry: _Entry | None) -> None:
        if not target.probes:
            raise ValueError(f"target {target.id} has no probes")
        outdated = list(entry.records) if entry is not None else []
        records: list[Record] = []
        added: list[Record] = []
        for index, probe in enumerate(target.probes):
            record = next((record for record in outdated if record.probe == probe), None)
            if record is not None:
                outdated.remove(record)
            else:
                record = self._record(target, index, probe)
                added.append(record)
            records.append(record)
        for record in outdated:
            self._scheduler.drop(record)
        for record in added:
            self._scheduler.add(record, at_once=target.immediate)
        if entry is None:
            self._entries[target.id] = _Entry(tuple(records), UNKNOWN)
        else:
            was_failing, entry.records = _is_failing(entry.records), tuple(records)
            if _is_failing(entry.records) is not was_failing:
                self._note_sign(target.id)
            self._conclude(target.id, entry)

    def _record(self, target: Target, index: int, probe: Probe) -> Record:
        family = AF_INET6 if ":" in probe.host else AF_INET
        try:
            inet_pton(family, probe.host)
        except OSError:
            raise ValueError(f"target {target.id}: {probe.host!r} is not an IP address") from None
        timing = probe.timing
        first, second = self._clock.monotonic(), None
        if not target.immediate:
            first += timing.initial_delay
            fraction = stable_fraction(f"{target.id}/{index}")
            if timing.period > FIRST_WITHIN:
                second = tick_after(first + fraction * timing.period)
            first += fraction * min(timing.period, FIRST_WITHIN)
        return Record(target.id, probe, pace_of(timing), family, tick_after(first), first, second=second)

    def _on_result(self, record: Record, failure: str | None, now: float) -> None:
        if failure is None:
            self._passed += 1
            record.passed += 1
            record.outcome = "passed"
            reason = PASSED
        else:
            self._failed += 1
            record.failed += 1
            reason = self._reasons.number(failure)
            record.outcome = record.failure = self._reasons.text(reason)
            record.note = ""
        took = now - record.began
        record.results = with_result(record.results, now, took, reason)
        self._latency.observe(took)
        record.ended = now
        pace, run = record.pace, record.run
        if run == pace.rise and failure is None and not record.stale and record.note == record.told:
            return  # more of the same, as nearly always
        health, record.run = advance(record.health, run, failure is None, pace.rise, pace.fall)
        if (run < 0) is not (record.run < 0):
            self._note_sign(record.target)
        if health is not record.health or record.stale or record.note != record.told:
            if health is not record.health:
                record.health = health
                record.changes = with_change(record.changes, now, health, reason)
            record.stale = False
            record.told = record.note
            self._conclude(record.target, self._entries[record.target])

    def _on_lapse(self, record: Record) -> None:
        """The prober stood still for so long that what comes next is not in a row with what was before."""
        if in_transition(record.health, record.run):
            was_failing, record.run = record.run < 0, 0
            if was_failing:
                self._note_sign(record.target)

    def _on_stale(self, records: list[Record]) -> None:
        for record in records:
            entry = self._entries.get(record.target)
            if entry is not None and any(one is record for one in entry.records):  # else it has left meanwhile
                record.stale = True
                self._conclude(record.target, entry)
        self._tell()

    def _conclude(self, target: Hashable, entry: _Entry) -> None:
        before = entry.verdict
        health, reason = conclude(entry.records)
        stale = any(record.stale for record in entry.records)
        note = "; ".join(dict.fromkeys(record.told for record in entry.records if record.told))
        if health is not before.health or stale is not before.stale or note != before.note:
            since = self._clock.wall() if health is not before.health else before.since
            entry.verdict = self._transitions[target] = Verdict(health, since, reason, stale=stale, note=note)
            self._stale += stale - before.stale
            self._news = True
        elif reason != before.reason:
            entry.verdict = Verdict(health, before.since, reason, stale=stale, note=note)

    def _note_sign(self, target: Hashable) -> None:
        entry = self._entries[target]
        self._signs[target] = Sign(_is_failing(entry.records), entry.verdict.health is Health.HEALTHY)
        self._news = True

    def _tell(self) -> None:
        if self._news and not self._told:
            self._told, self._news = True, False
            self._wake()


def _is_failing(records: tuple[Record, ...]) -> bool:
    return any(record.run < 0 for record in records)


def _same(records: tuple[Record, ...], probes: tuple[Probe, ...]) -> bool:
    return len(records) == len(probes) and all(
        record.probe is probe or record.probe == probe for record, probe in zip(records, probes, strict=True)
    )
