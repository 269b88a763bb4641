"""The Store interface of the in-memory store, with faults to be put in its way and doors for other clients."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from typing import Any, TypeVar, cast

import msgspec

from extsync.errors import Invalid, StoreError, Unavailable
from extsync.kube import codec, unknown
from extsync.kube.memory import selectors
from extsync.kube.memory.controllers import Controllers
from extsync.kube.memory.faults import NO_FAULT, Asked, Fault, Faults, Served
from extsync.kube.memory.history import Change, State
from extsync.kube.memory.metadata import Json
from extsync.kube.memory.records import Backup
from extsync.kube.memory.server import Server
from extsync.kube.store import Listing, Store, WatchEvent, WatchType
from extsync.objects import FIELD_MANAGER, K, KubeObject, Service
from extsync.seams import Clock, Random

T = TypeVar("T")

BOOKMARK_PERIOD = 60.0
"""Seconds between bookmarks of a watch, as the API server has it; one more comes shortly before the watch ends."""
LAST_BOOKMARK = 2.0


class MemoryStore(Store):
    """Objects in this process.

    Requests that come through the Store interface are extsync's own. What other clients do goes through ``put``,
    ``remove`` and ``raw``, which act at once and meet no faults.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        random: Random,
        namespaces: Iterable[str] = ("default",),
        namespaces_on_demand: bool = False,
        history: int = 1000,
        history_bytes: int = 64 << 20,
        controller_delay: float = 1.0,
        faults: Faults | None = None,
    ) -> None:
        """``namespaces_on_demand``: a namespace comes into being with the first object in it.

        ``history`` changes of at most ``history_bytes`` can be watched from; a watch from before them gets Expired.
        ``controller_delay`` is how many seconds the controllers take at most to react.
        """
        self.faults = faults
        self._clock = clock
        self._server = Server(clock=clock, random=random, history=history, history_bytes=history_bytes)
        self._controllers = Controllers(self._server, clock=clock, random=random, delay=controller_delay)
        self._namespaces_on_demand = namespaces_on_demand
        self._served: Callable[[Served], object] = lambda served: None
        for name in namespaces:
            self._server.namespaces.create(name)

    def seen_from(self, *, clock: Clock, faults: Faults, served: Callable[[Served], object]) -> MemoryStore:
        """The same objects as another process sees them: by its own clock, behind its own faults.

        ``served`` is told of each of its requests at the moment at which that is carried out.
        """
        other = copy.copy(self)
        other._clock, other.faults, other._served = clock, faults, served
        return other

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[MemoryStore]:
        """Runs the controllers within the block: garbage collection, mirroring and the end of namespaces."""
        task = asyncio.create_task(self._controllers.run(), name="memory-store-controllers")
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # ---- The Store interface ----------------------------------------------------------------------------------------

    async def list(
        self, kind: type[K], *, namespace: str | None = None, label_selector: str = "", timeout: float = 30.0
    ) -> Listing[K]:
        def act() -> Listing[K]:
            records = self._server.records(kind, namespace, selectors.parse(label_selector))
            items = tuple(codec.decode(kind, record.data) for record in records)
            return Listing(items, str(self._server.version))

        return await self._request("list", kind, (namespace or "", ""), timeout, act)

    async def watch(
        self,
        kind: type[K],
        *,
        resource_version: str | None,
        namespace: str | None = None,
        label_selector: str = "",
        timeout: float = 300.0,
    ) -> AsyncGenerator[WatchEvent[K], None]:
        end = self._clock.monotonic() + timeout
        await self._request("watch", kind, (namespace or "", ""), timeout, lambda: None)
        selected = selectors.parse(label_selector)
        if resource_version is None:
            version = self._server.version
            position = self._server.history.position(version)
            for record in self._server.records(kind, namespace, selected):
                obj = codec.decode(kind, record.data)
                yield WatchEvent(WatchType.ADDED, obj.metadata.resource_version or "", obj)
            yield WatchEvent(WatchType.BOOKMARK, str(version), initial_end=True)
        else:
            version = _version(resource_version)
            position = self._server.history.position(version)
        bookmark = self._next_bookmark(end)
        while (now := self._clock.monotonic()) < end:
            changes, position = self._server.history.read(position)
            for change in changes:
                # Of a version in the future all events up to it are passed over, as an API server does.
                if change.version > version and change.kind is kind and namespace in (None, change.namespace):
                    event = _event(kind, change, selected)
                    if event is not None:
                        if not await self._deliver(kind, event, end):
                            return
                        yield event
            if changes:
                continue  # more may have come while these were consumed
            if now >= bookmark:
                if self._server.version >= version:
                    yield WatchEvent(WatchType.BOOKMARK, str(self._server.version))
                bookmark = self._next_bookmark(end)
                continue
            with contextlib.suppress(TimeoutError):
                async with self._clock.timeout(min(end, bookmark) - now):
                    await self._server.history.more()

    async def version(self, kind: type[KubeObject], *, namespace: str | None = None, timeout: float = 10.0) -> str:
        return await self._request("list", kind, (namespace or "", ""), timeout, lambda: str(self._server.version))

    async def get(self, kind: type[K], namespace: str, name: str, *, timeout: float = 10.0) -> K:
        def act() -> K:
            return codec.decode(kind, self._server.get(kind, namespace, name).data)

        return await self._request("get", kind, (namespace, name), timeout, act)

    async def create(self, obj: K, *, timeout: float = 10.0) -> K:
        kind = type(obj)

        def act() -> K:
            self._make_namespace(obj.metadata.namespace)
            record = self._server.create(kind, codec.encode(obj), manager=FIELD_MANAGER)
            return codec.decode(kind, record.data)

        return await self._request("create", kind, obj.key, timeout, act)

    async def update(self, obj: K, *, timeout: float = 10.0) -> K:
        kind, metadata = type(obj), obj.metadata
        if not metadata.uid or not metadata.resource_version:
            raise Invalid(f"update {kind.__name__} {'/'.join(obj.key)}: uid and resourceVersion are required")

        def act() -> K:
            stored = self._server.get(kind, *obj.key)
            data = unknown.carry(kind, stored.data, codec.encode(obj))
            return codec.decode(kind, self._server.update(kind, data, manager=FIELD_MANAGER).data)

        return await self._request("update", kind, obj.key, timeout, act)

    async def delete(
        self,
        kind: type[K],
        namespace: str,
        name: str,
        *,
        uid: str,
        resource_version: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        def act() -> None:
            self._server.delete(kind, namespace, name, uid=uid, version=resource_version)

        await self._request("delete", kind, (namespace, name), timeout, act)

    async def apply_service(
        self, service: dict[str, Any], *, field_manager: str, dry_run: bool = False, timeout: float = 10.0
    ) -> Service:
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        data = msgspec.json.encode(service)

        def act() -> Service:
            self._make_namespace(namespace)
            record = self._server.apply_service(data, manager=field_manager, dry_run=dry_run)
            return codec.decode(Service, record.data)

        return await self._request("apply", Service, (namespace, name), timeout, act)

    async def close(self) -> None:
        """Nothing is held open."""

    # ---- Other clients ----------------------------------------------------------------------------------------------

    def create_namespace(self, name: str) -> None:
        """Makes a namespace where there is none."""
        self._server.namespaces.create(name)

    def terminate_namespace(self, name: str) -> None:
        """Deletes a namespace: from now on nothing is created in it; the controllers empty and remove it."""
        self._server.namespaces.terminate(name)
        self._server.history.wake()  # the controllers have something to do, and no object has changed

    def backup(self) -> Backup:
        """All objects as they are now, for ``restore``."""
        return self._server.backup()

    def restore(self, backup: Backup) -> None:
        """Comes back with the data of ``backup``, as from a copy of etcd that is older than what clients have seen."""
        self._server.restore(backup)

    def put(self, kind: type[KubeObject], body: Json, *, field_manager: str = "kubectl") -> Json:
        """Creates an object, or replaces it; uid and resourceVersion are preconditions only where ``body`` has them.

        Takes and returns plain JSON, and raises what an API server would answer.
        """
        metadata = body["metadata"]
        namespace = metadata.get("namespace", "")
        self._make_namespace(namespace)
        data = msgspec.json.encode(body)
        if self._server.find(kind, namespace, metadata.get("name", "")) is None:
            return self._server.create(kind, data, manager=field_manager).body()
        return self._server.update(kind, data, manager=field_manager).body()

    def remove(self, kind: type[KubeObject], namespace: str, name: str) -> None:
        """Deletes an object, whatever its version; raises NotFound."""
        self._server.delete(kind, namespace, name)

    @property
    def revision(self) -> int:
        """The resourceVersion of the latest change."""
        return self._server.version

    def raw(self, kind: type[KubeObject], namespace: str, name: str) -> Json:
        """An object as plain JSON; raises NotFound."""
        return self._server.get(kind, namespace, name).body()

    def dump(self, kind: type[KubeObject], namespace: str | None = None) -> tuple[Json, ...]:
        """All objects of a kind as plain JSON, by namespace and name."""
        return tuple(record.body() for record in self._server.records(kind, namespace, selectors.parse("")))

    # ---- Parts ------------------------------------------------------------------------------------------------------

    async def _request(
        self, verb: str, kind: type[KubeObject], key: tuple[str, str], timeout: float, act: Callable[[], T]
    ) -> T:
        """Carries out one request, which takes what time its fault says and always lets other tasks run."""
        fault = (self.faults and self.faults(verb, kind, key)) or NO_FAULT
        what = f"{verb} {kind.__name__} {'/'.join(filter(None, key))}"
        asked = Asked(verb, kind, key, act, self.revision)
        outcome = await self._travel(asked, fault, timeout)
        left = timeout - fault.before
        if fault.error is None and (fault.lost or fault.after >= left):
            await self._clock.sleep(left)
            raise Unavailable(f"{what}: no answer within {timeout:g} s")
        if fault.error is None and fault.after:
            await self._clock.sleep(fault.after)
        if isinstance(outcome, StoreError):
            raise outcome
        return cast(T, outcome)

    async def _travel(self, asked: Asked, fault: Fault, timeout: float) -> object:
        """Waits until a request has arrived, and returns what it came to; raises Unavailable.

        It travels by itself: its sender may be halted meanwhile, and a late one arrives although nobody waits for it.
        """
        if not fault.before:
            await self._clock.sleep(0)
            return fault.error or self._carry_out(asked)
        outcomes: list[object] = []
        arrived, waits = asyncio.Event(), fault.before < timeout

        def arrive() -> None:
            if waits:
                outcomes.append(fault.error or self._carry_out(asked))
                arrived.set()
            else:
                self._carry_out(asked, late=True)

        journey = self._clock.call_later(fault.before, arrive)
        try:
            async with self._clock.timeout(timeout):
                await arrived.wait()
        except TimeoutError:
            what = f"{asked.verb} {asked.kind.__name__} {'/'.join(filter(None, asked.key))}"
            raise Unavailable(f"{what}: no answer within {timeout:g} s") from None
        finally:
            waits = False
            if not fault.late:
                journey.cancel()
        return outcomes[0]

    def _carry_out(self, asked: Asked, late: bool = False) -> object:
        """What a request came to: its answer may yet be lost, be it good or bad."""
        found = self._server.find(asked.kind, *asked.key)
        version = 0 if found is None else int(found.metadata["resourceVersion"])
        outcome: object
        try:
            outcome = asked.act()
        except StoreError as error:
            outcome = error
        refusal = outcome if isinstance(outcome, StoreError) else None
        self._served(Served(asked.verb, asked.kind, asked.key, late, refusal, asked.sent, version))
        return outcome

    async def _deliver(self, kind: type[K], event: WatchEvent[K], end: float) -> bool:
        """Whether an event that is due gets through before the watch ends; raises the error that breaks the watch."""
        key = event.object.key if event.object is not None else ("", "")
        fault = (self.faults and self.faults("event", kind, key)) or NO_FAULT
        if fault.before:
            await self._clock.sleep(max(0.0, min(fault.before, end - self._clock.monotonic())))
        if fault.error is not None:
            raise fault.error
        return self._clock.monotonic() < end

    def _next_bookmark(self, end: float) -> float:
        now = self._clock.monotonic()
        last = end - LAST_BOOKMARK
        return last if now < last < now + BOOKMARK_PERIOD else now + BOOKMARK_PERIOD

    def _make_namespace(self, name: str) -> None:
        if self._namespaces_on_demand:
            self._server.namespaces.create(name)


def _version(text: str) -> int:
    if not text.isdigit():
        raise Invalid(f"invalid resource version {text!r}")
    return int(text)


def _event(kind: type[K], change: Change, selected: selectors.Selector) -> WatchEvent[K] | None:
    """``change`` as a watch with this selector sees it: what leaves the selection is deleted, what enters it added."""
    before = change.old is not None and selected(change.old.labels)
    after = change.type is not WatchType.DELETED and selected(change.new.labels)
    if after:
        seen, state = (WatchType.MODIFIED if before else WatchType.ADDED), change.new
    elif before and change.old is not None:
        seen, state = WatchType.DELETED, change.new if change.type is WatchType.DELETED else change.old
    else:
        return None
    return WatchEvent(seen, str(change.version), _at_version(kind, state, change.version))


def _at_version(kind: type[K], state: State, version: int) -> K:
    obj = codec.decode(kind, state.data)
    if obj.metadata.resource_version == str(version):
        return obj
    metadata = msgspec.structs.replace(obj.metadata, resource_version=str(version))
    return msgspec.structs.replace(obj, metadata=metadata)
