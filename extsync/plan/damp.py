"""Damp: an endpoint that goes up and down again and again is believed less each time that it says it is up.

What is delayed is promotions and never demotions: going down has to show at once, and a network of endpoints that flap
must not turn into a stream of writes. As in route flap damping (RFC 2439), what an endpoint did wrong adds up and is
forgotten with time; here in whole demotions, so that the delay can be told in advance:

1. The first demotion costs nothing, so that an ordinary restart is over as soon as the checks pass.
2. After the second one a promotion waits ``FIRST_HOLD`` seconds, during which the endpoint has to stay up; each further
   one doubles that, up to ``longest``. To be drained is no demotion, and an endpoint that drains is held back like any.
3. A demotion is forgotten for each ``longest`` seconds without another one.
4. A demotion that self-doubt takes back has not happened: the endpoint is as it was before, and so is its wait.
5. Damping is for the odd endpoint that flaps. Where half of a service does, they have the cause in common, and to hold
   all of them back would take down what works. So those that are needed for half of the service, and for ``minReady``,
   to be ready are spared: first those with the fewest demotions, of these the ones that have the least left to wait.
   One that is spared stays so until it goes down. Such a service makes as many writes as it has demotions, and at most
   ``writesPerMinute``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from extsync.model import Endpoint, Identity, State, Why
from extsync.plan.difference import changed_places

FIRST_HOLD: Final = 10.0
"""Seconds for which the promotion after a second demotion waits."""

MOST_COUNTED: Final = 16
"""Demotions that are counted: more change nothing, and would only take longer to be forgotten."""

_PROBED_DOWN: Final = (Why.UNHEALTHY, Why.DRAINING_DOWN)
_DOWN: Final = (*_PROBED_DOWN, Why.SOURCE_NOT_READY)


class Hold(msgspec.Struct, frozen=True, gc=False):
    """That a promotion waits until ``until`` (monotonic seconds); ``spared``: it would, and need not."""

    until: float
    spared: bool = False


class Flaps(msgspec.Struct, frozen=True, gc=False):
    """What one endpoint did: how many demotions count at ``since`` (monotonic seconds), when the last of them was.

    ``before`` and ``hold`` are what the last one put an end to, for as long as it may be taken back.
    """

    count: int
    since: float
    before: Flaps | None = None
    hold: Hold | None = None

    def at(self, now: float, longest: float) -> int:
        """How many still count."""
        return max(0, self.count - int((now - self.since) / longest))


class Damping:
    """What the damping of one service remembers: only endpoints that were demoted take room."""

    __slots__ = ("damped", "flaps", "held", "judged", "least")

    def __init__(self) -> None:
        self.judged: tuple[Endpoint, ...] = ()
        self.damped: tuple[Endpoint, ...] = ()
        self.flaps: dict[Identity, Flaps] = {}
        self.held: dict[Identity, Hold] = {}
        self.least = 0


class Damped(msgspec.Struct, frozen=True):
    """The endpoints after damping; how many of them are held back and how many are spared that, and when (monotonic
    seconds) the first of both is as any other."""

    endpoints: tuple[Endpoint, ...]
    held: int = 0
    spared: int = 0
    look_again: float | None = None


def damp(judged: tuple[Endpoint, ...], memory: Damping, *, longest: float, least: int, now: float) -> Damped:
    """Holds back the promotions of endpoints that flap; ``longest`` (seconds) 0 turns it off.

    ``judged`` are the endpoints as they were judged; the result is aligned with them, and the same object as the last
    one as long as nothing changes. ``least`` and half of them are ready wherever so many were judged to be.
    """
    if longest <= 0:
        return Damped(judged)
    held = dict(memory.held)
    if judged is not memory.judged:
        _note_changes(judged, memory, held, longest, now)
    held = {identity: hold for identity, hold in held.items() if hold.until > now and identity in memory.flaps}
    if judged is not memory.judged or held.keys() != memory.held.keys() or least != memory.least:
        concerned = _concerned(judged, held)
        for identity in _needed(judged, concerned, held, memory.flaps, longest, least, now):
            held[identity] = Hold(held[identity].until, spared=True)
        memory.damped = _shown(judged, concerned, held)
    memory.judged, memory.held, memory.least = judged, held, least
    spared = sum(hold.spared for hold in held.values())
    look_again = min((hold.until for hold in held.values()), default=None)
    return Damped(memory.damped, len(held) - spared, spared, look_again)


def hold_after(count: int, longest: float) -> float:
    """How many seconds a promotion waits after ``count`` demotions."""
    return 0.0 if count < 2 else min(longest, FIRST_HOLD * 2.0 ** (count - 2))


def _note_changes(
    judged: tuple[Endpoint, ...], memory: Damping, held: dict[Identity, Hold], longest: float, now: float
) -> None:
    """Counts demotions and has promotions wait, by what is different from the last time."""
    for before, after in _changes(memory, judged):
        identity = after.identity
        flaps = memory.flaps.get(identity)
        if after.state is State.NOT_READY and after.why in _DOWN:
            hold = held.pop(identity, None)
            if before.state is not State.NOT_READY:
                memory.flaps[identity] = _one_more(flaps, hold, longest, now)
        elif after.state is State.NOT_READY or before.state is not State.NOT_READY or flaps is None:
            continue
        elif after.why is Why.DOUBTED and before.why in _PROBED_DOWN:
            _take_back(identity, flaps, memory, held)
        else:
            held[identity] = Hold(now + hold_after(flaps.at(now, longest), longest))


def _one_more(flaps: Flaps | None, hold: Hold | None, longest: float, now: float) -> Flaps:
    before = None if flaps is None else Flaps(flaps.count, flaps.since)
    return Flaps(min((flaps.at(now, longest) if flaps else 0) + 1, MOST_COUNTED), now, before, hold)


def _take_back(identity: Identity, flaps: Flaps, memory: Damping, held: dict[Identity, Hold]) -> None:
    if flaps.before is None:
        del memory.flaps[identity]
    else:
        memory.flaps[identity] = flaps.before
    if flaps.hold is not None:
        held[identity] = flaps.hold


def _changes(memory: Damping, judged: tuple[Endpoint, ...]) -> Iterator[tuple[Endpoint, Endpoint]]:
    """The endpoints that were there before and are different now. What is known of those that left is forgotten."""
    before = memory.judged
    if len(before) == len(judged):
        places = changed_places(before, judged)
        if all(_same(before[place], judged[place]) for place in places):
            yield from ((before[place], judged[place]) for place in places)
            return
    known = {endpoint.identity: endpoint for endpoint in before}
    here = {endpoint.identity: endpoint for endpoint in judged}
    memory.flaps = {identity: flaps for identity, flaps in memory.flaps.items() if identity in here}
    for identity, after in here.items():
        if (found := known.get(identity)) is not None and found is not after:
            yield found, after


def _same(one: Endpoint, other: Endpoint) -> bool:
    return one.address == other.address and one.ports == other.ports


def _concerned(judged: tuple[Endpoint, ...], held: Mapping[Identity, Hold]) -> dict[int, Identity]:
    """The endpoints that are up and have a hold, by their places."""
    if not held:
        return {}
    addresses = {identity.address for identity in held}
    places = [place for place, one in enumerate(judged) if one.address in addresses]
    up = [(place, judged[place]) for place in places if judged[place].state is not State.NOT_READY]
    named = ((place, one.identity) for place, one in up)
    return {place: identity for place, identity in named if identity in held}


def _needed(
    judged: tuple[Endpoint, ...],
    concerned: Mapping[int, Identity],
    held: Mapping[Identity, Hold],
    flaps: Mapping[Identity, Flaps],
    longest: float,
    least: int,
    now: float,
) -> list[Identity]:
    """Those held back without whom too few are ready, see rule 5. Who drains does not count: it is on its way out."""
    waiting = [
        identity
        for place, identity in concerned.items()
        if judged[place].state is State.READY and not held[identity].spared
    ]
    if not waiting:
        return []
    counted = sum(one.state is not State.DRAINING and one.why is not Why.DRAINING_DOWN for one in judged)
    ready = sum(one.state is State.READY for one in judged) - len(waiting)
    waiting.sort(key=lambda identity: (flaps[identity].at(now, longest), held[identity].until))
    return waiting[: max(0, max(least, (counted + 1) // 2) - ready)]


def _shown(
    judged: tuple[Endpoint, ...], concerned: Mapping[int, Identity], held: Mapping[Identity, Hold]
) -> tuple[Endpoint, ...]:
    if not concerned:
        return judged
    shown = list(judged)
    for place, identity in concerned.items():
        shown[place] = _held(judged[place], held[identity])
    return tuple(shown)


def _held(endpoint: Endpoint, hold: Hold) -> Endpoint:
    if hold.spared:
        return msgspec.structs.replace(endpoint, why=Why.SPARED) if endpoint.why is Why.HEALTHY else endpoint
    why = Why.DRAINING_DAMPED if endpoint.state is State.DRAINING else Why.DAMPED
    return msgspec.structs.replace(endpoint, state=State.NOT_READY, why=why)
