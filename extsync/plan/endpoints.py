"""The v1 Endpoints object of a Service: whether it may be written, and the change that makes it what it should be."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import msgspec

from extsync.changes import Change, Create, Update
from extsync.objects import OVER_CAPACITY_ANNOTATION, OWNER_LABEL, Endpoints, EndpointSubset, Service
from extsync.plan.metadata import Frame, controller_uid, with_trigger_time
from extsync.plan.policy import Refusal
from extsync.plan.subsets import Subsets
from extsync.plan.unmanaged import endpoints_keeper, left_by_controller

_ip = attrgetter("ip")
_TRUNCATED = "truncated"

ADOPTED = "nobody kept it: it is taken over"


def endpoints_are_ours(endpoints: Endpoints, service: Service, owner: str) -> bool:
    """Whether the object is one of extsync's: by the owner id, and a controller that is the Service.

    One without a controller lost it, and is repaired, unless Kubernetes's own controller wrote it: that copies the
    labels of a Service, and with them the owner id of one that extsync keeps.
    """
    controllers = (service.metadata.uid,) if left_by_controller(endpoints) else (None, service.metadata.uid)
    return endpoints.labels.get(OWNER_LABEL) == owner and controller_uid(endpoints) in controllers


def endpoints_adoptable(endpoints: Endpoints, service: Service, owner: str) -> bool:
    """Whether the object is nobody's, so that it may be taken over."""
    return (
        not service.spec.selector
        and endpoints.metadata.deletion_timestamp is None
        and not endpoints_are_ours(endpoints, service, owner)
        and endpoints_keeper(endpoints, service) is None
    )


def endpoints_refusal(
    service: Service, current: Endpoints | None, owner: str, *, adopt: bool = False
) -> Refusal | None:
    """Why the Endpoints of ``service`` must not be written; None where they may be.

    ``adopt``: they may be where nobody keeps them.
    """
    name = f"{service.metadata.namespace}/{service.metadata.name}"
    if service.spec.selector:
        return Refusal(
            "ServiceHasSelector",
            f"Service {name} has a selector, and Kubernetes overwrites the Endpoints of such a Service",
            "publish: [EndpointSlice] adds slices beside those of its pods; or take the selector off the Service",
        )
    if current is None or endpoints_are_ours(current, service, owner):
        return None
    if current.labels.get(OWNER_LABEL) == owner and not left_by_controller(current):
        return Refusal(
            "EndpointsOfEarlierService",
            f"Endpoints {name} belong to an earlier Service of that name",
            "Kubernetes's garbage collector should remove them within seconds; if it does not, delete them",
            Endpoints,
        )
    if endpoints_adoptable(current, service, owner):
        return None if adopt else _nobodys(name)
    keeper = endpoints_keeper(current, service) or "somebody who is deleting them"
    return Refusal(
        "EndpointsNotOurs",
        f"Endpoints {name} are kept by {keeper}",
        "leave them out with publish: [EndpointSlice]; or have them taken away there, so that extsync can make its own",
        Endpoints,
    )


def _nobodys(name: str) -> Refusal:
    return Refusal(
        "EndpointsNotOurs",
        f"Endpoints {name} exist, extsync did not make them, and nobody else keeps them",
        "policy.adopt: IfUnmanaged takes them over; or delete them, so that extsync can make its own; "
        "or leave them out with publish: [EndpointSlice]",
        Endpoints,
    )


def endpoints_change(
    current: Endpoints | None,
    wanted: Subsets,
    *,
    frame: Frame,
    skip_mirror: bool,
    triggered: str | None = None,
    adopts: bool = False,
) -> Change | None:
    """The change that makes ``current`` publish ``wanted``, None where it does.

    ``skip_mirror`` is for an object beside slices of ours. ``triggered`` is the trigger time for what is written,
    which by itself causes no write. ``adopts``: ``current`` was nobody's.
    """
    labels = frame.endpoints_labels(skip_mirror=skip_mirror)
    if current is None:
        if frame.service.metadata.deletion_timestamp is not None:
            return None
        annotations = _annotations(frame, {}, wanted, triggered)
        metadata = frame.new(frame.service.metadata.name, labels, annotations)
        return Create(Endpoints(metadata=metadata, subsets=wanted.subsets or None), _count(wanted))
    reasons = _differences(current, wanted, labels, frame)
    if not reasons:
        return None
    annotations = _annotations(frame, current.annotations, wanted, triggered)
    metadata = frame.renewed(current.metadata, labels, annotations)
    renewed = msgspec.structs.replace(current, metadata=metadata, subsets=wanted.subsets or None)
    # It is one object, and the phases of publishing see to it that nothing it drops is to be found nowhere.
    reason = ", ".join([ADOPTED, *reasons] if adopts else reasons)
    return Update(renewed, reason, adds=False, takes_away=False, adopts=adopts)


def _annotations(frame: Frame, current: dict[str, str], wanted: Subsets, triggered: str | None) -> dict[str, str]:
    annotations = with_trigger_time(frame.annotations(current), triggered)
    return {**annotations, OVER_CAPACITY_ANNOTATION: _TRUNCATED} if wanted.truncated else annotations


def _differences(current: Endpoints, wanted: Subsets, labels: dict[str, str], frame: Frame) -> list[str]:
    """What is not as it should be, in words."""
    reasons = []
    if (current.subsets or ()) != wanted.subsets:
        reasons.append(_subset_changes(current.subsets or (), wanted.subsets))
    if current.labels != labels:
        reasons.append("labels")
    marked = current.annotations.get(OVER_CAPACITY_ANNOTATION)
    if marked != (_TRUNCATED if wanted.truncated else None) or not frame.annotated(current.annotations):
        reasons.append("annotations")
    if frame.references(current.metadata.owner_references) != current.metadata.owner_references:
        reasons.append("owner reference")
    return reasons


def _subset_changes(old: Sequence[EndpointSubset], new: Sequence[EndpointSubset]) -> str:
    (ready_before, others_before), (ready, others) = _addresses(old), _addresses(new)
    before, after = ready_before | others_before, ready | others
    counts = (
        (len(after - before), "added"),
        (len(before - after), "removed"),
        (len(ready & others_before), "now ready"),
        (len(others & ready_before), "now not ready"),
    )
    return ", ".join(f"{number} address{'es' * (number > 1)} {what}" for number, what in counts if number) or "subsets"


def _addresses(subsets: Sequence[EndpointSubset]) -> tuple[set[str], set[str]]:
    """The addresses that are ready somewhere, and those that are not."""
    ready: set[str] = set()
    not_ready: set[str] = set()
    for subset in subsets:
        ready.update(map(_ip, subset.addresses or ()))
        not_ready.update(map(_ip, subset.not_ready_addresses or ()))
    return ready, not_ready


def _count(wanted: Subsets) -> str:
    ready, not_ready = _addresses(wanted.subsets)
    number = len(ready | not_ready)
    return f"{number} address{'es' * (number != 1)}" if number else "nothing to publish yet"
