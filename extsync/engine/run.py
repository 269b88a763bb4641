"""``run``: keeps a store in step with the manifests until it is stopped.

Level-triggered: a changed object, manifest, source or verdict only puts the service's key on the queue. Its reconcile
reads the present state of everything and plans from it, so nothing depends on having seen each event. What makes an
engine is put together here; which services there are is in ``services``, one look at one of them in ``reconcile``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from extsync.address_policy import AddressPolicy
from extsync.config.loader import LoadResult
from extsync.engine.cluster_ranges import ReadRanges
from extsync.engine.contests import Contests
from extsync.engine.desired import Step
from extsync.engine.explain import ServiceDetail, details
from extsync.engine.followers import Follower
from extsync.engine.isolation import Isolation
from extsync.engine.keepers import Keepers
from extsync.engine.leading import Alone, Concerns, Leadership
from extsync.engine.manifests import ManifestFeed
from extsync.engine.options import Options
from extsync.engine.other_writers import PATIENCE, OtherWriters
from extsync.engine.prober import make_prober
from extsync.engine.probing import Probing
from extsync.engine.publishing import Publisher
from extsync.engine.queue import WorkQueue
from extsync.engine.reconcile import Reconciler
from extsync.engine.service import Decision, ServiceState
from extsync.engine.services import Services
from extsync.engine.status import ProcessStatus, ServiceStatus, endpoints, service_status
from extsync.engine.sweep import Sweep
from extsync.engine.view import ClusterView, service_keys
from extsync.engine.world import World
from extsync.health.target import Evidence
from extsync.kube.events import Recorder
from extsync.kube.flow import TokenBucket
from extsync.kube.metered import Metered
from extsync.kube.trouble import Trouble
from extsync.kube.witness import Witness
from extsync.kube.writer import Writer
from extsync.model import Endpoint, ServiceKey
from extsync.plan.doubt import SelfDoubt
from extsync.seams import Timer

log = logging.getLogger(__name__)

GATHER = 0.02
"""Seconds in which verdicts are gathered before services are planned anew: one plan for what falls down together."""

CONFIRMED = 3.0
"""Seconds in which verdicts are gathered that only confirm what is published, as nearly all do after a start."""


class Engine:
    """Runs every service of the manifests against one store, and writes for those for which this replica leads."""

    def __init__(self, world: World, options: Options, *, leadership: Leadership | None = None) -> None:
        """``leadership`` None: there is one replica only."""
        self._world = world
        self._options = options
        self._leadership = leadership or Alone()
        clock = world.clock
        store = self._store = Metered(Witness(world.store, world.era), clock)
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
            era=world.era,
        )
        self._verdicts_changed = asyncio.Event()
        self._prober = make_prober(
            world,
            workers=options.probe_workers,
            source_addresses=options.probe_source_addresses,
            max_in_flight=options.max_in_flight,
            wake=self._verdicts_changed.set,
        )
        self._probing = Probing(
            self._prober, on_change=self._verdicts_of, on_confirmed=self._confirmed, doubt=SelfDoubt(options.doubt)
        )
        writer = Writer(
            store,
            clock=clock,
            limiter=TokenBucket(clock=clock, qps=options.qps, burst=options.burst),
            written=self._view.written,
            deleted=self._view.deleted,
            timeout=options.request_timeout,
        )
        self._recorder = Recorder(
            store,
            clock=clock,
            random=world.random,
            instance=options.instance,
            qps=options.qps,
            burst=options.burst,
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
        self._isolation = Isolation(self._probing, self._recorder, clock)
        self._services = Services(world, options, covers=self._view.covers, changed=self._queue.add)
        self._others = OtherWriters(
            Keepers(store, owner=options.owner, clock=clock, timeout=options.request_timeout, patience=PATIENCE),
            self._leadership,
            self._recorder,
            owner=options.owner,
            clock=clock,
            changed=self._queue.add,
        )
        self._reconciler = Reconciler(
            self._services,
            self._view,
            self._queue,
            self._probing,
            self._publisher,
            self._leadership,
            self._recorder,
            self._isolation,
            self._others,
            store=store,
            options=options,
            clock=clock,
        )
        self._sweep = Sweep(
            self._view,
            writer,
            self._leadership,
            owner=options.owner,
            delay=options.removal_delay,
            spares=self._services.spares,
            clock=clock,
            random=world.random,
        )
        self._ranges: ReadRanges | None = None
        if options.reads_ranges and world.watcher is not None:
            self._ranges = ReadRanges(world.store, world.watcher, clock=clock, on_change=self._ranges_changed)
        self._synced = self._loaded = False

    async def run(self, feed: ManifestFeed) -> None:
        """Runs until it is cancelled. Raises ExceptionGroup only for a defect."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._services.start(tasks)
                self._view.start(tasks)
                await self._prober.start()
                self._probing.watch_sentinels(self._options.sentinels)
                tasks.create_task(self._collect_verdicts(), name="verdicts")
                tasks.create_task(self._recorder.run(), name="events")
                tasks.create_task(self._others.run(), name="other-writers")
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
                    tasks.create_task(self._reconciler.work(), name=f"worker-{number}")
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
            cache_age=self._view.age(),
            isolated="" if freeze is None else freeze.reason,
            probes=self._prober.stats,
            requests=self._store.requests,
            plan_seconds=self._reconciler.plan_seconds,
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
            self._view.current(key),
            transitions=self._probing.transitions(key),
            isolated=self._probing.is_frozen(key),
            leads=self._leadership.leads(key),
            now=self._world.clock.monotonic(),
        )

    def endpoints(self, key: ServiceKey) -> list[tuple[str, Endpoint]]:
        """The endpoints that are published of one service, each with the name of its source."""
        kept = self._services.get(key)
        return [] if kept is None else endpoints(kept)

    def details(self, key: ServiceKey, *, address: str, most: int, skip: int = 0) -> ServiceDetail | None:
        """What is known of one service but for the evidence of its probes; None where it is not kept.

        Of its endpoints, or those at ``address``, ``most`` are told of, after the first ``skip``.
        """
        kept = self._services.get(key)
        targets = self._probing.targets(key)
        return None if kept is None else details(kept, targets, address=address, most=most, skip=skip)

    async def evidence(self, target: str) -> tuple[Evidence, ...]:
        """The probes of an endpoint that ``details`` names as ``target``; raises TimeoutError where nobody answers."""
        found = self._prober.evidence(target)
        return found if isinstance(found, tuple) else await found

    def service_keys(self) -> list[ServiceKey]:
        """The services that are kept, sorted."""
        return sorted(self._services)

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Has ``follower`` told of each service of which there may be something new, until what is returned is called.

        Of services that come and go it is told, too.
        """
        return self._services.followers.add(follower)

    async def hand_over(self) -> None:
        """Lets the writes under way end, and lets another replica take over; ``run`` is to be cancelled then."""
        await self._leadership.hand_over()

    def services(self) -> dict[ServiceKey, tuple[ServiceState, Decision | None]]:
        """Every service that is kept, with what the last look at it decided."""
        return {key: (kept.state, kept.decision) for key, kept in sorted(self._services.items())}

    # ---- what changes ------------------------------------------------------------------------------------------------

    def _take(self, step: Step, result: LoadResult) -> None:
        """Takes up what a load of the manifests changed."""
        self._loaded = True
        self._sweep.take(readable=result.ok)
        self._services.take(step, result)

    def _object_changed(self, key: ServiceKey) -> None:
        if key in self._services:
            self._queue.add(key)

    def _ranges_changed(self) -> None:
        """Which addresses the cluster has decides which backends are allowed, of every service."""
        assert self._ranges is not None
        limits = self._options.limits
        self._reconciler.policy = AddressPolicy(limits.rules, limits.ranges.joined(self._ranges.ranges))
        for key in self._services:
            self._queue.add(key)

    def _verdicts_of(self, key: ServiceKey) -> None:
        if kept := self._services.get(key):
            self._queue.add_after(key, kept.rests_until - self._world.clock.monotonic())

    def _confirmed(self, key: ServiceKey) -> None:
        self._queue.add_after(key, CONFIRMED)

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
