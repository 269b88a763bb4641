"""How long evidence holds: a verdict that no probe has confirmed for long is stale.

The rule: a probe is stale once it has had no result for three periods and its time-out. That is as long as Kubernetes's
default failureThreshold takes to notice that an endpoint is dead, so that a verdict which is not stale is never older
than one that probing would have overturned. Before the first result the time counts from when its attempt is due.

Staleness is told and changes no verdict: that a probe was not made is no evidence (invariant 1 of docs/design.md). But
where the prober itself stood still for as long, results before and after that are not in a row (see scheduler).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from extsync.health.record import Record
from extsync.seams import Clock, Timer

_REST: Final = 1.0
"""Seconds between two looks at all."""
_TURNS: Final = 40
_TURN: Final = 0.25
"""A look at very many takes so many turns, so many seconds apart: it must not hold up the event loop."""
_PORTION: Final = 1000
"""So many endpoints are looked at in one turn in any case."""


class Watched(Protocol):
    """One endpoint."""

    records: tuple[Record, ...]


def is_stale(record: Record, now: float) -> bool:
    """Whether a probe has had no result for too long at ``now`` of the monotonic clock."""
    return now - record.ended > record.pace.lapse


class Staleness:
    """Looks for probes that have become stale, all in the course of ten seconds.

    ``endpoints`` returns all there are; ``on_stale(records)`` gets those of a portion that are stale and not yet marked
    as such. They may belong to endpoints that have left in the meantime.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        endpoints: Callable[[], Sequence[Watched]],
        on_stale: Callable[[list[Record]], None],
    ) -> None:
        self._clock = clock
        self._endpoints = endpoints
        self._on_stale = on_stale
        self._left: Sequence[Watched] = ()
        self._portion = _PORTION
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begins to look; it ends by itself where there are no endpoints."""
        if self._timer is None:
            self._timer = self._clock.call_later(_TURN if self._left else _REST, self._turn)

    def close(self) -> None:
        """Stops looking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._left = ()

    def _turn(self) -> None:
        self._timer = None
        if not self._left:
            self._left = self._endpoints()
            self._portion = max(_PORTION, -(-len(self._left) // _TURNS))
            if not self._left:
                return
        portion, self._left = self._left[: self._portion], self._left[self._portion :]
        now = self._clock.monotonic()
        found = [
            record for endpoint in portion for record in endpoint.records if not record.stale and is_stale(record, now)
        ]
        if found:
            self._on_stale(found)
        self.start()
