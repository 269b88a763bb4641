"""Judge: how each candidate is published, from its source's word, its verdict and what was decided before.

Invariants 1 and 2 of the design live here: a verdict that is not known demotes nothing, and an endpoint found published
keeps its state until its own thresholds are met.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import compress
from typing import Protocol

from extsync.model import Endpoint, Health, Identity, State, Verdict, Why
from extsync.plan.difference import changed_places
from extsync.plan.merge import Candidate


class States(Protocol):
    """What is published now, by endpoint; a mapping will do."""

    def get(self, identity: Identity, /) -> State | None:
        """The published state of that endpoint, None where it is not published."""
        ...


class Judged:
    """What the last call of ``judge`` for one service decided.

    It makes the next call cost what changed, and it is the memory that invariant 2 needs within a run.
    """

    __slots__ = ("candidates", "endpoints", "verdicts")

    def __init__(self) -> None:
        self.candidates: Sequence[Candidate] = ()
        self.verdicts: tuple[Verdict | None, ...] = ()
        self.endpoints: tuple[Endpoint, ...] = ()

    def recall(self, more: Container[Identity] = ()) -> None:
        """Forgets what was decided without a verdict, and ``more``, so that the next call reads what is published."""
        kept = [e.why not in (Why.KEPT, Why.NEW) and e.identity not in more for e in self.endpoints]
        self.candidates = tuple(compress(self.candidates, kept))
        self.verdicts = tuple(compress(self.verdicts, kept))
        self.endpoints = tuple(compress(self.endpoints, kept))


def judge(
    candidates: Sequence[Candidate],
    verdicts: Sequence[Verdict | None],
    last: States,
    memo: Judged | None = None,
) -> tuple[Endpoint, ...]:
    """Decides the state of each candidate, and why; the result is aligned with ``candidates``.

    ``verdicts`` is aligned with them too; None means that nothing checks that one. Where a verdict is unknown, the
    state decided by the last call with the same ``memo`` stands, or else that of ``last``. Endpoints that did not
    change are the same objects as in the last call.
    """
    if len(candidates) != len(verdicts):
        raise ValueError(f"{len(candidates)} candidates and {len(verdicts)} verdicts are not aligned")
    memo = Judged() if memo is None else memo
    verdicts = tuple(verdicts)
    if candidates is memo.candidates:
        endpoints = _rejudge(candidates, verdicts, last, memo)
    else:
        endpoints = _realign(candidates, verdicts, last, memo)
    memo.candidates, memo.verdicts, memo.endpoints = candidates, verdicts, endpoints
    return endpoints


def _rejudge(
    candidates: Sequence[Candidate], verdicts: tuple[Verdict | None, ...], last: States, memo: Judged
) -> tuple[Endpoint, ...]:
    """The same candidates as before: only those are looked at whose verdict changed."""
    places = changed_places(memo.verdicts, verdicts)
    if not places:
        return memo.endpoints
    endpoints = list(memo.endpoints)
    for place in places:
        endpoints[place] = _endpoint(candidates[place], verdicts[place], last, endpoints[place])
    return tuple(endpoints)


def _realign(
    candidates: Sequence[Candidate], verdicts: Sequence[Verdict | None], last: States, memo: Judged
) -> tuple[Endpoint, ...]:
    """Other candidates than before: those that were there are found by their identity."""
    if not memo.candidates:
        return tuple([_endpoint(c, v, last, None) for c, v in zip(candidates, verdicts, strict=True)])
    before = {c.identity: e for c, e in zip(memo.candidates, memo.endpoints, strict=True)}
    return tuple([_endpoint(c, v, last, before.get(c.identity)) for c, v in zip(candidates, verdicts, strict=True)])


def _endpoint(candidate: Candidate, verdict: Verdict | None, last: States, before: Endpoint | None) -> Endpoint:
    """The endpoint as decided now: ``before`` itself where nothing about it changed."""
    state, why = _decide(candidate, verdict, last, before)
    identity, backend = candidate.identity, candidate.backend
    endpoint = Endpoint(
        identity.address,
        identity.ports,
        candidate.group,
        state,
        why,
        backend.hostname or None,
        backend.node_name or None,
        backend.zone or None,
        backend.target_ref,
    )
    return before if before == endpoint else endpoint


def _decide(candidate: Candidate, verdict: Verdict | None, last: States, before: Endpoint | None) -> tuple[State, Why]:
    healthy, why = _health(candidate, verdict, last, before)
    if not candidate.backend.drain:
        return (State.READY if healthy else State.NOT_READY), why
    if not healthy:
        return State.NOT_READY, Why.DRAINING_DOWN
    return State.DRAINING, why if why is Why.DOUBTED else Why.DRAINING


def _health(candidate: Candidate, verdict: Verdict | None, last: States, before: Endpoint | None) -> tuple[bool, Why]:
    """Whether the machine serves, drain aside."""
    backend = candidate.backend
    probe_counts = (
        verdict is not None and candidate.health != "source" and (backend.probe is None or backend.probe.enabled)
    )
    if not backend.ready and not (probe_counts and candidate.health == "probe"):
        return False, Why.SOURCE_NOT_READY
    if verdict is None or not probe_counts:
        return True, Why.DECLARED
    if verdict.health is Health.HEALTHY:
        return True, Why.DOUBTED if verdict.doubted else Why.HEALTHY
    if verdict.health is Health.UNHEALTHY and (candidate.health != "proven" or _was_proven(before)):
        return False, Why.UNHEALTHY
    return _unknown(candidate.identity, last, before)


def _was_proven(before: Endpoint | None) -> bool:
    """Whether the probe has seen the endpoint healthy in this process."""
    return before is not None and before.why in (Why.HEALTHY, Why.UNHEALTHY, Why.DOUBTED)


def _unknown(identity: Identity, last: States, before: Endpoint | None) -> tuple[bool, Why]:
    """No verdict yet: what was decided stands, and an endpoint that is new is not ready."""
    if before is not None and before.why is Why.NEW:
        return False, Why.NEW
    state = last.get(identity) if before is None else before.state
    if state is None:
        return False, Why.NEW
    return state is not State.NOT_READY, Why.KEPT
