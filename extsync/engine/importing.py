"""Reads what ``extsync import`` makes manifests of."""

from __future__ import annotations

from collections.abc import Iterable

from extsync.engine.retry import retrying
from extsync.engine.snapshot import Snapshot
from extsync.engine.view import service_keys
from extsync.engine.world import World
from extsync.kube.store import Listing
from extsync.model import ServiceKey
from extsync.objects import Endpoints, EndpointSlice, KubeObject, Service
from extsync.plan.publication import Current

_KINDS: tuple[type[KubeObject], ...] = (Service, Endpoints, EndpointSlice)


async def read_named(world: World, keys: Iterable[ServiceKey], *, timeout: float) -> dict[ServiceKey, Current]:
    """The objects of these services; ``timeout`` is that of one request in seconds. Raises StoreError."""
    keys = list(keys)
    snapshot = Snapshot(world.store, clock=world.clock, timeout=timeout)
    await snapshot.read(keys)
    return {key: snapshot.current(key) for key in keys}


async def read_all(world: World, namespaces: Iterable[str], *, timeout: float) -> dict[ServiceKey, Current]:
    """The objects of every service that there is in ``namespaces`` (none: in all), by name. Raises StoreError."""
    snapshot = Snapshot(world.store, clock=world.clock, timeout=timeout)
    keys: set[ServiceKey] = set()
    places: list[str | None] = [*namespaces]
    for namespace in places or [None]:
        for kind in _KINDS:
            listing: Listing[KubeObject] = await retrying(world.clock)(
                world.store.list, kind, namespace=namespace, timeout=3 * timeout
            )
            for obj in listing.items:
                snapshot.written(obj)
                keys.update(service_keys(obj))
    return {key: snapshot.current(key) for key in sorted(keys)}
