"""What commands that run once know of the cluster: objects read when they are needed, and what was written since."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TypeVar

from extsync.engine.parallel import in_parallel
from extsync.engine.retry import retrying
from extsync.engine.view import service_keys
from extsync.errors import NotFound
from extsync.kube.indexed import Indexed
from extsync.kube.store import Listing, Store
from extsync.model import ServiceKey
from extsync.objects import Endpoints, EndpointSlice, KubeObject, Service
from extsync.plan.plan import Current
from extsync.seams import Clock

K = TypeVar("K", bound=KubeObject)

PARALLEL = 8
"""How many reads are under way at once."""


class Snapshot:
    """Services, slices and Endpoints of some namespaces. It answers like ``engine.view.ClusterView``."""

    def __init__(self, store: Store, *, clock: Clock, timeout: float) -> None:
        self._store = store
        self._clock = clock
        self._timeout = timeout
        self._services: dict[ServiceKey, Service] = {}
        self._endpoints: dict[ServiceKey, Endpoints] = {}
        self._slices: Indexed[EndpointSlice] = Indexed(service_keys)

    async def read(self, keys: Iterable[ServiceKey]) -> None:
        """Reads the services ``keys`` anew. Slices are listed by namespace, to see those too that lost their labels."""
        keys = list(keys)
        namespaces = dict.fromkeys(key.namespace for key in keys)
        services = [partial(self._read_service, key) for key in keys]
        slices = [partial(self._read_slices, namespace) for namespace in namespaces]
        await in_parallel([*services, *slices], PARALLEL)

    def current(self, key: ServiceKey) -> Current:
        """The objects of one service."""
        return Current(
            service=self._services.get(key),
            slices=self._slices.group(key),
            endpoints=self._endpoints.get(key),
        )

    def written(self, obj: KubeObject) -> None:
        """Takes in what the store answered to a write."""
        key = ServiceKey(obj.metadata.namespace, obj.metadata.name)
        match obj:
            case Service():
                self._services[key] = obj
            case Endpoints():
                self._endpoints[key] = obj
            case EndpointSlice():
                self._slices.put(obj)

    def deleted(self, kind: type[KubeObject], namespace: str, name: str, uid: str) -> None:
        """Takes note of a deletion."""
        key = ServiceKey(namespace, name)
        if kind is Service:
            self._services.pop(key, None)
        elif kind is Endpoints:
            self._endpoints.pop(key, None)
        else:
            self._slices.remove(key)

    async def _read_service(self, key: ServiceKey) -> None:
        service = await self._get(Service, key)
        endpoints = await self._get(Endpoints, key)
        self._services.pop(key, None)
        self._endpoints.pop(key, None)
        if service is not None:
            self._services[key] = service
        if endpoints is not None:
            self._endpoints[key] = endpoints

    async def _read_slices(self, namespace: str) -> None:
        listing: Listing[EndpointSlice] = await retrying(self._clock)(
            self._store.list, EndpointSlice, namespace=namespace, timeout=3 * self._timeout
        )
        for key in self._slices.names():
            if key[0] == namespace:
                self._slices.remove(key)
        for slice_ in listing.items:
            self._slices.put(slice_)

    async def _get(self, kind: type[K], key: ServiceKey) -> K | None:
        try:
            return await retrying(self._clock)(self._store.get, kind, key.namespace, key.name, timeout=self._timeout)
        except NotFound:
            return None
