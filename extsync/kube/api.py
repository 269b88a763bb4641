"""The Store that is a Kubernetes API.

Whatever goes wrong is mapped once, in ``kube.transport`` (the connection) and ``kube.status`` (the answer), to the
closed set of store errors. There is no rate limit here and no retry, beyond what a single call needs to be true.
``kube.transport`` says why the requests do not go through kubernetes-asyncio's own client, ``kube.access`` what does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

import msgspec

from extsync.errors import Conflict, Expired, Invalid, NotFound, StoreError, Unavailable
from extsync.kube import codec, unknown
from extsync.kube.access import Access
from extsync.kube.store import Listing, WatchEvent
from extsync.kube.transport import Transport
from extsync.objects import FIELD_MANAGER, K, KubeObject, Service
from extsync.seams import Clock, Dialer

PAGE_SIZE = 500
"""Objects that are asked for at a time; client-go's figure."""
WATCH_INACTIVITY = 150.0
"""Seconds of silence after which a watch counts as dead. The API server sends a bookmark about once a minute, also
where nothing changes, so two of them have to be missing."""
WATCH_GRACE = 10.0
"""Seconds that the server has to end a watch after the time-out that it was given."""
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
"""What to accept where the objects of a list are of no interest."""
_WRITES = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Ignore"}
"""The query of a create or an update. By default the server reads the body strictly to warn of fields that it does not
know; nobody would hear it here, and it drops them either way."""
REMEMBERED = 20_000
"""Objects of which it is remembered that they have no fields but known ones."""


class KubeStore:
    """Objects in an API server; see ``kube.store.Store`` for the contract."""

    def __init__(
        self,
        access: Access,
        *,
        clock: Clock,
        dialer: Dialer,
        page_size: int = PAGE_SIZE,
        watch_inactivity: float = WATCH_INACTIVITY,
    ) -> None:
        self._transport = Transport(access, clock=clock, dialer=dialer)
        self._clock = clock
        self._page_size = page_size
        self._watch_inactivity = watch_inactivity
        self._plain = _Remembered(REMEMBERED)

    async def list(
        self, kind: type[K], *, namespace: str | None = None, label_selector: str = "", timeout: float = 30.0
    ) -> Listing[K]:
        end = self._clock.monotonic() + timeout
        query = {"labelSelector": label_selector} if label_selector else {}
        try:
            return await self._list(kind, namespace, {**query, "limit": str(self._page_size)}, end)
        except Expired:
            # The snapshot that the pages are of is gone, so in one piece. kubectl and client-go do the same.
            return await self._list(kind, namespace, query, end)

    async def watch(
        self,
        kind: type[K],
        *,
        resource_version: str | None,
        namespace: str | None = None,
        label_selector: str = "",
        timeout: float = 300.0,
    ) -> AsyncGenerator[WatchEvent[K], None]:
        what = f"watch {_words(kind, namespace)}"
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(max(1, round(timeout)))}
        if label_selector:
            query["labelSelector"] = label_selector
        if resource_version is None:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        else:
            query["resourceVersion"] = resource_version
        lines = self._transport.lines(
            _path(kind, namespace),
            what=what,
            query=query,
            duration=timeout + WATCH_GRACE,
            inactivity=self._watch_inactivity,
        )
        initial = resource_version is None
        async with aclosing(lines):
            async for line in lines:
                try:
                    event = codec.decode_event(kind, line)
                except Unavailable as error:
                    if initial:  # where etcd is too old the refusal is an event, after a 200
                        raise Invalid(f"{what}: the server does no watch-lists: {error}") from error
                    raise
                except msgspec.DecodeError as error:
                    raise _not_understood(what, error) from error
                initial = initial and not event.initial_end
                yield event

    async def version(self, kind: type[KubeObject], *, namespace: str | None = None, timeout: float = 10.0) -> str:
        what = f"list {_words(kind, namespace)}"
        answer = await self._transport.call(
            "GET", _path(kind, namespace), what=what, deadline=timeout, query={"limit": "1"}, accept=METADATA_ONLY
        )
        try:
            return codec.decode_version(answer)
        except msgspec.DecodeError as error:
            raise _not_understood(what, error) from error

    async def get(self, kind: type[K], namespace: str, name: str, *, timeout: float = 10.0) -> K:
        what = f"get {_words(kind, namespace, name)}"
        answer = await self._transport.call("GET", _path(kind, namespace, name), what=what, deadline=timeout)
        return _decode(kind, answer, what)

    async def create(self, obj: K, *, timeout: float = 10.0) -> K:
        metadata = obj.metadata
        what = f"create {_words(type(obj), metadata.namespace, metadata.name or f'{metadata.generate_name}*')}"
        answer = await self._transport.call(
            "POST",
            _path(type(obj), metadata.namespace),
            what=what,
            deadline=timeout,
            query=_WRITES,
            is_write=True,
            body=codec.encode(obj),
        )
        return self._written(type(obj), answer, what)

    async def update(self, obj: K, *, timeout: float = 10.0) -> K:
        kind, metadata = type(obj), obj.metadata
        what = f"update {_words(kind, *obj.key)}"
        if not metadata.uid or not metadata.resource_version:
            raise Invalid(f"{what}: uid and resourceVersion are required")
        path = _path(kind, *obj.key)
        end = self._clock.monotonic() + timeout
        body = codec.encode(obj)
        if not self._plain.has(metadata.uid, metadata.resource_version):
            body = unknown.carry(kind, await self._stored(obj, path, what, timeout), body)
        left = end - self._clock.monotonic()
        try:
            answer = await self._transport.call(
                "PUT",
                path,
                what=what,
                deadline=left,
                query=_WRITES,
                is_write=True,
                body=body,
            )
        except Conflict:
            await self._raise_if_gone(path, what, end - self._clock.monotonic())
            raise
        return self._written(kind, answer, what)

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
        preconditions = {"uid": uid} | ({"resourceVersion": resource_version} if resource_version else {})
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        await self._transport.call(
            "DELETE",
            _path(kind, namespace, name),
            what=f"delete {_words(kind, namespace, name)}",
            deadline=timeout,
            query={"fieldManager": FIELD_MANAGER},
            is_write=True,
            body=msgspec.json.encode(options),
        )
        self._plain.forget(uid)

    async def apply_service(
        self, service: dict[str, Any], *, field_manager: str, dry_run: bool = False, timeout: float = 10.0
    ) -> Service:
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        what = f"apply {_words(Service, namespace, name)}"
        answer = await self._transport.call(
            "PATCH",
            _path(Service, namespace, name),
            what=what,
            deadline=timeout,
            query={"fieldManager": field_manager} | ({"dryRun": "All"} if dry_run else {}),
            is_write=True,
            body=msgspec.json.encode({"apiVersion": "v1", "kind": "Service", **service}),
            content_type="application/apply-patch+yaml",  # JSON is YAML
        )
        return _decode(Service, answer, what)

    async def close(self) -> None:
        await self._transport.close()

    async def _list(self, kind: type[K], namespace: str | None, query: Mapping[str, str], end: float) -> Listing[K]:
        """All pages of one snapshot, by the clock's time ``end``."""
        what = f"list {_words(kind, namespace)}"
        items: list[K] = []
        token = ""
        while True:
            answer = await self._transport.call(
                "GET",
                _path(kind, namespace),
                what=what,
                deadline=end - self._clock.monotonic(),
                query={**query, "continue": token} if token else query,
            )
            try:
                page = codec.decode_list(kind, answer)
            except msgspec.DecodeError as error:
                raise _not_understood(what, error) from error
            items += page.items
            token = page.next
            if not token:
                return Listing(tuple(items), page.resource_version)

    async def _raise_if_gone(self, path: str, what: str, deadline: float) -> None:
        """Raises NotFound where there is no object any more.

        Of the kinds that a PUT may create, the API says even then that there is a conflict: with the uid of nothing.
        """
        try:
            await self._transport.call("GET", path, what=what, deadline=deadline)
        except NotFound:
            raise
        except StoreError:
            return  # then the conflict is all that is known

    async def _stored(self, obj: KubeObject, path: str, what: str, timeout: float) -> bytes:
        """The JSON of the object that ``obj`` replaces; raises Conflict where that is not the one in the API."""
        answer = await self._transport.call("GET", path, what=what, deadline=timeout)
        stored = _decode(type(obj), answer, what).metadata
        if (stored.uid, stored.resource_version) != (obj.metadata.uid, obj.metadata.resource_version):
            raise Conflict(
                f"{what}: the object is {stored.uid} at version {stored.resource_version}, "
                f"not {obj.metadata.uid} at {obj.metadata.resource_version}"
            )
        return answer

    def _written(self, kind: type[K], answer: bytes, what: str) -> K:
        """The object that a write made, remembered if it has no fields that its successor would have to keep."""
        obj = _decode(kind, answer, what)
        if obj.metadata.uid and obj.metadata.resource_version and not unknown.has_unknown(kind, answer):
            self._plain.add(obj.metadata.uid, obj.metadata.resource_version)
        return obj


class _Remembered:
    """The versions of objects that have no unknown fields, the ``limit`` most recently written ones.

    An update of another version reads the object first. So a steady state costs one request per write, and nothing
    has to be kept of what other programs write.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._versions: OrderedDict[str, str] = OrderedDict()

    def add(self, uid: str, version: str) -> None:
        self._versions[uid] = version
        self._versions.move_to_end(uid)
        if len(self._versions) > self._limit:
            self._versions.popitem(last=False)

    def has(self, uid: str, version: str) -> bool:
        return self._versions.get(uid) == version

    def forget(self, uid: str) -> None:
        self._versions.pop(uid, None)


def _decode(kind: type[K], answer: bytes, what: str) -> K:
    try:
        return codec.decode(kind, answer)
    except msgspec.DecodeError as error:
        raise _not_understood(what, error) from error


def _not_understood(what: str, error: msgspec.DecodeError) -> Unavailable:
    return Unavailable(f"{what}: the answer is not from a Kubernetes API or cut off: {error}")


def _path(kind: type[KubeObject], namespace: str | None, name: str = "") -> str:
    """The path of an object or, without ``name``, of a collection; ``namespace`` is "" or None for all and for none."""
    group = kind.API_VERSION if "/" in kind.API_VERSION else None
    parts = ["apis", group] if group else ["api", kind.API_VERSION]
    if namespace:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(kind.PLURAL)
    if name:
        parts.append(quote(name, safe=""))
    return "/" + "/".join(parts)


def _words(kind: type[KubeObject], namespace: str | None, name: str = "") -> str:
    """An object, or a collection, as people name it."""
    if not name:
        return f"{kind.PLURAL} in {namespace}" if namespace else kind.PLURAL
    return f"{kind.__name__} {namespace}/{name}" if namespace else f"{kind.__name__} {name}"
