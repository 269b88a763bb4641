"""Counts add up over workers and outlive them; what says how it is now does not."""

from __future__ import annotations

import msgspec

from extsync.health.target import Stats
from extsync.health.workers.counts import NOTHING, added, without_gauges

SOME = Stats(**{name: number for number, name in enumerate(Stats.__struct_fields__, start=1)})


def test_every_field_adds_up() -> None:
    assert msgspec.structs.astuple(added(SOME, SOME)) == tuple(2 * number for number in msgspec.structs.astuple(SOME))
    assert added(SOME, NOTHING) == SOME


def test_of_a_worker_that_is_gone_only_what_it_did_remains() -> None:
    gone = msgspec.structs.asdict(without_gauges(SOME))
    assert [name for name in gone if not gone[name]] == ["in_flight", "waiting", "targets", "stale", "kept"]
