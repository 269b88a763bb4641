"""One probe of one endpoint, in as few bytes as it takes: there are 100,000 of them."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Final

import msgspec

from extsync.health.conversation import Conversation
from extsync.health.target import Probe, Timing
from extsync.health.wheel import IDLE, ticks
from extsync.model import Health
from extsync.seams import ProbeSocket

_MISSED: Final = 3
"""Periods without a result after which evidence has lapsed, see staleness."""


class Pace(msgspec.Struct, frozen=True, gc=False):
    """A timing as the prober calculates with it, durations in ticks; one serves all probes of that timing.

    ``lapse`` is in seconds: for so long a result counts as evidence.
    """

    period: int
    transition: int
    timeout: int
    rise: int
    fall: int
    resets: bool
    lapse: float


@lru_cache(maxsize=1024)
def pace_of(timing: Timing) -> Pace:
    """The pace for ``timing``."""
    return Pace(
        period=ticks(timing.period),
        transition=ticks(timing.transition_period or timing.period),
        # A tick more, since an attempt starts within a tick and must not time out early.
        timeout=ticks(timing.timeout) + 1,
        rise=timing.success_threshold,
        fall=timing.failure_threshold,
        resets=timing.close == "rst",
        lapse=_MISSED * timing.period + timing.timeout,
    )


class Record(msgspec.Struct, gc=False, eq=False):
    """The state of one probe.

    It is not tracked by the garbage collector, which would otherwise walk all of them again and again; so nothing that
    it refers to may refer back to it.

    ``planned`` is the tick at which the latest attempt belonged, whether or not it started then; the next one belongs
    a period later, but the second one to ``second`` where that is given. ``due`` is the wheel's: the next start or, in
    flight, the deadline. ``sock`` is set while in flight, and so is ``talk`` unless a bare connect is all there is to
    do; between two attempts ``talk`` alone is set where its connection is kept for the next one. ``began`` and
    ``ended`` are seconds of the monotonic clock: the start of the latest attempt, and the latest result or, before the
    first, when that belongs. ``run``: see thresholds. ``outcome`` is what happened last, in words; ``failure`` how the
    last failure was; ``note`` what is to be told of the latest result although it is a pass, or "", and ``told`` what
    has been. ``results`` and ``changes``: see history. ``stale`` is whether it is told to be stale, see staleness.
    """

    target: Hashable
    probe: Probe
    pace: Pace
    family: int
    planned: int
    ended: float
    second: int | None = None
    due: int = IDLE
    sock: ProbeSocket | None = None
    talk: Conversation | None = None
    began: float = 0.0
    health: Health = Health.UNKNOWN
    run: int = 0
    outcome: str = "not probed yet"
    failure: str = ""
    note: str = ""
    told: str = ""
    results: bytes = b""
    changes: bytes = b""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    stale: bool = False
