"""The prober's surface over several worker processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import reduce
from typing import Final

import msgspec

from extsync.health.target import Evidence, Sign, Stats, Target
from extsync.health.workers.counts import NOTHING, added
from extsync.health.workers.ledger import Ledger, News
from extsync.health.workers.rules import Rule, Rules
from extsync.health.workers.shard import SILENT, Shard
from extsync.health.workers.wire import Setup
from extsync.model import Verdict
from extsync.seams import Clock, stable_fraction
from extsync.seams.child import Launcher, launch

log = logging.getLogger(__name__)

BEAT: Final = 1.0
"""Seconds between two questions whether a worker is there; each answer brings its counts."""


class ProberPool:
    """Probes targets in worker processes and reports transitions of their verdicts: see Prober, whose surface this is.

    Each target stays with one worker, which its id decides. A worker that dies, or does not answer, is replaced; its
    targets keep their verdicts meanwhile. The new one counts from zero, begins within a period, without the initial
    delay, and only what it concludes otherwise than the one before is a transition. A target whose check no worker can
    have is logged and not probed; its verdict stays and says why.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        workers: int,
        wake: Callable[[], None],
        max_in_flight: int = 10_000,
        source_addresses: Sequence[str] = (),
        launcher: Launcher = launch,
        beat: float = BEAT,
    ) -> None:
        """``max_in_flight`` is shared out evenly; ``source_addresses``: see SystemProbeIO.

        A worker is asked every ``beat`` seconds whether it is there, and replaced where it does not answer five times.
        """
        self._news = News(wake)
        self._rules = Rules(on_fault=self._on_fault, on_retired=self._on_retired)
        setup = Setup(
            max_in_flight=-(-max_in_flight // workers),
            source_addresses=tuple(source_addresses),
            stuck_after=SILENT * beat,
        )
        self._shards = [
            Shard(
                number,
                ledger=Ledger(self._rules, self._news),
                rules=self._rules,
                setup=setup,
                clock=clock,
                launch=launcher,
                beat=beat,
            )
            for number in range(1, workers + 1)
        ]
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Starts the workers; targets are taken at once, and probed as soon as their worker is ready."""
        self._tasks = [asyncio.create_task(shard.run(), name="probe-worker") for shard in self._shards]

    async def close(self) -> None:
        """Ends all workers and forgets all targets."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for shard in self._shards:
            shard.ledger.clear()
        self._news.clear()

    def upsert(self, targets: Iterable[Target]) -> None:
        """Adds targets, or changes them; see Prober.upsert. Raises ValueError as that does."""
        for target in targets:
            shard = self._shard(target.id)
            if shard.ledger.put(target):
                shard.tell(target.id)

    def remove(self, ids: Iterable[Hashable]) -> None:
        """Forgets targets, also what is not drained of them yet; unknown ids are ignored."""
        for target in ids:
            shard = self._shard(target)
            if entry := shard.ledger.drop(target):
                shard.tell_gone(target, entry)

    def drain(self) -> list[tuple[Hashable, Verdict]]:
        """The targets whose verdict has changed, or become stale or ceased to be, each with its present verdict."""
        return self._news.drain()

    def drain_signs(self) -> list[tuple[Hashable, Sign]]:
        """The targets that began to fail or ceased to since the last call; see Prober.drain_signs."""
        return self._news.drain_signs()

    def verdict(self, target: Hashable) -> Verdict:
        """The verdict on a target; UNKNOWN also where there is no such target."""
        return self._shard(target).ledger.verdict(target)

    async def evidence(self, target: Hashable, *, timeout: float = 1.0) -> tuple[Evidence, ...]:
        """What is known of each probe of a target; empty where there is none, or its worker has not got it yet.

        Raises TimeoutError where its worker does not answer within ``timeout`` seconds or is being replaced.
        """
        shard = self._shard(target)
        if shard.ledger.get(target) is None:
            return ()
        return await shard.ask(target, timeout=timeout)

    @property
    def stats(self) -> Stats:
        """The sums of what the workers told last, at most some beats ago."""
        return msgspec.structs.replace(
            reduce(added, (shard.stats for shard in self._shards), NOTHING),
            targets=sum(len(shard.ledger) for shard in self._shards),
            stale=sum(shard.ledger.stale for shard in self._shards),
            workers=sum(shard.ready for shard in self._shards),
            replaced=sum(shard.replaced for shard in self._shards),
        )

    def _shard(self, target: Hashable) -> Shard:
        return self._shards[int(stable_fraction(str(target)) * len(self._shards))]

    def _on_fault(self, rule: Rule) -> None:
        log.error("%s; %s, and whatever else it checks, is not probed", rule.trouble, rule.example)

    def _on_retired(self, rule: int) -> None:
        for shard in self._shards:
            shard.retire(rule)
