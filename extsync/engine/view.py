"""What the watches show, by service: its Service, all slices that carry its name, and its Endpoints."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeAlias, TypeVar

import msgspec

from extsync.changes import Change
from extsync.engine.echoes import Echoes
from extsync.kube.cache import Cache
from extsync.kube.era import Era
from extsync.kube.store import Store
from extsync.kube.trouble import Trouble
from extsync.model import ServiceKey
from extsync.objects import (
    MANAGED_BY,
    MANAGED_BY_LABEL,
    MIRRORING_CONTROLLER,
    OWNER_LABEL,
    SERVICE_NAME_LABEL,
    Endpoints,
    EndpointSlice,
    KubeObject,
    Service,
)
from extsync.plan.plan import Current
from extsync.seams import Clock, Random

K = TypeVar("K", bound=KubeObject)
Index: TypeAlias = Callable[[K], tuple[ServiceKey, ...]]

_NAME_OF_OURS = re.compile(r"(.+)-[0-9a-f]{10}-[0-9]+")
"""What ``plan.metadata.slice_prefix`` and a number look like."""

_FULL_SLICES = (MANAGED_BY, MIRRORING_CONTROLLER, None)
"""The managers whose slices are looked into; of all others only the metadata is kept in memory."""


class ClusterView:
    """The caches that a run reads. ``namespaces`` empty: one watch a kind over the whole cluster."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        random: Random,
        namespaces: Iterable[str],
        on_change: Callable[[ServiceKey], None],
        on_answer: Callable[[], None] = lambda: None,
        trouble: Trouble | None = None,
        era: Era | None = None,
    ) -> None:
        """``on_answer`` is called when all caches are in step again after one of them was not.

        ``era`` is that of all who read from ``store``; None: of these caches.
        """
        self._echoes = Echoes(on_change)
        self._on_answer = on_answer
        era = era or Era()
        self._places: tuple[str | None, ...] = tuple(dict.fromkeys(namespaces)) or (None,)

        def caches(kind: type[K], keep: Callable[[K], K], index: Index[K] = no_index) -> dict[str | None, Cache[K]]:
            return {
                place: Cache(
                    store,
                    kind,
                    clock=clock,
                    random=random,
                    namespace=place,
                    keep=keep,
                    index=index,
                    on_change=self._changed,
                    on_state=self._state_changed,
                    trouble=trouble,
                    era=era,
                )
                for place in self._places
            }

        self._services = caches(Service, lambda service: service)
        self._endpoints = caches(Endpoints, _endpoints)
        self._slices = caches(EndpointSlice, _slice, service_keys)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Lists and watches from now on, in ``tasks``."""
        for cache in self._all():
            tasks.create_task(cache.run())

    async def synced(self) -> None:
        """Returns when every cache has had its first full list, however long the API server is away."""
        for cache in self._all():
            await cache.synced()

    def age(self) -> float | None:
        """Seconds since the server was last heard from, by the cache that has waited longest.

        None where one of them has not been read yet. While all is well it is at most about a minute.
        """
        ages = [cache.age() for cache in self._all()]
        heard = [age for age in ages if age is not None]
        return max(heard) if len(heard) == len(ages) else None

    def covers(self, namespace: str) -> bool:
        """Whether ``namespace`` is watched."""
        return None in self._places or namespace in self._places

    def current(self, key: ServiceKey) -> Current:
        """The objects of one service."""
        place = self._place(key.namespace)
        return Current(
            service=self._services[place].get(*key),
            slices=self._slices[place].by_index(key),
            endpoints=self._endpoints[place].get(*key),
        )

    def objects(self) -> Iterator[KubeObject]:
        """Every object that is watched."""
        for cache in self._all():
            yield from cache.all()

    def writing(self, key: ServiceKey, changes: Iterable[Change]) -> AbstractContextManager[None]:
        """Within it ``changes`` are made for a service, and what the watch tells of that is no change."""
        return self._echoes.writing(key, changes)

    def written(self, obj: KubeObject) -> None:
        """Takes in what the store answered to a write, so that the next plan reads it."""
        self._echoes.written(service_keys(obj), obj)
        place = self._place(obj.metadata.namespace)
        match obj:
            case Service():
                self._services[place].written(obj)
            case Endpoints():
                self._endpoints[place].written(obj)
            case EndpointSlice():
                self._slices[place].written(obj)

    def deleted(self, kind: type[KubeObject], namespace: str, name: str, uid: str) -> None:
        """Takes note of a deletion by this process."""
        caches: dict[type[KubeObject], Mapping[str | None, Cache[Any]]]
        caches = {Service: self._services, Endpoints: self._endpoints, EndpointSlice: self._slices}
        caches[kind][self._place(namespace)].deleted(namespace, name, uid)

    def _place(self, namespace: str) -> str | None:
        return None if None in self._places else namespace

    def _all(self) -> list[Cache[Any]]:
        return [*self._services.values(), *self._endpoints.values(), *self._slices.values()]

    def _state_changed(self) -> None:
        if all(cache.is_synced and cache.error is None for cache in self._all()):
            self._on_answer()

    def _changed(self, old: KubeObject | None, new: KubeObject | None) -> None:
        one = new or old
        if one is not None:
            keys = dict.fromkeys(key for obj in (old, new) if obj is not None for key in service_keys(obj))
            self._echoes.changed(keys, new, name=(type(one), *one.key))


def no_index(obj: KubeObject) -> tuple[ServiceKey, ...]:
    """For kinds that are found by their own name."""
    return ()


def service_keys(obj: KubeObject) -> tuple[ServiceKey, ...]:
    """The services that an object concerns.

    A slice concerns the one that its label names, the one that controls it and the one that extsync named it after.
    These differ where somebody changed the marks of a slice of ours, which is then to be repaired.
    """
    namespace, name = obj.metadata.namespace, obj.metadata.name
    if not isinstance(obj, EndpointSlice):
        return (ServiceKey(namespace, name),)
    controllers = [r.name for r in obj.metadata.owner_references or () if r.controller and r.kind == "Service"]
    named = _NAME_OF_OURS.fullmatch(name)
    names = (obj.labels.get(SERVICE_NAME_LABEL), *controllers, named[1] if named else None)
    return tuple(dict.fromkeys(ServiceKey(namespace, name) for name in names if name))


def is_whole(obj: KubeObject) -> bool:
    """Whether the caches keep all of an object: of what others keep they leave out the addresses.

    Slices without a manager are mostly written by hand, few, and worth a warning where they show what ours do.
    """
    if OWNER_LABEL in obj.labels or not isinstance(obj, EndpointSlice | Endpoints):
        return True
    if isinstance(obj, Endpoints):
        return False
    # By its name, somebody may have taken the marks off one of ours.
    return obj.labels.get(MANAGED_BY_LABEL) in _FULL_SLICES or bool(_NAME_OF_OURS.fullmatch(obj.metadata.name))


def _slice(slice_: EndpointSlice) -> EndpointSlice:
    return slice_ if is_whole(slice_) else msgspec.structs.replace(slice_, endpoints=None)


def _endpoints(obj: Endpoints) -> Endpoints:
    return obj if is_whole(obj) else msgspec.structs.replace(obj, subsets=None)
