"""Events on objects, for ``kubectl describe`` and ``kubectl get events``: queued, put together, and limited.

What is said again is not written again but counted, and an object about which too much is said gets no more for a
while. The rules and their numbers are client-go's (``tools/record/events_cache.go``):

1. From the tenth different message on of one reason about one object within ten minutes, they share one event.
2. The same again within the last few thousand events raises the count of the event that there is.
3. Each object may have 25 events at once, and then one in five minutes.

Besides, as where client-go's sink shares the client's limits, requests for events go out no faster than ``qps``.

Events are told on the side: nothing waits for them, and one that cannot be written in a dozen attempts is let go.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec

from extsync.errors import Conflict, Forbidden, NotFound, StoreError, TooManyRequests, Unavailable, cure
from extsync.kube.flow import Backoff, TokenBucket
from extsync.kube.store import Store
from extsync.objects import Event, EventSource, KubeObject, ObjectMeta, ObjectReference
from extsync.printable import printable
from extsync.seams import Clock, Random

log = logging.getLogger(__name__)

COMPONENT: Final = "extsync"
MOST_QUEUED: Final = 1000
MOST_REMEMBERED: Final = 4096
MESSAGE_LIMIT: Final = 1024
"""Bytes of a message that the API server takes."""
SIMILAR: Final = 10
SIMILAR_WITHIN: Final = 600.0
BURST: Final = 25.0
PER_SECOND: Final = 1 / 300
ATTEMPTS: Final = 12
TIMEOUT: Final = 10.0
COMBINED: Final = "(combined from similar events): "

_V = TypeVar("_V")

EventType: TypeAlias = Literal["Normal", "Warning"]


class _Told(msgspec.Struct, frozen=True):
    """Something to say about an object, at a time of the wall clock (seconds)."""

    about: ObjectReference
    type: EventType
    reason: str
    message: str
    at: float


class _Similar(msgspec.Struct):
    """The messages of one reason about one object, and the monotonic time of the last."""

    messages: dict[str, None]
    last: float


class _Bucket(msgspec.Struct):
    tokens: float
    updated: float


class Recorder:
    """Writes events into a store while ``run`` runs. ``instance`` names this process.

    ``may_tell`` says of which objects this replica may speak: of what several replicas see one tells.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        random: Random,
        instance: str,
        qps: float = 20.0,
        burst: int = 30,
        may_tell: Callable[[KubeObject], bool] = lambda about: True,
    ) -> None:
        self._store = store
        self._may_tell = may_tell
        self._clock = clock
        self._instance = instance
        self._queue: asyncio.Queue[_Told] = asyncio.Queue(MOST_QUEUED)
        self._backoff = Backoff(random=random)
        self._limiter = TokenBucket(clock=clock, qps=qps, burst=burst)
        self._similar: OrderedDict[object, _Similar] = OrderedDict()
        self._buckets: OrderedDict[object, _Bucket] = OrderedDict()
        self._events: OrderedDict[object, Event] = OrderedDict()
        self._forbidden = False
        self._number = 0
        self.dropped = 0
        """How many events were let go: too many at once, or the server would not take them."""

    def tell(self, about: KubeObject, type_: EventType, reason: str, message: str) -> None:
        """Says something about an object; never waits. ``reason`` is one word in CamelCase."""
        if not self._may_tell(about):
            return
        metadata = about.metadata
        reference = ObjectReference(
            kind=type(about).__name__,
            namespace=metadata.namespace,
            name=metadata.name,
            uid=metadata.uid,
            api_version=about.API_VERSION,
            resource_version=metadata.resource_version,
        )
        try:
            self._queue.put_nowait(_Told(reference, type_, reason, _cut(printable(message)), self._clock.wall()))
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Writes what is told until it is cancelled."""
        while True:
            told = await self._queue.get()
            similar = self._put_together(told)
            if self._may_be_told(told):
                await self._limiter.take()
                await self._write(told, similar)
            else:
                self.dropped += 1

    # ---- client-go's rules -------------------------------------------------------------------------------------------

    def _put_together(self, told: _Told) -> str:
        """The message under which the event counts, "" where it shares one with others."""
        key = (_identity(told.about), told.type, told.reason)
        now = self._clock.monotonic()
        known = self._similar.get(key)
        if known is None or now - known.last > SIMILAR_WITHIN:
            known = _Similar({}, now)
        known.last = now
        _remember(self._similar, key, known)
        if len(known.messages) < SIMILAR:
            known.messages[told.message] = None
        return told.message if len(known.messages) < SIMILAR else ""

    def _may_be_told(self, told: _Told) -> bool:
        key = _identity(told.about)
        now = self._clock.monotonic()
        bucket = self._buckets.get(key) or _Bucket(BURST, now)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.updated) * PER_SECOND)
        bucket.updated = now
        _remember(self._buckets, key, bucket)
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True

    # ---- writing ---------------------------------------------------------------------------------------------------

    async def _write(self, told: _Told, counts_as: str) -> None:
        """One event, tried again while the server is not there."""
        key = (_identity(told.about), told.type, told.reason, counts_as)
        message = told.message if counts_as else _cut(COMBINED + told.message)
        for _ in range(ATTEMPTS):
            try:
                _remember(self._events, key, await self._send(self._events.get(key), told, message))
            except (Conflict, NotFound) as error:  # it has expired, or somebody changed it: then a new one
                if self._events.pop(key, None) is None:
                    self._let_go(error)
                    return
            except (Unavailable, TooManyRequests) as error:
                await self._clock.sleep(max(self._backoff.failed(COMPONENT), error.retry_after or 0.0))
            except StoreError as error:
                self._let_go(error)
                return
            else:
                self._backoff.forget(COMPONENT)
                return
        self.dropped += 1

    async def _send(self, known: Event | None, told: _Told, message: str) -> Event:
        at = f"{datetime.fromtimestamp(int(told.at), UTC):%Y-%m-%dT%H:%M:%SZ}"
        if known is not None:
            changed = msgspec.structs.replace(
                known, count=(known.count or 1) + 1, last_timestamp=at, message=message, involved_object=told.about
            )
            return await self._store.update(changed, timeout=TIMEOUT)
        self._number = max(self._number + 1, int(told.at * 1e9))  # names are times, as client-go's are, and differ
        event = Event(
            metadata=ObjectMeta(
                name=f"{told.about.name}.{self._number:x}", namespace=told.about.namespace or "default"
            ),
            involved_object=told.about,
            type=told.type,
            reason=told.reason,
            message=message,
            count=1,
            first_timestamp=at,
            last_timestamp=at,
            source=EventSource(component=COMPONENT),
            reporting_component=COMPONENT,
            reporting_instance=self._instance,
        )
        return await self._store.create(event, timeout=TIMEOUT)

    def _let_go(self, error: StoreError) -> None:
        self.dropped += 1
        if not isinstance(error, Forbidden):
            log.debug("an event is let go: %s", error)
        elif not self._forbidden:
            self._forbidden = True
            log.warning("events cannot be written: %s%s", error, cure(error))


def _identity(about: ObjectReference) -> tuple[str | None, ...]:
    return about.kind, about.namespace, about.name, about.uid


def _remember(memory: OrderedDict[object, _V], key: object, value: _V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > MOST_REMEMBERED:
        memory.popitem(last=False)


def _cut(message: str) -> str:
    data = message.encode()
    return message if len(data) <= MESSAGE_LIMIT else data[: MESSAGE_LIMIT - 3].decode(errors="ignore") + "…"
