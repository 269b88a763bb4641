"""One question that a source asks: its last good answer, by the rules of ``holds``. Pure."""

from __future__ import annotations

from typing import Final, Protocol, TypeAlias

import msgspec

from extsync.model import Backend, Observation, Outcome
from extsync.sources.standing import Standing

BackendKey: TypeAlias = tuple[str, int | None, tuple[tuple[str, int], ...]]
"""What makes two reported backends the same one: the address and its ports. Everything else may change in place."""

NEGATIVE: Final = (Outcome.EMPTY, Outcome.GONE)
FAILED: Final = (Outcome.ERROR, Outcome.SUSPECT)


class Hold(Protocol):
    """The ``hold`` block of a source: seconds for which a worse answer has no effect (HAProxy's words).

    ``obsolete`` None: two refreshes of a source whose answers rotate, and no time for all others.
    """

    @property
    def nx(self) -> float: ...
    @property
    def nodata(self) -> float: ...
    @property
    def obsolete(self) -> float | None: ...


class HoldTimes(msgspec.Struct, frozen=True):
    """A ``Hold`` with the manifest's defaults."""

    nx: float = 30.0
    nodata: float = 30.0
    obsolete: float | None = None


class Part:
    """The last good set of one question.

    ``backends`` is what counts now; it is the same object as long as nothing changes. ``reported`` is True from the
    moment the first good answer takes effect, ``complete`` from the one when that goes for all parts that it names.
    """

    def __init__(self, hold: Hold) -> None:
        self.hold = hold
        self.named_by = ""
        self.backends: tuple[Backend, ...] = ()
        self.reported = False
        self.complete = False
        self._answer: tuple[Backend, ...] = ()
        self._leaving: dict[BackendKey, tuple[Backend, float]] = {}
        self._negative_since: float | None = None
        self._told: Observation | None = None
        self._latest: Observation | None = None
        self._observed_at: float | None = None
        self._good_at: float | None = None
        self._stale_since: float | None = None
        self._last_error = ""
        self._last_error_at: float | None = None

    def observe(self, observation: Observation, now: float, *, is_namer: bool = False) -> bool:
        """As that of ``LastGood``; the same object as the last time is known to say the same.

        ``is_namer``: it names other parts, so that it says something although it has no backends.
        """
        before = self._essence()
        if observation is not self._told or self._latest is None:
            self._told, self._latest = observation, observation if is_namer else _honest(observation)
        self._take(self._latest, now)
        return self._essence() != before

    def follow(self, namer: Part, now: float) -> bool:
        """Takes the outcome of the part that named this one as its own."""
        return namer._latest is not None and self.observe(namer._latest, now)

    def end_run(self) -> None:
        """Ends a run of EMPTY and GONE, as a FOUND of its own would."""
        self._negative_since = None

    def _essence(self) -> tuple[object, ...]:
        """What makes a difference to others."""
        latest = self._latest
        said = None if latest is None else (latest.outcome, latest.detail, latest.rejected)
        return self.backends, self.reported, self.due(), said

    def _take(self, observation: Observation, now: float) -> None:
        self._observed_at = now
        if observation.outcome in FAILED:
            self._fail(observation, now)
            return
        self._good_at = now
        self._stale_since = None
        if observation.outcome is Outcome.FOUND:
            self._replace(observation, now)
        elif self._negative_since is None:
            self._negative_since = now
        self.advance(now)

    def advance(self, now: float) -> None:
        if self._latest is None or self._latest.outcome in FAILED:
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

    @property
    def outcome(self) -> Outcome | None:
        return None if self._latest is None else self._latest.outcome

    @property
    def obsolete(self) -> float:
        """Seconds for which what the latest answer lacks is held."""
        refresh = 0.0 if self._latest is None else self._latest.refresh
        return 2 * refresh if self.hold.obsolete is None else self.hold.obsolete

    def due(self) -> float | None:
        if self._latest is None or self._latest.outcome in FAILED:
            return None
        times = [until for _, until in self._leaving.values()]
        empty_at = self._empty_at()
        if empty_at is not None and not self._is_emptied():
            times.append(empty_at)
        return min(times, default=None)

    def standing(self) -> Standing:
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

    def _replace(self, observation: Observation, now: float) -> None:
        self._negative_since = None
        self.reported = True
        answer = observation.backends
        seconds = self.obsolete
        if (seconds > 0 or self._leaving) and answer is not self._answer:
            named = {backend_key(backend) for backend in answer}
            before = {backend_key(backend): (backend, now + seconds) for backend in self._answer} | self._leaving
            self._leaving = {key: held for key, held in before.items() if key not in named}
        self._answer = answer

    def _publish(self) -> None:
        """Renews ``backends`` where it differs from what the answer and the held backends make together."""
        current = self._answer + tuple(backend for backend, _ in self._leaving.values())
        if current != self.backends:
            self.backends = current

    def _empty_at(self) -> float | None:
        """When the run of EMPTY and GONE takes effect, by the hold of the latest of them; None without a run."""
        if self._negative_since is None or self._latest is None or self._latest.outcome not in NEGATIVE:
            return None
        held = self.hold.nx if self._latest.outcome is Outcome.GONE else self.hold.nodata
        return self._negative_since + held

    def _is_emptied(self) -> bool:
        return self.reported and not self._answer and not self._leaving


def backend_key(backend: Backend) -> BackendKey:
    """What tells a backend from the others of its source."""
    return (backend.address, backend.port, backend.ports)


def _honest(observation: Observation) -> Observation:
    """FOUND with no backends is a contradiction: EMPTY, or an ERROR where the entries were there but unusable."""
    if observation.outcome is not Outcome.FOUND or observation.backends:
        return observation
    if not observation.rejected:
        return Observation(Outcome.EMPTY, detail=observation.detail or "the answer names no backends")
    first, number = observation.rejected[0], len(observation.rejected)
    which = f"none of its {number} entries can be used; the first" if number > 1 else "its only entry cannot be used"
    return Observation(Outcome.ERROR, rejected=observation.rejected, detail=f"{which}, {first.entry}: {first.reason}")
