"""What a source counts for: its last good set of backends, and how long a worse answer is held off. Pure.

The rule of each outcome (only a good answer may shrink a set, and a failure never does):

========  ==========================================================================================================
FOUND     replaces the set; a backend that the answer no longer names stays until ``hold.obsolete`` has passed
EMPTY     empties the set once ``hold.nodata`` has passed since the first of an unbroken run of EMPTY and GONE
GONE      the same, after ``hold.nx``
ERROR     keeps the set, for ever, and marks it stale
SUSPECT   the same
========  ==========================================================================================================

While the latest outcome is ERROR or SUSPECT nothing leaves, even if it was on its way out: a source that cannot be read
has no chance to name a backend again. The run of EMPTY and GONE is ended by FOUND only, so that a server that answers
"none" and fails in turn is believed in the end, at one of its answers.

Times are seconds of one monotonic clock and come in as parameters.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

import msgspec

from extsync.model import Backend, Observation, Outcome, Rejected

BackendKey: TypeAlias = tuple[str, int | None, tuple[tuple[str, int], ...]]
"""What makes two reported backends the same one: the address and its ports. Everything else may change in place."""

_NEGATIVE = (Outcome.EMPTY, Outcome.GONE)
_FAILED = (Outcome.ERROR, Outcome.SUSPECT)


class Hold(Protocol):
    """The ``hold`` block of a source: seconds for which a worse answer has no effect (HAProxy's words)."""

    @property
    def nx(self) -> float: ...
    @property
    def nodata(self) -> float: ...
    @property
    def obsolete(self) -> float: ...


class HoldTimes(msgspec.Struct, frozen=True):
    """A ``Hold`` with the manifest's defaults."""

    nx: float = 30.0
    nodata: float = 30.0
    obsolete: float = 0.0


class Standing(msgspec.Struct, frozen=True):
    """How a source stands: all that ``extsync status`` and ``explain`` say of it. Times are monotonic seconds.

    ``outcome`` and ``detail`` are those of the latest report, at ``observed_at``; all three are None or "" before it.
    ``good_at`` is when the latest FOUND, EMPTY or GONE came. ``stale_since`` is set from the first failed report
    after a good one (or from the start) until the next good one. ``last_error`` outlives the failure that it tells
    of. ``empty_at`` is when a run of EMPTY and GONE will empty the set, if it goes on. ``leaving`` are backends that
    the answer no longer names, each with the time until which it is held.
    """

    reported: bool
    outcome: Outcome | None
    detail: str
    observed_at: float | None
    good_at: float | None
    stale_since: float | None
    last_error: str
    last_error_at: float | None
    empty_at: float | None
    leaving: tuple[tuple[Backend, float], ...]
    rejected: tuple[Rejected, ...]

    @property
    def stale(self) -> bool:
        return self.stale_since is not None

    def age(self, now: float) -> float | None:
        """Seconds since the last good answer; None where there never was one."""
        return None if self.good_at is None else max(0.0, now - self.good_at)


class LastGood:
    """The last good set of one source.

    ``backends`` is what counts now; it is the same object as long as nothing changes. ``reported`` is True from the
    moment the first good answer takes effect: until then the removals of the service wait. ``hold`` may be exchanged.
    """

    def __init__(self, hold: Hold) -> None:
        self.hold = hold
        self.backends: tuple[Backend, ...] = ()
        self.reported = False
        self._answer: tuple[Backend, ...] = ()
        self._leaving: dict[BackendKey, tuple[Backend, float]] = {}
        self._negative_since: float | None = None
        self._latest: Observation | None = None
        self._observed_at: float | None = None
        self._good_at: float | None = None
        self._stale_since: float | None = None
        self._last_error = ""
        self._last_error_at: float | None = None

    def observe(self, observation: Observation, now: float) -> None:
        """Takes in a report that came at ``now``, and lets whatever is due by then take effect."""
        observation = _honest(observation)
        self._latest = observation
        self._observed_at = now
        if observation.outcome in _FAILED:
            self._fail(observation, now)
            return
        self._good_at = now
        self._stale_since = None
        if observation.outcome is Outcome.FOUND:
            self._replace(observation.backends, now)
        elif self._negative_since is None:
            self._negative_since = now
        self.advance(now)

    def advance(self, now: float) -> None:
        """Lets what is due by ``now`` take effect; to be called at ``due()`` at the latest."""
        if self._latest is None or self._latest.outcome in _FAILED:
            return
        empty_at = self._empty_at()
        if empty_at is not None and empty_at <= now:
            self._answer = ()
            self._leaving.clear()
            self.reported = True
        over = [key for key, (_, until) in self._leaving.items() if until <= now]
        for key in over:
            del self._leaving[key]
        self._publish()

    def due(self) -> float | None:
        """When ``advance`` has something to do next; None where only a report can change anything."""
        if self._latest is None or self._latest.outcome in _FAILED:
            return None
        times = [until for _, until in self._leaving.values()]
        empty_at = self._empty_at()
        if empty_at is not None and not self._is_emptied():
            times.append(empty_at)
        return min(times, default=None)

    def standing(self) -> Standing:
        """Everything there is to say of the source besides its backends."""
        latest = self._latest
        return Standing(
            reported=self.reported,
            outcome=latest.outcome if latest else None,
            detail=latest.detail if latest else "",
            observed_at=self._observed_at,
            good_at=self._good_at,
            stale_since=self._stale_since,
            last_error=self._last_error,
            last_error_at=self._last_error_at,
            empty_at=None if self._is_emptied() else self._empty_at(),
            leaving=tuple(self._leaving.values()),
            rejected=latest.rejected if latest else (),
        )

    def _fail(self, observation: Observation, now: float) -> None:
        self._last_error = observation.detail
        self._last_error_at = now
        if self._stale_since is None:
            self._stale_since = now

    def _replace(self, answer: tuple[Backend, ...], now: float) -> None:
        self._negative_since = None
        self.reported = True
        if self.hold.obsolete > 0:
            named = {_key(backend) for backend in answer}
            until = now + self.hold.obsolete
            before = {_key(backend): (backend, until) for backend in self._answer} | self._leaving
            self._leaving = {key: held for key, held in before.items() if key not in named}
        self._answer = answer

    def _publish(self) -> None:
        """Renews ``backends`` where it differs from what the answer and the held backends make together."""
        current = self._answer + tuple(backend for backend, _ in self._leaving.values())
        if current != self.backends:
            self.backends = current

    def _empty_at(self) -> float | None:
        """When the run of EMPTY and GONE takes effect, by the hold of the latest of them; None without a run."""
        if self._negative_since is None or self._latest is None or self._latest.outcome not in _NEGATIVE:
            return None
        held = self.hold.nx if self._latest.outcome is Outcome.GONE else self.hold.nodata
        return self._negative_since + held

    def _is_emptied(self) -> bool:
        return self.reported and not self._answer and not self._leaving


def _key(backend: Backend) -> BackendKey:
    return (backend.address, backend.port, backend.ports)


def _honest(observation: Observation) -> Observation:
    """FOUND with no backends is a contradiction: EMPTY, or an ERROR where the entries were there but unusable."""
    if observation.outcome is not Outcome.FOUND or observation.backends:
        return observation
    if not observation.rejected:
        return Observation(Outcome.EMPTY, detail=observation.detail or "the answer names no backends")
    first = observation.rejected[0]
    return Observation(
        Outcome.ERROR,
        rejected=observation.rejected,
        detail=f"none of its {len(observation.rejected)} entries can be used; the first, {first.entry}: {first.reason}",
    )
