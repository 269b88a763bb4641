"""A store of which a test writes the answers, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from extsync.errors import StoreError
from extsync.kube.store import Listing, WatchEvent, WatchType
from extsync.objects import K, KubeObject, ObjectMeta, Service

Step = WatchEvent[Service] | StoreError | float
"""What a watch does next: an event, an error that ends it, or seconds that pass."""


class ScriptedStore:
    """Plays one script per watch and gives one of ``lists`` per list. When scripts run out watches stay silent.

    ``watched`` has, per watch, when it began, from which version, and for how many seconds; ``listed`` when lists were
    asked for; ``open`` counts the watches that have not been closed.
    """

    def __init__(self, *scripts: Sequence[Step], lists: Sequence[Listing[Service] | StoreError] = ()) -> None:
        self.scripts = list(scripts)
        self.lists = list(lists)
        self.watched: list[tuple[float, str | None, float]] = []
        self.listed: list[float] = []
        self.open = 0
        self.now = ""
        """What the server says when it is asked how far it has come; "" can be compared with nothing."""

    @property
    def versions(self) -> list[str | None]:
        """From which versions the watches went on so far."""
        return [version for _, version, _ in self.watched]

    async def list(self, kind: type[K], **options: Any) -> Listing[Any]:
        self.listed.append(asyncio.get_running_loop().time())
        answer = self.lists.pop(0)
        if isinstance(answer, StoreError):
            raise answer
        return answer

    async def version(self, kind: type[KubeObject], **options: Any) -> str:
        return self.now

    async def watch(
        self,
        kind: type[K],
        *,
        resource_version: str | None,
        namespace: str | None = None,
        label_selector: str = "",
        timeout: float = 300.0,
    ) -> AsyncGenerator[WatchEvent[Any], None]:
        now = asyncio.get_running_loop().time()
        self.watched.append((now, resource_version, timeout))
        script = self.scripts.pop(0) if self.scripts else [timeout]
        self.open += 1
        try:
            for step in script:
                if isinstance(step, StoreError):
                    raise step
                if isinstance(step, WatchEvent):
                    yield step
                else:
                    await asyncio.sleep(step)
        finally:
            self.open -= 1


def obj(name: str, version: int | str, *, uid: str = "", **labels: str) -> Service:
    """A Service; its uid follows from its name where none is given."""
    return Service(
        metadata=ObjectMeta(
            name=name, namespace="shop", uid=uid or f"uid-{name}", resource_version=str(version), labels=labels or None
        )
    )


def listing(version: int, *objects: Service) -> Listing[Service]:
    return Listing(objects, str(version))


def added(name: str, version: int | str, *, uid: str = "", **labels: str) -> WatchEvent[Service]:
    return WatchEvent(WatchType.ADDED, str(version), obj(name, version, uid=uid, **labels))


def modified(name: str, version: int | str, *, uid: str = "", **labels: str) -> WatchEvent[Service]:
    return WatchEvent(WatchType.MODIFIED, str(version), obj(name, version, uid=uid, **labels))


def deleted(name: str, version: int | str, *, uid: str = "") -> WatchEvent[Service]:
    return WatchEvent(WatchType.DELETED, str(version), obj(name, version, uid=uid))


def bookmark(version: int | str, *, initial_end: bool = False) -> WatchEvent[Service]:
    return WatchEvent(WatchType.BOOKMARK, str(version), initial_end=initial_end)


def initially(version: int, *objects: WatchEvent[Service]) -> list[Step]:
    """The beginning of a watch-list."""
    return [*objects, bookmark(version, initial_end=True)]
