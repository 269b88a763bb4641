"""Who is alive: each replica renews a Lease of its own, its member Lease, and sees those of the others.

Nothing that is safe or not depends on it: it only says who should stand for what. A member Lease that has not changed
for the lease duration is that of a dead replica; one without a holder is that of a replica that lives and had better
not lead. A replica deletes its own when it ends, and those that have been dead for long whoever comes by.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import msgspec

from extsync.errors import AlreadyExists, Conflict, NotFound, StoreError, cure
from extsync.kube import lease_record
from extsync.kube.lease_names import leader_lease, member_lease
from extsync.kube.lease_timing import Timing
from extsync.kube.store import Store
from extsync.kube.trouble import Trouble
from extsync.objects import OWNER_LABEL, SHARDS_LABEL, Lease, LeaseSpec, ObjectMeta
from extsync.seams import Clock

LONG_DEAD: Final = 3600.0
"""Seconds after which the Lease of a dead replica is deleted, as the API server does with those of its own kind."""


class _Seen(msgspec.Struct):
    """A Lease of the installation, since when it is as it is, and since when its replica has lived without a gap."""

    lease: Lease
    changed_at: float
    alive_since: float


class Members:
    """The replicas of one installation, of which this one is ``identity``, with so many ``shards``."""

    def __init__(
        self,
        store: Store,
        *,
        namespace: str,
        owner: str,
        identity: str,
        shards: int,
        clock: Clock,
        timing: Timing,
        trouble: Trouble,
    ) -> None:
        self._store = store
        self._namespace = namespace
        self._owner = owner
        self._identity = identity
        self._shards = str(shards)
        self._clock = clock
        self._timing = timing
        self._trouble = trouble
        self._name = member_lease(owner, identity)
        self._prefix = f"{leader_lease(owner)}."
        self._mine: Lease | None = None
        self._seen: dict[str, _Seen] = {}
        self.willing = True
        """Whether this replica shows itself as one that may lead."""

    def alive(self) -> dict[str, float]:
        """The other replicas with as many shards that are alive and willing to lead, and since when (monotonic).

        A replica whose Lease was first seen just now may be dead: nobody knows before the lease duration is over.
        """
        now = self._clock.monotonic()
        return {
            lease_record.holder_of(seen.lease.spec): seen.alive_since
            for name, seen in sorted(self._seen.items())
            if name != self._name and self._counts(seen.lease) and self._is_alive(seen, now)
        }

    def _counts(self, lease: Lease) -> bool:
        return lease.labels.get(SHARDS_LABEL) == self._shards

    def _is_alive(self, seen: _Seen, now: float) -> bool:
        holds = bool(lease_record.holder_of(seen.lease.spec))
        return holds and now - seen.changed_at < self._timing.lease_duration

    def observe(self, name: str, lease: Lease | None) -> None:
        """Takes in what a watch tells of a Lease of this installation, None that it is gone."""
        now = self._clock.monotonic()
        known = self._seen.get(name)
        if lease is None:
            self._seen.pop(name, None)
        elif known is None:
            self._seen[name] = _Seen(lease, now, now)
        elif known.lease.spec != lease.spec:
            since = known.alive_since if self._is_alive(known, now) else now
            self._seen[name] = _Seen(lease, now, since)

    # ---- this replica ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Shows that this replica is alive until it is cancelled, and cleans up after those that are not."""
        while True:
            try:
                await self._renew()
                await self._sweep()
            except StoreError as error:
                self._trouble.met(self, error, f"{self._namespace}/{self._name}: {error}{cure(error)}")
            else:
                self._trouble.over(self)
            await self._clock.sleep(self._timing.retry_period)

    async def leave(self, *, timeout: float) -> None:
        """Shows that this replica is going; to be called when ``run`` does not renew any more."""
        with suppress(StoreError):
            if self._mine is not None:
                await self._delete(self._mine, timeout=timeout)

    async def _renew(self) -> None:
        identity, timeout = (self._identity if self.willing else ""), self._timing.renew_deadline
        known = LeaseSpec() if self._mine is None else self._mine.spec
        spec = lease_record.held(known, identity, self._timing.lease_duration, wall=self._clock.wall())
        try:
            if self._mine is not None:
                changed = msgspec.structs.replace(self._mine, spec=spec)
                self._mine = await self._store.update(changed, timeout=timeout)
                return
            labels = {OWNER_LABEL: self._owner, SHARDS_LABEL: self._shards}
            metadata = ObjectMeta(name=self._name, namespace=self._namespace, labels=labels)
            self._mine = await self._store.create(Lease(metadata=metadata, spec=spec), timeout=timeout)
        except NotFound:
            self._mine = None
        except (AlreadyExists, Conflict):  # a write whose answer was lost, or a person's
            self._mine = await self._store.get(Lease, self._namespace, self._name, timeout=timeout)

    # ---- those who are gone ------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """Deletes the Leases of replicas that died long ago, and of shards that there are no more."""
        now = self._clock.monotonic()
        for name, seen in list(self._seen.items()):
            if name.startswith(self._prefix) and name != self._name and now - seen.changed_at >= LONG_DEAD:
                with suppress(Conflict, NotFound):  # then it is not dead, or gone
                    await self._delete(seen.lease, timeout=self._timing.renew_deadline)
                self._seen.pop(name, None)

    async def _delete(self, lease: Lease, *, timeout: float) -> None:
        await self._store.delete(
            Lease,
            *lease.key,
            uid=lease.metadata.uid or "",
            resource_version=lease.metadata.resource_version,
            timeout=timeout,
        )
