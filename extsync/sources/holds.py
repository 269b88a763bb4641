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

A source that asks several questions (names, services, address families) reports them as parts, and each part is held to
these rules by itself: what it had stays while it fails, and the others go on. A report without parts and backends
speaks of each part. A part that a report no longer has is one that is no longer asked for, and goes at once.

Parts that another part named (``Observation.named_by``) come and go with its answers:

========  ==========================================================================================================
FOUND     a part that it no longer names stays as it is until ``hold.obsolete`` has passed
EMPTY     counts for each part that it named, too, and so empties them after ``hold.nodata`` or ``hold.nx``
GONE      the same
ERROR     the same: each part that it named keeps its set, and nothing leaves, even if it was on its way out
SUSPECT   the same
========  ==========================================================================================================

Times are seconds of one monotonic clock and come in as parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from operator import is_not
from typing import Final, Protocol, TypeAlias

import msgspec

from extsync.model import Backend, Observation, Outcome, Rejected, several

BackendKey: TypeAlias = tuple[str, int | None, tuple[tuple[str, int], ...]]
"""What makes two reported backends the same one: the address and its ports. Everything else may change in place."""

_NEGATIVE = (Outcome.EMPTY, Outcome.GONE)
_FAILED = (Outcome.ERROR, Outcome.SUSPECT)
_WHOLE: Final = ""
"""The name under which a source without parts is kept."""


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


class Standing(msgspec.Struct, frozen=True):
    """How a source stands: all that ``extsync status`` and ``explain`` say of it. Times are monotonic seconds.

    ``outcome`` and ``detail`` are those of the latest report, at ``observed_at``; all three are None or "" before it.
    ``good_at`` is when the latest FOUND, EMPTY or GONE came. ``stale_since`` is set from the first failed report
    after a good one (or from the start) until the next good one. ``last_error`` outlives the failure that it tells
    of. ``empty_at`` is when a run of EMPTY and GONE will empty the set, if it goes on. ``leaving`` are backends that
    the answer no longer names, each with the time until which it is held.

    Of a source with parts it is what matters most of all of them: the oldest good answer, the first that went stale,
    the latest error. ``parts`` are how they stand each, by name.
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
    parts: tuple[tuple[str, Standing], ...] = ()

    @property
    def stale(self) -> bool:
        return self.stale_since is not None

    def age(self, now: float) -> float | None:
        """Seconds since the last good answer; None where there never was one."""
        return None if self.good_at is None else max(0.0, now - self.good_at)


class LastGood:
    """The last good set of one source.

    ``backends`` is what counts now; it is the same object as long as nothing changes. ``hold`` may be exchanged.
    """

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._parts: dict[str, _Part] = {}
        self._departing: dict[str, float] = {}
        self._sets: tuple[tuple[Backend, ...], ...] = ()
        self.backends: tuple[Backend, ...] = ()

    @property
    def hold(self) -> Hold:
        return self._hold

    @hold.setter
    def hold(self, hold: Hold) -> None:
        self._hold = hold
        for part in self._parts.values():
            part.hold = hold

    @property
    def reported(self) -> bool:
        """True from the moment a good answer has taken effect of each part that the manifest asks for.

        Until then the removals of the service wait.
        """
        return bool(self._parts) and all(part.reported for part in self._parts.values() if not part.named_by)

    @property
    def complete(self) -> bool:
        """True once that goes for each part that an answer named as well, for which alone it is asked then.

        Until then something that was found published may belong to a part that has only failed so far. A part that is
        named later has nothing published, so that its failures take nothing back.
        """
        return bool(self._parts) and all(part.complete for part in self._parts.values() if not part.named_by)

    @property
    def is_silent(self) -> bool:
        """Whether there was no report at all yet, not even of a failure."""
        return not self._parts

    def observe(self, observation: Observation, now: float) -> bool:
        """Takes in a report that came at ``now``, and lets whatever is due by then take effect.

        Returns whether that makes a difference to anything but the age of the source.
        """
        if observation.parts:
            changed = self._take(observation.parts, now)
        elif observation.backends or not self._parts:
            changed = self._take(((_WHOLE, observation),), now)
        else:  # it speaks of the source as a whole
            differences = [part.observe(observation, now) for part in self._parts.values()]
            changed = any(differences)
        self._gather(now)
        return changed

    def advance(self, now: float) -> None:
        """Lets what is due by ``now`` take effect; to be called at ``due()`` at the latest."""
        for part in self._parts.values():
            part.advance(now)
        self._gather(now)

    def negative(self) -> tuple[str, ...]:
        """The parts whose latest answer is that there are no backends; "" is a source without parts.

        EMPTY beside a part that is FOUND is not among them: a name that has addresses of one family only.
        """
        asked = {name: part for name, part in self._parts.items() if name not in self._departing}
        found = any(part.outcome is Outcome.FOUND and part.backends for part in asked.values())
        said = (Outcome.GONE,) if found else _NEGATIVE
        return tuple(name for name, part in asked.items() if part.outcome in said)

    def doubt(self, parts: Iterable[str], why: str, now: float) -> None:
        """Takes back that an answer of these parts was ever believed, and has them SUSPECT instead."""
        for name in parts:
            namer = self._parts[name].named_by
            part = self._parts[name] = _Part(self._hold)
            part.named_by = namer
            part.observe(Observation(Outcome.SUSPECT, detail=why), now)
            if namer:
                self._parts[namer].complete = False
        self._gather(now)

    def due(self) -> float | None:
        """When ``advance`` has something to do next; None where only a report can change anything."""
        times = [part.due() for part in self._parts.values()]
        times += [until for name, until in self._departing.items() if self._named_by(name).outcome not in _FAILED]
        return min((time for time in times if time is not None), default=None)

    def standing(self) -> Standing:
        """Everything there is to say of the source besides its backends."""
        parts = {name: part for name, part in self._parts.items() if name not in self._departing}
        standings = {name: part.standing() for name, part in parts.items()}
        if len(standings) == 1 and _WHOLE in standings:
            return standings[_WHOLE]
        whole = _together(standings, {name: part.named_by for name, part in parts.items()})
        departing = [(one, until) for name, until in self._departing.items() for one in self._parts[name].backends]
        return msgspec.structs.replace(whole, reported=self.reported, leaving=(*whole.leaving, *departing))

    def _take(self, answers: tuple[tuple[str, Observation], ...], now: float) -> bool:
        """Takes in the answers of all parts; returns whether that makes a difference."""
        before, self._parts = self._parts, {}
        asked = {name for name, answer in answers if not answer.named_by}
        namers = {answer.named_by for _, answer in answers}
        changed = False
        for name, answer in answers:
            part = self._parts[name] = before.get(name) or _Part(self._hold)
            part.named_by = answer.named_by if answer.named_by in asked else ""
            changed = part.observe(answer, now, is_namer=name in namers) or changed
            changed = self._departing.pop(name, None) is not None or changed
        for name, part in before.items():
            if name not in self._parts:
                changed = self._miss(name, part, now) or changed
        return changed

    def _miss(self, name: str, part: _Part, now: float) -> bool:
        """What becomes of a part that a report does not have; returns whether that makes a difference."""
        namer = self._parts.get(part.named_by)
        if not part.named_by or namer is None:
            self._departing.pop(name, None)
            return True
        self._parts[name] = part
        if namer.outcome is not Outcome.FOUND:
            return part.follow(namer, now)
        part.end_run()
        is_news = name not in self._departing
        self._departing.setdefault(name, now + namer.obsolete)
        return is_news

    def _named_by(self, name: str) -> _Part:
        return self._parts[self._parts[name].named_by]

    def _is_over(self, name: str, part: _Part, now: float) -> bool:
        """Whether a part has left for good: its time is up, or there is nothing of it any more."""
        outcome = self._named_by(name).outcome if part.named_by else None
        if outcome is None or outcome in _FAILED:
            return False
        if name in self._departing and self._departing[name] <= now:
            return True
        return outcome in _NEGATIVE and part.reported and not part.backends

    def _gather(self, now: float) -> None:
        """Lets go of the parts that are over, and renews ``backends`` where the set of a part is another one."""
        for name in [name for name, part in self._parts.items() if self._is_over(name, part, now)]:
            del self._parts[name]
            self._departing.pop(name, None)
        awaited = {part.named_by for part in self._parts.values() if not part.reported}
        for name, part in self._parts.items():
            part.complete = part.complete or (part.reported and name not in awaited)
        sets = tuple(part.backends for part in self._parts.values())
        if len(sets) != len(self._sets) or any(map(is_not, sets, self._sets)):
            self._sets = sets
            self.backends = sets[0] if len(sets) == 1 else tuple(chain.from_iterable(sets))


class _Part:
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

    def follow(self, namer: _Part, now: float) -> bool:
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
        if observation.outcome in _FAILED:
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

    @property
    def outcome(self) -> Outcome | None:
        return None if self._latest is None else self._latest.outcome

    @property
    def obsolete(self) -> float:
        """Seconds for which what the latest answer lacks is held."""
        refresh = 0.0 if self._latest is None else self._latest.refresh
        return 2 * refresh if self.hold.obsolete is None else self.hold.obsolete

    def due(self) -> float | None:
        if self._latest is None or self._latest.outcome in _FAILED:
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
        if self._negative_since is None or self._latest is None or self._latest.outcome not in _NEGATIVE:
            return None
        held = self.hold.nx if self._latest.outcome is Outcome.GONE else self.hold.nodata
        return self._negative_since + held

    def _is_emptied(self) -> bool:
        return self.reported and not self._answer and not self._leaving


def _together(standings: dict[str, Standing], named_by: dict[str, str]) -> Standing:
    """How a source with these parts stands."""
    each = standings.values()
    said = several(
        (name, Observation(standing.outcome, detail=standing.detail, named_by=named_by[name]))
        for name, standing in standings.items()
        if standing.outcome is not None
    )
    failed = max((s for s in each if s.last_error_at is not None), key=lambda s: s.last_error_at or 0.0, default=None)
    goods = [standing.good_at for standing in each]
    return Standing(
        reported=bool(standings) and all(standing.reported for standing in each),
        outcome=said.outcome if said.parts else None,
        detail=said.detail,
        observed_at=_first(max, (standing.observed_at for standing in each)),
        good_at=None if None in goods else _first(min, goods),
        stale_since=_first(min, (standing.stale_since for standing in each)),
        last_error=failed.last_error if failed else "",
        last_error_at=failed.last_error_at if failed else None,
        empty_at=_first(min, (standing.empty_at for standing in each)),
        leaving=tuple(held for standing in each for held in standing.leaving),
        rejected=tuple(entry for standing in each for entry in standing.rejected),
        parts=tuple(standings.items()),
    )


def _first(choose: Callable[..., float | None], times: Iterable[float | None]) -> float | None:
    """The least or greatest of the times that there are, None where there are none."""
    return choose((time for time in times if time is not None), default=None)


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
