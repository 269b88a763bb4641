"""Counts add up over workers and outlive them; what says how it is now does not."""

from __future__ import annotations

import msgspec

from extsync.health.target import Stats, latencies
from extsync.health.workers.counts import NOTHING, added, without_gauges

NUMBERS = [name for name in Stats.__struct_fields__ if name != "latency"]
SOME = Stats(**{name: number for number, name in enumerate(NUMBERS, start=1)}, latency=latencies())
SOME.latency.observe(0.02)


def test_every_field_adds_up() -> None:
    both = added(SOME, SOME)
    assert [getattr(both, name) for name in NUMBERS] == [2 * getattr(SOME, name) for name in NUMBERS]
    assert (sum(both.latency.counts), both.latency.sum) == (2, 0.04)
    assert added(SOME, NOTHING) == SOME


def test_of_a_worker_that_is_gone_only_what_it_did_remains() -> None:
    gone = msgspec.structs.asdict(without_gauges(SOME))
    assert [name for name in gone if not gone[name]] == ["in_flight", "waiting", "targets", "stale", "kept"]
