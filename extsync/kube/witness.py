"""A store that notices from the answers to writes that the server's data went back.

Whatever changes an object gives it a version that is higher than all that its kind has had. So where a write is
answered with a version lower than one that was known when it was sent, the data of the latter are lost; and so they
are where an object that is not of the version that an update was made from is of a lower one. Watches alone
may not show that: if enough has been written by the time they resume, their version lies in the server's past again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NamedTuple

from extsync.errors import Conflict
from extsync.kube.era import Era
from extsync.kube.own_writes import is_older
from extsync.kube.store import Listing, Store, WatchEvent
from extsync.objects import K, KubeObject, Service


class _Known(NamedTuple):
    """The highest version that a kind was seen to have, and the era in which that was."""

    version: str | None
    era: int


class Witness:
    """Passes everything through to ``store``, and ends the present era of ``era`` where its data went back."""

    def __init__(self, store: Store, era: Era) -> None:
        self._store = store
        self._era = era
        self._known: dict[type[KubeObject], _Known] = {}
        self._refused: dict[tuple[type[KubeObject], str, str], _Known] = {}
        """The versions of which objects were taken to be when an update met a conflict, until they are read."""

    async def list(
        self, kind: type[K], *, namespace: str | None = None, label_selector: str = "", timeout: float = 30.0
    ) -> Listing[K]:
        listing = await self._store.list(kind, namespace=namespace, label_selector=label_selector, timeout=timeout)
        self._saw(kind, listing.resource_version)
        return listing

    async def watch(
        self,
        kind: type[K],
        *,
        resource_version: str | None,
        namespace: str | None = None,
        label_selector: str = "",
        timeout: float = 300.0,
    ) -> AsyncGenerator[WatchEvent[K], None]:
        events = self._store.watch(
            kind,
            resource_version=resource_version,
            namespace=namespace,
            label_selector=label_selector,
            timeout=timeout,
        )
        async with aclosing(events):
            async for event in events:
                self._saw(kind, event.resource_version)
                yield event

    async def version(self, kind: type[KubeObject], *, namespace: str | None = None, timeout: float = 10.0) -> str:
        return await self._store.version(kind, namespace=namespace, timeout=timeout)

    async def get(self, kind: type[K], namespace: str, name: str, *, timeout: float = 10.0) -> K:
        refused = self._refused.pop((kind, namespace, name), None)
        found = await self._store.get(kind, namespace, name, timeout=timeout)
        if refused is not None and is_older(found.metadata.resource_version, refused.version):
            self._era.ended(refused.era)
        return found

    async def create(self, obj: K, *, timeout: float = 10.0) -> K:
        known = self._highest(type(obj))
        made = await self._store.create(obj, timeout=timeout)
        self._changed(made, known)
        return made

    async def update(self, obj: K, *, timeout: float = 10.0) -> K:
        known = self._highest(type(obj))
        try:
            made = await self._store.update(obj, timeout=timeout)
        except Conflict:
            self._refused[type(obj), *obj.key] = _Known(obj.metadata.resource_version, self._era.number)
            raise
        if made.metadata.resource_version != obj.metadata.resource_version:  # else nothing was changed
            self._changed(made, known)
        return made

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
        await self._store.delete(kind, namespace, name, uid=uid, resource_version=resource_version, timeout=timeout)

    async def apply_service(
        self, service: dict[str, Any], *, field_manager: str, dry_run: bool = False, timeout: float = 10.0
    ) -> Service:
        known, version = self._highest(Service), service["metadata"].get("resourceVersion")
        made = await self._store.apply_service(service, field_manager=field_manager, dry_run=dry_run, timeout=timeout)
        # Without a version of its own it may have met a Service that is as it should be, and changed nothing.
        if not dry_run and version not in (None, made.metadata.resource_version):
            self._changed(made, known)
        return made

    async def close(self) -> None:
        await self._store.close()

    def _highest(self, kind: type[KubeObject]) -> _Known:
        known = self._known.get(kind)
        return known if known is not None and known.era == self._era.number else _Known(None, self._era.number)

    def _saw(self, kind: type[KubeObject], version: str | None) -> None:
        known = self._highest(kind)
        if not known.version or is_older(known.version, version):
            self._known[kind] = _Known(version, known.era)

    def _changed(self, made: KubeObject, known: _Known) -> None:
        """``made`` came of a write that was sent when ``known`` was."""
        if is_older(made.metadata.resource_version, known.version):
            self._era.ended(known.era)
        self._saw(type(made), made.metadata.resource_version)
