"""From what the sources of a service reported to its candidates: put together, guarded, and what is carried. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from extsync.address_policy import AddressPolicy
from extsync.config.sources import Source
from extsync.engine.carried import Carried
from extsync.engine.guarding import Guarding
from extsync.engine.memos import MergeMemo, PublishedMemo, unusable, wholly_denied
from extsync.engine.prepare import Prepared
from extsync.engine.reports import Reports
from extsync.model import Backend, Endpoint, State
from extsync.plan.merge import Admission, Merged, SourceSet
from extsync.plan.plan import Current
from extsync.plan.ports import PortSpec, ports_of
from extsync.plan.published import Published


class Gathering:
    """The candidates of one service, and what is remembered to find the next ones."""

    def __init__(self, prepared: Prepared) -> None:
        self.policy: AddressPolicy | None = None
        """Which addresses are allowed; None: as the manifest was prepared, without what the cluster says of itself."""
        self.reports = Reports()
        self.guarding = Guarding()
        self.merged = Merged()
        """What came out the last time."""
        self.unusable: frozenset[str] = frozenset()
        """The sources that report backends of which none can be used."""
        self.wholly_denied: frozenset[str] = frozenset()
        """The sources of which every backend is denied."""
        self.settled = False
        """Whether every source has said something usable, so that removals wait for none of them."""
        self._prepared = prepared
        self._carried = Carried()
        self._held: dict[str, tuple[Backend, ...]] = {}
        self._silent: tuple[Source, ...] = ()
        self._reading = PublishedMemo()
        self._merging = MergeMemo()
        self._merging_held = MergeMemo()
        self._merging_guarded = MergeMemo()
        self._merging_carried = MergeMemo()
        self.take(prepared)

    def take(self, prepared: Prepared) -> None:
        """Takes up another manifest of the same service."""
        blocks = prepared.manifest.spec.sources
        before = {source.name for source in self.guarding.sources}
        left = self.reports.follow(blocks)
        self.guarding.follow(prepared.guard_policy, blocks)
        came = {source.name for source in self.guarding.sources} - before
        replaced = before.intersection(left) if came else set()
        self._orphan(name for name in left if name not in replaced)
        if replaced:  # a source of another name cannot be compared with itself: so it is as after a restart
            self._orphan(replaced, replaced=True)
            self.guarding.replace(came)
        if prepared.pack_policy.adopt and not self._prepared.pack_policy.adopt:
            self._carried = Carried()  # more is found published than at the first look
            self.guarding.found.is_open = True
        self._prepared = prepared
        self._silent = tuple(source for source in self._silent if source.name in self.reports.sources)

    def take_over(self) -> None:
        """This replica begins to lead: which tiers are published is found anew, and while a source has yet to speak,
        so is what may be of it."""
        self.settled = False
        if self._silent:
            self._carried.begin_anew()

    @property
    def awaited(self) -> tuple[Source, ...]:
        """The sources that have yet to say anything usable, where something that is published waits for them."""
        return self._silent if self._carried.endpoints else ()

    def is_held(self, source: str) -> bool:
        """Whether a source of which nothing can be used any more had something before, which stays."""
        return bool(self._held.get(source))

    def published(self, current: Current) -> Published:
        """The endpoints that objects of ours show now, and those that are to be taken over."""
        return self._reading.read(current, self._prepared.pack_policy)

    def ports(self, current: Current) -> tuple[PortSpec, ...] | None:
        """The ports that are published: the manifest's, else those of the Service that exists, else None."""
        if self._prepared.ports is not None:
            return self._prepared.ports
        return None if current.service is None else ports_of(current.service)

    def allowed(self, endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
        """Those of published endpoints whose addresses may still be published."""
        published = self._admission().published
        return tuple(one for one in endpoints if not published.denied(one.address))

    def look(self, ports: tuple[PortSpec, ...], current: Current, *, now: float, wall: float) -> Merged:
        """What the sources have, with what the guard keeps back and what is carried."""
        published, families, guarding = self.published(current), _families(current), self.guarding
        guarding.read(published, now=now, wall=wall)
        sets, merged = self._usable(ports, families)
        self._find_silent(unusable(merged, sets))
        if kept := guarding.look(sets, merged, self.unusable, self._is_good, now):
            sets = [*sets, *kept]
            merged = self._merging_guarded.merge(ports, sets, families, self._admission())
        self._carried.look(published, merged, waits=bool(self._silent))
        self.settled = not self._silent
        if self.settled or not guarding.found.is_open:
            believed = self.settled and all(self._is_good(source.name) for source in guarding.sources)
            stays = guarding.look_at_found(self._carried.found, merged, published, now, believed=believed)
            if self.settled:
                self._carried.settle(stays)
        if self._carried.endpoints:
            carried = self._carried.as_source(self._silent or guarding.sources, checked=bool(self._prepared.rules))
            merged = self._merging_carried.merge(ports, [*sets, carried], families, self._admission())
        guarding.conclude(merged, now=now, wall=wall)
        return merged

    def may_lose(self, source: str, current: Current) -> bool:
        """Whether something that is published may be of ``source`` alone, so that it goes if the source names nothing.

        That is what no source names, unless the tiers before that of ``source`` have enough that is published as ready:
        then what is published besides was not needed.
        """
        published = self.published(current)
        ports = self.ports(current)
        if ports is None or not published.endpoints:
            return False
        _, merged = self._usable(ports, _families(current))
        carried = Carried()
        carried.look(published, merged)
        if not carried.endpoints:
            return False
        priority = next(one.priority for one in self.reports.blocks if one.name == source)
        before = [one for one in merged.candidates if one.tier.priority < priority]
        ready = sum(published.get(one.identity) is State.READY for one in before)
        return ready < max(1, self._prepared.tier_policy.min_ready)

    def _is_good(self, source: str) -> bool:
        """Whether the latest answer of a source is one that may confirm a removal."""
        return source not in self.unusable and not self.reports.sources[source].standing().stale

    def _usable(self, ports: tuple[PortSpec, ...], families: tuple[str, ...]) -> tuple[list[SourceSet], Merged]:
        """The sets of the sources, merged. Of a source whose backends have all become unusable, those that were used
        until then stay beside them, as if it had failed."""
        sets, admission = self.reports.sets(), self._admission()
        merged = self._merging.merge(ports, sets, families, admission)
        self.unusable, self.wholly_denied = unusable(merged, sets), wholly_denied(merged, sets)
        self._held = {
            name: self._held[name] if name in self._held else _used(self.merged, name) for name in sorted(self.unusable)
        }
        if any(self._held.values()):
            sets = [
                msgspec.structs.replace(one, backends=one.backends + self._held[one.name])
                if self._held.get(one.name)
                else one
                for one in sets
            ]
            merged = self._merging_held.merge(ports, sets, families, admission)
        return sets, merged

    def _admission(self) -> Admission:
        prepared = self._prepared
        policy, rules, namespace = self.policy or prepared.limits.policy, prepared.rules, prepared.key.namespace
        return Admission(
            policy.published(namespace),
            policy.contacted(namespace),
            probes=bool(rules),
            own_address=any(rule.host is None for rule in rules),
        )

    def _find_silent(self, useless: frozenset[str]) -> None:
        """Finds the sources that have yet to say anything usable, ``useless`` being those of which nothing can be used.

        Of one that spoke before and has to begin anew, what it named is carried.
        """
        known = {source.name for source in self._silent}
        self._silent = tuple(
            source
            for source in self.reports.blocks
            if source.name in useless or not self.reports.sources[source.name].complete
        )
        self._orphan(source.name for source in self._silent if source.name not in known)

    def _orphan(self, sources: Iterable[str], *, replaced: bool = False) -> None:
        """What these sources have named until now is carried, unless somebody else names it."""
        if names := frozenset(sources):
            named = [candidate for candidate in self.merged.candidates if candidate.source in names]
            self._carried.orphan(named, replaced=replaced)


def _families(current: Current) -> tuple[str, ...]:
    return (current.service.spec.ip_families if current.service is not None else None) or ()


def _used(merged: Merged, source: str) -> tuple[Backend, ...]:
    """The backends of one source of which ``merged`` made something."""
    candidates = [one.backend for one in merged.candidates if one.source == source]
    return (*candidates, *(one.backend for one in merged.duplicates if one.source == source))
