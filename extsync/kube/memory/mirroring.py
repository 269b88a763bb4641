"""The EndpointSliceMirroring controller: slices made from Endpoints that somebody else writes.

It follows Kubernetes's own (``pkg/controller/endpointslicemirroring``): Endpoints are mirrored unless they or their
Service say otherwise; the subsets are repacked; each set of ports has one slice per address family, of at most 1000
addresses, ready ones first.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Hashable
from typing import Any, TypeAlias

import msgspec

from extsync.errors import StoreError
from extsync.kube.memory.metadata import Json
from extsync.kube.memory.records import Key, Record
from extsync.kube.memory.selectors import parse
from extsync.kube.memory.server import Server
from extsync.objects import (
    MANAGED_BY_LABEL,
    MIRRORING_CONTROLLER,
    SERVICE_NAME_LABEL,
    SKIP_MIRROR_LABEL,
    TRIGGER_TIME_ANNOTATION,
    Endpoints,
    EndpointSlice,
    Service,
)

MAX_PER_SUBSET = 1000

_LEADER_ANNOTATION = "control-plane.alpha.kubernetes.io/leader"
_LAST_APPLIED_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
_NOT_MIRRORED = (TRIGGER_TIME_ANNOTATION, _LAST_APPLIED_ANNOTATION)
_MANAGER = "kube-controller-manager"
_ALL = parse("")
_MIRRORED = parse(f"{MANAGED_BY_LABEL}={MIRRORING_CONTROLLER}")

SliceKey: TypeAlias = tuple[str, Hashable]
"""Address family and ports."""


class Mirror:
    """Keeps the mirrored slices in step; it remembers from which versions, so that a sync costs what changed."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._seen: dict[Key, Hashable] = {}

    def sync(self) -> None:
        slices: dict[Key, list[Record]] = {}
        for record in self._server.records(EndpointSlice, None, _MIRRORED):
            slices.setdefault((record.metadata["namespace"], record.labels.get(SERVICE_NAME_LABEL, "")), []).append(
                record
            )
        endpoints = [
            (record.metadata["namespace"], record.metadata["name"])
            for record in self._server.records(Endpoints, None, _ALL)
        ]
        for key in dict.fromkeys([*endpoints, *slices]):
            self._sync(key, slices.get(key, []))

    def _sync(self, key: Key, existing: list[Record]) -> None:
        endpoints, service = self._server.find(Endpoints, *key), self._server.find(Service, *key)
        seen = tuple(
            record.metadata["resourceVersion"] if record else None for record in (endpoints, service, *existing)
        )
        if self._seen.get(key) == seen:
            return
        self._seen[key] = seen
        before = self._server.version
        if endpoints is None or service is None or not _is_mirrored(endpoints, service):
            for record in existing:
                self._delete(record)
        else:
            self._reconcile(endpoints, existing)
        if self._server.version != before:
            del self._seen[key]  # what was made may be gone when it is looked at next, as if it had never been

    def _reconcile(self, endpoints: Record, existing: list[Record]) -> None:
        wanted = desired_slices(endpoints.body())
        found: dict[SliceKey, list[Record]] = {}
        for record in existing:
            found.setdefault(_slice_key(record.body()), []).append(record)
        spare = [record for key, records in found.items() for record in records[1 if key in wanted else 0 :]]
        for key, body in wanted.items():
            current = found[key][0] if key in found else _take(spare, key[0])
            if current is None:
                self._try_create(body)
            elif not _is_same(body, current.body()):
                self._try_update(body, current)
        for record in spare:
            self._delete(record)

    def _try_create(self, body: Json) -> None:
        with contextlib.suppress(StoreError):  # such as duplicate port names: the controller gives up in the end
            self._server.create(EndpointSlice, msgspec.json.encode(body), manager=_MANAGER)

    def _try_update(self, body: Json, record: Record) -> None:
        metadata = {**body["metadata"], "name": record.metadata["name"]}
        metadata.pop("generateName")
        with contextlib.suppress(StoreError):  # as above
            self._server.update(EndpointSlice, msgspec.json.encode({**body, "metadata": metadata}), manager=_MANAGER)

    def _delete(self, record: Record) -> None:
        self._server.delete(EndpointSlice, record.metadata["namespace"], record.metadata["name"])


def _is_mirrored(endpoints: Record, service: Record) -> bool:
    if endpoints.labels.get(SKIP_MIRROR_LABEL) == "true":
        return False
    if _LEADER_ANNOTATION in endpoints.metadata.get("annotations", {}):
        return False
    return "deletionTimestamp" not in endpoints.metadata and "selector" not in service.body()["spec"]


def _take(spare: list[Record], family: str) -> Record | None:
    """A slice that is not needed any more, to be used again under its name."""
    for record in spare:
        if record.body()["addressType"] == family:
            spare.remove(record)
            return record
    return None


# ---- From Endpoints to slices ---------------------------------------------------------------------------------------


def desired_slices(endpoints: Json) -> dict[SliceKey, Json]:
    """The slices that mirror ``endpoints``, without names."""
    found: dict[SliceKey, Json] = {}
    for ports, addresses in _repacked(endpoints.get("subsets", [])):
        for address, ready in addresses[:MAX_PER_SUBSET]:
            family = f"IPv{ipaddress.ip_address(address['ip']).version}"
            slice_ports = [{"name": "", **port} for port in ports]
            key = family, _ports_key(slice_ports)
            if key not in found:
                found[key] = _empty_slice(endpoints["metadata"], family, slice_ports)
            found[key]["endpoints"].append(_endpoint(address, ready))
    return found


def _repacked(subsets: list[Json]) -> list[tuple[list[Json], list[tuple[Json, bool]]]]:
    """Subsets merged so that each address is once under each port: (ports, [(address, ready)]), ready ones first.

    Of what is ready in one subset and not in another it is not-ready that counts; addresses are told apart by IP and
    by the uid of their target.
    """
    addresses: dict[Hashable, Json] = {}
    by_port: dict[Hashable, tuple[Json | None, dict[Hashable, bool]]] = {}
    for subset in subsets:
        ports: list[Json | None] = subset.get("ports") or [None]
        for port in ports:
            _, states = by_port.setdefault(_port_key(port), (port, {}))
            for field, ready in (("addresses", True), ("notReadyAddresses", False)):
                for address in subset.get(field, ()):
                    identity = address["ip"], (address.get("targetRef") or {}).get("uid")
                    addresses.setdefault(identity, address)
                    states[identity] = states.get(identity, True) and ready
    by_addresses: dict[Hashable, list[Json]] = {}
    for port, states in by_port.values():
        group = by_addresses.setdefault(frozenset(states.items()), [])
        if port is not None:
            group.append(port)
    return [(ports, _ordered(states, addresses)) for states, ports in by_addresses.items()]


def _ordered(states: Any, addresses: dict[Hashable, Json]) -> list[tuple[Json, bool]]:
    ordered = sorted(states, key=lambda item: (not item[1], item[0][0], item[0][1] or ""))
    return [(addresses[identity], ready) for identity, ready in ordered]


def _empty_slice(metadata: Json, family: str, ports: list[Json]) -> Json:
    reserved = {SERVICE_NAME_LABEL: metadata["name"], MANAGED_BY_LABEL: MIRRORING_CONTROLLER}
    annotations = {name: value for name, value in metadata.get("annotations", {}).items() if name not in _NOT_MIRRORED}
    owner = {
        "apiVersion": "v1", "kind": "Endpoints", "name": metadata["name"], "uid": metadata["uid"],
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    return {
        "metadata": {
            "generateName": f"{metadata['name']}-",
            "namespace": metadata["namespace"],
            "labels": {**metadata.get("labels", {}), **reserved},
            "annotations": annotations,
            "ownerReferences": [owner],
        },
        "addressType": family,
        "endpoints": [],
        "ports": ports,
    }


def _endpoint(address: Json, ready: bool) -> Json:
    kept: Json = {name: address[name] for name in ("nodeName", "hostname", "targetRef") if name in address}
    return {"addresses": [str(ipaddress.ip_address(address["ip"]))], "conditions": {"ready": ready}, **kept}


# ---- Comparing ------------------------------------------------------------------------------------------------------


def _port_key(port: Json | None) -> Hashable:
    return frozenset(port.items()) if port is not None else None


def _ports_key(ports: list[Json]) -> Hashable:
    return tuple(sorted(tuple(sorted((name, str(value)) for name, value in port.items())) for port in ports))


def _slice_key(body: Json) -> SliceKey:
    return body["addressType"], _ports_key(body["ports"] or [])


def _is_same(wanted: Json, current: Json) -> bool:
    """Whether a slice mirrors what it should, its endpoints in whatever order."""
    fields = ("labels", "annotations", "ownerReferences")
    if any((wanted["metadata"][name] or None) != current["metadata"].get(name) for name in fields):
        return False
    if _slice_key(wanted) != _slice_key(current):
        return False
    return _contents(wanted) == _contents(current)


def _contents(body: Json) -> list[bytes]:
    return sorted(msgspec.json.encode(endpoint, order="deterministic") for endpoint in body["endpoints"] or ())
