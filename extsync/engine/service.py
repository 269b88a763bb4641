"""One service as the engine keeps it: what the manifest says, what the sources told, and what follows from both.

No I/O: ``ServiceState`` takes observations and current objects in, runs the pure stages over them (``gathering``, then
judge, damp, tier, panic, plan) and remembers what the next look needs. The engine that runs for ever and the commands
that run once share it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator
from typing import TypeAlias

import msgspec

from extsync.engine.gathering import Gathering
from extsync.engine.guarding import Guarding
from extsync.engine.prepare import Prepared
from extsync.engine.remarks import all_denied, in_trouble, set_aside, unheard, useless, waits_for
from extsync.model import Endpoint, Identity, Observation, ServiceKey, Verdict
from extsync.plan.damp import Damping, damp
from extsync.plan.judge import Judged, judge
from extsync.plan.merge import Candidate, Merged, Tier
from extsync.plan.metadata import trigger_time
from extsync.plan.panic import panic
from extsync.plan.plan import Current, Plan, PlanMemo, plan, publish_alike
from extsync.plan.ports import PortSpec
from extsync.plan.published import Published
from extsync.plan.suppressed import Suppressed
from extsync.plan.tier import TierPolicy, Tiers, TierState, tier
from extsync.sources.holds import LastGood

FIRST_ANSWER = 10.0
"""Seconds for which standby tiers wait for the first answer of the sources before them, from the first look on, and
after which it is said of a source that it is waited for."""


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
        self.gathering = Gathering(prepared)
        self.waits: tuple[str, ...] = ()
        """What the removals of the service wait for, if any do; as of the latest decision."""
        self._judged = Judged()
        self._damping = Damping()
        self._memo = PlanMemo()
        self._tier_state: TierState | None = None
        self._endpoints: tuple[Endpoint, ...] = ()
        self._triggered: str | None = None
        self._began = float("inf")

    @property
    def key(self) -> ServiceKey:
        return self.prepared.key

    @property
    def sources(self) -> dict[str, LastGood]:
        """The last good set of each source."""
        return self.gathering.reports.sources

    @property
    def merged(self) -> Merged:
        """What the sources had at the last look, put together."""
        return self.gathering.merged

    @property
    def guarding(self) -> Guarding:
        """The guards, and what they withhold."""
        return self.gathering.guarding

    def take(self, prepared: Prepared) -> None:
        """Takes up another manifest of the same service. A source that stays keeps its last good set."""
        self.prepared = prepared
        self.gathering.take(prepared)
        self._tier_state = None  # priorities may mean something else from now on

    def take_over(self, defers_to: Container[Identity] = ()) -> None:
        """Begins to lead: until now another replica published, so what was taken over from there is read once more.

        So is what is published of ``defers_to``.
        """
        self._judged.recall(defers_to)
        self.gathering.take_over()

    def rest(self) -> None:
        """Knows no verdicts any more: endpoints will be as they are published then, as after a start."""
        self._judged = Judged()

    def observe(self, source: str, observation: Observation, now: float) -> bool:
        """Takes in a report of one of the sources; returns whether a look may find anything new for it."""
        return self.gathering.reports.observe(source, observation, now)

    def published(self, current: Current) -> Published:
        """The endpoints that objects of ours show now, and those that are to be taken over."""
        return self.gathering.published(current)

    def candidates(self, current: Current, now: float, *, wall: float) -> tuple[Candidate, ...]:
        """Merges what the sources have; the same object as the last time as long as nothing changed.

        ``now`` is monotonic, ``wall`` is for the evidence of the guard.
        """
        self._began = min(self._began, now)
        gathering = self.gathering
        gathering.reports.advance(now)
        ports = gathering.ports(current)
        if ports is None:  # the Service is not there: what it had is still probed
            return self.merged.candidates
        merged = self._gather(ports, current, now=now, wall=wall)
        if gathering.guarding.let_through(current.service, now=now, wall=wall):
            merged = self._gather(ports, current, now=now, wall=wall)
        gathering.merged = merged
        return merged.candidates

    def _gather(self, ports: tuple[PortSpec, ...], current: Current, *, now: float, wall: float) -> Merged:
        was_settled = self.gathering.settled
        merged = self.gathering.look(ports, current, now=now, wall=wall)
        if not (self.gathering.settled and was_settled):
            self._tier_state = self._tiers_found(merged, current)
        return merged

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
            settled=self.gathering.settled,
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
        blocks = self.gathering.reports.blocks
        return frozenset(Tier(one.priority) for one in blocks if self.sources[one.name].is_silent)

    def _told_late(self) -> list[float]:
        """When it is said of the sources without any report that they are waited for."""
        silent = [name for name, last_good in self.sources.items() if last_good.is_silent]
        return [self.gathering.reports.asked_since(name) + FIRST_ANSWER for name in silent]

    def _waits(self, now: float) -> Iterator[str]:
        reports = self.gathering.reports
        for source in self.gathering.awaited:
            last_good = self.sources[source.name]
            if source.name in self.gathering.unusable:
                yield waits_for(source.name, useless=True)
            elif last_good.is_silent and now < reports.asked_since(source.name) + FIRST_ANSWER:
                continue  # it has only just been asked
            elif last_good.is_silent or last_good.standing().stale:
                yield waits_for(source.name)
        if not self.gathering.awaited:  # then nothing is published that could leave, and perhaps nothing at all
            for name, last_good in self.sources.items():
                if last_good.is_silent and now >= reports.asked_since(name) + FIRST_ANSWER:
                    yield unheard(name)

    def remarks(self, decision: Decision, *, besides: Collection[str] = ()) -> Iterator[str]:
        """What a person should know of the service as it stands: refusals, warnings, sources in trouble.

        ``besides`` are sources of whose trouble that person knows already. A line stays the same for as long as the
        trouble does, so that it need be logged only when it appears.
        """
        yield from decision.remarks
        yield from map(str, (*decision.plan.refusals, *decision.plan.warnings, *decision.plan.notes))
        for name, standing in self.gathering.reports.standings().items():
            if name not in besides:
                yield from in_trouble(name, standing, has_backends=bool(self.sources[name].backends))
                if name in self.gathering.unusable:
                    yield useless(name, held=self.gathering.is_held(name))
                elif name in self.gathering.wholly_denied:
                    yield all_denied(name)
            merged = [rejected for source, rejected in self.merged.rejected if source == name]
            yield from set_aside(name, (*standing.rejected, *merged))
