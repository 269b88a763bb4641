"""Damp: an endpoint that goes up and down again and again is believed less each time that it says it is up.

What is delayed is promotions and never demotions: going down has to show at once, and a network of endpoints that flap
must not turn into a stream of writes. As in route flap damping (RFC 2439), what an endpoint did wrong adds up and is
forgotten with time; here in whole demotions, so that the delay can be told in advance:

1. The first demotion costs nothing, so that an ordinary restart is over as soon as the checks pass.
2. After the second one a promotion waits ``FIRST_HOLD`` seconds, during which the endpoint has to stay up; each further
   one doubles that, up to ``longest``.
3. A demotion is forgotten for each ``longest`` seconds without another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from extsync.model import Endpoint, Identity, State, Why
from extsync.plan.difference import changed_places

FIRST_HOLD: Final = 10.0
"""Seconds for which the promotion after a second demotion waits."""

MOST_COUNTED: Final = 16
"""Demotions that are counted: more change nothing, and would only take longer to be forgotten."""

_DOWN: Final = (Why.UNHEALTHY, Why.DRAINING_DOWN, Why.SOURCE_NOT_READY)


class Flaps(msgspec.Struct, frozen=True, gc=False):
    """What one endpoint did: how many demotions count at ``since`` (monotonic seconds), when the last of them was."""

    count: int
    since: float

    def at(self, now: float, longest: float) -> int:
        """How many still count."""
        return max(0, self.count - int((now - self.since) / longest))


class Damping:
    """What the damping of one service remembers: only endpoints that were demoted take room."""

    __slots__ = ("damped", "flaps", "held", "judged")

    def __init__(self) -> None:
        self.judged: tuple[Endpoint, ...] = ()
        self.damped: tuple[Endpoint, ...] = ()
        self.flaps: dict[Identity, Flaps] = {}
        self.held: dict[Identity, float] = {}


class Damped(msgspec.Struct, frozen=True):
    """The endpoints after damping; how many of them are held back, and when (monotonic seconds) the first may go up."""

    endpoints: tuple[Endpoint, ...]
    held: int = 0
    look_again: float | None = None


def damp(judged: tuple[Endpoint, ...], memory: Damping, *, longest: float, now: float) -> Damped:
    """Holds back the promotions of endpoints that flap; ``longest`` (seconds) 0 turns it off.

    ``judged`` are the endpoints as they were judged; the result is aligned with them, and the same object as the last
    one as long as nothing changes.
    """
    if longest <= 0:
        return Damped(judged)
    held = dict(memory.held)
    if judged is not memory.judged:
        _note_changes(judged, memory, held, longest, now)
    held = {identity: until for identity, until in held.items() if until > now and identity in memory.flaps}
    if judged is not memory.judged or held.keys() != memory.held.keys():
        memory.damped = _held_back(judged, held) if held else judged
    memory.judged, memory.held = judged, held
    return Damped(memory.damped, len(held), min(held.values(), default=None))


def hold(count: int, longest: float) -> float:
    """How many seconds a promotion waits after ``count`` demotions."""
    return 0.0 if count < 2 else min(longest, FIRST_HOLD * 2.0 ** (count - 2))


def _note_changes(
    judged: tuple[Endpoint, ...], memory: Damping, held: dict[Identity, float], longest: float, now: float
) -> None:
    """Counts demotions and has promotions wait, by what is different from the last time."""
    for before, after in _changes(memory, judged):
        identity = Identity(after.address, after.ports)
        flaps = memory.flaps.get(identity)
        if after.state is State.NOT_READY and after.why in _DOWN:
            held.pop(identity, None)
            if before.state is not State.NOT_READY:
                count = flaps.at(now, longest) if flaps else 0
                memory.flaps[identity] = Flaps(min(count + 1, MOST_COUNTED), now)
        elif after.state is State.READY and before.state is State.NOT_READY and flaps is not None:
            held[identity] = now + hold(flaps.at(now, longest), longest)


def _changes(memory: Damping, judged: tuple[Endpoint, ...]) -> Iterator[tuple[Endpoint, Endpoint]]:
    """The endpoints that were there before and are different now. What is known of those that left is forgotten."""
    before = memory.judged
    if len(before) == len(judged):
        places = changed_places(before, judged)
        if all(_same(before[place], judged[place]) for place in places):
            yield from ((before[place], judged[place]) for place in places)
            return
    known = {Identity(endpoint.address, endpoint.ports): endpoint for endpoint in before}
    here = {Identity(endpoint.address, endpoint.ports): endpoint for endpoint in judged}
    memory.flaps = {identity: flaps for identity, flaps in memory.flaps.items() if identity in here}
    for identity, after in here.items():
        if (found := known.get(identity)) is not None and found is not after:
            yield found, after


def _same(one: Endpoint, other: Endpoint) -> bool:
    return one.address == other.address and one.ports == other.ports


def _held_back(judged: tuple[Endpoint, ...], held: dict[Identity, float]) -> tuple[Endpoint, ...]:
    addresses = {identity.address for identity in held}
    return tuple(
        msgspec.structs.replace(endpoint, state=State.NOT_READY, why=Why.DAMPED)
        if endpoint.address in addresses
        and endpoint.state is State.READY
        and Identity(endpoint.address, endpoint.ports) in held
        else endpoint
        for endpoint in judged
    )
