"""The manifest that publishes what hand-written objects publish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from extsync.address_policy import AddressPolicy
from extsync.config import names
from extsync.config.manifest import API_VERSION, KIND, ExternalService
from extsync.config.rules import MIRRORED_ADDRESSES
from extsync.limits import USUAL
from extsync.model import Endpoint, State
from extsync.objects import (
    OVER_CAPACITY_ANNOTATION,
    TRIGGER_TIME_ANNOTATION,
    KubeObject,
)
from extsync.plan.imports.found import Found, NotImported, find
from extsync.plan.imports.notes import Note, Notes
from extsync.plan.imports.ports import manifest_ports, own_ports
from extsync.plan.imports.reading import Shown, read
from extsync.plan.metadata import RESERVED_LABELS
from extsync.plan.ports import PortSpec
from extsync.plan.publication import Current

SOURCE_NAME = "imported"
_TOOLS_OWN = ("kubectl.kubernetes.io/last-applied-configuration", TRIGGER_TIME_ANNOTATION, OVER_CAPACITY_ANNOTATION)
"""Annotations that say something of the object's writes, and nothing of the Service."""
_DEFAULT_SLICE = 100


class Imported(msgspec.Struct, frozen=True):
    """A manifest, the objects that it was made of, and what it says otherwise than they do."""

    manifest: ExternalService
    objects: tuple[str, ...]
    notes: tuple[Note, ...]

    @property
    def changes(self) -> bool:
        """Whether applying it would change what is published."""
        return any(note.changes for note in self.notes)


def import_service(current: Current, *, policy: AddressPolicy = USUAL.policy) -> Imported:
    """Makes a manifest of the hand-written objects of one Service, which takes them over and publishes the same.

    It has no checks, so that each endpoint stays as ready as it was written. The Service itself stays as it is: the
    manifest has no ``spec.service``. ``policy`` says which addresses extsync will publish. Raises NotImported.
    """
    notes = Notes()
    found = find(current, notes)
    endpoints = read(found, notes, policy.published(found.service.metadata.namespace))
    ports = manifest_ports(found, endpoints, notes)
    _check_numbers(ports)
    publish = _publish(found, endpoints, notes)
    spec: dict[str, Any] = {
        "sources": [
            {"name": SOURCE_NAME, "static": {"backends": [_backend(one.endpoint, ports) for one in endpoints]}}
        ],
        "publish": publish,
        "policy": _policy(found, publish),
    }
    if ports:
        spec["ports"] = [_port(port) for port in ports]
    data = {"apiVersion": API_VERSION, "kind": KIND, "metadata": _metadata(found, notes), "spec": spec}
    return Imported(ExternalService.model_validate(data), tuple(map(_named, _objects(found))), notes.all())


def _objects(found: Found) -> list[KubeObject]:
    return [*([found.endpoints] if found.endpoints is not None else []), *found.slices]


def _named(obj: KubeObject) -> str:
    return f"{type(obj).__name__} {obj.metadata.name}"


def _check_numbers(ports: Sequence[PortSpec]) -> None:
    """Raises NotImported for ports that the Service does not tell apart."""
    known: dict[tuple[int, str], str] = {}
    for port in ports:
        other = known.setdefault((port.port, port.protocol), port.name)
        if other != port.name:
            raise NotImported(
                f"its ports {other!r} and {port.name!r} have the same number {port.port}, and the Service does not "
                "have both: add the one that is missing to the Service, or take it off the endpoints"
            )


def _publish(found: Found, endpoints: Sequence[Shown], notes: Notes) -> list[str]:
    """The kinds of objects that there are. Endpoints alone reach kube-proxy through their mirror, which ends at a
    thousand addresses, so that more of them need slices."""
    if found.endpoints is None:
        return ["EndpointSlice"]
    if found.slices:
        return ["EndpointSlice", "Endpoints"]
    largest = max(Counter(one.endpoint.ports for one in endpoints).values(), default=0)
    if largest <= MIRRORED_ADDRESSES:
        return ["Endpoints"]
    notes.change(
        f"Endpoints {found.endpoints.metadata.name}",
        f"it has {largest} addresses with the same ports, of which Kubernetes uses {MIRRORED_ADDRESSES}: the manifest "
        "publishes slices with all of them, and Endpoints with as many as Kubernetes itself would",
    )
    return ["EndpointSlice", "Endpoints"]


def _policy(found: Found, publish: Sequence[str]) -> dict[str, Any]:
    largest = max((len(slice_.endpoints or ()) for slice_ in found.slices), default=0)
    longer = {"maxEndpointsPerSlice": largest} if "EndpointSlice" in publish and largest > _DEFAULT_SLICE else {}
    return {**longer, "adopt": "IfUnmanaged"}


def _port(port: PortSpec) -> dict[str, Any]:
    plain = {
        "name": port.name or None,
        "port": port.port,
        "targetPort": port.number if port.number != port.port else None,
        "protocol": port.protocol if port.protocol != "TCP" else None,
        "appProtocol": port.app_protocol,
    }
    return {key: value for key, value in plain.items() if value is not None}


def _backend(endpoint: Endpoint, ports: Sequence[PortSpec]) -> dict[str, Any]:
    ref = endpoint.target_ref
    plain: dict[str, Any] = {
        "address": endpoint.address,
        **own_ports(ports, endpoint.ports),
        "hostname": endpoint.hostname,
        "nodeName": endpoint.node_name,
        "zone": endpoint.zone,
        "drain": True if endpoint.state is State.DRAINING else None,
        "ready": False if endpoint.state is State.NOT_READY else None,
        "targetRef": {key: value for key, value in msgspec.to_builtins(ref).items() if value} if ref else None,
    }
    return {key: value for key, value in plain.items() if value is not None and value != {}}


# ---- metadata --------------------------------------------------------------------------------------------------------


def _metadata(found: Found, notes: Notes) -> dict[str, Any]:
    service = found.service
    objects = _objects(found)
    labels = _common([(obj, obj.labels) for obj in objects], "label", names.check_own_label_key, RESERVED_LABELS, notes)
    # Those of the Service get onto its objects by themselves.
    labels = {key: value for key, value in labels.items() if service.labels.get(key) != value}
    annotations = _common(
        [(obj, obj.annotations) for obj in objects], "annotation", names.check_own_annotation_key, _TOOLS_OWN, notes
    )
    plain: dict[str, Any] = {"name": service.metadata.name, "namespace": service.metadata.namespace}
    return {**plain, **({"labels": labels} if labels else {}), **({"annotations": annotations} if annotations else {})}


def _common(
    objects: Sequence[tuple[KubeObject, Mapping[str, str]]],
    what: str,
    check: Callable[[str], str],
    meaningful: Sequence[str] | frozenset[str],
    notes: Notes,
) -> dict[str, str]:
    """The labels or annotations of all objects together, of which the manifest gives each object all."""
    found: dict[str, str] = {}
    for obj, entries in objects:
        for key, value in sorted(entries.items()):
            if key in meaningful:
                continue
            try:
                check(key)
            except ValueError as error:
                notes.say(_named(obj), f"its {what} {key} {error}: left out")
                continue
            if found.setdefault(key, value) != value:
                notes.say(_named(obj), f"its {what} {key} has another value than elsewhere, which counts for all")
    return found
