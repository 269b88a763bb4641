"""Ownership: whose an object is, which decides whether extsync may touch it (invariant 5)."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from extsync.objects import (
    FIELD_MANAGER,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    MIRRORING_CONTROLLER,
    OWNER_LABEL,
    EndpointSlice,
    Service,
)
from extsync.plan.metadata import controller_uid, is_ours, slice_prefix
from extsync.plan.unmanaged import slice_keeper

FQDN = "FQDN"
"""An address type that kube-proxy ignores and extsync never writes: its slices are left alone."""


class Whose(enum.Enum):
    """Whose a slice is."""

    OURS = "ours, perhaps with a mark missing"
    ORPHAN = "ours, of a Service that is gone"
    MIRROR = "made by the mirroring controller from an Endpoints object"
    NOBODY = "nobody's: written by hand, or left behind when the Service lost its selector"
    OTHER = "of another manager"
    GONE = "being deleted"


class SliceOwners:
    """Tells whose slices are, and remembers it for each version of each."""

    def __init__(self) -> None:
        self._asked: tuple[object, ...] | None = None
        self._known: dict[str, tuple[EndpointSlice, Whose]] = {}

    def of(self, slices: Sequence[EndpointSlice], service: Service, owner: str) -> list[Whose]:
        """Whose each of ``slices`` is, for the installation ``owner``."""
        asked = service.metadata.uid, service.metadata.name, bool(service.spec.selector), service.labels, owner
        before = self._known if asked == self._asked else {}
        known: dict[str, tuple[EndpointSlice, Whose]] = {}
        for slice_ in slices:
            name = slice_.metadata.name
            entry = before.get(name)
            known[name] = (slice_, whose(slice_, service, owner)) if entry is None or entry[0] is not slice_ else entry
        self._asked, self._known = asked, known
        return [entry[1] for entry in known.values()]


def whose(slice_: EndpointSlice, service: Service, owner: str) -> Whose:
    """Whose ``slice_`` is."""
    if slice_.metadata.deletion_timestamp is not None:
        return Whose.GONE
    if is_ours(slice_, service, owner) or is_damaged(slice_, service, owner):
        return Whose.OURS
    if is_orphan(slice_, owner):
        return Whose.ORPHAN
    if slice_.labels.get(MANAGED_BY_LABEL) == MIRRORING_CONTROLLER:
        return Whose.MIRROR
    is_nobodys = slice_.address_type != FQDN and slice_keeper(slice_, service) is None
    return Whose.NOBODY if is_nobodys else Whose.OTHER


def is_damaged(slice_: EndpointSlice, service: Service, owner: str) -> bool:
    """Whether somebody took marks off a slice of ours, which is then to be repaired and not to be doubled.

    Its name follows from the Service's uid and the owner id, and no mark that is left says otherwise.
    """
    labels, uid = slice_.labels, service.metadata.uid
    return (
        uid is not None
        and slice_.metadata.name.startswith(slice_prefix(service, owner))
        and labels.get(MANAGED_BY_LABEL, MANAGED_BY) == MANAGED_BY
        and labels.get(OWNER_LABEL, owner) == owner
        and controller_uid(slice_) in (None, uid)
    )


def is_orphan(slice_: EndpointSlice, owner: str) -> bool:
    """Whether the slice is one of ours that outlived its Service: deleting that with its dependants orphaned takes
    the reference off, and nothing would ever collect the slice."""
    labels = slice_.labels
    return (
        labels.get(MANAGED_BY_LABEL) == MANAGED_BY
        and labels.get(OWNER_LABEL) == owner
        and controller_uid(slice_) is None
    )


def service_made_by(service: Service, owner: str) -> bool:
    """Whether that installation made the Service: by its label, and by extsync being one of the field managers.

    Where the field managers were not read, the label has to do.
    """
    known = service.metadata.managed_fields is not None
    return service.labels.get(OWNER_LABEL) == owner and (was_applied(service) or not known)


def was_applied(service: Service) -> bool:
    """Whether an extsync is among the field managers of the Service, as it is of one that it has let go of, too."""
    return any(entry.get("manager") == FIELD_MANAGER for entry in service.metadata.managed_fields or ())
