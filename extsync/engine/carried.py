"""What is published and nobody knows from which source: it stays until every source has told what it has. Pure.

After a start the objects show what an earlier process published, and when a manifest puts one source in the place of
another, they show what came from a source that is no more. Each such endpoint may be of a source that has yet to speak,
so it stays (invariants 1 and 2). What a source has named since is known to be its own: from then on that source alone,
by its holds, decides when the endpoint leaves, and no other source that is silent has a say in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from extsync.config.sources import Source
from extsync.model import Backend, Endpoint, State
from extsync.plan.merge import Candidate, HealthRule, Merged, SourceSet
from extsync.plan.published import Place, Published, places

CARRIED = "(published)"
"""The name of the pseudo-source that stands for what is carried."""


class Carried:
    """The endpoints of one service whose source is not known.

    They are taken from what is published once, at the first look, and again where a source has left or this replica
    begins to lead; never from what this process has added itself.
    """

    def __init__(self) -> None:
        self.endpoints: tuple[Endpoint, ...] = ()
        self.found: tuple[Endpoint, ...] = ()
        """Those of them that were there at the first look and that no source of this process ever named, and those of
        sources that were replaced by others: what the guard judges."""
        self._is_new = True
        self._own: set[Place] = set()
        """What sources of this process have named, while others have yet to speak, as far as it is published still."""
        self._orphaned: set[Place] = set()
        self._replaced: set[Place] = set()
        self._compared: tuple[Merged, tuple[Endpoint, ...]] | None = None
        self._made: tuple[object, SourceSet] | None = None

    def orphan(self, candidates: Iterable[Candidate], *, replaced: bool = False) -> None:
        """Whoever named these will not speak of them again: those that are published at the next look are carried.

        ``replaced``: another source has come in its place, which should name them.
        """
        for candidate in candidates:
            self._orphaned.update(places(candidate.identity.address, candidate.identity.ports))
            if replaced:
                self._replaced.update(places(candidate.identity.address, candidate.identity.ports))

    def begin_anew(self) -> None:
        """Another replica has published until now: what came and left by its leave is not known from before."""
        self._is_new = True

    def look(self, published: Published, merged: Merged, *, waits: bool = False) -> None:
        """Takes up what is new to be carried, and drops what ``merged``, made of the real sources alone, names.

        ``waits``: some of them have yet to speak.
        """
        if self._is_new:
            self._is_new = False
            unknown = (e for e in published.endpoints if self._own.isdisjoint(_places_of([e])))
            self.endpoints = self.found = tuple(unknown)
        elif self._orphaned:
            known = _places_of(self.endpoints)
            orphans = [e for e in published.endpoints if not self._orphaned.isdisjoint(_places_of([e]))]
            orphans = [e for e in orphans if known.isdisjoint(_places_of([e]))]
            self.endpoints += tuple(orphans)
            self.found += tuple(e for e in orphans if not self._replaced.isdisjoint(_places_of([e])))
        self._orphaned.clear()
        self._replaced.clear()
        if (waits or self.endpoints) and not self._is_compared(merged):
            named = {p for c in merged.candidates for p in places(c.identity.address, c.identity.ports)}
            named.update(p for d in merged.duplicates for p in places(d.identity.address, d.identity.ports))
            self._own = named | self._own.intersection(_places_of(published.endpoints)) if waits else set()
            if not named.isdisjoint(_places_of(self.endpoints)):
                self.endpoints = tuple(e for e in self.endpoints if named.isdisjoint(_places_of([e])))
                self.found = tuple(e for e in self.found if named.isdisjoint(_places_of([e])))
        self._compared = merged, self.endpoints

    def settle(self, kept: tuple[Endpoint, ...]) -> None:
        """Every source has spoken: what none of them named is nobody's, and leaves, but for ``kept`` of what was
        found, which the guard withholds."""
        if self.endpoints != kept:
            self.endpoints = kept
        if self.found != kept:
            self.found = kept

    def as_source(self, owners: Sequence[Source], *, checked: bool) -> SourceSet:
        """What is carried as a further source; ``owners`` are the sources whose it may be, at least one: those that
        have yet to speak, or where all have spoken those that are guarded.

        As candidates the carried endpoints are probed like all others, if ``checked``, so that one that dies is
        demoted. They are of the first tier that one of ``owners`` has: an endpoint that may be a standby's keeps no
        standby from coming in.
        """
        probed = checked and any(source.health != "source" for source in owners)
        priority = min(source.priority for source in owners)
        of_pods = any(source.pods is not None for source in owners)
        asked = self.endpoints, probed, priority, of_pods
        if self._made is None or self._made[0] != asked:
            health: HealthRule = "proven" if probed else "source"
            backends = tuple(_backend(endpoint, probed=probed) for endpoint in self.endpoints)
            self._made = asked, SourceSet(CARRIED, backends, priority=priority, health=health, of_pods=of_pods)
        return self._made[1]

    def _is_compared(self, merged: Merged) -> bool:
        return self._compared is not None and self._compared[0] is merged and self._compared[1] is self.endpoints


def _places_of(endpoints: Iterable[Endpoint]) -> set[Place]:
    return {place for endpoint in endpoints for place in places(endpoint.address, endpoint.ports)}


def _backend(endpoint: Endpoint, *, probed: bool) -> Backend:
    """A published endpoint as the backend that it must have come from; where it is ``probed``, that says more of its
    health than how it was published."""
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
