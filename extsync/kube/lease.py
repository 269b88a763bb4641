"""The elector: holds one Lease, or waits for it, and says for how long this replica may still write.

The protocol, its timing and its fields are client-go's (``tools/leaderelection``); ``kube.lease_record`` has the rules
of the record. What keeps two replicas from writing at once is this:

1. A holder's fence is open for ``renew_deadline`` from the moment *before* the last successful renewal was sent. Each
   question is answered from the clock: no timer has to fire and no task has to run for the fence to close.
2. Everybody else waits until the record has not changed for ``lease_duration``, from the moment *after* the change was
   seen. The times inside the record are shown to people and never read.
3. Every write has the resource version that its writer decided upon as its precondition, however late it arrives.

Both waits are measured on monotonic clocks that count suspend, each replica on its own, so no two clocks need to agree
on the time. They need to agree on its rate: the fence is closed before the Lease can be taken as long as the fastest
clock runs at less than ``lease_duration / renew_deadline`` (by default 1.5) times the rate of the slowest.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf
from typing import Final

import msgspec

from extsync.errors import AlreadyExists, Conflict, Fenced, NotFound, StoreError, TooManyRequests, Unavailable, cure
from extsync.kube import lease_record
from extsync.kube.lease_timing import CLIENT_GO, JITTER, Timing
from extsync.kube.lease_view import LeaseView
from extsync.kube.store import Store
from extsync.kube.trouble import Trouble
from extsync.objects import Lease, LeaseSpec, ObjectMeta
from extsync.seams import Clock, Random

log = logging.getLogger(__name__)

AT_ONCE: Final = 4
"""Looks at a Lease that somebody changes all the time, before the next one waits for its turn."""
MAX_RETRY_AFTER: Final = 60.0
"""Seconds that a candidate waits at most where the server asks for more."""
NO_NAMESPACE: Final = "; make that namespace, or name another one with leaseNamespace"
"""What to say where a Lease cannot even be made."""


class _Role(enum.Enum):
    STANDS = enum.auto()
    """Holds the Lease or wants to."""
    RETIRES = enum.auto()
    """Writes no more; what it has holds until the last write has ended."""
    GIVES_UP = enum.auto()


class Elector:
    """Stands for one Lease while ``run`` runs. Cheap enough for one per shard.

    ``identity`` is of this process and no other (``lease_names.new_identity``). ``on_change`` is told when this replica
    begins and ceases to lead, from the event loop, and must not raise; the fence does not wait for it.

    A candidate looks at the Lease once in a while, unless ``observe`` told it of a change meanwhile.
    ``trouble`` tells of what fails, once for all who share it.

    A Lease may be ``shared``: ``identity`` is that of a group then, each of whose members joins in as long as the group
    holds the Lease, and may write while renewals of its own succeed. It keeps the group and everybody else apart, not
    the members from each other; no member may release it while there may be others.
    """

    def __init__(
        self,
        store: Store,
        *,
        namespace: str,
        name: str,
        identity: str,
        clock: Clock,
        random: Random,
        timing: Timing = CLIENT_GO,
        labels: Mapping[str, str] | None = None,
        shared: bool = False,
        on_change: Callable[[bool], object] = lambda leads: None,
        trouble: Trouble | None = None,
    ) -> None:
        self._store = store
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._random = random
        self._timing = timing
        self._labels = dict(labels or {})
        self._shared = shared
        self._on_change = on_change
        self._trouble = trouble or Trouble(clock=clock)
        self._role = _Role.STANDS
        self._wakeup = asyncio.Event()
        self._given_up = asyncio.Event()
        self._view = LeaseView(identity)
        self._patience = 0.0
        self._open_until = -inf
        self._told = False
        self._error: StoreError | None = None

    # ---- asked by others ---------------------------------------------------------------------------------------------

    def fence(self) -> float:
        """Seconds until another replica may write (a ``kube.writer.Fence``); raises Fenced where none are left."""
        left = self._open_until - self._clock.monotonic()
        if self._role is not _Role.STANDS:
            raise Fenced(f"not written: this replica gives up the Lease {self._what}")
        if left <= 0:
            raise Fenced(f"not written: {self._why_not}")
        return left

    @property
    def leads(self) -> bool:
        """Whether the fence is open."""
        return self._role is _Role.STANDS and self._is_open()

    @property
    def stands(self) -> bool:
        """Whether it wants the Lease."""
        return self._role is _Role.STANDS

    @property
    def holds(self) -> bool:
        """Whether the Lease is this replica's, also while it gives it up."""
        return self._is_open() or self.holder == self._identity

    @property
    def free_at(self) -> float:
        """The monotonic time from which on the Lease may be taken as far as is known; -inf where there is none."""
        return self._view.free_at(self._timing.lease_duration)

    @property
    def transitions(self) -> int:
        """How many times the holder had changed when the Lease was last seen."""
        spec = self._view.spec
        return 0 if spec is None else spec.lease_transitions or 0

    @property
    def holder(self) -> str:
        """Who held the Lease when it was last seen; "" for nobody."""
        return self._view.holder

    @property
    def error(self) -> StoreError | None:
        """Why the last look at the Lease failed; None where it did not."""
        return self._error

    # ---- told by others ----------------------------------------------------------------------------------------------

    def stand(self) -> None:
        """Wants the Lease (again)."""
        self._role = _Role.STANDS
        self._tell()
        self._look_now()

    def retire(self) -> None:
        """Closes the fence, and keeps the Lease from others until ``release``: writes may still be on their way."""
        if self._role is _Role.STANDS:
            self._role = _Role.RETIRES
            self._tell()

    async def release(self, *, timeout: float) -> bool:
        """Gives the Lease up; to be called when every write that the fence let through has ended, while ``run`` runs.

        Returns whether that is known to have succeeded within ``timeout`` seconds. If not the others have to wait until
        the Lease runs out. Afterwards the elector rests until ``stand``.
        """
        self.retire()
        self._role = _Role.GIVES_UP
        self._open_until = -inf
        self._given_up.clear()
        self._wakeup.set()
        return await self._wait(self._given_up, timeout)

    def observe(self, lease: Lease | None) -> None:
        """Takes in what a watch tells of the Lease, None that it is gone. It need not be told everything, nor in time.

        It saves a candidate its own looks and lets it follow at once where the Lease is released.
        """
        if lease is None:
            self._look_now()
            return
        if not self._view.is_news(lease):
            return
        self._view.seen(lease, self._clock.monotonic())
        self._view.certain = self._has_to_act(lease.spec)  # saves a read: the precondition tells if it changed again
        if self._view.certain:
            self._given_up.clear()
            self._wakeup.set()

    def _look_now(self) -> None:
        self._view.certain = False
        self._view.heard_at = -inf
        self._wakeup.set()

    # ---- the loop ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Acquires the Lease, renews it, and tries again where it is lost, until cancelled.

        Cancelling gives nothing up: ``retire`` and ``release`` do. The fence closes by itself.
        """
        while True:
            await self._wait(self._wakeup, await self._turn())
            self._wakeup.clear()

    async def _turn(self) -> float | None:
        """Looks after the Lease once; returns the seconds until the next turn, None for when it is woken."""
        self._tell()
        began = self._clock.monotonic()
        if (rest := self._heard_enough(began)) > 0:
            return rest
        try:
            await self._settle()
        except StoreError as error:
            asked = self._failed(error)
        else:
            asked = 0.0
            self._recovered()
        self._tell()
        return self._rest(began, asked)

    async def _settle(self) -> None:
        """Looks again at once, some times, where the Lease changed between a look and a write."""
        for _ in range(AT_ONCE):
            if await self._step():
                break

    async def _step(self) -> bool:
        """One look at the Lease and at most one write of it; False where the look was out of date by then."""
        if not self._view.certain:
            await self._read()
        spec = self._wanted()
        if spec is None:
            if self._role is _Role.GIVES_UP:
                self._given_up.set()
            return True
        self._view.certain = False
        sent = self._clock.monotonic()
        try:
            lease = await self._write(spec)
        except (Conflict, AlreadyExists):
            return False
        self._view.seen(lease, self._clock.monotonic())
        self._view.certain = True
        if lease_record.holder_of(lease.spec) == self._identity:
            self._extend(sent)
        return self._role is not _Role.GIVES_UP  # a look at what is there then ends it

    async def _read(self) -> None:
        try:
            lease = await self._store.get(Lease, self._namespace, self._name, timeout=self._deadline())
        except NotFound:
            lease = None
        self._view.seen(lease, self._clock.monotonic())
        self._view.certain = True

    async def _write(self, spec: LeaseSpec) -> Lease:
        known = self._view.lease
        if known is None:
            metadata = ObjectMeta(name=self._name, namespace=self._namespace, labels=self._labels or None)
            return await self._store.create(Lease(metadata=metadata, spec=spec), timeout=self._deadline())
        if lease_record.holder_of(spec) == self._identity:
            self._view.sending(spec)
        try:
            return await self._store.update(msgspec.structs.replace(known, spec=spec), timeout=self._deadline())
        except NotFound as error:
            raise Conflict(str(error)) from error

    async def _wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Whether ``event`` came within ``seconds``."""
        with suppress(TimeoutError):
            async with self._clock.timeout(seconds):
                return await event.wait()
        return event.is_set()

    # ---- the rules ---------------------------------------------------------------------------------------------------

    def _wanted(self) -> LeaseSpec | None:
        """What to write into the Lease as it is, None for nothing."""
        wall, duration = self._clock.wall(), self._timing.lease_duration
        spec = self._view.spec
        if self._role is _Role.GIVES_UP:
            ours = spec is not None and lease_record.holder_of(spec) == self._identity
            return lease_record.released(spec, wall=wall) if spec is not None and ours else None
        if self._is_open():
            # Nobody else can have taken it, so what is not ours was done by hand.
            if self.holder in (self._identity, ""):
                return lease_record.held(spec or LeaseSpec(), self._identity, duration, wall=wall)
            self._open_until = -inf
            log.warning("%s: %s was put in as the holder in spite of this replica", self._what, self.holder)
        if self._role is not _Role.STANDS:
            return None
        if spec is None:
            return lease_record.vacant(duration)
        joins = self._shared and self.holder == self._identity
        if self._view.is_own or joins or self._clock.monotonic() >= self.free_at:
            return lease_record.held(spec, self._identity, duration, wall=wall)
        return None

    def _has_to_act(self, spec: LeaseSpec) -> bool:
        """Whether a record that a watch told of asks for more than waiting."""
        holder = lease_record.holder_of(spec)
        if self._role is _Role.GIVES_UP:
            return holder == self._identity
        if self._is_open():
            return holder != self._identity
        joins = self._shared and holder == self._identity
        return self._role is _Role.STANDS and (joins or lease_record.is_released(spec))

    def _extend(self, sent: float) -> None:
        if self._role is _Role.GIVES_UP:
            return
        self._tell()  # that it had closed meanwhile, if so
        self._open_until = sent + self._timing.renew_deadline
        self._tell()

    def _is_open(self) -> bool:
        return self._clock.monotonic() < self._open_until

    # ---- how long and when -------------------------------------------------------------------------------------------

    def _deadline(self) -> float:
        """Seconds that one request may take: half the renew deadline, as Kubernetes's own components have it."""
        if self._role is _Role.GIVES_UP:
            return self._timing.retry_period
        half = self._timing.renew_deadline / 2
        left = self._open_until - self._clock.monotonic()
        return min(half, left) if left > 0 else half

    def _heard_enough(self, now: float) -> float:
        """Seconds for which a candidate need not look, as a watch has told it of a change; 0 where it must."""
        if self._view.certain or self._role is not _Role.STANDS or self._is_open():
            return 0.0
        return min(self._view.heard_at + self._patience, self.free_at) - now

    def _rest(self, began: float, asked: float) -> float | None:
        """Seconds until the next turn after one that began then, ``asked`` of which the server asked for."""
        now = self._clock.monotonic()
        period = self._timing.retry_period
        if self._role is _Role.GIVES_UP:
            return None if self._given_up.is_set() else period / 4
        if self._is_open():
            left = self._open_until - now
            rest = max(period * self._random.uniform(0.9, 1.0) - (now - began), min(asked, left / 2), 0.0)
            return min(rest, left)
        if self._role is _Role.RETIRES:
            return None
        self._view.certain = False
        self._patience = max(asked, period * (1.0 + JITTER * self._random.random()))
        free_in = self.free_at - now
        return max(asked, min(self._patience, free_in)) if free_in > 0 else self._patience

    # ---- what is said ------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        leads = self.leads
        if leads is self._told:
            return
        self._told = leads
        if leads:
            log.info("%s: this replica leads, as %s", self._what, self._identity)
        elif self._role is _Role.STANDS:
            log.warning("%s: this replica leads no more: %s", self._what, self._error or self._why_not)
        else:
            log.info("%s: this replica stops leading", self._what)
        self._on_change(leads)

    def _failed(self, error: StoreError) -> float:
        """Says what is wrong, once as long as it is the same; returns the seconds that the server asks for."""
        self._error = error
        words = NO_NAMESPACE if isinstance(error, NotFound) else cure(error)
        self._trouble.met(self, error, f"{self._what}: {error}{words}")
        if isinstance(error, TooManyRequests | Unavailable) and error.retry_after is not None:
            return min(error.retry_after, MAX_RETRY_AFTER)
        return 0.0

    def _recovered(self) -> None:
        self._error = None
        self._trouble.over(self)

    @property
    def _why_not(self) -> str:
        if self.holder == self._identity:
            return f"the Lease {self._what} was not renewed in {self._timing.renew_deadline:g} s"
        return f"the Lease {self._what} is held by {self.holder or 'nobody yet'}"

    @property
    def _what(self) -> str:
        return f"{self._namespace}/{self._name}"
