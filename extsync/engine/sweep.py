"""Sweep: after a start with ``--prune``, what this installation made and no manifest names goes.

``run`` itself removes only what it saw leave the manifests. What left them while it was down, or was kept by another
set of them, it cannot tell from what belongs to somebody who uses the same owner id: so the sweep is to be asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from extsync.engine.leading import Leadership
from extsync.engine.prune import leftovers
from extsync.engine.telling import describe, failure
from extsync.engine.view import ClusterView
from extsync.kube.flow import Backoff
from extsync.kube.writer import Writer
from extsync.model import ServiceKey
from extsync.plan.removal import removal
from extsync.seams import Clock, Random

log = logging.getLogger(__name__)

PAUSE = 5.0
"""Seconds between two looks."""


class Sweep:
    """Removes leftovers once all manifests could be read twice, ``delay`` seconds apart, and everything in between.

    ``spares`` says which services stay, above all those that a manifest names. It ends when it finds nothing more; a
    replica that does not lead for what is left waits for the one that does.
    """

    def __init__(
        self,
        view: ClusterView,
        writer: Writer,
        leadership: Leadership,
        *,
        owner: str,
        delay: float,
        spares: Callable[[ServiceKey], bool],
        clock: Clock,
        random: Random,
    ) -> None:
        self._view = view
        self._writer = writer
        self._leadership = leadership
        self._owner = owner
        self._delay = delay
        self._spares = spares
        self._clock = clock
        self._backoff = Backoff(random=random, base=PAUSE, cap=300.0)
        self._failures: dict[ServiceKey, str] = {}
        self._readable: tuple[float, float] | None = None

    def take(self, *, readable: bool) -> None:
        """A load of the manifests ended: whether everything in them was readable and right."""
        now = self._clock.monotonic()
        if not readable:
            self._readable = None
        else:
            self._readable = (now if self._readable is None else self._readable[0]), now

    async def run(self) -> None:
        """Call it when the caches are in step; returns when nothing is left."""
        self._readable = None  # what was read before the caches were in step does not count
        wait = PAUSE
        while True:
            await self._clock.sleep(wait)
            wait = PAUSE
            if not self._is_due():
                continue
            left = self._leftovers()
            if not left:
                log.info("nothing is left of what no manifest names")
                return
            if not await self._remove(left):
                wait = self._backoff.failed("sweep")

    def _is_due(self) -> bool:
        return self._readable is not None and self._readable[1] - self._readable[0] >= self._delay

    def _leftovers(self) -> list[ServiceKey]:
        return leftovers(self._view.objects(), self._owner, self._spares)

    async def _remove(self, left: list[ServiceKey]) -> bool:
        """Removes what is left of these services; returns whether anything was removed."""
        some = False
        for key in left:
            # Each look is a new one: manifests come and break, and leadership goes, while others are written.
            if self._is_due() and not self._spares(key) and self._leadership.leads(key):
                some |= await self._remove_one(key)
        return some

    async def _remove_one(self, key: ServiceKey) -> bool:
        changes = removal(self._view.current(key), self._owner)
        with self._leadership.writing(key):
            written = await self._writer.write(
                changes.items,
                fence=partial(self._leadership.fence, key),
                stamp=partial(self._leadership.stamp, key),
                is_superseded=lambda: self._spares(key),
            )
        for done in written.done:
            log.info("%s: %s: %s", key, describe(done.change), done.change.reason)
        told = "; ".join(failure(one.change, one.error) for one in written.failed)
        if told and self._failures.get(key) != told:
            log.warning("%s: %s", key, told)
        self._failures[key] = told
        return bool(written.done)
