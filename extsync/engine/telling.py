"""What the engine says in words: changes, transitions of endpoints, and what people should know of a service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from operator import is_not
from typing import NamedTuple

from extsync.changes import ApplyService, Change
from extsync.engine.service import Decision
from extsync.errors import ExtsyncError, FieldConflict, Invalid, cure
from extsync.kube.writer import object_key, verb
from extsync.model import Endpoint, Identity, Rejected, State, Verdict, Why
from extsync.objects import KubeObject
from extsync.plan.plan import Current
from extsync.plan.tier import Tiers, TierState

_WORDS = {State.READY: "ready", State.NOT_READY: "not ready", State.DRAINING: "draining"}

_STANDBY = " (standby, not published)"

MOST_LINES = 20
"""Transitions of one service that are told one by one; of more, the number is told."""

FEW = 4
"""Endpoints that come as the same and for the same reason and are told one by one; more of them share a line."""


class Line(NamedTuple):
    """A line of the log, and what of it is for machines: the endpoints that it is about, and why."""

    text: str
    addresses: tuple[str, ...] = ()
    reason: str = ""


def describe(change: Change) -> str:
    """A change in a few words: ``update endpointslice/orders-1f2e3d4c5b-0``."""
    return f"{verb(change)} {object_name(change)}"


def failure(change: Change, error: ExtsyncError) -> str:
    """A change that failed, why, and where there is one, the cure."""
    return f"{describe(change)} failed: {error}{_cure(change, error)}"


def _cure(change: Change, error: ExtsyncError) -> str:
    match error, change:
        case FieldConflict(), _:
            return "; extsync never forces: set these fields back, or let the manifest say what they are now"
        case Invalid(), ApplyService() if "spec.ports" in str(error):
            return "; if somebody edited the Service's ports, set them back, or delete the Service to have it made anew"
    return cure(error)


def object_name(change: Change) -> str:
    """The object of a change as kubectl names it: ``endpointslice/orders-1f2e3d4c5b-0``."""
    kind, _, name = object_key(change)
    return f"{kind.__name__.lower()}/{name}"


def state_word(state: State) -> str:
    """A state for people."""
    return _WORDS[state]


def place(endpoint: Endpoint) -> str:
    """The address and first port of an endpoint."""
    return str(endpoint.identity)


def because(endpoint: Endpoint, verdict: Verdict | None) -> str:
    """Why an endpoint is as it is; with the error of the probe where probing decided."""
    if endpoint.why in (Why.UNHEALTHY, Why.DRAINING_DOWN, Why.DOUBTED) and verdict is not None and verdict.reason:
        return f"{endpoint.why.value}: {verdict.reason}"
    return endpoint.why.value


def transitions(
    before: Decision | None, now: Decision, *, rejected: Sequence[tuple[str, Rejected]] = ()
) -> Iterator[Line]:
    """One line for each tier that came in or went out, and for each endpoint that came, left or changed its state.

    Where many come alike, as at a start, one line names them all: a line each would be most of what a start costs.
    ``rejected`` is what sources name, by their names, and cannot be published.
    """
    lines = [*_tiers(before, now), *_transitions(before, now, rejected)]
    yield from lines[:MOST_LINES]
    if len(lines) > MOST_LINES:
        yield Line(f"and {len(lines) - MOST_LINES} more endpoints changed")


def _tiers(before: Decision | None, now: Decision) -> Iterator[Line]:
    was = Tiers((), TierState()) if before is None else before.tiers
    for tier in now.tiers.published:
        if tier in was.standby:
            yield Line(f"tier {tier} comes in: the tiers before it have too few ready endpoints")
    for tier in now.tiers.standby:
        if tier in was.published:
            yield Line(f"tier {tier} goes out: the tiers before it have enough ready endpoints")


def _transitions(before: Decision | None, now: Decision, rejected: Sequence[tuple[str, Rejected]]) -> Iterator[Line]:
    standby = frozenset(now.tiers.standby)
    if before is not None and before.candidates is now.candidates:
        for index in compress(range(len(now.judged)), map(is_not, now.judged, before.judged)):
            old, new = before.judged[index], now.judged[index]
            if old.state is not new.state:
                why = because(new, now.verdicts[index])
                where = _STANDBY if now.candidates[index].tier in standby else ""
                text = f"{place(new)} was {_WORDS[old.state]} and is {_WORDS[new.state]}{where}: {why}"
                yield Line(text, (place(new),), why)
        return
    old_states = {} if before is None else {(e.address, e.ports): e.state for e in before.judged}
    came: dict[tuple[str, str], list[Endpoint]] = {}
    for candidate, endpoint, verdict in zip(now.candidates, now.judged, now.verdicts, strict=True):
        state = old_states.pop((endpoint.address, endpoint.ports), None)
        if state is endpoint.state:
            continue
        where = _STANDBY if candidate.tier in standby else ""
        now_is, why = f"{_WORDS[endpoint.state]}{where}", because(endpoint, verdict)
        if state is None:
            came.setdefault((now_is, why), []).append(endpoint)
        else:
            yield Line(f"{place(endpoint)} was {_WORDS[state]} and is {now_is}: {why}", (place(endpoint),), why)
    for (now_is, why), endpoints in came.items():
        yield from _alike(endpoints, now_is, why)
    set_aside = {one.entry.partition(" ")[0] for _, one in rejected} if old_states else set()
    for address, ports in old_states:
        why = "it is set aside" if address in set_aside else "no source reports it"
        left = str(Identity(address, ports))
        yield Line(f"{left} left: {why}", (left,), why)


def _alike(endpoints: list[Endpoint], now_is: str, why: str) -> Iterator[Line]:
    """What is told of new endpoints of which there is the same to say."""
    places = [place(endpoint) for endpoint in endpoints[:MOST_LINES]]
    if len(endpoints) <= FEW:
        yield from (Line(f"{one} is {now_is}: {why}", (one,), why) for one in places)
        return
    more = f" and {len(endpoints) - MOST_LINES} more" if len(endpoints) > MOST_LINES else ""
    yield Line(f"{len(endpoints)} endpoints, each {now_is}: {why}: {', '.join(places)}{more}", tuple(places), why)


def in_vain(change: Change) -> str:
    """That a Service is as it was before it was applied."""
    return (
        f"{describe(change)} changes nothing: the server does not keep {change.reason} as the manifest has it; "
        "it may be too old for that, or the value is another word for its default"
    )


def find(current: Current, change: Change) -> KubeObject | None:
    """The object that ``change`` is about, as it is before."""
    kind, namespace, name = object_key(change)
    objects = (current.service, current.endpoints, *current.slices)
    return next((o for o in objects if type(o) is kind and o.key == (namespace, name)), None)
