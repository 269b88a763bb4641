"""What the stages before judging worked out last: the same input gives the same object, at the cost of a comparison."""

from __future__ import annotations

from operator import is_not

from extsync.objects import SERVICE_NAME_LABEL, EndpointSlice, Service
from extsync.plan.endpoints import endpoints_adoptable, endpoints_are_ours
from extsync.plan.merge import Admission, Merged, SourceSet, merge
from extsync.plan.ownership import Whose, whose
from extsync.plan.plan import Current
from extsync.plan.policy import PackPolicy
from extsync.plan.ports import PortSpec
from extsync.plan.published import Published


class MergeMemo:
    """The last merge: as long as its input is the same, so is the object that comes out."""

    def __init__(self) -> None:
        self._asked: object = None
        self._merged = Merged()

    def merge(
        self, ports: tuple[PortSpec, ...], sets: list[SourceSet], families: tuple[str, ...], admission: Admission
    ) -> Merged:
        asked = (ports, sets, families, admission)
        if asked != self._asked:  # equal sets are mostly the same objects, so this is quick
            self._asked, merged = asked, merge(ports, sets, families=families, admission=admission)
            if merged != self._merged:  # a node that comes changes what is allowed, and mostly nothing here
                self._merged = merged
        return self._merged


class PublishedMemo:
    """The last reading of what is published: objects are immutable, so the same objects show the same."""

    def __init__(self) -> None:
        self._asked: tuple[object, ...] = ()
        self._published = Published()

    def read(self, current: Current, policy: PackPolicy) -> Published:
        asked = (policy.owner, policy.adopt, current.service, current.endpoints, *current.slices)
        if len(asked) != len(self._asked) or any(map(is_not, asked, self._asked)):
            self._asked, self._published = asked, _published(current, policy)
        return self._published


def _published(current: Current, policy: PackPolicy) -> Published:
    """What is ours, and what is nobody's where that is taken over: it counts as found published.

    So do slices of ours that outlived a Service of that name: kube-proxy follows them for the one that there is now.
    """
    service, endpoints, owner = current.service, current.endpoints, policy.owner
    if service is None:
        return Published()
    slices = [slice_ for slice_ in current.slices if _counts(slice_, service, policy)]
    if endpoints is not None and not endpoints_are_ours(endpoints, service, owner):
        endpoints = endpoints if policy.adopt and endpoints_adoptable(endpoints, service, owner) else None
    return Published(slices, endpoints)


def _counts(slice_: EndpointSlice, service: Service, policy: PackPolicy) -> bool:
    match whose(slice_, service, policy.owner):
        case Whose.OURS:
            return True
        case Whose.ORPHAN:
            return slice_.labels.get(SERVICE_NAME_LABEL) == service.metadata.name
        case Whose.NOBODY:
            return policy.adopt
    return False


def unusable(merged: Merged, sets: list[SourceSet]) -> frozenset[str]:
    """The sources that report backends of which not one can be used: as little to be believed as an error.

    Where all of them are denied it is not the source that is wrong: it has none, and what it had before leaves.
    """
    used = {candidate.source for candidate in merged.candidates} | {d.source for d in merged.duplicates}
    return frozenset(one.name for one in sets if one.backends and one.name not in used and not _all_denied(merged, one))


def wholly_denied(merged: Merged, sets: list[SourceSet]) -> frozenset[str]:
    """The sources of which every backend is denied."""
    return frozenset(one.name for one in sets if one.backends and _all_denied(merged, one))


def _all_denied(merged: Merged, of: SourceSet) -> bool:
    return sum(source == of.name and one.denied for source, one in merged.rejected) == len(of.backends)
