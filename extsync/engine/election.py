"""Leadership by Leases: which services this replica may write for, and when it leaves them to another.

There is one Lease for each shard, and services belong to shards by a hash. Without shards there is one of all, which is
then the *leader Lease*. With shards the leader Lease is held by all replicas that run with the same number of them
together: a service belongs to different shards by different numbers, so those of one number may write only while those
of all others may not. A write needs both Leases.

Where there are shards, member Leases say who is alive, and ``plan.shards`` who of them should hold which: what it says
is done here, once a second and whenever a Lease becomes free. Without shards whoever holds the Lease keeps it. Either
way a replica that takes itself to be cut off from the backends leaves its Leases to others that do not, once that has
been so for a while: if they cannot reach the backends either, they have found it out by then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from math import inf
from typing import Final

import msgspec

from extsync.engine.leading import Concerns, LeaseStatus
from extsync.engine.shard import Shard
from extsync.kube.cache import Cache
from extsync.kube.era import Era
from extsync.kube.lease import Elector
from extsync.kube.lease_members import Members
from extsync.kube.lease_names import group_identity, is_group, leader_lease, shard_lease
from extsync.kube.lease_record import holder_of
from extsync.kube.lease_timing import CLIENT_GO, Timing
from extsync.kube.stamp import Stamp
from extsync.kube.store import Store
from extsync.kube.trouble import Trouble
from extsync.kube.witness import Witness
from extsync.model import ServiceKey
from extsync.objects import OWNER_LABEL, Lease
from extsync.plan.shards import USUAL, Patience, Stance, shard_of, stance
from extsync.seams import Clock, Random

log = logging.getLogger(__name__)

TICK: Final = 1.0
"""Seconds between two looks at who should hold what."""
DRAIN: Final = 3.0
"""Seconds that writes under way are waited for before a Lease is released. Where they take longer it runs out."""
RELEASE: Final = 1.5
"""Seconds that the release of a Lease may take."""


class Election(msgspec.Struct, frozen=True, kw_only=True):
    """How replicas agree on who writes. ``identity`` is of this process and no other; ``namespace`` is the Leases'.

    ``yields_in_doubt``: a replica that takes itself to be cut off leaves its Leases to others. That makes sense only
    where the others probe, and so know better.
    """

    namespace: str
    owner: str
    identity: str
    shards: int = 1
    timing: Timing = CLIENT_GO
    patience: Patience = USUAL
    yields_in_doubt: bool = True


class Elected:
    """A ``Leadership`` by Leases in ``store``. ``era`` is that of all who read from it: renewals are the first to show
    that a server is back with older data."""

    def __init__(
        self, store: Store, election: Election, *, clock: Clock, random: Random, era: Era | None = None
    ) -> None:
        era = era or Era()
        store = Witness(store, era)
        self._election = election
        self._clock = clock
        self._store = store
        self._random = random
        self._trouble = Trouble(clock=clock)
        self._members = Members(
            store,
            namespace=election.namespace,
            owner=election.owner,
            identity=election.identity,
            shards=election.shards,
            clock=clock,
            timing=election.timing,
            trouble=self._trouble,
        )
        self._group: Elector | None = None
        if election.shards > 1:
            self._group = self._elector(leader_lease(election.owner), self._all_changed, shared=True)
        self._shards = [self._shard(number) for number in range(election.shards)]
        self._by_name = {shard.name: shard for shard in self._shards}
        self._cache = Cache(
            store,
            Lease,
            clock=clock,
            random=random,
            namespace=election.namespace,
            label_selector=f"{OWNER_LABEL}={election.owner}",
            on_change=self._observe,
            trouble=self._trouble,
            era=era,
        )
        self._changed: Callable[[Concerns], None] = lambda concerns: None
        self._in_doubt: Callable[[], bool] = lambda: False
        self._doubted_since = inf
        self._tasks: asyncio.TaskGroup | None = None
        self._shows_itself: asyncio.Task[None] | None = None
        self._leaves = False
        self._kept_out_by = ""

    def _shard(self, number: int) -> Shard:
        owner, shards = self._election.owner, self._election.shards
        name = leader_lease(owner) if shards == 1 else shard_lease(owner, number, shards)
        shard = Shard(number, name, self._elector(name, partial(self._shard_changed, number)))
        shard.elector.retire()  # until it is known whether it should stand
        return shard

    def _elector(self, name: str, on_change: Callable[[bool], None], *, shared: bool = False) -> Elector:
        election = self._election
        return Elector(
            self._store,
            namespace=election.namespace,
            name=name,
            identity=group_identity(election.shards) if shared else election.identity,
            clock=self._clock,
            random=self._random,
            timing=election.timing,
            labels={OWNER_LABEL: election.owner},
            shared=shared,
            on_change=on_change,
            trouble=self._trouble,
        )

    # ---- asked by the engine -----------------------------------------------------------------------------------------

    def leads(self, key: ServiceKey) -> bool:
        """Whether this replica may write for the service now."""
        return self._shard_of(key).elector.leads and (self._group is None or self._group.leads)

    def fence(self, key: ServiceKey) -> float:
        """Seconds until another replica may write for the service; raises Fenced where none are left."""
        left = self._shard_of(key).elector.fence()
        return left if self._group is None else min(left, self._group.fence())

    def stamp(self, key: ServiceKey) -> Stamp:
        """What says that this replica writes, by the Lease that it holds now."""
        shard, election = self._shard_of(key), self._election
        return Stamp(
            namespace=election.namespace,
            lease=shard.name,
            transitions=shard.elector.transitions,
            identity=election.identity,
        )

    @contextmanager
    def writing(self, key: ServiceKey) -> Iterator[None]:
        """Encloses the writes of one round: the Lease is not released before they have ended."""
        with self._shard_of(key).writing():
            yield

    def start(
        self, tasks: asyncio.TaskGroup, *, changed: Callable[[Concerns], None], in_doubt: Callable[[], bool]
    ) -> None:
        """Stands for election from now on, in ``tasks``; see ``Leadership``."""
        self._tasks, self._changed, self._in_doubt = tasks, changed, in_doubt
        election = self._election
        log.info("stands for election as %s, with Leases in namespace %s", election.identity, election.namespace)
        tasks.create_task(self._cache.run(), name="leases")
        self._shows_itself = tasks.create_task(self._members.run(), name="member-lease")
        for shard in self._shards:
            tasks.create_task(shard.elector.run(), name=f"lease-{shard.name}")
        if self._group is not None:
            tasks.create_task(self._group.run(), name="lease-group")
        tasks.create_task(self._tick(), name="shards")

    async def hand_over(self) -> None:
        """Ceases to lead for good and releases every Lease whose last write has ended; takes 4.5 s at most."""
        self._leaves = True
        if self._tasks is None:
            return
        if self._group is not None:
            self._group.retire()  # never released: others may hold it as well
        if self._shows_itself is not None:
            self._shows_itself.cancel()
        held = [shard for shard in self._shards if shard.elector.holds]
        for shard in self._shards:
            shard.elector.retire()
        log.info("hands over %d of %d Leases", len(held), len(self._shards))
        await asyncio.gather(self._members.leave(timeout=RELEASE), *map(self._leave, held))

    def leases(self) -> tuple[LeaseStatus, ...]:
        """One for each shard, in their order."""
        together = self._group is None or self._group.leads
        return tuple(
            LeaseStatus(shard.name, shard.elector.leads and together, shard.elector.holder) for shard in self._shards
        )

    # ---- who should hold what ----------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            self._look()
            await self._clock.sleep(TICK)

    def _look(self) -> None:
        """Stands for what this replica should hold, and hands over what it should not."""
        now = self._clock.monotonic()
        willing = self._willing(now)
        for shard in self._shards:
            self._settle(shard, willing, now)
        self._tell_of_others()

    def _tell_of_others(self) -> None:
        """Says who has another number of shards, once as long as they hold the leader Lease."""
        election = self._election
        holder = (self._group or self._shards[0].elector).holder
        is_one_of_us = holder == group_identity(election.shards) if self._group else not is_group(holder)
        known, self._kept_out_by = self._kept_out_by, "" if is_one_of_us else holder
        if self._kept_out_by not in ("", known):
            log.warning(
                "%s/%s: is held by %s, by another number of shards than this replica's, which is %d: it writes nothing "
                "until all of those have ended",
                election.namespace,
                leader_lease(election.owner),
                holder,
                election.shards,
            )

    def _willing(self, now: float) -> dict[str, float]:
        """The replicas that are alive and that had better lead, and since when; this one among them unless it knows
        better ones."""
        others = self._members.alive()
        doubts = self._election.yields_in_doubt and self._in_doubt()
        self._doubted_since = min(self._doubted_since, now) if doubts else inf
        self._members.willing = not doubts
        settled = any(now - since >= self._election.patience.join for since in others.values())
        if settled and now - self._doubted_since >= self._election.patience.join:
            return others
        return {**others, self._election.identity: -inf}

    def _settle(self, shard: Shard, willing: dict[str, float], now: float) -> None:
        elector = shard.elector
        if self._leaves or shard.leaves is not None:
            return
        match self._stance(shard, willing, now):
            case Stance.STAND:
                if not elector.stands:
                    elector.stand()
            case _ if elector.holds and self._tasks is not None:
                shard.handed_over = True
                shard.leaves = self._tasks.create_task(self._yield(shard), name=f"hand-over-{shard.name}")
            case _:
                elector.retire()

    def _stance(self, shard: Shard, willing: dict[str, float], now: float) -> Stance:
        me, holds = self._election.identity, shard.elector.holds
        if self._group is None:  # nothing is gained by moving all services
            return Stance.STAND if me in willing else Stance.YIELD
        return stance(
            shard.number,
            me,
            willing,
            now=now,
            changed_at=shard.got_at if holds else shard.elector.free_at,
            holds=holds,
            in_vain=shard.in_vain,
            patience=self._election.patience,
        )

    async def _yield(self, shard: Shard) -> None:
        log.info("%s: is left to another replica", shard.name)
        try:
            await self._leave(shard)
        finally:
            shard.leaves = None

    async def _leave(self, shard: Shard) -> None:
        """Lets the writes under way end, then releases the Lease."""
        shard.elector.retire()
        with suppress(TimeoutError):
            async with self._clock.timeout(DRAIN):
                await shard.idle.wait()
        if not shard.idle.is_set():
            log.warning("%s: a write is still under way, so the Lease is not released", shard.name)
        elif not await shard.elector.release(timeout=RELEASE):
            log.warning("%s: the Lease could not be released in time; it runs out", shard.name)

    # ---- what is told ------------------------------------------------------------------------------------------------

    def _observe(self, old: Lease | None, new: Lease | None) -> None:
        """A watch tells of one of the installation's Leases."""
        lease = new or old
        if lease is None:
            return
        name = lease.metadata.name
        self._members.observe(name, new)
        if self._group is not None and name == leader_lease(self._election.owner):
            self._group.observe(new)
        elif shard := self._by_name.get(name):
            shard.elector.observe(new)
            self._note_holder(shard, "" if new is None else holder_of(new.spec))

    def _note_holder(self, shard: Shard, holder: str) -> None:
        if holder not in ("", self._election.identity):
            shard.in_vain, shard.handed_over = 0, False
        elif not holder:  # before the elector acts on it: whoever comes later in line lets the others go first
            now = self._clock.monotonic()
            self._settle(shard, self._willing(now), now)

    def _shard_changed(self, number: int, leads: bool) -> None:
        shard = self._shards[number]
        if leads:
            shard.got_at = self._clock.monotonic()
            shard.in_vain = shard.in_vain + 1 if shard.handed_over else 0
            shard.handed_over = False
        self._changed(lambda key: self._shard_of(key) is shard)

    def _all_changed(self, leads: bool) -> None:
        self._changed(lambda key: True)

    def _shard_of(self, key: ServiceKey) -> Shard:
        if len(self._shards) == 1:
            return self._shards[0]
        return self._shards[shard_of(key, len(self._shards))]
