"""Publication: the slices and the Endpoints of one Service that exists, put together from the stages that make them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from extsync.changes import Change, Delete
from extsync.model import Endpoint
from extsync.objects import Endpoints, EndpointSlice, Service
from extsync.plan.advice import advice_on, unknown_ports
from extsync.plan.buckets import Buckets
from extsync.plan.cover import mirror_shows, ours_show
from extsync.plan.endpoints import endpoints_change, endpoints_refusal
from extsync.plan.held import SliceMemo
from extsync.plan.metadata import Frame
from extsync.plan.ownership import SliceOwners, Whose
from extsync.plan.policy import Notice, PackPolicy, Refusal
from extsync.plan.publish import Phase, phase_of
from extsync.plan.render import Rendering
from extsync.plan.slices import pack
from extsync.plan.subsets import CAPACITY, SubsetMemo, largest_port_set, make_subsets


class Current(msgspec.Struct, frozen=True):
    """What the cluster has of one service.

    ``slices`` are all EndpointSlices of the Service, ours and others': those that carry its name in the label
    kubernetes.io/service-name, and those whose controller it is. ``endpoints`` is the Endpoints object of its name.
    """

    service: Service | None = None
    slices: tuple[EndpointSlice, ...] = ()
    endpoints: Endpoints | None = None


class PublicationMemo:
    """What was worked out for one service; it makes the next time cost what changed, and changes no result."""

    def __init__(self) -> None:
        self.owners = SliceOwners()
        self.buckets = Buckets()
        self.slices = SliceMemo()
        self.subsets = SubsetMemo()
        self._frame: Frame | None = None

    def frame(self, service: Service, policy: PackPolicy) -> Frame:
        """The metadata in common; the same object as the last time as long as it is the same."""
        known = self._frame
        if known is None or known.service is not service or known.policy != policy:
            self._frame = Frame(service, policy)
        assert self._frame is not None
        return self._frame


class Publication(msgspec.Struct, frozen=True):
    """What is to be written, and what there is to say.

    ``is_started``: something is published already. ``is_ahead``: endpoints have ports that the Service has not.
    """

    changes: tuple[Change, ...]
    refusals: tuple[Refusal, ...]
    warnings: tuple[Notice, ...]
    notes: tuple[Notice, ...]
    is_started: bool
    is_ahead: bool = False


def publish(
    current: Current,
    service: Service,
    endpoints: tuple[Endpoint, ...],
    policy: PackPolicy,
    triggered: str | None,
    memo: PublicationMemo,
) -> Publication:
    """The changes that make ``current`` show ``endpoints``: creates and updates first, deletes last."""
    view = _View(current, service, policy.owner, memo.owners)
    if service.spec.type == "ExternalName":
        return _unpublish(view, endpoints)
    buckets = memo.buckets
    buckets.update(endpoints, Rendering.of(service))
    refusals = _refusals(view, policy, buckets)
    phase = _phase(view, policy, buckets, refused=bool(refusals))
    frame = memo.frame(service, policy)
    changes: list[Change] = [Delete.of(slice_, _OUTLIVED) for slice_ in view.orphans]
    if phase.slices:
        changes += pack(buckets, view.ours, frame=frame, taken=view.names, triggered=triggered, memo=memo.slices)
    else:
        changes += [Delete.of(slice_, _MIRRORED) for slice_ in view.ours]
    changes += _endpoints_changes(view, phase, buckets, frame, triggered, memo.subsets)
    return Publication(
        tuple(sorted(changes, key=lambda change: isinstance(change, Delete))),
        refusals,
        advice_on(service, endpoints, buckets, view.foreign),
        (phase.waiting,) if phase.waiting is not None else (),
        view.is_started,
        bool(unknown_ports(service, buckets)),
    )


_OUTLIVED = "it outlived the Service that it was made for"
_MIRRORED = "only Endpoints are published, and Kubernetes makes slices of them"
_NOT_PUBLISHED = "Endpoints are not published"
_HAS_NO_ENDPOINTS = "an ExternalName Service has no endpoints"


class _View:
    """Whose the objects are. A slice that is being deleted counts as gone, whatever its finalizers wait for."""

    def __init__(self, current: Current, service: Service, owner: str, owners: SliceOwners) -> None:
        self.names = frozenset([slice_.metadata.name for slice_ in current.slices])
        by_owner: dict[Whose, list[EndpointSlice]] = {whose: [] for whose in Whose}
        for slice_, whose in zip(current.slices, owners.of(current.slices, service, owner), strict=True):
            by_owner[whose].append(slice_)
        self.ours = by_owner[Whose.OURS]
        self.orphans = by_owner[Whose.ORPHAN]
        self.mirrored = by_owner[Whose.MIRROR]
        self.refusal = endpoints_refusal(service, current.endpoints, owner)
        self.endpoints = current.endpoints if self.refusal is None else None
        # The mirror's slices of an object of ours are one with it, and come and go by its label.
        others = by_owner[Whose.OTHER]
        self.foreign = others if self.endpoints is not None else [*others, *self.mirrored]
        self.is_started = bool(self.ours) or self.endpoints is not None


def _refusals(view: _View, policy: PackPolicy, buckets: Buckets) -> tuple[Refusal, ...]:
    if not policy.endpoints:
        return ()
    if view.refusal is not None:
        return (view.refusal,)
    largest = 0 if policy.slices else largest_port_set(buckets)
    if largest <= CAPACITY:
        return ()
    return (
        Refusal(
            "TooManyForEndpoints",
            f"{largest} endpoints share a port set, and Kubernetes mirrors at most {CAPACITY} of them from Endpoints",
            "publish: [EndpointSlice] has no such limit",
        ),
    )


def _phase(view: _View, policy: PackPolicy, buckets: Buckets, *, refused: bool) -> Phase:
    """The phase, in which a refusal leaves the kind of object that is published already."""
    return phase_of(
        view.endpoints,
        slices=policy.slices or (refused and (bool(view.ours) or view.endpoints is None)),
        endpoints=policy.endpoints and view.refusal is None,
        has_slices=bool(view.ours),
        ours_cover=lambda: view.endpoints is None or ours_show(view.endpoints, view.ours, buckets),
        mirror_covers=lambda: mirror_shows(view.mirrored, buckets),
    )


def _endpoints_changes(
    view: _View, phase: Phase, buckets: Buckets, frame: Frame, triggered: str | None, memo: SubsetMemo
) -> list[Change]:
    if not phase.endpoints:
        return [Delete.of(view.endpoints, _NOT_PUBLISHED)] if view.endpoints is not None else []
    # Beside slices the object may be incomplete, as Kubernetes's own is; alone it is all that there is.
    may_be_cut = phase.skip_mirror or largest_port_set(buckets) > CAPACITY
    wanted = make_subsets(buckets, capacity=CAPACITY if may_be_cut else None, memo=memo)
    change = endpoints_change(view.endpoints, wanted, frame=frame, skip_mirror=phase.skip_mirror, triggered=triggered)
    return [change] if change is not None else []


def _unpublish(view: _View, endpoints: Sequence[Endpoint]) -> Publication:
    changes: list[Change] = [Delete.of(slice_, _HAS_NO_ENDPOINTS) for slice_ in (*view.ours, *view.orphans)]
    if view.endpoints is not None:
        changes.append(Delete.of(view.endpoints, _HAS_NO_ENDPOINTS))
    ignored = f"{_HAS_NO_ENDPOINTS}: the {len(endpoints)} that its sources report are not published"
    warnings = (Notice("ExternalNameWithEndpoints", ignored),) if endpoints else ()
    return Publication(tuple(changes), (), warnings, (), view.is_started)
