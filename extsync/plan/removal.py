"""Removal: what goes when no manifest names a service any more."""

from __future__ import annotations

from collections.abc import Iterator

from extsync.changes import Change, Delete
from extsync.objects import (
    MANAGED_BY,
    MANAGED_BY_LABEL,
    OWNER_LABEL,
    Endpoints,
    EndpointSlice,
    KubeObject,
    Service,
)
from extsync.plan.changes import Changes
from extsync.plan.metadata import controller_uid
from extsync.plan.ownership import service_made_by
from extsync.plan.plan import Current
from extsync.plan.unmanaged import left_by_controller

_REASON = "no manifest names it any more"


def removal(current: Current, owner: str, *, with_service: bool = True) -> Changes:
    """Deletes everything of one service that the installation ``owner`` made: slices, Endpoints, and last the Service.

    A Service goes only if extsync made it, which its owner label and its field manager say, and only ``with_service``.
    Everything else stays.
    """
    return Changes(tuple(_removal(current, owner, with_service)))


def _removal(current: Current, owner: str, with_service: bool) -> Iterator[Change]:
    for slice_ in sorted(current.slices, key=lambda slice_: slice_.metadata.name):
        if slice_made_by(slice_, owner):
            yield Delete.of(slice_, _REASON)
    if current.endpoints is not None and endpoints_made_by(current.endpoints, owner):
        yield Delete.of(current.endpoints, _REASON)
    if with_service and current.service is not None and service_made_by(current.service, owner):
        yield Delete.of(current.service, _REASON)


def made_by(obj: KubeObject, owner: str) -> bool:
    """Whether that installation made the object."""
    match obj:
        case Service():
            return service_made_by(obj, owner)
        case Endpoints():
            return endpoints_made_by(obj, owner)
        case EndpointSlice():
            return slice_made_by(obj, owner)
    return False


def slice_made_by(slice_: EndpointSlice, owner: str) -> bool:
    """Whether that installation made the slice; the mirror copies the owner label, but not who manages the slice."""
    return slice_.labels.get(MANAGED_BY_LABEL) == MANAGED_BY and slice_.labels.get(OWNER_LABEL) == owner


def endpoints_made_by(endpoints: Endpoints, owner: str) -> bool:
    """Whether that installation made the Endpoints; Kubernetes's controller copies the owner label, but refers to no
    Service."""
    copied = left_by_controller(endpoints) and controller_uid(endpoints) is None
    return endpoints.labels.get(OWNER_LABEL) == owner and not copied
