"""``apply``, ``diff`` and ``render``: discover, probe to a verdict, plan and, if asked, write; once.

A service whose sources did not all answer is not written at all. Everything else that must not happen by accident is
withheld and said, unless it was asked for: see ``OnceOptions``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec

from extsync.address_policy import AddressPolicy
from extsync.changes import ApplyService, Change, Update
from extsync.engine.cluster_ranges import read_ranges
from extsync.engine.keepers import Keepers
from extsync.engine.parallel import in_parallel
from extsync.engine.passes import OnceOptions, ServiceResult, Step
from extsync.engine.prepare import Prepared
from extsync.engine.probing import Probing
from extsync.engine.service import Decision, ServiceState
from extsync.engine.snapshot import Snapshot
from extsync.engine.telling import describe, failure
from extsync.engine.withhold import EVERY_ONE_FAILS, NONE_IS_ALLOWED, keep_published
from extsync.engine.world import World, context_of
from extsync.errors import (
    AlreadyExists,
    ConfigError,
    Conflict,
    ExtsyncError,
    FieldConflict,
    Forbidden,
    NotFound,
    StoreError,
    TooManyRequests,
    Unavailable,
)
from extsync.health.prober import Prober
from extsync.kube.flow import Backoff, TokenBucket
from extsync.kube.writer import Writer, Written, object_key
from extsync.limits import Limits
from extsync.model import UNKNOWN, Endpoint, Observation, Outcome, ServiceKey, State, Verdict
from extsync.objects import FIELD_MANAGER, KubeObject, Service
from extsync.plan.changes import Changes, allowed
from extsync.plan.plan import Current
from extsync.plan.published import Published
from extsync.plan.retain import retain
from extsync.plan.service import preview
from extsync.sources.holds import LastGood
from extsync.sources.supervise import first_report

SOURCE_TIMEOUT = 10.0
"""Seconds that one source has for its first report."""

PARALLEL = 8
"""How many services are written at once."""

PATIENCE = 0.5
"""Seconds between two looks at what others have to do first, and after a first failure."""

MOST_PATIENCE = 5.0
"""Seconds that failures in a row let the pause grow to."""


def may_be_retried(change: Change, error: ExtsyncError) -> bool:
    """Whether another look may do better after this error of a write.

    Where another manager owns a field it cannot, nor where something is to be made in a namespace that there is not.
    """
    if isinstance(error, FieldConflict):
        return False
    if isinstance(error, NotFound):
        return isinstance(change, Update)
    return isinstance(error, Conflict | AlreadyExists | TooManyRequests | Unavailable)


class _Work:
    """One service on its way through the pass."""

    def __init__(self, prepared: Prepared, options: OnceOptions) -> None:
        self.state = ServiceState(prepared)
        self.state.guarding.lasting = False
        if prepared.key in options.allow_removal:
            self.state.guarding.allow()
        self.result = ServiceResult(prepared.key)
        self.doubted: set[str] = set()

    @property
    def key(self) -> ServiceKey:
        return self.state.key


class Once:
    """One pass over some services. ``progress`` is called with what is being done, in a few words."""

    def __init__(
        self,
        world: World,
        options: OnceOptions,
        *,
        view: Snapshot | None = None,
        progress: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._world = world
        self._options = options
        self._progress = progress
        self._view = view or Snapshot(world.store, clock=world.clock, timeout=options.request_timeout)
        self.warnings: list[str] = []
        """What there is to say that is about no single service."""
        self.keepers = Keepers(
            world.store,
            owner=options.owner,
            clock=world.clock,
            timeout=options.request_timeout,
            patience=options.timeout,
        )
        self._changed = asyncio.Event()
        self._prober = Prober(
            clock=world.clock, io=world.io, max_in_flight=options.max_in_flight, wake=self._changed.set
        )
        self._probing = Probing(self._prober, on_change=lambda key: None, immediate=True)
        self.writer = Writer(
            world.store,
            clock=world.clock,
            limiter=TokenBucket(clock=world.clock, qps=options.qps, burst=options.burst),
            written=self._view.written,
            deleted=self._view.deleted,
            timeout=options.request_timeout,
        )

    async def run(self, services: Iterable[Prepared]) -> list[ServiceResult]:
        """Does the pass and returns what became of each service, in their order.

        Raises StoreError where the cluster cannot be read: then nothing was written.
        """
        works = [_Work(prepared, self._options) for prepared in services]
        deadline = self._world.clock.monotonic() + self._options.timeout
        self._progress("reading the cluster and the sources")
        await self._discover(works, deadline)
        await self._prober.start()
        try:
            going = [work for work in works if not work.result.errors]
            await self._probe(going, deadline)
            await self._publish(going, deadline)
            if self._options.wait and self._options.write:
                await self._wait(going, deadline)
        finally:
            await self._prober.close()
        return [work.result for work in works]

    # ---- discover ----------------------------------------------------------------------------------------------------

    async def _discover(self, works: Sequence[_Work], deadline: float) -> None:
        """Reads the cluster, and each source once."""
        await self._view.read([work.key for work in works])
        await self._read_ranges(works)
        async with asyncio.TaskGroup() as tasks:
            for work in works:
                tasks.create_task(self._ask_keeper(work))
                for name in work.state.sources:
                    tasks.create_task(self._read_source(work, name, deadline))
        for work in works:
            self._judge_sources(work)

    async def _read_ranges(self, works: Sequence[_Work]) -> None:
        """Which addresses the cluster itself has, since they are not to be published."""
        if not self._options.reads_ranges:
            return
        ranges = await read_ranges(self._world.store, self.warnings.append)
        made: dict[Limits, AddressPolicy] = {}
        for work in works:
            limits = work.state.prepared.limits
            if limits not in made:
                made[limits] = AddressPolicy(limits.rules, limits.ranges.joined(ranges))
            work.state.policy = made[limits]

    async def _ask_keeper(self, work: _Work) -> None:
        """Leaves a service alone that a running extsync keeps."""
        current = self._view.current(work.key)
        if not self._options.write:
            work.result.warnings += filter(None, [await self.keepers.warning(current)])
        elif not self._options.take_over:
            work.result.errors += filter(None, [await self.keepers.refusal(current)])

    async def _read_source(self, work: _Work, name: str, deadline: float) -> None:
        world, prepared = self._world, work.state.prepared
        block = next(block for block in prepared.manifest.spec.sources if block.name == name)
        timeout = min(SOURCE_TIMEOUT, deadline - world.clock.monotonic())
        try:
            context = context_of(block, prepared, world, patience=timeout)
            source = world.create_source(block.factory, block.config, context)
            observation = await first_report(source, world.clock, timeout)
        except ConfigError as error:
            observation = Observation(Outcome.ERROR, detail=str(error))
        work.state.observe(name, observation, world.clock.monotonic())

    def _judge_sources(self, work: _Work) -> None:
        """A source that failed stops its service, and one that says that it has none is believed where that removes
        nothing, or on demand."""
        for name, last_good in work.state.sources.items():
            standing = last_good.standing()
            if standing.outcome not in (Outcome.ERROR, Outcome.SUSPECT):
                self._judge_answer(work, name, last_good)
            elif name in self._options.allow_stale:
                work.result.warnings.append(f"source {name!r} is stale, as was allowed: what is published stays")
            else:
                done = "written" if self._options.write else "planned"
                work.result.errors.append(f"source {name!r}: {standing.detail}; nothing was {done}")

    def _judge_answer(self, work: _Work, name: str, last_good: LastGood) -> None:
        """There is no time for holds: what an answer leaves out is gone, or it is not believed at all."""
        negative = last_good.negative()
        if not negative or self._options.allow_empty:
            if negative and work.state.may_lose(name, self._view.current(work.key)):
                work.state.guarding.allow()  # what leaves is what was asked about, and nobody knows whose the rest is
            last_good.advance(float("inf"))
            return
        says = "says that it has no backends" + (f" for {', '.join(negative)}" if any(negative) else "")
        if not work.state.may_lose(name, self._view.current(work.key)):
            work.result.warnings.append(f"source {name!r} {says}")
            last_good.advance(float("inf"))
            return
        work.doubted.add(name)
        work.result.withheld.append(f"source {name!r} {says}: what is published stays; --allow-empty lets it go")
        last_good.doubt(negative, "it says that it has no backends", self._world.clock.monotonic())

    # ---- probe -------------------------------------------------------------------------------------------------------

    async def _probe(self, works: Sequence[_Work], deadline: float) -> None:
        """Probes until every endpoint has a verdict, at most until ``deadline``."""
        for work in works:
            self._verdicts(work)
        while undecided := self._probing.undecided():
            self._progress(f"probing: {undecided} endpoints without a verdict yet")
            if not await self._verdicts_change(deadline):
                break
        for work in works:
            late = sum(verdict is not None and verdict.health is UNKNOWN.health for verdict in self._verdicts(work))
            if late and self._options.probe:
                limit = f"{self._options.timeout:g} s"
                work.result.errors.append(
                    f"{late} endpoints got no verdict within {limit}: their readiness stays as it is"
                )

    async def _verdicts_change(self, deadline: float) -> bool:
        """Takes over verdicts as soon as some change; False when the time is over."""
        clock = self._world.clock
        try:
            async with clock.timeout(max(0.0, deadline - clock.monotonic())):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        self._probing.collect(self._world.clock.monotonic())
        return True

    def _verdicts(self, work: _Work) -> tuple[Verdict | None, ...]:
        """The verdicts on the candidates, aligned; what they are is up to ``OnceOptions.probe``."""
        current = self._view.current(work.key)
        clock = self._world.clock
        candidates = work.state.candidates(current, clock.monotonic(), wall=clock.wall())
        rules = work.state.prepared.rules
        if self._options.probe:
            return self._probing.sync(work.key, candidates, rules)
        published = work.state.published(current)
        is_kept = (bool(rules) and published.get(candidate.identity) is not None for candidate in candidates)
        return tuple(UNKNOWN if kept else None for kept in is_kept)

    # ---- publish -----------------------------------------------------------------------------------------------------

    async def _publish(self, works: Sequence[_Work], deadline: float) -> None:
        self._progress("writing" if self._options.write else "planning")
        await in_parallel([partial(self._converge, work, deadline) for work in works], PARALLEL)

    async def _converge(self, work: _Work, deadline: float) -> None:
        """Plans and writes one service until there is nothing left to do, or no way to do it in time."""
        backoff = Backoff(random=self._world.random, base=PATIENCE, cap=MOST_PATIENCE)
        while True:
            changes = self._plan(work)
            if not self._options.write:
                await self._preview(work, changes)
                return
            if changes.is_empty:
                reasons, wait, hopeless = self._waiting_for(work), PATIENCE, False
            else:
                written = await self._write(work, changes)
                reasons = [failure(one.change, one.error) for one in written.failed]
                reasons += [f"{describe(one.change)}: its writes per minute are used up" for one in written.deferred]
                if not reasons and written.skipped:  # a namespace that is going away takes nothing new
                    work.result.errors += [f"{describe(one.change)}: {one.reason}" for one in written.skipped]
                    return
                if not reasons:
                    continue  # what was written may make room for more, such as the slices of a new Service
                wait = max(backoff.failed(work.key), written.retry_after or 0.0)
                hopeless = not all(may_be_retried(one.change, one.error) for one in written.failed)
            if not reasons:
                return
            if hopeless or self._world.clock.monotonic() + wait > deadline:
                work.result.errors += reasons
                return
            await self._world.clock.sleep(wait)
            await self._view.read([work.key])

    def _plan(self, work: _Work) -> Changes:
        """One look at a service; what it says replaces what the last look said."""
        clock, result = self._world.clock, work.result
        current = self._view.current(work.key)
        withheld: list[str] = []

        def adjust(endpoints: tuple[Endpoint, ...], published: Published) -> tuple[Endpoint, ...]:
            kept = endpoints if self._options.allow_empty else keep_published(endpoints, published)
            if kept is not endpoints:
                withheld.append(EVERY_ONE_FAILS)
            if self._options.policy == "upsert-only":
                return retain(kept, published.endpoints)
            if work.state.wholly_denied and not self._options.allow_empty:
                all_of_it = retain(kept, work.state.allowed(published.endpoints))
                if len(all_of_it) > len(kept):
                    withheld.append(NONE_IS_ALLOWED)
                return all_of_it
            return kept

        verdicts = self._verdicts(work)
        decision = work.state.decide(
            current,
            verdicts,
            now=clock.monotonic(),
            wall=clock.wall(),
            adjust=adjust,
            failback_delay=0.0 if self._may_fail_back(work, verdicts) else None,
        )
        result.decision, result.current = decision, current
        result.plan_errors = [str(refusal) for refusal in decision.plan.refusals]
        result.plan_errors += [f"source {name!r}: none of its backends can be used" for name in work.state.unusable]
        result.plan_errors += [f"source {name!r}: none of its backends is allowed" for name in work.state.wholly_denied]
        fault = self._probing.fault(work.key)
        if fault:
            result.plan_errors.append(fault)
        result.plan_withheld = withheld + self._withheld_by_guard(work, decision)
        remarks = work.state.remarks(decision, besides=work.doubted | work.state.unusable | work.state.wholly_denied)
        guarded = () if decision.suppressed is None else tuple(decision.suppressed.lines())
        told = [text for text in (*remarks, *self._probing.remarks(work.key)) if text not in (fault, *guarded)]
        result.plan_remarks = [text for text in told if text not in result.plan_errors]
        return allowed(decision.plan.changes, self._options.policy, service_exists=current.service is not None)

    def _withheld_by_guard(self, work: _Work, decision: Decision) -> list[str]:
        """What the guard withholds, where the policy would let it leave."""
        if decision.suppressed is None or self._options.policy != "sync":
            return []
        return list(decision.suppressed.lines(f"--allow-removal {work.key}"))

    def _may_fail_back(self, work: _Work, verdicts: Sequence[Verdict | None]) -> bool:
        """Whether a standby tier that is no longer needed goes at once.

        A pass ends before a delay could, and the next one would start it anew. In place of time it takes certainty:
        everything has answered, and every endpoint that is checked has a verdict of this pass.
        """
        if not work.state.settled:
            return False
        known = all(verdict is None or verdict.health is not UNKNOWN.health for verdict in verdicts)
        return not work.state.prepared.rules or (self._options.probe and known)

    def _waiting_for(self, work: _Work) -> list[str]:
        """What others have to do before the rest of the plan can be done."""
        decision = work.result.decision
        if decision is None or self._options.policy != "sync":
            return []
        return [str(note) for note in decision.plan.notes]

    async def _write(self, work: _Work, changes: Changes) -> Written:
        before = work.result.current
        stamp = self.keepers.stamp_beside(before) if self._options.take_over else None
        written = await self.writer.write(
            changes.items,
            stamp=lambda: stamp,
            writes_per_minute=work.state.prepared.manifest.spec.policy.writes_per_minute,
        )
        work.result.steps += [Step(done.change, find(before, done.change), done.obj) for done in written.done]
        return written

    async def _preview(self, work: _Work, changes: Changes) -> None:
        """What would be written; where that changes the Service, the rest is what would follow for the new Service."""
        result, current = work.result, work.result.current
        steps: list[Step] = []
        for change in changes.applies:
            after = await self._previewed_service(change, work)
            steps.append(Step(change, current.service, after))
            if after is not None:
                if current.service is None:  # the uid of a dry run is nobody's: names made of it would be other ones
                    after = msgspec.structs.replace(after, metadata=msgspec.structs.replace(after.metadata, uid=None))
                self._view.written(after)
                changes = self._plan(work)
        rest = (change for change in changes if not isinstance(change, ApplyService))
        result.steps = steps + [Step(change, find(current, change)) for change in rest]

    async def _previewed_service(self, change: ApplyService, work: _Work) -> Service | None:
        """The Service after ``change``, as the server says in a dry run, or as far as it can be known without asking.

        None where it cannot be known, or where the server refuses it, which is an error of the service.
        """
        try:
            return await self._world.store.apply_service(
                change.body, field_manager=FIELD_MANAGER, dry_run=True, timeout=self._options.request_timeout
            )
        except Forbidden:
            wish = work.state.prepared.wish
            return preview(wish) if wish is not None and work.result.current.service is None else None
        except StoreError as error:
            work.result.errors.append(failure(change, error))
            return None

    # ---- wait --------------------------------------------------------------------------------------------------------

    async def _wait(self, works: Sequence[_Work], deadline: float) -> None:
        """Follows the verdicts, and writes what they change, until every service has enough ready endpoints."""
        while short := [work for work in works if not self._ready_enough(work)]:
            self._progress(f"waiting: {len(short)} services with too few ready endpoints")
            if not await self._verdicts_change(deadline):
                break
            await self._publish(works, deadline)
        for work in works:
            work.result.ready_enough = self._ready_enough(work)

    def _ready_enough(self, work: _Work) -> bool:
        """Whether as many endpoints as the policy asks for are published as ready; an ExternalName Service has none."""
        shown = work.state.published(self._view.current(work.key)).endpoints
        ready = sum(endpoint.state is State.READY for endpoint in shown)
        return not work.state.sources or ready >= work.state.prepared.tier_policy.min_ready


def find(current: Current, change: Change) -> KubeObject | None:
    """The object that ``change`` is about, as it is before."""
    kind, namespace, name = object_key(change)
    objects = (current.service, current.endpoints, *current.slices)
    return next((o for o in objects if type(o) is kind and o.key == (namespace, name)), None)
