"""What is published and goes on counting, as a last source, until every real one can speak for it (invariants 1, 2).

So nothing leaves at a start, nor when a manifest puts one source in the place of another. As candidates the carried
endpoints are probed like all others, so that one that dies is demoted.

How much is carried depends on what is known:

- Until each source has reported something usable: all that is published.
- From then on, while a question that an answer named (a target of SRV records) has only failed so far: what is
  published and no source has named yet. That may be the failing target's. An endpoint that a source has named since is
  that source's to keep or to let go, so that one dead target does not keep for ever what the others no longer have.
- After that: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from extsync.model import Backend, Endpoint, State
from extsync.plan.merge import Merged, SourceSet
from extsync.plan.published import Place, Published, places

CARRIED = "(published)"
"""The name of the pseudo-source that stands for what is published."""


class Carrying:
    """What is carried of one service, look by look."""

    def __init__(self) -> None:
        self._unnamed: frozenset[Place] | None = None

    def all_of(self, published: Published) -> tuple[Endpoint, ...]:
        """Everything that is published."""
        self._unnamed = None
        return published.endpoints

    def unnamed_of(self, published: Published, merged: Merged) -> tuple[Endpoint, ...]:
        """What was published when this was first asked for and was in none of the merges that it was asked with."""
        found = [(endpoint, places(endpoint.address, endpoint.ports)) for endpoint in published.endpoints]
        known = (place for _, where in found for place in where) if self._unnamed is None else self._unnamed
        named = {place for candidate in merged.candidates for place in places(*candidate.identity)}
        self._unnamed = frozenset(known) - named
        return tuple(endpoint for endpoint, where in found if self._unnamed.issuperset(where))

    def nothing(self) -> None:
        """Nothing is carried any more."""
        self._unnamed = None


def carried(endpoints: Sequence[Endpoint], sets: Sequence[SourceSet], *, probed: bool) -> SourceSet:
    """The pseudo-source of ``endpoints``; where they are ``probed``, that says more of their health than how they were
    published."""
    return SourceSet(
        CARRIED,
        tuple(_backend(endpoint, probed=probed) for endpoint in endpoints),
        priority=min((one.priority for one in sets), default=0),
        health="proven" if probed else "source",
    )


def _backend(endpoint: Endpoint, *, probed: bool) -> Backend:
    """A published endpoint as the backend that it must have come from."""
    return Backend(
        address=endpoint.address,
        ports=tuple((port.name, port.port) for port in endpoint.ports),
        hostname=endpoint.hostname,
        node_name=endpoint.node_name,
        zone=endpoint.zone,
        group=endpoint.group,
        drain=endpoint.state is State.DRAINING,
        ready=probed or endpoint.state is not State.NOT_READY,
        target_ref=endpoint.target_ref,
    )
