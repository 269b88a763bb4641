"""``apply``, ``diff`` and ``render``: discover, probe to a verdict, plan and, if asked, write; once.

A service whose sources did not all answer is not written at all. Everything else that must not happen by accident is
withheld and said, unless it was asked for: see ``OnceOptions``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from extsync.engine.converging import Converger
from extsync.engine.discovery import Discovery
from extsync.engine.keepers import Keepers
from extsync.engine.parallel import in_parallel
from extsync.engine.passes import OnceOptions, ServiceResult, Work
from extsync.engine.planning import Planner
from extsync.engine.prepare import Prepared
from extsync.engine.probing import Probing
from extsync.engine.snapshot import Snapshot
from extsync.engine.world import World
from extsync.health.prober import Prober
from extsync.kube.flow import TokenBucket
from extsync.kube.writer import Writer
from extsync.model import UNKNOWN, State

PARALLEL = 8
"""How many services are written at once."""


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
        self._discovery = Discovery(world, options, self._view, self.keepers)
        self._planner = Planner(options, self._view, self._probing, world.clock)
        self._converger = Converger(world, options, self._view, self._planner, self.writer, self.keepers)

    @property
    def warnings(self) -> list[str]:
        """What there is to say that is about no single service."""
        return self._discovery.warnings

    async def run(self, services: Iterable[Prepared]) -> list[ServiceResult]:
        """Does the pass and returns what became of each service, in their order.

        Raises StoreError where the cluster cannot be read: then nothing was written.
        """
        works = [Work(prepared, self._options) for prepared in services]
        deadline = self._world.clock.monotonic() + self._options.timeout
        self._progress("reading the cluster and the sources")
        await self._discovery.discover(works, deadline)
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

    async def _probe(self, works: Sequence[Work], deadline: float) -> None:
        """Probes until every endpoint has a verdict, at most until ``deadline``."""
        for work in works:
            self._planner.verdicts(work)
        while undecided := self._probing.undecided():
            self._progress(f"probing: {undecided} endpoints without a verdict yet")
            if not await self._verdicts_change(deadline):
                break
        for work in works:
            late = sum(
                verdict is not None and verdict.health is UNKNOWN.health for verdict in self._planner.verdicts(work)
            )
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

    async def _publish(self, works: Sequence[Work], deadline: float) -> None:
        self._progress("writing" if self._options.write else "planning")
        await in_parallel([partial(self._converger.converge, work, deadline) for work in works], PARALLEL)

    async def _wait(self, works: Sequence[Work], deadline: float) -> None:
        """Follows the verdicts, and writes what they change, until every service has enough ready endpoints."""
        while short := [work for work in works if not self._ready_enough(work)]:
            self._progress(f"waiting: {len(short)} services with too few ready endpoints")
            if not await self._verdicts_change(deadline):
                break
            await self._publish(works, deadline)
        for work in works:
            work.result.ready_enough = self._ready_enough(work)

    def _ready_enough(self, work: Work) -> bool:
        """Whether as many endpoints as the policy asks for are published as ready; an ExternalName Service has none."""
        shown = work.state.published(self._view.current(work.key)).endpoints
        ready = sum(endpoint.state is State.READY for endpoint in shown)
        return not work.state.sources or ready >= work.state.prepared.tier_policy.min_ready
