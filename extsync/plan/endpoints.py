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

_ip = attrgetter("ip")
_TRUNCATED = "truncated"


def endpoints_are_ours(endpoints: Endpoints, service: Service, owner: str) -> bool:
    """Whether the object is one of extsync's: by the owner id, and a controller that is the Service.

    One without a controller lost it, and is repaired; nobody else writes our owner id.
    """
    return endpoints.labels.get(OWNER_LABEL) == owner and controller_uid(endpoints) in (None, service.metadata.uid)


def endpoints_refusal(service: Service, current: Endpoints | None, owner: str) -> Refusal | None:
    """Why the Endpoints of ``service`` must not be written; None where they may be."""
    name = f"{service.metadata.namespace}/{service.metadata.name}"
    if service.spec.selector:
        return Refusal(
            "ServiceHasSelector",
            f"Service {name} has a selector, and Kubernetes overwrites the Endpoints of such a Service",
            "publish: [EndpointSlice] adds slices beside those of its pods; or take the selector off the Service",
        )
    if current is None or endpoints_are_ours(current, service, owner):
        return None
    other = current.labels.get(OWNER_LABEL)
    if other == owner:
        return Refusal(
            "EndpointsOfEarlierService",
            f"Endpoints {name} belong to an earlier Service of that name",
            "Kubernetes's garbage collector should remove them within seconds; if it does not, delete them",
        )
    whose = f"the extsync installation with owner id {other!r}" if other else "somebody else"
    return Refusal(
        "EndpointsNotOurs",
        f"Endpoints {name} are kept by {whose}",
        "delete them, so that extsync can make its own; or leave them out with publish: [EndpointSlice]",
    )


def endpoints_change(
    current: Endpoints | None, wanted: Subsets, *, frame: Frame, skip_mirror: bool, triggered: str | None = None
) -> Change | None:
    """The change that makes ``current`` publish ``wanted``, None where it does.

    ``skip_mirror`` is for an object beside slices of ours. ``triggered`` is the trigger time for what is written,
    which by itself causes no write.
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
    return Update(renewed, ", ".join(reasons), adds=False, takes_away=False)


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
