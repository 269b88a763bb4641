"""Publication: the slices and the Endpoints of one Service that exists, put together from the stages that make them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from extsync.changes import Change, Create, Delete
from extsync.model import Endpoint
from extsync.objects import SKIP_MIRROR_LABEL, Endpoints, EndpointSlice, Service
from extsync.plan.advice import advice_on, unknown_ports
from extsync.plan.buckets import Buckets
from extsync.plan.cover import desires, mirror_shows, ours_show
from extsync.plan.endpoints import endpoints_adoptable, endpoints_are_ours, endpoints_change, endpoints_refusal
from extsync.plan.held import SliceMemo
from extsync.plan.metadata import Frame
from extsync.plan.ownership import SliceOwners, Whose, is_orphan
from extsync.plan.policy import Notice, PackPolicy, Refusal
from extsync.plan.publish import Phase, phase_of
from extsync.plan.published import read_endpoints, read_slice
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
    *,
    settled: bool = True,
) -> Publication:
    """The changes that make ``current`` show ``endpoints``: creates and updates first, deletes last.

    ``settled`` as in ``plan.plan``: until then what is to be taken over stays where it has endpoints that cannot be
    published, such as those of addresses that are not allowed, and nothing is made in which there would be none.
    """
    view = _View(current, service, policy, memo.owners)
    if service.spec.type == "ExternalName":
        return _unpublish(view, endpoints)
    buckets = memo.buckets
    buckets.update(endpoints, Rendering.of(service))
    refusals = _refusals(view, policy, buckets)
    phase = _phase(view, policy, buckets, refused=bool(refusals))
    frame = memo.frame(service, policy)
    changes: list[Change] = [Delete.of(slice_, _OUTLIVED) for slice_ in view.orphans]
    if phase.slices:
        changes += pack(
            buckets, view.ours, frame=frame, taken=view.names, triggered=triggered, memo=memo.slices, settled=settled
        )
    else:
        changes += [Delete.of(slice_, _MIRRORED) for slice_ in view.ours]
    waiting = None if settled or view.shows_only_what(buckets) else _FOR_SOURCES
    if waiting is None or not view.adopts_endpoints:
        made = _endpoints_changes(view, phase, buckets, frame, triggered, memo.subsets)
        changes += [change for change in made if settled or buckets.by_key or not isinstance(change, Create)]
    if waiting is None and not refusals:
        replaced, waiting = _replaced(view, phase, buckets)
        changes += (Delete.of(slice_, _TAKEN_OVER, adopts=True) for slice_ in replaced)
    return Publication(
        tuple(sorted(changes, key=lambda change: isinstance(change, Delete))),
        refusals,
        advice_on(service, endpoints, buckets, view.foreign),
        tuple(note for note in (waiting or phase.waiting,) if note is not None),
        view.is_started,
        bool(unknown_ports(service, buckets)),
    )


def outlived_changes(slices: Iterable[EndpointSlice], owner: str) -> list[Change]:
    """Where there is no Service: the end of the slices that outlived it, which nobody else would ever collect."""
    gone = (one for one in slices if one.metadata.deletion_timestamp is None and is_orphan(one, owner))
    return [Delete.of(slice_, _OUTLIVED) for slice_ in gone]


_OUTLIVED = "it outlived the Service that it was made for"
_MIRRORED = "only Endpoints are published, and Kubernetes makes slices of them"
_NOT_PUBLISHED = "Endpoints are not published"
_TAKEN_OVER = "nobody kept it: it is taken over, what is published in its place shows its endpoints"
_HAS_NO_ENDPOINTS = "an ExternalName Service has no endpoints"


class _View:
    """Whose the objects are. A slice that is being deleted counts as gone, whatever its finalizers wait for.

    ``endpoints`` may be written: they are ours, or nobody's (``adopts_endpoints``). ``adopted``: slices to take over.
    """

    def __init__(self, current: Current, service: Service, policy: PackPolicy, owners: SliceOwners) -> None:
        self.names = frozenset([slice_.metadata.name for slice_ in current.slices])
        by_owner: dict[Whose, list[EndpointSlice]] = {whose: [] for whose in Whose}
        for slice_, whose in zip(current.slices, owners.of(current.slices, service, policy.owner), strict=True):
            by_owner[whose].append(slice_)
        self.ours = by_owner[Whose.OURS]
        self.orphans = by_owner[Whose.ORPHAN]
        self.mirrored = by_owner[Whose.MIRROR]
        self.adopted = by_owner[Whose.NOBODY] if policy.adopt else []
        self.refusal = endpoints_refusal(service, current.endpoints, policy.owner, adopt=policy.adopt)
        self.endpoints = current.endpoints if self.refusal is None else None
        self.adopts_endpoints = self.endpoints is not None and not endpoints_are_ours(
            self.endpoints, service, policy.owner
        )
        self.foreign = [*_cured(by_owner[Whose.OTHER], "")]
        if not policy.adopt:
            self.foreign += _cured(by_owner[Whose.NOBODY], "policy.adopt: IfUnmanaged takes that slice over")
        if self.endpoints is None:
            self.foreign += _cured(self.mirrored, _cure_of_mirror(current.endpoints, service, policy.owner))
        # The mirror's slices of an object of ours are one with it, and come and go by its label.
        self.is_started = bool(self.ours) or (self.endpoints is not None and not self.adopts_endpoints)

    def shows_only_what(self, desired: Buckets) -> bool:
        """Whether all that the objects to be taken over show is among ``desired``."""
        if not (self.adopted or self.adopts_endpoints):
            return True
        shown = [endpoint for slice_ in self.adopted for endpoint in read_slice(slice_)]
        shown += read_endpoints(self.endpoints) if self.adopts_endpoints else ()
        return desires(desired, shown)


def _cured(slices: Iterable[EndpointSlice], cure: str) -> Iterator[tuple[EndpointSlice, str]]:
    return ((slice_, cure) for slice_ in slices)


def _cure_of_mirror(endpoints: Endpoints | None, service: Service, owner: str) -> str:
    """What ends the doubles that Kubernetes makes of Endpoints which are not ours."""
    if endpoints is None:
        return ""
    label = f'the label {SKIP_MIRROR_LABEL}: "true" on Endpoints {endpoints.metadata.name} ends the mirroring'
    if endpoints_adoptable(endpoints, service, owner):
        return f"policy.adopt: IfUnmanaged takes the Endpoints over of which it is a mirror; or {label}"
    return label


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
        ours_cover=lambda: ours_show(read_endpoints(view.endpoints), view.ours, buckets),
        mirror_covers=lambda: mirror_shows(view.mirrored, buckets),
    )


def _endpoints_changes(
    view: _View, phase: Phase, buckets: Buckets, frame: Frame, triggered: str | None, memo: SubsetMemo
) -> list[Change]:
    if view.adopts_endpoints and phase.slices and phase.waiting is not None:
        return []  # they stay as they are until our slices show their addresses: then one write takes them over
    if not phase.endpoints:
        reason = _TAKEN_OVER if view.adopts_endpoints else _NOT_PUBLISHED
        return [] if view.endpoints is None else [Delete.of(view.endpoints, reason, adopts=view.adopts_endpoints)]
    # Beside slices the object may be incomplete, as Kubernetes's own is; alone it is all that there is.
    may_be_cut = phase.skip_mirror or largest_port_set(buckets) > CAPACITY
    wanted = make_subsets(buckets, capacity=CAPACITY if may_be_cut else None, memo=memo)
    change = endpoints_change(
        view.endpoints,
        wanted,
        frame=frame,
        skip_mirror=phase.skip_mirror,
        triggered=triggered,
        adopts=view.adopts_endpoints,
    )
    return [change] if change is not None else []


def _replaced(view: _View, phase: Phase, buckets: Buckets) -> tuple[list[EndpointSlice], Notice | None]:
    """The slices of nobody that go in this plan: all of them, once what is published in their place is seen to show
    their endpoints; and what that waits for."""
    if not view.adopted:
        return [], None
    if not phase.slices:
        return (view.adopted, None) if mirror_shows(view.mirrored, buckets) else ([], _FOR_THE_MIRROR)
    shown = (endpoint for slice_ in view.adopted for endpoint in read_slice(slice_))
    return (view.adopted, None) if ours_show(shown, view.ours, buckets) else ([], _FOR_OURS)


_FOR_THE_MIRROR = Notice(
    "WaitingForMirror",
    "not yet: slices that nobody keeps go when those that Kubernetes makes of the Endpoints show the same addresses",
)
_FOR_SOURCES = Notice(
    "WaitingForSources",
    "not yet: objects that nobody keeps show endpoints that cannot be published; they stay until every source has "
    "reported",
)
_FOR_OURS = Notice(
    "WaitingForSlices",
    "not yet: slices that nobody keeps go when slices of ours are seen to show the same addresses",
)


def _unpublish(view: _View, endpoints: Sequence[Endpoint]) -> Publication:
    changes: list[Change] = [Delete.of(slice_, _HAS_NO_ENDPOINTS) for slice_ in (*view.ours, *view.orphans)]
    if view.endpoints is not None and not view.adopts_endpoints:
        changes.append(Delete.of(view.endpoints, _HAS_NO_ENDPOINTS))
    ignored = f"{_HAS_NO_ENDPOINTS}: the {len(endpoints)} that its sources report are not published"
    warnings = (Notice("ExternalNameWithEndpoints", ignored),) if endpoints else ()
    return Publication(tuple(changes), (), warnings, (), view.is_started)
