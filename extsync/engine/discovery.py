"""What a pass knows before it probes: the cluster as it is, and what each source says, once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from extsync.address_policy import AddressPolicy
from extsync.engine.cluster_ranges import read_ranges
from extsync.engine.keepers import Keepers
from extsync.engine.passes import OnceOptions, Work
from extsync.engine.snapshot import Snapshot
from extsync.engine.world import World, context_of
from extsync.errors import ConfigError
from extsync.limits import Limits
from extsync.model import Observation, Outcome
from extsync.sources.holds import LastGood
from extsync.sources.supervise import first_report

SOURCE_TIMEOUT = 10.0
"""Seconds that one source has for its first report."""


class Discovery:
    """Reads what a pass needs; what must not happen by accident becomes an error of its service, or is withheld."""

    def __init__(self, world: World, options: OnceOptions, view: Snapshot, keepers: Keepers) -> None:
        self._world = world
        self._options = options
        self._view = view
        self._keepers = keepers
        self.warnings: list[str] = []
        """What there is to say that is about no single service."""

    async def discover(self, works: Sequence[Work], deadline: float) -> None:
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

    async def _read_ranges(self, works: Sequence[Work]) -> None:
        """Which addresses the cluster itself has, since they are not to be published."""
        if not self._options.reads_ranges:
            return
        ranges = await read_ranges(self._world.store, self.warnings.append)
        made: dict[Limits, AddressPolicy] = {}
        for work in works:
            limits = work.state.prepared.limits
            if limits not in made:
                made[limits] = AddressPolicy(limits.rules, limits.ranges.joined(ranges))
            work.state.gathering.policy = made[limits]

    async def _ask_keeper(self, work: Work) -> None:
        """Leaves a service alone that a running extsync keeps."""
        current = self._view.current(work.key)
        if not self._options.write:
            work.result.warnings += filter(None, [await self._keepers.warning(current)])
        elif not self._options.take_over:
            work.result.errors += filter(None, [await self._keepers.refusal(current)])

    async def _read_source(self, work: Work, name: str, deadline: float) -> None:
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

    def _judge_sources(self, work: Work) -> None:
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

    def _judge_answer(self, work: Work, name: str, last_good: LastGood) -> None:
        """There is no time for holds: what an answer leaves out is gone, or it is not believed at all."""
        negative = last_good.negative()
        if not negative or self._options.allow_empty:
            if negative and work.state.gathering.may_lose(name, self._view.current(work.key)):
                work.state.guarding.allow()  # what leaves is what was asked about, and nobody knows whose the rest is
            last_good.advance(float("inf"))
            return
        says = "says that it has no backends" + (f" for {', '.join(negative)}" if any(negative) else "")
        if not work.state.gathering.may_lose(name, self._view.current(work.key)):
            work.result.warnings.append(f"source {name!r} {says}")
            last_good.advance(float("inf"))
            return
        work.doubted.add(name)
        work.result.withheld.append(f"source {name!r} {says}: what is published stays; --allow-empty lets it go")
        last_good.doubt(negative, "it says that it has no backends", self._world.clock.monotonic())
