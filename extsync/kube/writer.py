"""The writer: makes the changes of one plan, in order, and says what became of each.

It never decides what to write. It decides whether a change may go out now: the fence must allow it, the object must
have budget left, and nothing that the change relies on may have failed before it. It never retries by itself either:
what was not done is planned again from what is then there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from extsync.changes import ApplyService, Change, Create, Delete, Update
from extsync.errors import (
    AlreadyExists,
    Conflict,
    ExtsyncError,
    Fenced,
    FieldConflict,
    NotFound,
    StoreError,
    Terminating,
    TooManyRequests,
    Unavailable,
)
from extsync.kube.flow import TokenBucket, WriteBudget
from extsync.kube.stamp import Stamp, stamped
from extsync.kube.store import Store
from extsync.objects import FIELD_MANAGER, KubeObject, Service
from extsync.seams import Clock

Fence: TypeAlias = Callable[[], float | None]
"""Seconds during which a request may still run, None for as long as it takes; raises Fenced where none may start."""

Stamping: TypeAlias = Callable[[], Stamp | None]
"""What to stamp an object with that is about to be written; None: nothing."""

ObjectKey: TypeAlias = tuple[type[KubeObject], str, str]
"""Kind, namespace and name."""

FENCE_MARGIN = 0.5
"""Seconds by which a request ends before the fence closes: time for its cancellation to take effect."""

MIN_TIMEOUT = 0.5
"""Seconds without which a request is not worth sending."""

OLD_PLAN = 1.0
"""Seconds after which a plan is looked at again before more of it is written."""

MAX_IN_VAIN = 2
"""So many requests in a row without an answer, or with a 429, end a round: waiting for each time-out in turn helps
nobody."""


def unfenced() -> float | None:
    """The fence of whoever writes alone: always open."""
    return None


def unstamped() -> Stamp | None:
    """The stamp of whoever writes alone: none."""
    return None


class Done(msgspec.Struct, frozen=True):
    """A change that was made; ``obj`` is what the store answered, None after a delete."""

    change: Change
    obj: KubeObject | None = None


class Failed(msgspec.Struct, frozen=True):
    """A change that was tried; after Unavailable it may or may not have happened."""

    change: Change
    error: ExtsyncError


class Deferred(msgspec.Struct, frozen=True):
    """A change that may be written in ``wait`` seconds: its object used up its budget, or ``is_held_back``."""

    change: Change
    wait: float
    is_held_back: bool = False


class Skipped(msgspec.Struct, frozen=True):
    """A change that was not tried, and why in words."""

    change: Change
    reason: str


class Written(msgspec.Struct, frozen=True):
    """What became of a sequence of changes; each of them is in exactly one of the four lists.

    ``stopped`` is the error that ended the round early. ``retry_after`` is how many seconds from now trying again first
    makes sense: the server's own word, or when a deferred object has budget again. ``terminating``: the namespace is
    going away, and one of its name may come. ``untried``: nothing was sent, and it is to be planned again.
    """

    done: tuple[Done, ...] = ()
    failed: tuple[Failed, ...] = ()
    deferred: tuple[Deferred, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    stopped: ExtsyncError | None = None
    retry_after: float | None = None
    terminating: bool = False
    untried: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do (in a terminating namespace there is not)."""
        return not (self.failed or self.deferred or self.untried)

    @property
    def stale(self) -> bool:
        """Whether the plan was made from objects that are no longer so: plan again from what is there."""
        return isinstance(self.stopped, Conflict | AlreadyExists | NotFound)

    @property
    def unanswered(self) -> tuple[Change, ...]:
        """The changes of which it is not known whether they were made."""
        return tuple(
            failed.change for failed in self.failed if isinstance(failed.error, Unavailable) and failed.error.connected
        )

    @property
    def counts(self) -> dict[str, int]:
        """How many changes were made, by verb."""
        counts: dict[str, int] = {}
        for done in self.done:
            counts[verb(done.change)] = counts.get(verb(done.change), 0) + 1
        return counts


def verb(change: Change) -> str:
    """The word for a change in logs and metrics: create, update, delete or apply."""
    match change:
        case Create():
            return "create"
        case Update():
            return "update"
        case Delete():
            return "delete"
        case ApplyService():
            return "apply"


def object_key(change: Change) -> ObjectKey:
    """Which object a change is about."""
    match change:
        case Create(obj=obj) | Update(obj=obj):
            return type(obj), obj.metadata.namespace, obj.metadata.name
        case Delete(kind=kind, namespace=namespace, name=name):
            return kind, namespace, name
        case ApplyService(body=body):
            return Service, body["metadata"]["namespace"], body["metadata"]["name"]


class Writer:
    """Makes changes in a store.

    ``written`` and ``deleted`` are told of each object as soon as the store has answered (of a deleted one: kind,
    namespace, name and uid), so that the next plan reads its own writes whatever the watch has shown by then.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        limiter: TokenBucket,
        written: Callable[[KubeObject], object],
        deleted: Callable[[type[KubeObject], str, str, str], object],
        timeout: float = 10.0,
    ) -> None:
        self._store = store
        self._limiter = limiter
        self._clock = clock
        self._budget = WriteBudget(clock=clock)
        self._written = written
        self._deleted = deleted
        self._timeout = timeout

    async def write(
        self,
        changes: Sequence[Change],
        *,
        fence: Fence = unfenced,
        stamp: Stamping = unstamped,
        writes_per_minute: int = 60,
        is_superseded: Callable[[], bool] = lambda: False,
        hold_back: Callable[[Change], float] = lambda change: 0.0,
    ) -> Written:
        """Makes ``changes`` in their order and never raises for one that fails.

        ``fence`` and ``stamp`` are asked before each request.

        - What fails does not stop the others, except that nothing is taken away once something that adds has failed
          or was put off: an endpoint on its way from one object to another would be in neither.
        - A conflict ends the round; the object is read again and handed on, so that the next plan starts from it.
        - A refusal by the fence, a 429 that asks for time, and MAX_IN_VAIN requests in a row without an answer or with
          any other 429 end the round.
        - A round that has taken longer than OLD_PLAN ends as soon as ``is_superseded`` says that what it was planned
          from has changed: a late write of an old plan is how outages are made. At least one change is tried, so that
          a slow server and restless inputs together do not keep everything from being written.
        - What ``hold_back`` has to wait for some seconds is put off like what used up its budget.
        """
        current = _Round(fence, stamp)
        began = self._clock.monotonic()
        for change in changes:
            if self._clock.monotonic() - began > OLD_PLAN and is_superseded():
                current.skip(change, "not tried: the plan is old, and what it was made from has changed")
                continue
            reason = current.reason_to_skip(change)
            wait = self._budget.wait(object_key(change), writes_per_minute)
            held_back = hold_back(change)
            if reason is not None:
                current.skip(change, reason)
            elif max(wait, held_back) > 0:
                current.defer(change, max(wait, held_back), is_held_back=held_back > wait)
            else:
                await self._attempt(change, current, writes_per_minute)
        return current.result()

    async def _attempt(self, change: Change, current: _Round, writes_per_minute: int) -> None:
        try:
            seconds = await self._turn(current.fence)
            self._budget.spend(object_key(change), writes_per_minute)
            obj = await self._send(change, current.stamp(), seconds)
        except Terminating as error:
            current.terminating = True
            current.skip(change, str(error))
        except NotFound as error:
            if isinstance(change, Delete):
                self._deleted(change.kind, change.namespace, change.name, change.uid)
                current.succeed(change, None)
            elif isinstance(change, Update):
                await self._stale(change, error, current)
            else:
                current.fail(change, error)
        except FieldConflict as error:  # another manager owns the field: reading again would change nothing
            current.fail(change, error)
        except (Conflict, AlreadyExists) as error:
            await self._stale(change, error, current)
        except (StoreError, Fenced) as error:
            current.fail(change, error)
        else:
            current.succeed(change, obj)

    async def _turn(self, fence: Fence) -> float:
        """Waits until a request may be sent, and returns the seconds that it may take."""
        await self._limiter.take()
        left = fence()
        if left is None:
            return self._timeout
        if left - FENCE_MARGIN < MIN_TIMEOUT:
            raise Fenced(f"not written: a request could outlast the {left:.1f} s left until another replica may write")
        return min(self._timeout, left - FENCE_MARGIN)

    async def _send(self, change: Change, stamp: Stamp | None, seconds: float) -> KubeObject | None:
        obj: KubeObject
        match change:
            case Create():
                obj = await self._store.create(stamped(change.obj, stamp), timeout=seconds)
            case Update():
                obj = await self._store.update(stamped(change.obj, stamp), timeout=seconds)
            case ApplyService():
                obj = await self._apply(change, seconds)
            case Delete(kind=kind, namespace=namespace, name=name, uid=uid, resource_version=version):
                await self._store.delete(kind, namespace, name, uid=uid, resource_version=version, timeout=seconds)
                self._deleted(kind, namespace, name, uid)
                return None
        self._written(obj)
        return obj

    async def _apply(self, change: ApplyService, seconds: float) -> Service:
        """Raises AlreadyExists where there is a Service that the plan did not know of: an apply would take it over.

        An apply has no precondition for that, so it is looked for just before.
        """
        body, end = change.body, self._clock.monotonic() + seconds
        if change.uid is not None:
            known = {"uid": change.uid, "resourceVersion": change.resource_version}
            body = {**body, "metadata": {**body["metadata"], **known}}
        else:
            _, namespace, name = object_key(change)
            with contextlib.suppress(NotFound):
                await self._store.get(Service, namespace, name, timeout=seconds)
                raise AlreadyExists(f"there is a Service {namespace}/{name} by now")
        left = end - self._clock.monotonic()
        return await self._store.apply_service(body, field_manager=FIELD_MANAGER, timeout=left)

    async def _stale(self, change: Change, error: StoreError, current: _Round) -> None:
        """Ends the round; shows the cache what is there now, so that the next plan need not wait for the watch.

        A create that meets an object of its name is resolved by this too, be that object the fruit of an earlier
        create whose answer was lost, or somebody else's.
        """
        current.fail(change, error)
        current.stop(error)
        with contextlib.suppress(StoreError):  # then the watch will tell
            await self.reread(change)

    async def reread(self, change: Change) -> None:
        """Shows the cache what became of a change; raises StoreError where that cannot be found out now.

        A write without an answer may have been made all the same, and a plan from before it takes an endpoint for
        published where it no longer is.
        """
        kind, namespace, name = object_key(change)
        try:
            self._written(await self._store.get(kind, namespace, name, timeout=self._timeout))
        except NotFound:
            uid = change.uid if isinstance(change, Delete | ApplyService) else None
            uid = change.obj.metadata.uid if isinstance(change, Update) else uid
            if uid is not None:
                self._deleted(kind, namespace, name, uid)


class _Round:
    """The state of one call of ``write``."""

    def __init__(self, fence: Fence, stamp: Stamping) -> None:
        self.fence = fence
        self.stamp = stamp
        self._done: list[Done] = []
        self._failed: list[Failed] = []
        self._deferred: list[Deferred] = []
        self._skipped: list[Skipped] = []
        self._stopped: ExtsyncError | None = None
        self._missing: Change | None = None  # something that adds and was not made
        self._in_vain = 0
        self.terminating = False

    def reason_to_skip(self, change: Change) -> str | None:
        if self._stopped is not None:
            return f"not tried after: {self._stopped}"
        if self._missing is not None and _takes_away(change):
            _, namespace, name = object_key(self._missing)
            return f"takes endpoints away while {verb(self._missing)} of {namespace}/{name} has not succeeded"
        return None

    def succeed(self, change: Change, obj: KubeObject | None) -> None:
        self._done.append(Done(change, obj))
        self._in_vain = 0

    def fail(self, change: Change, error: ExtsyncError) -> None:
        self._failed.append(Failed(change, error))
        self._note_missing(change)
        self._in_vain = self._in_vain + 1 if isinstance(error, Unavailable | TooManyRequests) else 0
        asks_for_time = isinstance(error, TooManyRequests) and error.asks_for_time
        if isinstance(error, Fenced) or asks_for_time or self._in_vain >= MAX_IN_VAIN:
            self.stop(error)

    def defer(self, change: Change, wait: float, *, is_held_back: bool) -> None:
        self._deferred.append(Deferred(change, wait, is_held_back))
        self._note_missing(change)

    def skip(self, change: Change, reason: str) -> None:
        self._skipped.append(Skipped(change, reason))
        self._note_missing(change)

    def stop(self, error: ExtsyncError) -> None:
        self._stopped = error

    def result(self) -> Written:
        return Written(
            done=tuple(self._done),
            failed=tuple(self._failed),
            deferred=tuple(self._deferred),
            skipped=tuple(self._skipped),
            stopped=self._stopped,
            retry_after=self._retry_after(),
            terminating=self.terminating,
        )

    def _note_missing(self, change: Change) -> None:
        if self._missing is None and _adds(change):
            self._missing = change

    def _retry_after(self) -> float | None:
        """The longest wait that the server asks for; without one, the shortest wait for budget."""
        errors = [failed.error for failed in self._failed]
        asked = [
            error.retry_after
            for error in errors
            if isinstance(error, TooManyRequests | Unavailable) and error.retry_after is not None
        ]
        if asked:
            return max(asked)
        return min((deferred.wait for deferred in self._deferred), default=None)


def _adds(change: Change) -> bool:
    return isinstance(change, Create) or (isinstance(change, Update) and change.adds)


def _takes_away(change: Change) -> bool:
    return isinstance(change, Delete) or (isinstance(change, Update) and change.takes_away)
