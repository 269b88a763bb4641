"""What is known of one probe, put into words for people."""

from __future__ import annotations

from collections.abc import Iterator

from extsync.health.history import PASSED, Reasons, changes_of, results_of
from extsync.health.record import Record
from extsync.health.staleness import is_stale
from extsync.health.target import Change, Evidence, Probed
from extsync.health.verdicts import description


def evidence_of(record: Record, reasons: Reasons, *, now: float, wall: float) -> Evidence:
    """The evidence as it is at ``now`` (monotonic), which is ``wall`` by the clock on the wall.

    All times are told by that, so that a step of the wall clock moves them together and distorts no distance.
    """
    offset = wall - now
    results = tuple(_results(record, reasons, offset))
    last = results[-1] if results else None
    return Evidence(
        check=description(record),
        health=record.health,
        run=record.run,
        reason=record.outcome,
        latency=None if last is None else last.latency,
        at=None if last is None else last.at,
        passed=record.passed,
        failed=record.failed,
        skipped=record.skipped,
        note=record.note,
        stale=is_stale(record, now),
        results=results,
        changes=tuple(
            Change(offset + at, health, "passed" if reason == PASSED else reasons.text(reason))
            for at, health, reason in changes_of(record.changes)
        ),
    )


def _results(record: Record, reasons: Reasons, offset: float) -> Iterator[Probed]:
    kept = [*results_of(record.results)]
    failures = [reason for _, _, reason in kept if reason != PASSED]
    for at, latency, reason in kept:
        if reason == PASSED:
            yield Probed(offset + at, latency, None)
        else:  # the record itself keeps the words of the latest failure
            words = record.failure if reason == failures[-1] else reasons.text(reason)
            yield Probed(offset + at, latency, words)
