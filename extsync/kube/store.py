"""The Store: what extsync needs of a place where Kubernetes objects live.

Two implementations answer alike: ``kube.api.KubeStore`` speaks to an API server, ``kube.memory.MemoryStore`` keeps
objects in this process. One suite of behaviour tests holds both to this contract.

Every call has a deadline and raises one of the errors of ``extsync.errors`` and nothing else (besides
CancelledError). Objects given and returned are the immutable structs of ``extsync.objects``; fields that those do not
know survive an update.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator
from typing import Any, Generic, Protocol

import msgspec

from extsync.objects import K, KubeObject, Service


class Listing(msgspec.Struct, Generic[K], frozen=True):
    """The objects of one kind at one moment; a watch from ``resource_version`` goes on where it ends."""

    items: tuple[K, ...]
    resource_version: str


class WatchType(enum.Enum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


class WatchEvent(msgspec.Struct, Generic[K], frozen=True):
    """One change. A BOOKMARK has no object: it only moves ``resource_version`` on; ``initial_end`` marks the one that
    ends the initial events of a watch-list."""

    type: WatchType
    resource_version: str
    object: K | None = None
    initial_end: bool = False


class Store(Protocol):
    """A place where Kubernetes objects live. ``timeout`` is in seconds and is also sent to the server on writes."""

    async def list(
        self, kind: type[K], *, namespace: str | None = None, label_selector: str = "", timeout: float = 30.0
    ) -> Listing[K]:
        """All objects of ``kind`` in ``namespace`` (None: in all), read consistently; large answers are paged."""
        ...

    def watch(
        self,
        kind: type[K],
        *,
        resource_version: str | None,
        namespace: str | None = None,
        label_selector: str = "",
        timeout: float = 300.0,
    ) -> AsyncGenerator[WatchEvent[K], None]:
        """Changes after ``resource_version``, until ``timeout`` has passed or the server ends the watch.

        With ``resource_version`` None it is a watch-list: ADDED for each object there is, a BOOKMARK with
        ``initial_end``, then changes. Raises Expired where the version is too old, Invalid where the server
        does no watch-lists, Unavailable where the connection breaks or nothing (not even a bookmark) came for too long.
        Read it within ``contextlib.aclosing``: it holds a connection until it ends or is closed.
        """
        ...

    async def version(self, kind: type[KubeObject], *, namespace: str | None = None, timeout: float = 10.0) -> str:
        """The resource version that a consistent list of ``kind`` would have now; costs next to nothing."""
        ...

    async def get(self, kind: type[K], namespace: str, name: str, *, timeout: float = 10.0) -> K:
        """One object; raises NotFound."""
        ...

    async def create(self, obj: K, *, timeout: float = 10.0) -> K:
        """Creates ``obj``; raises AlreadyExists, Invalid, Forbidden, Terminating, NotFound (no such namespace)."""
        ...

    async def update(self, obj: K, *, timeout: float = 10.0) -> K:
        """Replaces the object. ``metadata.uid`` and ``metadata.resource_version`` are required and are preconditions.

        Raises Conflict where they are not the object's, NotFound where there is none, Invalid where they are missing.
        Fields that extsync does not know are taken over from the object with that resource version.
        """
        ...

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
        """Deletes that very object; raises Conflict where uid or version differ, NotFound where there is none."""
        ...

    async def apply_service(
        self, service: dict[str, Any], *, field_manager: str, dry_run: bool = False, timeout: float = 10.0
    ) -> Service:
        """Server-side apply of a Service given as plain JSON, never forced.

        Creates it where there is none. Raises FieldConflict where another manager owns a field with another value. With
        uid and resourceVersion in its metadata it is of that very version: Conflict where there is another, or none.
        """
        ...

    async def close(self) -> None: ...
