"""One service as the engine keeps it: what the manifest says, what the sources told, and what follows from both.

No I/O: ``ServiceState`` takes observations and current objects in, runs the pure stages over them (last good set,
merge, judge, tier, plan) and remembers what the next look needs. The engine that runs for ever and the commands that
run once share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from extsync.engine.carry import Carrying, carried
from extsync.engine.memos import MergeMemo, PublishedMemo, unusable
from extsync.engine.prepare import Prepared
from extsync.model import Endpoint, Observation, Outcome, ServiceKey, Verdict
from extsync.plan.damp import Damping, damp
from extsync.plan.judge import Judged, judge
from extsync.plan.merge import Candidate, Merged, SourceSet, Tier
from extsync.plan.metadata import trigger_time
from extsync.plan.panic import panic
from extsync.plan.plan import Current, Plan, PlanMemo, plan
from extsync.plan.ports import PortSpec, ports_of
from extsync.plan.published import Published
from extsync.plan.tier import TierPolicy, Tiers, TierState, tier
from extsync.sources.holds import LastGood, Standing
from extsync.sources.relabel import Relabelling

FIRST_ANSWER = 10.0
"""Seconds from the first look for which standby tiers wait for the first answer of the sources before them."""

MOST_SET_ASIDE = 20
"""Entries of one source that are told one by one."""


class Decision(msgspec.Struct, frozen=True):
    """What one look at a service decided.

    ``judged`` are all endpoints, aligned with ``candidates`` and ``verdicts``; ``endpoints`` are those that are
    published, as they are published. ``look_again`` is the monotonic time at which to look again without a cause, None:
    never. ``remarks`` say what was decided that a person should know of.
    """

    plan: Plan
    candidates: tuple[Candidate, ...]
    verdicts: tuple[Verdict | None, ...]
    judged: tuple[Endpoint, ...]
    tiers: Tiers
    endpoints: tuple[Endpoint, ...]
    look_again: float | None = None
    remarks: tuple[str, ...] = ()


Adjust: TypeAlias = Callable[[tuple[Endpoint, ...], Published], tuple[Endpoint, ...]]
"""Changes the endpoints to publish in the light of those that are published: the policies of one-shot commands."""


class ServiceState:
    """What is remembered of one service between two looks at it."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.sources: dict[str, LastGood] = {}
        self._relabellings: dict[str, Relabelling] = {}
        self._told: dict[str, tuple[Observation, float]] = {}
        self.merged = Merged()
        self.unusable: frozenset[str] = frozenset()
        self.settled = False
        self._merging = MergeMemo()
        self._merging_carried = MergeMemo()
        self._carrying = Carrying()
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
        self.prepared = prepared
        self.sources = sources
        self._relabellings = relabellings
        self._told = {name: told for name, told in self._told.items() if name in sources}
        self._tier_state = None  # priorities may mean something else from now on

    def observe(self, source: str, observation: Observation, now: float) -> bool:
        """Takes in a report of one of the sources; returns whether a look may find anything new for it."""
        last_good = self.sources.get(source)
        if last_good is None:
            return False
        self._told[source] = observation, now
        return last_good.observe(self._relabellings[source].apply(observation), now)

    @property
    def all_reported(self) -> bool:
        """Whether every source has a good answer in effect, and one that can be used: until then removals wait."""
        return not self.unusable and all(last_good.reported for last_good in self.sources.values())

    def standings(self) -> dict[str, Standing]:
        """How each source stands."""
        return {name: last_good.standing() for name, last_good in self.sources.items()}

    def candidates(self, current: Current, now: float) -> tuple[Candidate, ...]:
        """Merges what the sources have; the same object as the last time as long as nothing changed."""
        self._began = min(self._began, now)
        for last_good in self.sources.values():
            last_good.advance(now)
        ports = self.ports(current)
        if ports is None:  # the Service is not there: what it had is still probed
            return self.merged.candidates
        families = (current.service.spec.ip_families if current.service is not None else None) or ()
        sets = self._source_sets()
        merged = self._merging.merge(ports, sets, families)
        self.unusable = unusable(merged, sets)
        was_settled = self.settled
        if endpoints := self._carried(current, merged):
            merged = self._merging_carried.merge(ports, [*sets, self._as_source(endpoints, sets)], families)
        if not (self.settled and was_settled):
            self._tier_state = self._tiers_found(merged, current)
        self.merged = merged
        return merged.candidates

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
        if endpoints != self._endpoints:  # mostly the same objects, so this is quick
            self._endpoints, self._triggered = endpoints, trigger_time(wall)
        planned = plan(
            self.key,
            current,
            endpoints,
            self.prepared.pack_policy,
            wish=self.prepared.wish,
            triggered=self._triggered,
            memo=self._memo,
        )
        times = [*(last_good.due() for last_good in self.sources.values()), tiers.look_again, damped.look_again]
        times.append(self._began + FIRST_ANSWER if awaited else None)
        look_again = min((time for time in times if time is not None), default=None)
        remarks = [panicked.reason] if panicked.reason else []
        if damped.held:
            remarks.append(f"{damped.held} endpoints are held back: they went up and down again and again")
        return Decision(planned, candidates, verdicts, damped.endpoints, tiers, endpoints, look_again, tuple(remarks))

    def _tiers_found(self, merged: Merged, current: Current) -> TierState:
        """The tiers that are known, and those that are found published.

        That is asked as long as sources have yet to report, and once more when they have: only then is it known to
        which tier a published endpoint belongs.
        """
        published = self.published(current)
        shown = {c.tier for c in merged.candidates if published.get(c.identity) is not None}
        return (self._tier_state or TierState()).with_found(shown)

    def _carried(self, current: Current, merged: Merged) -> tuple[Endpoint, ...]:
        """What goes on counting because it is published; settled is where that is nothing for good."""
        self.settled = self.all_reported and all(last_good.complete for last_good in self.sources.values())
        if self.settled:
            self._carrying.nothing()
            return ()
        published = self.published(current)
        return self._carrying.unnamed_of(published, merged) if self.all_reported else self._carrying.all_of(published)

    def _as_source(self, endpoints: tuple[Endpoint, ...], sets: list[SourceSet]) -> SourceSet:
        """The carried endpoints, which are probed if something that is missing would have had them probed."""
        missing = [
            source.health
            for source in self.prepared.manifest.spec.sources
            if source.name in self.unusable or not self.sources[source.name].complete
        ]
        probed = bool(self.prepared.rules) and any(health != "source" for health in missing)
        return carried(endpoints, sets, probed=probed)

    def _tier_policy(self, failback_delay: float | None) -> TierPolicy:
        policy = self.prepared.tier_policy
        return policy if failback_delay is None else msgspec.structs.replace(policy, failback_delay=failback_delay)

    def _awaited(self, now: float) -> frozenset[Tier]:
        """The tiers of the sources that have said nothing yet, and are young enough to be waited for."""
        if now >= self._began + FIRST_ANSWER:
            return frozenset()
        sources = self.prepared.manifest.spec.sources
        return frozenset(Tier(one.priority) for one in sources if self.sources[one.name].is_silent)

    def remarks(self, decision: Decision) -> Iterator[str]:
        """What a person should know of the service as it stands: refusals, warnings, sources in trouble."""
        yield from decision.remarks
        yield from map(str, (*decision.plan.refusals, *decision.plan.warnings, *decision.plan.notes))
        for name, standing in self.standings().items():
            if standing.stale:
                doubt = "suspect: " if standing.outcome is Outcome.SUSPECT else ""
                yield f"source {name!r}: {doubt}{standing.detail}; its last good set stays"
            if name in self.unusable:
                yield f"source {name!r}: none of its backends can be used; what is published stays"
            merged = [rejected for source, rejected in self.merged.rejected if source == name]
            yield from set_aside(name, [(r.entry, r.reason) for r in (*standing.rejected, *merged)])
            others = [duplicate for duplicate in self.merged.duplicates if duplicate.source == name]
            yield from set_aside(name, [(str(d.identity), d.reason) for d in others])

    def _source_sets(self) -> list[SourceSet]:
        return [
            SourceSet(
                source.name,
                self.sources[source.name].backends,
                source.group,
                source.priority,
                source.port_name,
                source.health,
            )
            for source in self.prepared.manifest.spec.sources
        ]

    def published(self, current: Current) -> Published:
        """The endpoints that objects of ours show now."""
        return self._reading.read(current, self.prepared.pack_policy.owner)


def set_aside(source: str, entries: list[tuple[str, str]]) -> Iterator[str]:
    """One line for each entry that is not published, up to a number; of more, how many."""
    for entry, reason in entries[:MOST_SET_ASIDE]:
        yield f"source {source!r}: {entry} is set aside: {reason}"
    if len(entries) > MOST_SET_ASIDE:
        yield f"source {source!r}: {len(entries) - MOST_SET_ASIDE} more entries are set aside"
