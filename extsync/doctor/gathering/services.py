"""What belongs to a Service."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, NamedTuple

from extsync.doctor.facts import Keeper, Seen, ServiceFacts, Unread
from extsync.doctor.gathering.asking import Asking
from extsync.doctor.kinds import Pod
from extsync.kube.lease_names import leader_lease
from extsync.kube.stamp import stamp_of
from extsync.model import ServiceKey
from extsync.objects import (
    OWNER_LABEL,
    SERVICE_NAME_LABEL,
    Endpoints,
    EndpointSlice,
    Lease,
    Service,
)

MOST_SERVICES: Final = 50
"""Services that are looked at where none is named."""


class Space(NamedTuple):
    """What is read once for all Services of a namespace: its slices, and the names of its Services."""

    slices: Seen[tuple[EndpointSlice, ...]]
    names: Seen[frozenset[str]]


async def read_space(asking: Asking, namespace: str) -> Space:
    """What a namespace has. Slices are read whatever their labels: a wrong label is one of the things to find."""
    slices, services = await asyncio.gather(
        asking.list(EndpointSlice, namespace=namespace), asking.list(Service, namespace=namespace)
    )
    if isinstance(services, Unread):
        return Space(slices, services)
    return Space(slices, frozenset(one.metadata.name for one in services))


async def read_service(asking: Asking, key: ServiceKey, space: Space) -> ServiceFacts:
    """What is in the cluster of one Service."""
    service, endpoints = await asyncio.gather(asking.get(Service, *key), asking.get(Endpoints, *key))
    pods: Seen[tuple[Pod, ...] | None] = None
    if isinstance(service, Service) and service.spec.selector:
        selector = ",".join(f"{name}={value}" for name, value in service.spec.selector.items())
        pods = await asking.list(Pod, namespace=key.namespace, selector=selector)
    slices: Seen[tuple[EndpointSlice, ...]]
    strays: tuple[EndpointSlice, ...] = ()
    if isinstance(space.slices, Unread):
        slices = space.slices
    else:
        slices = tuple(one for one in space.slices if one.labels.get(SERVICE_NAME_LABEL) == key.name)
        strays = tuple(one for one in space.slices if _is_stray(one, key, service, space.names))
    return ServiceFacts(key=key, service=service, endpoints=endpoints, slices=slices, strays=strays, pods=pods)


def _is_stray(
    slice_: EndpointSlice, key: ServiceKey, service: Seen[Service | None], names: Seen[frozenset[str]]
) -> bool:
    """Whether a slice seems to be meant for a Service although its label says otherwise.

    It belongs to that Service, or it has its name in its own, as names are made, and the label names no Service at all.
    """
    label = slice_.labels.get(SERVICE_NAME_LABEL)
    if label == key.name or slice_.metadata.deletion_timestamp is not None:
        return False
    uid = service.metadata.uid if isinstance(service, Service) else None
    if uid is not None and any(one.uid == uid for one in slice_.metadata.owner_references or ()):
        return True
    is_free = label is None or (isinstance(names, frozenset) and label not in names)
    name = slice_.metadata.name
    if not is_free or not (name == key.name or name.startswith(f"{key.name}-")):
        return False
    others = names if isinstance(names, frozenset) else frozenset()
    return not any(len(one) > len(key.name) and (name == one or name.startswith(f"{one}-")) for one in others)


async def find_services(asking: Asking, owner: str, namespaces: Iterable[str | None]) -> Seen[tuple[ServiceKey, ...]]:
    """The Services that an installation of extsync keeps, as labels on objects tell."""
    found: dict[ServiceKey, None] = {}
    for namespace in namespaces:
        for kind in (Service, EndpointSlice, Endpoints):
            objects = await asking.list(kind, namespace=namespace, selector=f"{OWNER_LABEL}={owner}")
            if isinstance(objects, Unread):
                return objects
            for one in objects:
                name = one.labels.get(SERVICE_NAME_LABEL, "") if isinstance(one, EndpointSlice) else one.metadata.name
                if name:
                    found[ServiceKey(one.metadata.namespace, name)] = None
    return tuple(sorted(found))


async def read_keeper(asking: Asking, facts: ServiceFacts, owner: str) -> Seen[Keeper | None]:
    """The leader's Lease in the namespace that the stamp on the objects names, as it is now; None without a stamp.

    The stamp of a shard names that one's Lease, which is not there any more once the number of shards was changed.
    """
    slices = facts.slices if isinstance(facts.slices, tuple) else ()
    endpoints = (facts.endpoints,) if isinstance(facts.endpoints, Endpoints) else ()
    ours = (one for one in (*slices, *endpoints) if one.labels.get(OWNER_LABEL) == owner)
    stamp = next((found for one in ours if (found := stamp_of(one)) is not None), None)
    if stamp is None:
        return None
    name = leader_lease(owner)
    lease = await asking.get(Lease, stamp.namespace, name)
    if isinstance(lease, Unread):
        return lease
    return Keeper(place=f"{stamp.namespace}/{name}", wrote=stamp.identity, lease=lease, renewed=False)


async def is_renewed(asking: Asking, keeper: Keeper) -> bool:
    """Whether the Lease is not any more as it was: that is how replicas tell, and no clock has a say."""
    namespace, _, name = keeper.place.partition("/")
    lease = await asking.get(Lease, namespace, name)
    return isinstance(lease, Lease) and keeper.lease is not None and lease.spec != keeper.lease.spec
