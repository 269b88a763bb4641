"""One service as the engine keeps it: what the manifest says, what the sources told, and what follows from both.

No I/O: ``ServiceState`` takes observations and current objects in, runs the pure stages over them (last good set,
merge, judge, tier, plan) and remembers what the next look needs. The engine that runs for ever and the commands that
run once share it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator
from typing import TypeAlias

import msgspec

from extsync.address_policy import AddressPolicy
from extsync.config.sources import Source
from extsync.engine.carried import Carried
from extsync.engine.guarding import Guarding
from extsync.engine.memos import MergeMemo, PublishedMemo, unusable, wholly_denied
from extsync.engine.prepare import Prepared
from extsync.engine.remarks import all_denied, in_trouble, set_aside, useless, waits_for
from extsync.model import Backend, Endpoint, Identity, Observation, ServiceKey, State, Verdict
from extsync.plan.damp import Damping, damp
from extsync.plan.judge import Judged, judge
from extsync.plan.merge import Admission, Candidate, Merged, SourceSet, Tier
from extsync.plan.metadata import trigger_time
from extsync.plan.panic import panic
from extsync.plan.plan import Current, Plan, PlanMemo, plan, publish_alike
from extsync.plan.ports import PortSpec, ports_of
from extsync.plan.published import Published
from extsync.plan.suppressed import Suppressed
from extsync.plan.tier import TierPolicy, Tiers, TierState, tier
from extsync.sources.holds import LastGood
from extsync.sources.relabel import Relabelling
from extsync.sources.standing import Standing

FIRST_ANSWER = 10.0
"""Seconds for which standby tiers wait for the first answer of the sources before them, from the first look on, and
after which it is said of a source that removals wait for it."""


class Decision(msgspec.Struct, frozen=True):
    """What one look at a service decided.

    ``judged`` are all endpoints, aligned with ``candidates`` and ``verdicts``; ``endpoints`` are those that are
    published, as they are published. ``look_again`` is the monotonic time at which to look again without a cause, None:
    never. ``remarks`` say what was decided that a person should know of. ``suppressed`` is what the guard withholds.
    """

    plan: Plan
    candidates: tuple[Candidate, ...]
    verdicts: tuple[Verdict | None, ...]
    judged: tuple[Endpoint, ...]
    tiers: Tiers
    endpoints: tuple[Endpoint, ...]
    look_again: float | None = None
    remarks: tuple[str, ...] = ()
    suppressed: Suppressed | None = None


Adjust: TypeAlias = Callable[[tuple[Endpoint, ...], Published], tuple[Endpoint, ...]]
"""Changes the endpoints to publish in the light of those that are published: the policies of one-shot commands."""


class ServiceState:
    """What is remembered of one service between two looks at it."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.policy: AddressPolicy | None = None
        """Which addresses are allowed; None: as the manifest was prepared, without what the cluster says of itself."""
        self.sources: dict[str, LastGood] = {}
        self._relabellings: dict[str, Relabelling] = {}
        self._told: dict[str, tuple[Observation, float]] = {}
        self.merged = Merged()
        self.unusable: frozenset[str] = frozenset()
        self.wholly_denied: frozenset[str] = frozenset()
        self.settled = False
        self._merging = MergeMemo()
        self._merging_held = MergeMemo()
        self._merging_guarded = MergeMemo()
        self.guarding = Guarding()
        self._merging_carried = MergeMemo()
        self._carried = Carried()
        self._held: dict[str, tuple[Backend, ...]] = {}
        self._silent: tuple[Source, ...] = ()
        self._asked_since: dict[str, float] = {}
        self.waits: tuple[str, ...] = ()
        """What the removals of the service wait for, if any do; as of the latest decision."""
        self._reading = PublishedMemo()
        self._judged = Judged()
        self._damping = Damping()
        self._memo = PlanMemo()
        self._tier_state: TierState | None = None
        self._endpoints: tuple[Endpoint, ...] = ()
        self._triggered: str | None = None
        self._began = float("inf")
        self.take(prepared)

    @property
    def key(self) -> ServiceKey:
        return self.prepared.key

    def take(self, prepared: Prepared) -> None:
        """Takes up another manifest of the same service. A source that stays keeps its last good set."""
        sources: dict[str, LastGood] = {}
        relabellings: dict[str, Relabelling] = {}
        for source in prepared.manifest.spec.sources:
            name = source.name
            sources[name] = self.sources.get(name) or LastGood(source.hold)
            sources[name].hold = source.hold
            known = self._relabellings.get(name)
            same = known is not None and known.rules == source.relabel
            relabellings[name] = known if known is not None and same else Relabelling(source.relabel)
            if not same and name in self._told:  # other rules make something else of what was said last
                observation, at = self._told[name]
                sources[name].observe(relabellings[name].apply(observation), at)
        self._orphan(name for name in self.sources if name not in sources)
        if prepared.pack_policy.adopt and not self.prepared.pack_policy.adopt:
            self._carried = Carried()  # more is found published than at the first look
            self.guarding.found.is_open = True
        self.prepared = prepared
        self.sources = sources
        self.guarding.follow(prepared.guard_policy, prepared.manifest.spec.sources)
        self._relabellings = relabellings
        self._told = {name: told for name, told in self._told.items() if name in sources}
        self._silent = tuple(source for source in self._silent if source.name in sources)
        self._asked_since = {name: at for name, at in self._asked_since.items() if name in sources}
        self._tier_state = None  # priorities may mean something else from now on

    def take_over(self, defers_to: Container[Identity] = ()) -> None:
        """Begins to lead: until now another replica published, so what was taken over from there is read once more.

        So is what is published of ``defers_to``.
        """
        self._judged.recall(defers_to)
        self.settled = False  # which tiers are found published is asked once more

    def rest(self) -> None:
        """Knows no verdicts any more: endpoints will be as they are published then, as after a start."""
        self._judged = Judged()

    def observe(self, source: str, observation: Observation, now: float) -> bool:
        """Takes in a report of one of the sources; returns whether a look may find anything new for it."""
        last_good = self.sources.get(source)
        if last_good is None:
            return False
        self._told[source] = observation, now
        return last_good.observe(self._relabellings[source].apply(observation), now)

    def standings(self) -> dict[str, Standing]:
        """How each source stands."""
        return {name: last_good.standing() for name, last_good in self.sources.items()}

    def candidates(self, current: Current, now: float, *, wall: float) -> tuple[Candidate, ...]:
        """Merges what the sources have; the same object as the last time as long as nothing changed.

        ``now`` is monotonic, ``wall`` is for the evidence of the guard.
        """
        self._began = min(self._began, now)
        for name, last_good in self.sources.items():
            self._asked_since.setdefault(name, now)
            last_good.advance(now)
        ports = self.ports(current)
        if ports is None:  # the Service is not there: what it had is still probed
            return self.merged.candidates
        merged = self._put_together(ports, current, now=now, wall=wall)
        if self.guarding.let_through(current.service, now=now, wall=wall):
            merged = self._put_together(ports, current, now=now, wall=wall)
        self.merged = merged
        return merged.candidates

    def _put_together(self, ports: tuple[PortSpec, ...], current: Current, *, now: float, wall: float) -> Merged:
        """What the sources have, with what the guard keeps back and what is carried."""
        published, families, guarding = self.published(current), _families(current), self.guarding
        guarding.read(published, now=now, wall=wall)
        sets, merged = self._usable(ports, families)
        self._find_silent(unusable(merged, sets))
        if kept := guarding.look(sets, self.unusable, self._is_good, now):
            sets = [*sets, *kept]
            merged = self._merging_guarded.merge(ports, sets, families, self._admission())
        self._carried.look(published, merged)
        was_settled, self.settled = self.settled, not self._silent
        if self.settled or not guarding.found.is_open:
            believed = self.settled and all(self._is_good(source.name) for source in guarding.sources)
            stays = guarding.look_at_found(self._carried.found, merged, published, now, believed=believed)
            if self.settled:
                self._carried.settle(stays)
        if self._carried.endpoints:
            carried = self._carried.as_source(self._silent or guarding.sources, checked=bool(self.prepared.rules))
            merged = self._merging_carried.merge(ports, [*sets, carried], families, self._admission())
        if not (self.settled and was_settled):
            self._tier_state = self._tiers_found(merged, current)
        guarding.conclude(merged, now=now, wall=wall)
        return merged

    def _is_good(self, source: str) -> bool:
        """Whether the latest answer of a source is one that may confirm a removal."""
        return source not in self.unusable and not self.sources[source].standing().stale

    def _usable(self, ports: tuple[PortSpec, ...], families: tuple[str, ...]) -> tuple[list[SourceSet], Merged]:
        """The sets of the sources, merged. Of a source whose backends have all become unusable, those that were used
        until then stay beside them, as if it had failed."""
        sets, admission = self._source_sets(), self._admission()
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
        policy, rules, namespace = self.policy or self.prepared.limits.policy, self.prepared.rules, self.key.namespace
        return Admission(
            policy.published(namespace),
            policy.contacted(namespace),
            probes=bool(rules),
            own_address=any(rule.host is None for rule in rules),
        )

    def allowed(self, endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
        """Those of published endpoints whose addresses may still be published."""
        published = self._admission().published
        return tuple(one for one in endpoints if not published.denied(one.address))

    def _find_silent(self, useless: frozenset[str]) -> None:
        """Finds the sources that have yet to say anything usable, ``useless`` being those of which nothing can be used.

        Of one that spoke before and has to begin anew, what it named is carried.
        """
        known = {source.name for source in self._silent}
        self._silent = tuple(
            source
            for source in self.prepared.manifest.spec.sources
            if source.name in useless or not self.sources[source.name].complete
        )
        self._orphan(source.name for source in self._silent if source.name not in known)

    def _orphan(self, sources: Iterable[str]) -> None:
        """What these sources have named until now is carried, unless somebody else names it."""
        if names := frozenset(sources):
            self._carried.orphan(candidate for candidate in self.merged.candidates if candidate.source in names)

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
        priority = next(one.priority for one in self.prepared.manifest.spec.sources if one.name == source)
        before = [one for one in merged.candidates if one.tier.priority < priority]
        ready = sum(published.get(one.identity) is State.READY for one in before)
        return ready < max(1, self.prepared.tier_policy.min_ready)

    def ports(self, current: Current) -> tuple[PortSpec, ...] | None:
        """The ports that are published: the manifest's, else those of the Service that exists, else None."""
        if self.prepared.ports is not None:
            return self.prepared.ports
        return None if current.service is None else ports_of(current.service)

    def decide(
        self,
        current: Current,
        verdicts: tuple[Verdict | None, ...],
        *,
        now: float,
        wall: float,
        adjust: Adjust | None = None,
        failback_delay: float | None = None,
    ) -> Decision:
        """Judges the candidates of the last call of ``candidates`` and plans; ``verdicts`` is aligned with them.

        ``now`` is monotonic, ``wall`` goes into the objects. ``adjust`` changes what is published before it is packed.
        ``failback_delay`` (seconds) takes the place of the manifest's.
        """
        published = self.published(current)
        candidates = self.merged.candidates
        policy = self.prepared.manifest.spec.policy
        damped = damp(
            judge(candidates, verdicts, published, self._judged),
            self._damping,
            longest=float(policy.damping.max),
            least=policy.min_ready,
            now=now,
        )
        awaited = self._awaited(now)
        tiers = tier(
            candidates,
            damped.endpoints,
            self._tier_state or self._tiers_found(self.merged, current),
            tiers=self.merged.tiers,
            policy=self._tier_policy(failback_delay),
            now=now,
            awaited=awaited,
        )
        self._tier_state = tiers.state
        panicked = panic(tiers.endpoints, published, self.prepared.panic_policy)
        endpoints = panicked.endpoints if adjust is None else adjust(panicked.endpoints, published)
        if not publish_alike(endpoints, self._endpoints):
            self._triggered = trigger_time(wall)
        self._endpoints = endpoints
        planned = plan(
            self.key,
            current,
            endpoints,
            self.prepared.pack_policy,
            wish=self.prepared.wish,
            settled=self.settled,
            triggered=self._triggered,
            memo=self._memo,
        )
        changes = self.guarding.with_evidence(planned.changes, published, now=now, wall=wall)
        if changes is not planned.changes:
            planned = msgspec.structs.replace(planned, changes=changes)
        times = [
            *self.guarding.due(),
            *(last_good.due() for last_good in self.sources.values()),
            tiers.look_again,
            damped.look_again,
        ]
        times.append(self._began + FIRST_ANSWER if awaited else None)
        times += (at for at in self._told_late() if at > now)
        look_again = min((time for time in times if time is not None), default=None)
        remarks = [panicked.reason] if panicked.reason else []
        if damped.held:
            remarks.append("endpoints are held back: they went up and down again and again")
        if damped.spared:
            remarks.append("endpoints that go up and down again and again are not held back: too few others are ready")
        self.waits = tuple(self._waits(now))
        suppressed = self.guarding.suppressed
        remarks += suppressed.lines() if suppressed is not None else ()
        return Decision(
            planned, candidates, verdicts, damped.endpoints, tiers, endpoints, look_again, tuple(remarks), suppressed
        )

    def _tiers_found(self, merged: Merged, current: Current) -> TierState:
        """The tiers that are known, and those that are found published.

        That is asked as long as sources have yet to report, and once more when they have: only then is it known to
        which tier a published endpoint belongs.
        """
        published = self.published(current)
        shown = {c.tier for c in merged.candidates if published.get(c.identity) is not None}
        return (self._tier_state or TierState()).with_found(shown)

    def _tier_policy(self, failback_delay: float | None) -> TierPolicy:
        policy = self.prepared.tier_policy
        return policy if failback_delay is None else msgspec.structs.replace(policy, failback_delay=failback_delay)

    def _awaited(self, now: float) -> frozenset[Tier]:
        """The tiers of the sources that have said nothing yet, and are young enough to be waited for."""
        if now >= self._began + FIRST_ANSWER:
            return frozenset()
        sources = self.prepared.manifest.spec.sources
        return frozenset(Tier(one.priority) for one in sources if self.sources[one.name].is_silent)

    def _told_late(self) -> list[float]:
        """When it is said of the sources without any report that removals wait for them."""
        silent = self._silent if self._carried.endpoints else ()
        return [self._asked_since[one.name] + FIRST_ANSWER for one in silent if self.sources[one.name].is_silent]

    def _waits(self, now: float) -> Iterator[str]:
        for source in self._silent if self._carried.endpoints else ():
            last_good = self.sources[source.name]
            if source.name in self.unusable:
                yield waits_for(source.name, useless=True)
            elif last_good.is_silent and now < self._asked_since[source.name] + FIRST_ANSWER:
                continue  # it has only just been asked
            elif last_good.is_silent or last_good.standing().stale:
                yield waits_for(source.name)

    def remarks(self, decision: Decision, *, besides: Collection[str] = ()) -> Iterator[str]:
        """What a person should know of the service as it stands: refusals, warnings, sources in trouble.

        ``besides`` are sources of whose trouble that person knows already. A line stays the same for as long as the
        trouble does, so that it need be logged only when it appears.
        """
        yield from decision.remarks
        yield from map(str, (*decision.plan.refusals, *decision.plan.warnings, *decision.plan.notes))
        for name, standing in self.standings().items():
            if name not in besides:
                yield from in_trouble(name, standing, has_backends=bool(self.sources[name].backends))
                if name in self.unusable:
                    yield useless(name, held=bool(self._held.get(name)))
                elif name in self.wholly_denied:
                    yield all_denied(name)
            merged = [rejected for source, rejected in self.merged.rejected if source == name]
            yield from set_aside(name, (*standing.rejected, *merged))

    def _source_sets(self) -> list[SourceSet]:
        return [
            SourceSet(
                source.name,
                self.sources[source.name].backends,
                source.group,
                source.priority,
                source.port_name,
                source.health,
                of_pods=source.pods is not None,
            )
            for source in self.prepared.manifest.spec.sources
        ]

    def published(self, current: Current) -> Published:
        """The endpoints that objects of ours show now, and those that are to be taken over."""
        return self._reading.read(current, self.prepared.pack_policy)


def _families(current: Current) -> tuple[str, ...]:
    return (current.service.spec.ip_families if current.service is not None else None) or ()


def _used(merged: Merged, source: str) -> tuple[Backend, ...]:
    """The backends of one source of which ``merged`` made something."""
    candidates = [one.backend for one in merged.candidates if one.source == source]
    return (*candidates, *(one.backend for one in merged.duplicates if one.source == source))
