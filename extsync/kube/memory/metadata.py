"""The metadata of objects: what the server fills in, what it takes from a client and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from extsync.errors import Invalid
from extsync.kube.memory import formats
from extsync.kube.memory.problems import Problems
from extsync.objects import Event, KubeObject, Lease, Node, Service, ServiceCIDR

Json: TypeAlias = dict[str, Any]

ANNOTATIONS_LIMIT = 256 * 1024
"""Bytes that the annotations of an object may have in all."""

STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")

# Set by the server on create; a client's values count for nothing.
_SYSTEM = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields")
# Taken over from the stored object on update.
_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
OMITTED_IF_EMPTY = ("labels", "annotations", "ownerReferences", "finalizers", "generateName")
# A name that is generated is its prefix, cut to this length, and five characters.
GENERATED_PREFIX_LIMIT = 58


def is_namespaced(kind: type[KubeObject]) -> bool:
    return kind not in (Node, ServiceCIDR)


def clean(value: Any) -> Any:
    """``value`` without the object fields that are null, as it is once it has been read into the server's types."""
    if isinstance(value, dict):
        return {key: clean(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value


def drop_empty(obj: Json, *names: str) -> None:
    """Removes fields that have no value, as Go's ``omitempty`` does."""
    for name in names:
        if name in obj and obj[name] in ("", 0, False, [], {}):
            del obj[name]


def new_metadata(metadata: Json, *, uid: str, created: str) -> Json:
    """The metadata of an object to be created, with what the server fills in but name and version."""
    fresh = _given(metadata, without=_SYSTEM)
    return fresh | {"uid": uid, "creationTimestamp": created}


def updated_metadata(metadata: Json, stored: Json) -> Json:
    """The metadata of an object to be replaced: the client's, apart from what only the server changes."""
    if metadata.get("deletionTimestamp") is not None and "deletionTimestamp" not in stored:
        raise Invalid("metadata.deletionTimestamp: field is immutable")
    fresh = _given(metadata, without=(*_SYSTEM, *_KEPT))
    return fresh | {name: stored[name] for name in _KEPT if name in stored}


def _given(metadata: Json, *, without: tuple[str, ...]) -> Json:
    """What a client's metadata says; of equal owner references one counts."""
    given = {name: value for name, value in metadata.items() if name not in without}
    if owners := given.get("ownerReferences"):
        given["ownerReferences"] = [owner for index, owner in enumerate(owners) if owner not in owners[:index]]
    drop_empty(given, *OMITTED_IF_EMPTY)
    return given


def validate_metadata(kind: type[KubeObject], metadata: Json, problems: Problems) -> None:
    """Checks what holds for creating and for updating alike."""
    check = _name_rule(kind)
    name, prefix = metadata.get("name", ""), metadata.get("generateName", "")
    problems.add("metadata.name", check(name) if name else "name or generateName is required")
    if prefix:
        problems.add("metadata.generateName", check(f"{prefix[:-1]}a" if prefix.endswith("-") else prefix))
    _validate_maps(metadata, problems)
    _validate_owners(metadata.get("ownerReferences", ()), problems)
    _validate_finalizers(kind, metadata.get("finalizers", ()), problems)


def validate_finalizers_update(metadata: Json, stored: Json, problems: Problems) -> None:
    """An object that is being deleted gets no more finalizers."""
    if "deletionTimestamp" in stored:
        for name in metadata.get("finalizers", ()):
            if name not in stored.get("finalizers", ()):
                problems.add("metadata.finalizers", "no new finalizers can be added if the object is being deleted")


def _name_rule(kind: type[KubeObject]) -> Callable[[str], str]:
    if kind is Service:
        return formats.dns_label  # a leading digit is allowed from 1.36 on (RelaxedServiceNameValidation)
    if kind is Event:
        return formats.path_segment
    return formats.dns_subdomain


def _validate_maps(metadata: Json, problems: Problems) -> None:
    for key, value in metadata.get("labels", {}).items():
        problems.add("metadata.labels", formats.qualified_name(key))
        problems.add("metadata.labels", formats.label_value(value))
    annotations: dict[str, str] = metadata.get("annotations", {})
    for key in annotations:
        problems.add("metadata.annotations", formats.qualified_name(key.lower()))
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > ANNOTATIONS_LIMIT:
        problems.add("metadata.annotations", f"must have at most {ANNOTATIONS_LIMIT} bytes")


def _validate_owners(owners: list[Json], problems: Problems) -> None:
    for owner in owners:
        for name in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(name):
                problems.add(f"metadata.ownerReferences.{name}", "must not be empty")
        if (owner.get("apiVersion"), owner.get("kind")) == ("v1", "Event"):
            problems.add("metadata.ownerReferences", "an Event is disallowed from being an owner")
    if sum(bool(owner.get("controller")) for owner in owners) > 1:
        problems.add("metadata.ownerReferences", "only one reference can have controller set to true")


def _validate_finalizers(kind: type[KubeObject], finalizers: list[str], problems: Problems) -> None:
    for name in finalizers:
        problems.add("metadata.finalizers", formats.qualified_name(name))
        if kind not in (Lease, Event) and "/" not in name and name not in STANDARD_FINALIZERS:
            problems.add("metadata.finalizers", "name is neither a standard finalizer name nor is it fully qualified")
