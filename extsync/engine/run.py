"""``run``: keeps a store in step with the manifests until it is stopped.

Level-triggered: a changed object, manifest, source or verdict only puts the service's key on the queue. Its reconcile
reads the present state of everything, plans from it and writes what differs, so nothing depends on having seen
each event.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from extsync.address_policy import AddressPolicy
from extsync.config.loader import Loaded, LoadResult
from extsync.config.problems import Problem
from extsync.engine.adoptees import Adoptees
from extsync.engine.cluster_ranges import ReadRanges
from extsync.engine.contests import Contests
from extsync.engine.denials import record_denials
from extsync.engine.desired import Step
from extsync.engine.explain import ServiceDetail, details
from extsync.engine.isolation import Isolation
from extsync.engine.journal import Journal, Topic
from extsync.engine.kept import Kept
from extsync.engine.leading import Alone, Concerns, Leadership
from extsync.engine.manifests import ManifestFeed
from extsync.engine.options import Options
from extsync.engine.ownership import Ownership
from extsync.engine.prepare import prepare
from extsync.engine.prober import make_prober
from extsync.engine.probing import Probing
from extsync.engine.publishing import Publisher
from extsync.engine.queue import WorkQueue
from extsync.engine.service import Decision, ServiceState
from extsync.engine.sources import RunningSources
from extsync.engine.status import ProcessStatus, ServiceStatus, service_status
from extsync.engine.sweep import Sweep
from extsync.engine.view import ClusterView, service_keys
from extsync.engine.withholding import record
from extsync.engine.world import World
from extsync.errors import ConfigError, StoreError
from extsync.health.target import Evidence
from extsync.histogram import Histogram
from extsync.kube.answered import is_as_sent
from extsync.kube.events import Recorder
from extsync.kube.flow import TokenBucket
from extsync.kube.metered import Metered
from extsync.kube.trouble import Trouble
from extsync.kube.writer import Writer, Written
from extsync.model import Observation, ServiceKey
from extsync.objects import KubeObject
from extsync.plan.doubt import SelfDoubt
from extsync.plan.removal import removal
from extsync.seams import Timer

log = logging.getLogger(__name__)

GATHER = 0.02
"""Seconds in which verdicts are gathered before services are planned anew: one plan for what falls down together."""

SPREAD = 57.0
"""Seconds over which the writes per minute of a service are spread while its verdicts keep changing, as at a start or
when a rack loses its power: then no verdict has to wait until a minute is over."""

PLAN_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""The bounds between which durations of plans are counted."""

SOONEST = 0.01
"""Seconds until the soonest look at a service that nothing but time asks for."""


class Engine:
    """Runs every service of the manifests against one store, and writes for those for which this replica leads."""

    def __init__(self, world: World, options: Options, *, leadership: Leadership | None = None) -> None:
        """``leadership`` None: there is one replica only."""
        self._world = world
        self._options = options
        self._leadership = leadership or Alone()
        clock = world.clock
        store = self._store = Metered(world.store, clock)
        self._queue = WorkQueue(clock)
        trouble = Trouble(clock=clock)
        self._view = ClusterView(
            store,
            clock=clock,
            random=world.random,
            namespaces=options.namespaces,
            on_change=self._object_changed,
            on_answer=lambda: self._publisher.answered(),
            trouble=trouble,
        )
        self._verdicts_changed = asyncio.Event()
        self._prober = make_prober(
            world,
            workers=options.probe_workers,
            source_addresses=options.probe_source_addresses,
            max_in_flight=options.max_in_flight,
            wake=self._verdicts_changed.set,
        )
        self._probing = Probing(self._prober, on_change=self._verdicts_of, doubt=SelfDoubt(options.doubt))
        writer = Writer(
            store,
            clock=clock,
            limiter=TokenBucket(clock=clock, qps=options.qps, burst=options.burst),
            written=self._wrote,
            deleted=self._view.deleted,
            timeout=options.request_timeout,
        )
        self._recorder = Recorder(
            store,
            clock=clock,
            random=world.random,
            instance=options.instance,
            may_tell=lambda about: any(map(self._leadership.leads, service_keys(about))),
        )
        contests = Contests(self._recorder, clock)
        self._publisher = Publisher(
            writer,
            self._queue,
            self._leadership,
            contests,
            clock=clock,
            random=world.random,
            trouble=trouble,
            lane_width=max(1, options.concurrency // 4),
        )
        self._adoptees = Adoptees(store, timeout=options.request_timeout)
        self._ownership = Ownership(self._recorder)
        self._sweep = Sweep(
            self._view,
            writer,
            self._leadership,
            owner=options.owner,
            delay=options.removal_delay,
            spares=self._spares,
            clock=clock,
            random=world.random,
        )
        self._isolation = Isolation(self._probing, self._recorder, clock)
        self._policy = options.limits.policy
        self._ranges: ReadRanges | None = None
        if options.reads_ranges and world.watcher is not None:
            self._ranges = ReadRanges(world.store, world.watcher, clock=clock, on_change=self._ranges_changed)
        self._services: dict[ServiceKey, Kept] = {}
        self._plan_seconds = Histogram.of(*PLAN_SECONDS)
        self._synced = self._loaded = self._is_own = False
        self._problems: frozenset[Problem] = frozenset()
        self._refused: dict[ServiceKey, Loaded] = {}
        self._said: dict[ServiceKey, str] = {}
        self._tasks: asyncio.TaskGroup

    async def run(self, feed: ManifestFeed) -> None:
        """Runs until it is cancelled. Raises ExceptionGroup only for a defect."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._view.start(tasks)
                await self._prober.start()
                self._probing.watch_sentinels(self._options.sentinels)
                tasks.create_task(self._collect_verdicts(), name="verdicts")
                tasks.create_task(self._recorder.run(), name="events")
                tasks.create_task(feed.run(self._take), name="manifests")
                if self._ranges is not None:
                    tasks.create_task(self._ranges.run(), name="ranges")
                    await self._ranges.settled()
                await self._view.synced()
                self._synced = True
                log.info("read what the cluster has")
                if self._options.prune:
                    tasks.create_task(self._sweep.run(), name="sweep")
                self._leadership.start(tasks, changed=self._leads_or_not, in_doubt=lambda: bool(self._probing.freeze))
                for number in range(self._options.concurrency):
                    tasks.create_task(self._work(), name=f"worker-{number}")
        finally:
            self._queue.close()
            await self._prober.close()

    def status(self) -> ProcessStatus:
        """The process as it is now."""
        freeze = self._probing.freeze
        return ProcessStatus(
            owner=self._options.owner,
            instance=self._options.instance,
            synced=self._synced and self._loaded,
            services=len(self._services),
            queued=len(self._queue),
            queue_age=self._queue.age,
            isolated="" if freeze is None else freeze.reason,
            probes=self._prober.stats,
            requests=self._store.requests,
            plan_seconds=self._plan_seconds,
            events_dropped=self._recorder.dropped,
            leases=self._leadership.leases(),
        )

    def service_status(self, key: ServiceKey) -> ServiceStatus | None:
        """One service as it is now; None where it is not kept."""
        kept = self._services.get(key)
        if kept is None:
            return None
        return service_status(
            kept,
            transitions=self._probing.transitions(key),
            isolated=self._probing.is_frozen(key),
            leads=self._leadership.leads(key),
            now=self._world.clock.monotonic(),
        )

    def details(self, key: ServiceKey, *, address: str, most: int) -> ServiceDetail | None:
        """What is known of one service but for the evidence of its probes; None where it is not kept.

        Of its endpoints, or those at ``address``, ``most`` are told of.
        """
        kept = self._services.get(key)
        return None if kept is None else details(kept, self._probing.targets(key), address=address, most=most)

    async def evidence(self, target: str) -> tuple[Evidence, ...]:
        """The probes of an endpoint that ``details`` names as ``target``; raises TimeoutError where nobody answers."""
        found = self._prober.evidence(target)
        return found if isinstance(found, tuple) else await found

    def service_keys(self) -> list[ServiceKey]:
        """The services that are kept, sorted."""
        return sorted(self._services)

    async def hand_over(self) -> None:
        """Lets the writes under way end, and lets another replica take over; ``run`` is to be cancelled then."""
        await self._leadership.hand_over()

    def services(self) -> dict[ServiceKey, tuple[ServiceState, Decision | None]]:
        """Every service that is kept, with what the last look at it decided."""
        return {key: (kept.state, kept.decision) for key, kept in sorted(self._services.items())}

    # ---- manifests ---------------------------------------------------------------------------------------------------

    def _take(self, step: Step, result: LoadResult) -> None:
        """Takes up what a load of the manifests changed."""
        self._loaded = True
        self._sweep.take(readable=result.ok)
        known, self._problems = self._problems, frozenset(result.problems)
        for problem in (problem for problem in result.problems if problem not in known):
            log.log(logging.ERROR if problem.severity == "error" else logging.WARNING, "%s", problem)
        self._refused.update({loaded.manifest.key: loaded for loaded in step.changed})
        for key in step.removed:
            self._refused.pop(key, None)
            self._take_down(key)
        for loaded in list(self._refused.values()):  # also those from before: a certificate may be mounted late
            if self._take_up(loaded):
                del self._refused[loaded.manifest.key]

    def _take_up(self, loaded: Loaded) -> bool:
        """Keeps the service of ``loaded`` from now on as it says; False where that cannot be, for now."""
        key = loaded.manifest.key
        if not self._view.covers(key.namespace):
            self._say(key, "its namespace is not among the settings' namespaces, so nothing can be done for it")
            return False
        try:
            prepared = prepare(loaded.manifest, loaded.base_dir, owner=self._options.owner, limits=self._options.limits)
        except ConfigError as error:
            self._say(key, f"{error}; what was in force goes on")
            return False
        except Exception:  # of a plugin: it must not take the other services down with it
            log.exception("%s: its manifest cannot be taken up", key)
            return False
        self._said.pop(key, None)
        kept = self._services.get(key)
        if kept is None or kept.leaving:
            sources = RunningSources(self._world, self._tasks, observe=partial(self._observe, key))
            kept = self._services[key] = Kept(ServiceState(prepared), sources, Journal(self._world.clock))
            kept.say(Topic.MANIFEST, f"kept from now on, as {loaded.file} says")
        else:
            kept.state.take(prepared)
            kept.say(Topic.MANIFEST, f"its manifest changed in {loaded.file}")
        kept.sources.follow(prepared)
        self._queue.add(key)
        return True

    def _take_down(self, key: ServiceKey) -> None:
        if kept := self._services.get(key):
            kept.say(Topic.MANIFEST, "no manifest names it any more: what extsync made for it is removed")
            kept.leaving = True
            kept.sources.stop()
            self._queue.add(key)

    def _say(self, key: ServiceKey, text: str) -> None:
        """Logs an error of a manifest, once as long as it stays the same."""
        if self._said.get(key) != text:
            self._said[key] = text
            log.error("%s: %s", key, text)

    def _observe(self, key: ServiceKey, source: str, observation: Observation) -> None:
        if kept := self._services.get(key):
            kept.reports[source, observation.outcome] += 1
            if kept.state.observe(source, observation, self._world.clock.monotonic()):
                self._queue.add(key)

    def _spares(self, key: ServiceKey) -> bool:
        """Whether the sweep leaves a service alone: a manifest names it, or none was allowed to."""
        elsewhere = self._options.only_in not in (None, key.namespace)
        return elsewhere or key in self._services or key in self._refused

    # ---- what changes ------------------------------------------------------------------------------------------------

    def _object_changed(self, key: ServiceKey) -> None:
        if key in self._services and not self._is_own:
            self._queue.add(key)

    def _wrote(self, obj: KubeObject) -> None:
        """Takes in what the store answered to a write; whoever wrote sees to it whether there is more to do."""
        self._is_own = True
        try:
            self._view.written(obj)
        finally:
            self._is_own = False

    def _ranges_changed(self) -> None:
        """Which addresses the cluster has decides which backends are allowed, of every service."""
        assert self._ranges is not None
        limits = self._options.limits
        self._policy = AddressPolicy(limits.rules, limits.ranges.joined(self._ranges.ranges))
        for key in self._services:
            self._queue.add(key)

    def _verdicts_of(self, key: ServiceKey) -> None:
        if kept := self._services.get(key):
            self._queue.add_after(key, kept.rests_until - self._world.clock.monotonic())

    def _leads_or_not(self, concerns: Concerns) -> None:
        """This replica begins or ceases to lead for some services."""
        for key, kept in self._services.items():
            if concerns(key):
                kept.leads = kept.leads and self._leadership.leads(key)
                self._queue.add(key)

    async def _collect_verdicts(self) -> None:
        clock = self._world.clock
        timer: Timer | None = None
        while True:
            await self._verdicts_changed.wait()
            await clock.sleep(GATHER)
            self._verdicts_changed.clear()
            look_again = self._probing.collect(clock.monotonic())
            if timer is not None:
                timer.cancel()
            timer = None
            if look_again is not None:
                timer = clock.call_later(max(0.0, look_again - clock.monotonic()), self._verdicts_changed.set)
            self._isolation.log()

    # ---- reconcile ---------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._serve(key)
            finally:
                self._queue.done(key)

    async def _serve(self, key: ServiceKey) -> None:
        kept = self._services.get(key)
        if kept is None:
            return
        try:
            written = await self._reconcile(kept)
        except StoreError as error:
            kept.warn([f"what is to be taken over cannot be read: {error}"])
            self._publisher.failed(key)
        except Exception:  # a defect: it must not take the other services down with it
            log.exception("%s: a defect in extsync; tried again in %.0f s", key, self._publisher.failed(key))
        else:
            self._publisher.settle(kept, written)

    async def _reconcile(self, kept: Kept) -> Written:
        """current, desired, plan, write: one look at one service."""
        key, clock = kept.state.key, self._world.clock
        self._see_who_leads(kept)
        if kept.leaving:
            return await self._remove(kept)
        current = await self._adoptees.completed(key, self._view.current(key), kept.state.prepared.pack_policy)
        now = clock.monotonic()
        kept.state.policy = self._policy
        candidates = kept.state.candidates(current, now, wall=clock.wall())
        if not (kept.leads or self._options.standby_probes):
            return self._stand_by(kept, now)
        published = kept.state.published(current)
        verdicts = self._probing.sync(key, candidates, kept.state.prepared.rules, published=published)
        verdicts = kept.deference.apply(candidates, verdicts, now)
        decision = kept.state.decide(current, verdicts, now=now, wall=clock.wall())
        self._plan_seconds.observe(clock.monotonic() - now)
        kept.tell_sources(now)
        kept.report(decision, self._probing.remarks(key))
        for at in filter(None, (decision.look_again, kept.deference.look_again)):
            self._queue.add_after(key, max(SOONEST, at - now))
        if not kept.leads:
            kept.deference.note(candidates, decision.judged, verdicts, published, now)
            return Written()
        self._isolation.record(kept, current.service)
        record_denials(kept, current.service, self._recorder)
        record(kept, current.service, self._recorder)
        self._ownership.refused(kept, decision.plan.refusals, current)
        if not decision.plan.changes.is_empty:
            kept.rests_until = now + SPREAD / kept.state.prepared.manifest.spec.policy.writes_per_minute
        written = await self._publisher.write(kept, decision.plan.changes)
        if written.done and (decision.plan.notes or not all(map(is_as_sent, written.done))):
            self._queue.add(key)  # what was written may make room for more, or was changed on its way
        self._ownership.written(kept, written, current.service)
        return written

    def _see_who_leads(self, kept: Kept) -> None:
        leads = self._leadership.leads(kept.state.key)
        if leads and not kept.leads:
            self._publisher.afresh(kept.state.key)
            kept.begin_to_lead(self._world.clock.monotonic())
        kept.leads = leads

    def _stand_by(self, kept: Kept, now: float) -> Written:
        """Follows the sources and leaves the probing to the replica that leads."""
        self._probing.forget(kept.state.key)
        kept.state.rest()
        kept.tell_sources(now)
        return Written()

    async def _remove(self, kept: Kept) -> Written:
        """Takes away what was made for a service whose manifest is gone."""
        key = kept.state.key
        self._probing.forget(key)
        # A Service that its manifest did not keep stays, also where it could not be released.
        with_service = kept.state.prepared.wish is not None
        changes = removal(self._view.current(key), self._options.owner, with_service=with_service)
        if not (kept.leads or changes.is_empty):
            return Written()
        written = await self._publisher.write(kept, changes)
        if self._services.get(key) is kept and len(written.done) == len(changes):
            del self._services[key]
            self._publisher.forget(key)
            self._adoptees.forget(key)
        return written
