"""Whether a running extsync keeps a Service, for commands that would write beside it.

What an elected replica writes bears its stamp, which names a Lease's namespace; the owner id gives the leader Lease
there, which is held as long as any replica of that installation may write. Whether it is held is found out as replicas
do it: by whether it changes. Neither its times nor this machine's clock say anything, as clocks differ, and a holder's
name stays in the Lease of a replica that was killed.
"""

from __future__ import annotations

import asyncio

import msgspec

from extsync.engine.retry import retrying
from extsync.errors import Forbidden, NotFound, StoreError
from extsync.kube.lease_names import leader_lease
from extsync.kube.lease_record import holder_of
from extsync.kube.stamp import Stamp, stamp_of
from extsync.kube.store import Store
from extsync.objects import OWNER_LABEL, Lease
from extsync.plan.plan import Current
from extsync.seams import Clock

LOOK = 0.5
"""Seconds between two looks at a Lease."""

HAND_OVER = 3.0
"""Seconds for which a Lease without a holder is looked at: it may be on its way to the next one."""

APPLY = "apply"
"""The identity in the stamp of what is written beside a running extsync."""

UNKNOWN = "it is not known whether a running extsync keeps it"
ANYWAY = "or write all the same with --take-over"


class Keepers:
    """The running installations of ``owner``, as far as objects name them. Each Lease is watched once."""

    def __init__(self, store: Store, *, owner: str, clock: Clock, timeout: float, patience: float) -> None:
        """``timeout`` is of one request; ``patience`` (seconds) of the whole question."""
        self._store = store
        self._owner = owner
        self._clock = clock
        self._timeout = timeout
        self._patience = patience
        self._asked: dict[str, asyncio.Task[str]] = {}

    def stamp(self, current: Current) -> Stamp | None:
        """The stamp on the objects of a service, None where no elected replica wrote them."""
        objects = [obj for obj in (*current.slices, current.endpoints) if obj is not None]
        ours = (obj for obj in objects if obj.labels.get(OWNER_LABEL) == self._owner)
        return next((stamp for obj in ours if (stamp := stamp_of(obj)) is not None), None)

    def stamp_beside(self, current: Current) -> Stamp | None:
        """What to stamp with what is written although a running extsync keeps the service: still that it does."""
        stamp = self.stamp(current)
        return None if stamp is None else msgspec.structs.replace(stamp, identity=APPLY)

    async def refusal(self, current: Current) -> str:
        """Why the objects of a service are not to be written, "" where nobody else keeps them.

        That takes up to the duration of the Lease where its holder died.
        """
        stamp = self.stamp(current)
        if stamp is None:
            return ""
        if stamp.namespace not in self._asked:
            self._asked[stamp.namespace] = asyncio.create_task(self._ask(stamp.namespace))
        return await asyncio.shield(self._asked[stamp.namespace])

    async def warning(self, current: Current) -> str:
        """Who seems to keep the objects of a service, "" for nobody; after a single look, which proves nothing."""
        stamp = self.stamp(current)
        if stamp is None:
            return ""
        try:
            lease = await self._read(stamp.namespace)
        except StoreError:
            return ""
        holder = "" if lease is None else holder_of(lease.spec)
        name = self.lease(stamp.namespace)
        return f"a running extsync seems to keep it: Lease {name} names {holder}" if holder else ""

    # ---- asking ------------------------------------------------------------------------------------------------------

    async def _ask(self, namespace: str) -> str:
        name = self.lease(namespace)
        try:
            async with self._clock.timeout(self._patience):
                holder = await self.living_holder(namespace)
        except TimeoutError:
            return f"{UNKNOWN}, as Lease {name} has not run out yet; give it time with --timeout, {ANYWAY}"
        except Forbidden as error:
            cure = f"allow get of leases in namespace {namespace}"
            return f"{UNKNOWN}: {error}; {cure}, {ANYWAY}"
        except StoreError as error:
            return f"{UNKNOWN}: {error}; try again, {ANYWAY}"
        if not holder:
            return ""
        cure = "stop it, or change the manifest there"
        return f"a running extsync keeps it: Lease {name} is held by {holder}; {cure}, {ANYWAY}"

    async def living_holder(self, namespace: str) -> str:
        """Who holds the leader Lease, "" where nobody does: it is looked at until it changes or has run out.

        Raises StoreError where it cannot be read.
        """
        known = await self._read(namespace)
        if known is None:
            return ""
        began = self._clock.monotonic()
        lasts = float(known.spec.lease_duration_seconds or 0) if holder_of(known.spec) else HAND_OVER
        while self._clock.monotonic() - began < lasts:
            await self._clock.sleep(LOOK)
            seen = await self._read(namespace)
            if seen is None:
                return ""
            if seen.spec != known.spec and holder_of(seen.spec):
                return holder_of(seen.spec)
        return ""

    def lease(self, namespace: str) -> str:
        """The leader Lease in ``namespace``, as people write it."""
        return f"{namespace}/{leader_lease(self._owner)}"

    async def _read(self, namespace: str) -> Lease | None:
        try:
            return await retrying(self._clock)(
                self._store.get, Lease, namespace, leader_lease(self._owner), timeout=self._timeout
            )
        except NotFound:
            return None
