"""Which objects of a Service were written by hand, and why a Service cannot be imported."""

from __future__ import annotations

import msgspec

from extsync.config import names
from extsync.errors import ExtsyncError
from extsync.objects import (
    MANAGED_BY,
    MANAGED_BY_LABEL,
    MIRRORING_CONTROLLER,
    OWNER_LABEL,
    SKIP_MIRROR_LABEL,
    SLICE_CONTROLLER,
    Endpoints,
    EndpointSlice,
    KubeObject,
    Service,
)
from extsync.plan.imports.notes import Notes
from extsync.plan.ownership import FQDN
from extsync.plan.publication import Current
from extsync.plan.unmanaged import LEADER_ANNOTATION, endpoints_keeper, left_by_controller, slice_keeper


class NotImported(ExtsyncError):
    """The Service cannot be imported; the text says why and, where there is one, the cure.

    ``kept``: because a controller, or extsync, keeps it, so that there is nothing to import.
    """

    def __init__(self, reason: str, *, kept: bool = False) -> None:
        super().__init__(reason)
        self.kept = kept


class Found(msgspec.Struct, frozen=True):
    """The objects of one Service to import. ``endpoints`` are None where there are none, or Kubernetes keeps them."""

    service: Service
    endpoints: Endpoints | None
    slices: tuple[EndpointSlice, ...]

    @property
    def mirrored(self) -> bool:
        """Whether Kubernetes makes slices of the Endpoints."""
        return self.endpoints is not None and self.endpoints.labels.get(SKIP_MIRROR_LABEL) != "true"


def find(current: Current, notes: Notes) -> Found:
    """The hand-written objects among ``current``; what is left out of them is noted. Raises NotImported."""
    service = current.service
    if current.endpoints is not None and LEADER_ANNOTATION in current.endpoints.annotations:
        raise NotImported("its Endpoints are the lock of an election of leaders, and publish nothing", kept=True)
    if service is None:
        raise NotImported("there is no Service of that name: create it first, since Kubernetes deletes such Endpoints")
    _check_service(service)
    _check_owners(current)
    slices = [one for one in sorted(current.slices, key=_name) if _is_to_import(one, service, notes)]
    endpoints = current.endpoints
    if service.spec.selector:
        if not slices:
            raise NotImported("it has a selector: Kubernetes itself keeps its Endpoints and slices", kept=True)
        notes.say(f"Service {service.metadata.name}", "it has a selector: only the slices beside its own are imported")
        endpoints = None
    if endpoints is None and not slices:
        others = "".join(f"; {note}" for note in notes.all())
        raise NotImported(f"it has neither Endpoints nor slices that nobody keeps{others}", kept=True)
    if endpoints is not None:
        if keeper := endpoints_keeper(endpoints, service):
            raise NotImported(f"its Endpoints are kept by {keeper}", kept=True)
        if left_by_controller(endpoints):
            notes.say(f"Endpoints {endpoints.metadata.name}", _LEFT_BEHIND)
    return Found(service, endpoints, tuple(slices))


_LEFT_BEHIND = (
    "it was left behind by a selector that the Service has no more: look which of its addresses are still there"
)


def _name(obj: KubeObject) -> str:
    return obj.metadata.name


def _check_service(service: Service) -> None:
    if service.spec.type == "ExternalName":
        raise NotImported("a Service of type ExternalName has no endpoints", kept=True)
    if service.metadata.deletion_timestamp is not None:
        raise NotImported("its Service is being deleted")
    try:
        names.check_service_name(service.metadata.name)
    except ValueError as error:
        raise NotImported(f"a manifest cannot have the Service's name, which {error}") from None


def _check_owners(current: Current) -> None:
    """Raises NotImported where an extsync keeps any of the objects."""
    objects: list[KubeObject | None] = [current.service, current.endpoints]
    objects += [one for one in current.slices if one.labels.get(MANAGED_BY_LABEL) == MANAGED_BY]
    for obj in objects:
        if obj is not None and (owner := obj.labels.get(OWNER_LABEL)) is not None:
            kind = type(obj).__name__
            raise NotImported(
                f"extsync keeps its {kind} already, with owner id {owner!r}: there is a manifest", kept=True
            )


def _is_to_import(slice_: EndpointSlice, service: Service, notes: Notes) -> bool:
    """Whether nobody keeps the slice; of one that somebody keeps it is noted, for it stays beside what is imported."""
    place = f"EndpointSlice {slice_.metadata.name}"
    manager = slice_.labels.get(MANAGED_BY_LABEL)
    if slice_.metadata.deletion_timestamp is not None or manager == MIRRORING_CONTROLLER:
        return False
    keeper = slice_keeper(slice_, service)
    if keeper is None and slice_.address_type != FQDN:
        if manager == SLICE_CONTROLLER:
            notes.say(place, _LEFT_BEHIND)
        return True
    if keeper is None:
        notes.say(place, f"{_STAYS}, since its addresses are names, which kube-proxy ignores")
    elif manager != SLICE_CONTROLLER:
        notes.say(place, f"{_STAYS}: it is kept by {keeper}")
    return False


_STAYS = "it stays as it is, and is not in the manifest"
