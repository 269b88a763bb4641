"""Sums of the counts that workers tell."""

from __future__ import annotations

from typing import Final

import msgspec

from extsync.health.target import Stats

_GAUGES: Final = ("in_flight", "waiting", "targets", "stale", "kept")
"""The fields that say how it is now and not what has been since the start: they end with their worker."""

NOTHING: Final = Stats(attempts=0, passed=0, failed=0, skipped=0, in_flight=0, waiting=0, targets=0)


def added(one: Stats, other: Stats) -> Stats:
    """The sum, field by field."""
    return Stats(**{name: getattr(one, name) + getattr(other, name) for name in Stats.__struct_fields__})


def without_gauges(stats: Stats) -> Stats:
    """What remains true of a worker once it is gone."""
    return msgspec.structs.replace(stats, **dict.fromkeys(_GAUGES, 0))
