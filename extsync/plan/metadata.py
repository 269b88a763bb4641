"""Labels, annotations, owner references and names of what extsync writes, and the marks it knows its own by."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator
from datetime import UTC, datetime
from itertools import count

import msgspec

from extsync.objects import (
    GROUP_LABEL,
    HEADLESS_LABEL,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    OVER_CAPACITY_ANNOTATION,
    OWNER_LABEL,
    SERVICE_NAME_LABEL,
    SKIP_MIRROR_LABEL,
    TRIGGER_TIME_ANNOTATION,
    EndpointSlice,
    KubeObject,
    ObjectMeta,
    OwnerReference,
    Service,
)
from extsync.plan.policy import PackPolicy

ANNOTATIONS_ANNOTATION = "extsync.dev/annotations"
"""The keys of the annotations that the manifest put onto an object: which of them left it, and which are others'."""

RESERVED_LABELS = frozenset(
    {
        GROUP_LABEL,
        HEADLESS_LABEL,
        MANAGED_BY_LABEL,
        OWNER_LABEL,
        SERVICE_NAME_LABEL,
        SKIP_MIRROR_LABEL,
        "endpoints.kubernetes.io/managed-by",
    }
)
"""Labels that mean something to a controller: a Service's own never get onto its slices and Endpoints."""

_WRITTEN_APART = frozenset({TRIGGER_TIME_ANNOTATION, OVER_CAPACITY_ANNOTATION})


class Frame:
    """The metadata that the objects of one service have in common."""

    def __init__(self, service: Service, policy: PackPolicy) -> None:
        self.service = service
        self.policy = policy
        self.reference = _reference(service)
        common = {**service.labels, **policy.labels}
        self._common = {key: value for key, value in common.items() if key not in RESERVED_LABELS}
        self._common[OWNER_LABEL] = policy.owner
        if is_headless(service):
            self._common[HEADLESS_LABEL] = ""
        self._slice_labels: dict[str, dict[str, str]] = {}
        self._annotations = dict(policy.annotations)
        if policy.annotations:
            self._annotations[ANNOTATIONS_ANNOTATION] = ",".join(sorted(policy.annotations))

    def slice_labels(self, group: str) -> dict[str, str]:
        """The labels of a slice: the Service's, then the manifest's, then the reserved ones."""
        labels = self._slice_labels.get(group)
        if labels is None:
            labels = {
                **self._common,
                SERVICE_NAME_LABEL: self.service.metadata.name,
                MANAGED_BY_LABEL: MANAGED_BY,
            }
            if group:
                labels[GROUP_LABEL] = group
            self._slice_labels[group] = labels
        return labels

    def endpoints_labels(self, *, skip_mirror: bool) -> dict[str, str]:
        """The labels of the Endpoints object.

        The mirroring controller reads ``skip-mirror``: only exactly "true" keeps it from making slices of its own.
        """
        return {**self._common, SKIP_MIRROR_LABEL: "true"} if skip_mirror else self._common

    def annotations(self, current: dict[str, str]) -> dict[str, str]:
        """What ``current`` should be: the manifest's annotations and those of others.

        Trigger time and capacity are left out: they are about what is written, and go on apart.
        """
        formerly = {ANNOTATIONS_ANNOTATION, *current.get(ANNOTATIONS_ANNOTATION, "").split(",")}
        others = {k: v for k, v in current.items() if k not in _WRITTEN_APART and k not in formerly}
        return {**others, **self._annotations}

    def annotated(self, current: dict[str, str]) -> bool:
        """Whether ``current`` is as it should be; the trigger time and the capacity are not looked at."""
        return {k: v for k, v in current.items() if k not in _WRITTEN_APART} == self.annotations(current)

    def references(self, current: tuple[OwnerReference, ...] | None) -> tuple[OwnerReference, ...] | None:
        """What ``current`` should be: the Service as controller, and the owners that others added."""
        if self.reference is None or self.reference in (current or ()):
            return current
        others = (r for r in current or () if r.uid != self.reference.uid)
        return (*others, self.reference)

    def new(self, name: str, labels: dict[str, str], annotations: dict[str, str]) -> ObjectMeta:
        """The metadata of a new object."""
        return ObjectMeta(
            name=name,
            namespace=self.service.metadata.namespace,
            labels=labels,
            annotations=annotations or None,
            owner_references=self.references(None),
        )

    def renewed(self, current: ObjectMeta, labels: dict[str, str], annotations: dict[str, str]) -> ObjectMeta:
        """The metadata of an update; uid and resourceVersion stay, as its preconditions."""
        return msgspec.structs.replace(
            current,
            labels=labels,
            annotations=annotations or None,
            owner_references=self.references(current.owner_references),
        )


def with_trigger_time(annotations: dict[str, str], triggered: str | None) -> dict[str, str]:
    """``annotations`` with the time of what caused the write; None: without any."""
    return {**annotations, TRIGGER_TIME_ANNOTATION: triggered} if triggered else annotations


def trigger_time(seconds: float) -> str:
    """A wall-clock time as Kubernetes writes trigger times: RFC 3339 in UTC with nanoseconds."""
    whole = int(seconds // 1)
    nanoseconds = min(int((seconds - whole) * 1_000_000_000), 999_999_999)
    return f"{datetime.fromtimestamp(whole, UTC).isoformat()[:19]}.{nanoseconds:09d}Z"


def is_headless(service: Service) -> bool:
    """Whether Kubernetes gives the Service no address of its own.

    A Service that is in no cluster yet (it has no uid) has none either, but will get one unless it asks for none.
    """
    if service.metadata.uid is None:
        return service.spec.cluster_ip == "None"
    return service.spec.cluster_ip in (None, "", "None")


def families_of(service: Service) -> tuple[str, ...]:
    """The IP families of the Service; from its address where an old server filled in none, IPv4 where nothing says."""
    if service.spec.ip_families:
        return service.spec.ip_families
    return ("IPv6",) if ":" in (service.spec.cluster_ip or "") else ("IPv4",)


def _reference(service: Service) -> OwnerReference | None:
    """The reference to the Service; None for a Service that is not in a cluster and so has no uid."""
    if service.metadata.uid is None:
        return None
    return OwnerReference(
        api_version="v1",
        kind="Service",
        name=service.metadata.name,
        uid=service.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )


def controller_uid(obj: KubeObject) -> str | None:
    """The uid of the object's controller, None where it has none."""
    return next((r.uid for r in obj.metadata.owner_references or () if r.controller), None)


def is_ours(slice_: EndpointSlice, service: Service, owner: str) -> bool:
    """Whether the slice is one of extsync's: by managed-by, the owner id and the uid of the Service.

    The owner label alone proves nothing: the mirroring controller copies it from Endpoints onto its own slices.
    """
    labels = slice_.labels
    return (
        labels.get(MANAGED_BY_LABEL) == MANAGED_BY
        and labels.get(OWNER_LABEL) == owner
        and service.metadata.uid is not None
        and controller_uid(slice_) == service.metadata.uid
    )


def slice_prefix(service: Service, owner: str) -> str:
    """What the names of the slices of one Service and owner begin with; a Service made anew has other names."""
    seed = f"{service.metadata.uid or ''}/{owner}".encode()
    return f"{service.metadata.name}-{hashlib.sha256(seed).hexdigest()[:10]}-"


def free_names(service: Service, owner: str, taken: Container[str]) -> Iterator[str]:
    """Names for new slices, the lowest free number first: a create that is tried twice meets a 409 and no duplicate."""
    prefix = slice_prefix(service, owner)
    return (name for name in (f"{prefix}{number}" for number in count()) if name not in taken)
