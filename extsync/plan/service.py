"""The Service itself, where the manifest keeps it: by server-side apply, with our own fields only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from extsync.changes import ApplyService
from extsync.model import ServiceKey
from extsync.objects import OWNER_LABEL, Service
from extsync.plan.ownership import service_made_by, was_applied
from extsync.plan.policy import Refusal
from extsync.plan.ports import PortSpec

APPLIED_ANNOTATION = "extsync.dev/applied"
"""The hash of what was applied last. It tells that a field has left the manifest, which a look at the fields cannot."""

_HEADLESS = "None"


class ServiceWish(msgspec.Struct, frozen=True):
    """The Service that a manifest asks for. ``fields`` are those of ServiceSpec by their JSON names, verbatim."""

    key: ServiceKey
    ports: tuple[PortSpec, ...] = ()
    fields: dict[str, Any] = {}
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner: str = "default"


def service_body(wish: ServiceWish) -> dict[str, Any]:
    """What is applied: ``wish`` as plain JSON, with the owner label and the hash of all the rest."""
    spec = dict(wish.fields)
    if wish.ports:
        spec["ports"] = [_port(port) for port in wish.ports]
    metadata: dict[str, Any] = {
        "name": wish.key.name,
        "namespace": wish.key.namespace,
        "labels": {**wish.labels, OWNER_LABEL: wish.owner},
    }
    body = {"apiVersion": Service.API_VERSION, "kind": "Service", "metadata": metadata, "spec": spec}
    digest = hashlib.sha256(msgspec.json.encode([body, wish.annotations], order="sorted")).hexdigest()[:16]
    metadata["annotations"] = {**wish.annotations, APPLIED_ANNOTATION: digest}
    return body


def preview(wish: ServiceWish) -> Service:
    """The Service as it would be, for plans without a cluster; it has no uid."""
    return msgspec.convert(service_body(wish), Service)


def service_change(current: Service | None, wish: ServiceWish) -> ApplyService | Refusal | None:
    """The apply that makes ``current`` what the manifest asks for; None where it is, a Refusal where that must not
    be."""
    body = service_body(wish)
    if current is None:
        return ApplyService(body, "the Service is not there")
    if current.metadata.deletion_timestamp is not None:
        return None
    refusal = _refusal(current, wish)
    if refusal is not None:
        return refusal
    reasons = _differences(msgspec.to_builtins(current), body)
    return ApplyService.of(current, body, ", ".join(reasons)) if reasons else None


def use_refusal(current: Service, owner: str) -> Refusal | None:
    """Why ``owner`` must not add endpoints to a Service that its manifest does not keep; None where it may.

    One that nobody's extsync keeps may have endpoints of several installations, each with slices of its own.
    """
    other = current.labels.get(OWNER_LABEL)
    kept = other is not None and other != owner and service_made_by(current, other)
    return _of_another(current, other or "") if kept else None


def _of_another(current: Service, owner: str) -> Refusal:
    return Refusal(
        "ServiceOfAnotherOwner",
        f"Service {'/'.join(current.key)} is kept by the extsync installation with owner id {owner!r}",
        "remove the manifest here or there",
        Service,
    )


def release_change(current: Service, owner: str) -> ApplyService | None:
    """The apply that lets go of a Service which ``owner`` kept, when its manifest keeps it no more; None where it is
    not that installation's.

    Everything stays as it is but the marks: what is applied is what the Service has, so that no field goes for no
    longer being applied. Without the owner label it is nobody's, and is not deleted with its manifest.
    """
    if not service_made_by(current, owner):
        return None
    if current.metadata.uid is None or current.metadata.deletion_timestamp is not None:
        return None
    metadata: dict[str, Any] = {
        "name": current.metadata.name,
        "namespace": current.metadata.namespace,
        "labels": {key: value for key, value in current.labels.items() if key != OWNER_LABEL},
        "annotations": {key: value for key, value in current.annotations.items() if key != APPLIED_ANNOTATION},
    }
    spec = msgspec.to_builtins(current.spec)
    body = {"apiVersion": Service.API_VERSION, "kind": "Service", "metadata": metadata, "spec": spec}
    return ApplyService.of(current, body, "its manifest keeps it no more: it is released")


def _port(port: PortSpec) -> dict[str, Any]:
    """One port with the API's defaults written out, so that it reads back as it was written."""
    plain = {
        "name": port.name,
        "port": port.port,
        "protocol": port.protocol,
        "targetPort": port.number,
        "appProtocol": port.app_protocol,
    }
    return {key: value for key, value in plain.items() if value not in ("", None)}


def _refusal(current: Service, wish: ServiceWish) -> Refusal | None:
    owner = current.labels.get(OWNER_LABEL)
    if owner is not None and owner != wish.owner:
        return _of_another(current, owner)
    if owner is None and was_applied(current):
        label = f"{OWNER_LABEL}={wish.owner}"
        return Refusal(
            "ServiceReleased",
            f"Service {wish.key} has lost its owner label, as where a manifest without spec.service released it",
            f"kubectl label service -n {wish.key.namespace} {wish.key.name} {label} gives it back; "
            "or leave out spec.service to use it as it is",
            Service,
        )
    if not service_made_by(current, wish.owner):
        return Refusal(
            "ServiceNotOurs",
            f"Service {wish.key} exists, and extsync did not make it",
            "leave out spec.service to use it as it is; or delete it, so that extsync can make its own",
            Service,
        )
    if current.spec.selector:
        return Refusal(
            "ServiceHasSelector",
            f"Service {wish.key} has a selector, which a Service that extsync keeps never has",
            "take the selector off; or leave out spec.service, to add endpoints beside those of its pods",
        )
    return _headless_refusal(current, wish)


def _headless_refusal(current: Service, wish: ServiceWish) -> Refusal | None:
    address = current.spec.cluster_ip
    if not address or wish.fields.get("type") == "ExternalName":
        return None
    wants_headless = wish.fields.get("clusterIP") == _HEADLESS
    if wants_headless == (address == _HEADLESS):
        return None
    now, then = ("has an address", "none") if wants_headless else ("is headless", "an address")
    return Refusal(
        "HeadlessIsForEver",
        f"Service {wish.key} {now}, the manifest asks for {then}, and Kubernetes changes neither into the other",
        f"kubectl delete service -n {wish.key.namespace} {wish.key.name}; extsync then makes it anew",
    )


def _differences(current: Mapping[str, Any], body: Mapping[str, Any]) -> list[str]:
    """What of ``body`` the Service does not have, in words."""
    metadata, wanted = current.get("metadata", {}), body["metadata"]
    reasons = [
        kind for kind in ("labels", "annotations") if not _has(metadata.get(kind, {}), _without_hash(wanted[kind]))
    ]
    spec = current.get("spec", {})
    reasons += [field for field, value in body["spec"].items() if not _has_field(spec, field, value)]
    applied = metadata.get("annotations", {}).get(APPLIED_ANNOTATION)
    if not reasons and applied != wanted["annotations"][APPLIED_ANNOTATION]:
        reasons.append("other fields than were applied last")
    return reasons


def _without_hash(values: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if key != APPLIED_ANNOTATION}


def _has_field(spec: Mapping[str, Any], field: str, value: Any) -> bool:
    if field == "ports":
        return all(any(_has(port, wanted) for port in spec.get("ports", ())) for wanted in value)
    return field in spec and _has(spec[field], value) if value not in (False, None) else not spec.get(field)


def _has(current: Any, wanted: Any) -> bool:
    """Whether ``current`` is ``wanted``, or a mapping with all of it; what the API or others added does not count."""
    if isinstance(wanted, Mapping):
        return isinstance(current, Mapping) and all(k in current and _has(current[k], v) for k, v in wanted.items())
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return list(current or ()) == list(wanted)
    return bool(current == wanted)
