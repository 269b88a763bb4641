"""What a Lease says, and what may be written into it: the rules of an election without its time and its requests. Pure.

The fields and their use are client-go's (``tools/leaderelection``), so that its tools read them. Two rules are
stricter here. A Lease without a holder is free at once only where it says that it was *released* (no holder, for 1 s,
as client-go leaves it): where a person has emptied or deleted it, its holder does not know yet. And whoever waits for a
record to run out waits for the longer of the record's own duration and the one that it would itself write: a person may
have shortened the record's.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec.structs import replace

from extsync.objects import LeaseSpec

RELEASED_SECONDS: Final = 1
"""The duration in a record that was released."""


def holder_of(spec: LeaseSpec) -> str:
    """Who holds the Lease, "" for nobody."""
    return spec.holder_identity or ""


def is_released(spec: LeaseSpec) -> bool:
    """Whether its last holder gave the Lease up, after its last write."""
    return not holder_of(spec) and spec.lease_duration_seconds == RELEASED_SECONDS


def runs_for(spec: LeaseSpec, duration: float) -> float:
    """Seconds for which a record that does not change has to be respected; ``duration`` is one's own."""
    return 0.0 if is_released(spec) else max(duration, float(spec.lease_duration_seconds or 0))


def vacant(duration: float) -> LeaseSpec:
    """The record of a new Lease. It is not free at once: there may be a holder of one that was deleted."""
    return LeaseSpec(holder_identity="", lease_duration_seconds=math.ceil(duration), lease_transitions=0)


def held(spec: LeaseSpec, identity: str, duration: float, *, wall: float) -> LeaseSpec:
    """The record by which ``identity`` takes the Lease, or holds it on where it is the holder already.

    Its renewTime differs from that of ``spec`` whatever the wall clock does: an update that changes nothing is none,
    and nobody would see that the Lease was renewed.
    """
    now = _micro_time(wall)
    if now == spec.renew_time:
        now = _micro_time(wall, timedelta(microseconds=1))
    known = holder_of(spec) == identity
    return replace(
        spec,
        holder_identity=identity,
        lease_duration_seconds=math.ceil(duration),
        acquire_time=(spec.acquire_time or now) if known else now,
        renew_time=now,
        lease_transitions=(spec.lease_transitions or 0) + (0 if known else 1),
    )


def released(spec: LeaseSpec, *, wall: float) -> LeaseSpec:
    """The record by which its holder gives the Lease up."""
    return replace(
        spec,
        holder_identity="",
        lease_duration_seconds=RELEASED_SECONDS,
        renew_time=_micro_time(wall),
        acquire_time=None,
    )


def _micro_time(wall: float, more: timedelta = timedelta(0)) -> str:
    """A wall clock's time as Kubernetes's MicroTime."""
    return f"{datetime.fromtimestamp(wall, UTC) + more:%Y-%m-%dT%H:%M:%S.%fZ}"
