"""What is to be taken over, read in full: the caches keep no addresses of objects that are not ours."""

from __future__ import annotations

from typing import TypeVar, cast

import msgspec

from extsync.engine.view import is_whole
from extsync.errors import NotFound
from extsync.kube.store import Store
from extsync.kube.writer import ObjectKey
from extsync.model import ServiceKey
from extsync.objects import KubeObject, Service
from extsync.plan.endpoints import endpoints_adoptable
from extsync.plan.ownership import Whose, whose
from extsync.plan.plan import Current
from extsync.plan.policy import PackPolicy

K = TypeVar("K", bound=KubeObject)


class Adoptees:
    """Reads the objects that a service takes over, each version once. ``timeout`` is that of one read, in seconds."""

    def __init__(self, store: Store, *, timeout: float) -> None:
        self._store = store
        self._timeout = timeout
        self._read: dict[ServiceKey, dict[ObjectKey, KubeObject]] = {}

    async def completed(self, key: ServiceKey, current: Current, policy: PackPolicy) -> Current:
        """``current`` with all of what is to be taken over; the same object where that is nothing.

        Raises StoreError: what cannot be read must not be taken for empty.
        """
        service = current.service
        reduced = [] if service is None or not policy.adopt else _reduced(current, service, policy.owner)
        known = self._read.pop(key, {})
        if not reduced:
            return current
        read = {}
        for obj in reduced:
            at = type(obj), *obj.key
            before = known.get(at)
            found = before if before is not None and _is_the_same(before, obj) else await self._get(obj)
            if found is not None:
                read[at] = found
        self._read[key] = read
        endpoints = current.endpoints
        return msgspec.structs.replace(
            current,
            slices=tuple(one for one in (_or_none(read, reduced, slice_) for slice_ in current.slices) if one),
            endpoints=None if endpoints is None else _or_none(read, reduced, endpoints),
        )

    def forget(self, key: ServiceKey) -> None:
        """That service is kept no more."""
        self._read.pop(key, None)

    async def _get(self, obj: KubeObject) -> KubeObject | None:
        """None where it is gone, which the watch will tell as well."""
        try:
            return await self._store.get(type(obj), *obj.key, timeout=self._timeout)
        except NotFound:
            return None


def _reduced(current: Current, service: Service, owner: str) -> list[KubeObject]:
    """The objects that are nobody's, and of which the cache has only a part."""
    found: list[KubeObject] = [slice_ for slice_ in current.slices if whose(slice_, service, owner) is Whose.NOBODY]
    if current.endpoints is not None and endpoints_adoptable(current.endpoints, service, owner):
        found.append(current.endpoints)
    return [obj for obj in found if not is_whole(obj)]


def _is_the_same(read: KubeObject, cached: KubeObject) -> bool:
    """Whether what was read is the version that the cache has. A later one is read again until the watch tells of it:
    where the server went back to older data it never will."""
    mine, other = read.metadata, cached.metadata
    return (mine.uid, mine.resource_version) == (other.uid, other.resource_version)


def _or_none(read: dict[ObjectKey, KubeObject], reduced: list[KubeObject], obj: K) -> K | None:
    """``obj`` as it was read where it had to be, None where it was gone by then."""
    if not any(one is obj for one in reduced):
        return obj
    return cast("K | None", read.get((type(obj), *obj.key)))
