"""What happens to a service and is told by events: endpoints, whether enough of them are ready, sources. Pure.

It is told by comparing with what was told before, so nothing depends on having seen each step, and what happens at
once is one event. At first, which is after a start or a take-over, it is compared with what is published.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from operator import is_not
from typing import Final

import msgspec

from extsync.engine.happenings import (
    ENDPOINT_DOWN,
    ENDPOINT_DRAINING,
    ENDPOINT_REMOVED,
    ENDPOINT_UP,
    SERVICE_DEGRADED,
    SERVICE_EMPTY,
    SERVICE_RECOVERED,
    SOURCE_FAILING,
    SOURCE_FLAPPING,
    SOURCE_RECOVERED,
    Reason,
)
from extsync.engine.remarks import in_trouble
from extsync.engine.service import Decision
from extsync.engine.tally import Tally
from extsync.engine.telling import because, place, state_word
from extsync.model import Endpoint, State, Why
from extsync.plan.published import Published
from extsync.sources.holds import LastGood

GATHER: Final = 5.0
"""Seconds for which endpoints that change are gathered for one event."""

NO_SOURCE: Final = "not published any more: no source has it"

MOST_PLACES: Final = 5
"""Endpoints that an event names for one reason; of more, the number is told."""

MOST_CAUSES: Final = 3
"""Reasons that an event names."""


class Level(enum.IntEnum):
    """Whether enough endpoints are ready."""

    FINE = 0
    DEGRADED = 1
    EMPTY = 2


class Happening(msgspec.Struct, frozen=True):
    """Something to tell; ``addresses`` are those of the endpoints that it is about, () where it is about all."""

    reason: Reason
    text: str
    addresses: tuple[str, ...] = ()


class News:
    """What was told of one service by events."""

    def __init__(self) -> None:
        self.due: float | None = None
        """When to look again although nothing happens (monotonic), None: never."""
        self._shown: tuple[Endpoint, ...] | None = None
        self._level = Level.FINE
        self._failing: frozenset[str] = frozenset()
        self._hushed: frozenset[str] = frozenset()

    def of_endpoints(self, decision: Decision, published: Published, now: float) -> Iterator[Happening]:
        """Which endpoints went up, went down or left by ``now`` (monotonic); ``published`` is what the cluster shows.

        What happens within ``GATHER`` seconds is told at their end: checks notice one after the other what went down at
        once.
        """
        before = self._shown
        if before is None:
            changed = _Changed(down=[one for one in decision.endpoints if _went_down(one, published)])
        else:
            changed = _changed(before, decision.endpoints)
            if not changed.is_empty and now < (due := self.due or now + GATHER):
                self.due = due
                return
        self._shown, self.due = decision.endpoints, None
        why = _causes(decision, [*changed.down, *changed.up])
        draining = [one for one in changed.down if one.state is State.DRAINING]
        down = [one for one in changed.down if one.state is not State.DRAINING]
        for reason, some in ((ENDPOINT_DOWN, down), (ENDPOINT_DRAINING, draining), (ENDPOINT_UP, changed.up)):
            yield from _happening(reason, some, [f"{state_word(one.state)}: {why(one)}" for one in some])
        named = {candidate.identity for candidate in decision.candidates} if changed.left else frozenset()
        gone = ["on standby" if one.identity in named else NO_SOURCE for one in changed.left]
        yield from _happening(ENDPOINT_REMOVED, changed.left, gone)

    def of_level(self, decision: Decision, tally: Tally, *, min_ready: int, settled: bool) -> Iterator[Happening]:
        """Whether the service became empty or degraded, or is so no more. ``settled``: every source has reported."""
        before, self._level = self._level, self._level_of(decision, tally, min_ready=min_ready, settled=settled)
        if self._level is before:
            return
        total = tally.ready + tally.not_ready
        ready = f"{tally.ready} of {total} endpoints {'is' if tally.ready == 1 else 'are'} ready"
        if self._level is Level.FINE:
            yield Happening(SERVICE_RECOVERED, f"{ready} again")
        elif self._level is Level.EMPTY:
            none = f"none of its {total} endpoints is ready" if total > 1 else "its only endpoint is not ready"
            yield Happening(SERVICE_EMPTY, none if total else "it has no endpoints")
        else:
            wanted = f"; policy.minReady is {min_ready}" if tally.ready < min_ready else ""
            yield Happening(SERVICE_DEGRADED, f"only {ready}{wanted}")

    def of_sources(self, sources: Mapping[str, LastGood], hushed: frozenset[str]) -> Iterator[Happening]:
        """Which sources began to fail or answer again; of those that are ``hushed`` it is told that they flap."""
        known, self._hushed = self._hushed, hushed
        failing = []
        for name, last_good in sources.items():
            standing = last_good.standing()
            if name in hushed:
                if name not in known:
                    yield Happening(SOURCE_FLAPPING, f"source {name!r} changes again and again")
                failing += [name] * (name in self._failing)
            elif standing.stale:
                failing.append(name)
                if name not in self._failing:
                    for text in in_trouble(name, standing, has_backends=bool(last_good.backends)):
                        yield Happening(SOURCE_FAILING, text)
            elif name in self._failing:
                yield Happening(SOURCE_RECOVERED, f"source {name!r} answers again")
        self._failing = frozenset(failing)

    def _level_of(self, decision: Decision, tally: Tally, *, min_ready: int, settled: bool) -> Level:
        total = tally.ready + tally.not_ready
        level = _level(tally.ready, total, min_ready)
        if level <= self._level:
            return level
        if not total:
            return level if settled else self._level
        # What is still checked for the first time may well be ready.
        undecided = sum(one.why is Why.NEW for one in decision.endpoints)
        return max(self._level, _level(tally.ready + undecided, total, min_ready))


def _level(ready: int, total: int, min_ready: int) -> Level:
    if not ready:
        return Level.EMPTY
    return Level.DEGRADED if ready < min_ready or 2 * ready < total else Level.FINE


def _went_down(endpoint: Endpoint, published: Published) -> bool:
    return endpoint.state is not State.READY and published.get(endpoint.identity) is State.READY


class _Changed(msgspec.Struct):
    """Endpoints that were ready and are not, that were not and are, and that were ready and are no more there.

    Of what comes nothing is told, nor that it passes its checks for the first time: of a first start the log tells.
    """

    down: list[Endpoint] = []
    up: list[Endpoint] = []
    left: list[Endpoint] = []

    @property
    def is_empty(self) -> bool:
        return not (self.down or self.up or self.left)


def _changed(before: Sequence[Endpoint], after: Sequence[Endpoint]) -> _Changed:
    """What changed from ``before`` to ``after``."""
    if before is after:
        return _Changed()
    if len(before) == len(after):  # mostly the same ones in the same order, of which few are other objects
        pairs = [(old, new) for old, new in zip(before, after, strict=True) if is_not(old, new)]
        if all(old.address == new.address and old.ports == new.ports for old, new in pairs):
            before, after = [old for old, _ in pairs], [new for _, new in pairs]
    known = {(one.address, one.ports): one for one in before}
    changed = _Changed()
    for one in after:
        was = known.pop((one.address, one.ports), None)
        if was is None:
            continue
        if was.state is State.READY and one.state is not State.READY:
            changed.down.append(one)
        elif was.state is not State.READY and one.state is State.READY and was.why is not Why.NEW:
            changed.up.append(one)
    changed.left.extend(one for one in known.values() if one.state is State.READY)
    return changed


def _causes(decision: Decision, endpoints: Collection[Endpoint]) -> Callable[[Endpoint], str]:
    """Tells why any of ``endpoints`` is as it is, with the error of its probe."""
    addresses = {one.address for one in endpoints}
    verdicts = {
        candidate.identity: verdict
        for candidate, verdict in zip(decision.candidates, decision.verdicts, strict=True)
        if candidate.identity.address in addresses
    }
    return lambda endpoint: because(endpoint, verdicts.get(endpoint.identity))


def _happening(reason: Reason, endpoints: Sequence[Endpoint], causes: Sequence[str]) -> Iterator[Happening]:
    """One happening for all of ``endpoints``, those of the same cause together; ``causes`` is aligned with them."""
    alike: dict[str, list[Endpoint]] = {}
    for endpoint, cause in zip(endpoints, causes, strict=True):
        alike.setdefault(cause, []).append(endpoint)
    if not alike:
        return
    parts = [f"{_places(some)} {'is' if len(some) == 1 else 'are'} {cause}" for cause, some in alike.items()]
    more = f"; and {sum(map(len, list(alike.values())[MOST_CAUSES:]))} more" if len(parts) > MOST_CAUSES else ""
    yield Happening(reason, "; ".join(parts[:MOST_CAUSES]) + more, tuple(one.address for one in endpoints))


def _places(endpoints: Sequence[Endpoint]) -> str:
    more = f" and {len(endpoints) - MOST_PLACES} more" if len(endpoints) > MOST_PLACES else ""
    return ", ".join(map(place, endpoints[:MOST_PLACES])) + more
