"""Other processes that write the objects of the same owner id and ask another Lease, or none: people are told of them.

Nothing in the protocol keeps them from it. Both write what their manifests and probes say, so nothing is lost as long
as these agree; where they do not, endpoints go back and forth. That what this process wrote bears another mark shows
that somebody else wrote it. Whether that is a running extsync, its Lease says, which is looked at until it changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from extsync.engine.happenings import ANOTHER_WRITER, ANOTHER_WRITER_GONE, announce
from extsync.engine.keepers import Keepers
from extsync.engine.kept import Kept, OtherWriter
from extsync.engine.leading import Leadership
from extsync.engine.marks import UNMARKED
from extsync.errors import StoreError
from extsync.kube.events import Recorder
from extsync.kube.writer import Written
from extsync.model import ServiceKey
from extsync.objects import OWNER_LABEL, Service
from extsync.plan.contention import QUIET
from extsync.plan.plan import Current
from extsync.seams import Clock

PATIENCE = 60.0
"""Seconds for which a Lease is looked at; the longest that are in use last for less."""

CURE = "run all replicas with leaderElection and one leaseNamespace, or give each installation an owner id of its own"


class OtherWriters:
    """Finds other writers of the services that this replica leads for. ``changed(key)`` has one looked at."""

    def __init__(
        self,
        keepers: Keepers,
        leadership: Leadership,
        recorder: Recorder,
        *,
        owner: str,
        clock: Clock,
        changed: Callable[[ServiceKey], None],
    ) -> None:
        self._keepers = keepers
        self._leadership = leadership
        self._recorder = recorder
        self._owner = owner
        self._clock = clock
        self._changed = changed
        self._asked: dict[str, dict[ServiceKey, tuple[Kept, Service]]] = {}
        self._asks = asyncio.Event()

    def look(self, kept: Kept, current: Current) -> float | None:
        """Looks at the marks of the objects of a service that this replica leads for.

        Returns when (monotonic) to look again although nothing happens; None: never.
        """
        service, now, key = current.service, self._clock.monotonic(), kept.state.key
        if service is None:
            return None
        ours = (one for one in kept.state.published(current).objects if one.labels.get(OWNER_LABEL) == self._owner)
        for mark in kept.marks.look(ours, self._mine(key)):
            if kept.other_writer is not None and kept.other_writer.mark == mark:
                kept.other_writer.seen_at = now
            elif mark == UNMARKED:
                self._tell(kept, service, mark, "it has no leader election")
            else:
                self._asked.setdefault(mark, {})[key] = kept, service
                self._asks.set()
        other = kept.other_writer
        if other is None or now - other.seen_at < QUIET:
            return None if other is None else other.seen_at + QUIET
        kept.other_writer = None
        text = f"no other extsync has written it for {QUIET / 60:.0f} min"
        announce(self._recorder, [service], ANOTHER_WRITER_GONE, text)
        return None

    def wrote(self, kept: Kept, written: Written) -> None:
        """Takes note of what this process wrote."""
        for done in written.done:
            if done.obj is not None:
                kept.marks.wrote(done.obj)

    async def run(self) -> None:
        """Looks at the Leases that were seen on objects, one after the other, until it is cancelled."""
        while True:
            await self._asks.wait()
            self._asks.clear()
            while self._asked:
                mark = next(iter(self._asked))
                found = await self._find_out(mark)
                for kept, service in self._asked.pop(mark).values():
                    if found and kept.leads:
                        self._tell(kept, service, mark, found)

    async def _find_out(self, namespace: str) -> str:
        """Who holds the leader Lease in ``namespace``, in words; "" where nobody does."""
        lease = self._keepers.lease(namespace)
        try:
            async with self._clock.timeout(PATIENCE):
                holder = await self._keepers.living_holder(namespace)
        except TimeoutError:
            return f"its mark is that of Lease {lease}, which has not run out yet"
        except StoreError as error:
            return f"its mark is that of Lease {lease}, which cannot be read: {error}"
        return f"{holder} holds Lease {lease}" if holder else ""

    def _tell(self, kept: Kept, service: Service, mark: str, why: str) -> None:
        text = f"another extsync with owner id {self._owner!r} writes it as well, {why}: {CURE}"
        kept.other_writer = OtherWriter(mark, text, self._clock.monotonic())
        announce(self._recorder, [service], ANOTHER_WRITER, text)
        self._changed(kept.state.key)

    def _mine(self, key: ServiceKey) -> str | None:
        stamp = self._leadership.stamp(key)
        return None if stamp is None else stamp.namespace
