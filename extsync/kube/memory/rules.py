"""Defaults and validation of each kind, as Kubernetes 1.36 has them, including what it accepts against all sense.

A slice's port may be 70000, two of its endpoints may have one address, and an Endpoints may name two ports alike: who
writes through this store has to refuse those by itself, as with a real API server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from extsync.kube.memory import formats
from extsync.kube.memory.metadata import Json, drop_empty
from extsync.kube.memory.problems import Problems
from extsync.objects import Endpoints, EndpointSlice, Event, KubeObject, Lease

PROTOCOLS = ("TCP", "UDP", "SCTP")

MAX_SLICE_ENDPOINTS = 1000
MAX_SLICE_PORTS = 20_000
MAX_ADDRESSES = 100
MAX_HINTS = 8


class Rules(NamedTuple):
    """What the server does to an object of one kind before it stores it.

    ``default`` fills in and normalises in place; ``validate`` is given the new object and, on update, the stored one.
    """

    default: Callable[[Json], None]
    validate: Callable[[Json, Json | None, Problems], None]
    put_creates: bool = True
    """Whether a PUT to an object that is not there creates it (``AllowCreateOnUpdate``)."""
    counts_generations: bool = False
    """Whether generation is 1 at first and goes up whenever anything but metadata, or the labels, change."""


def rules_of(kind: type[KubeObject]) -> Rules:
    return _RULES.get(kind, _AS_GIVEN)


def same(a: Any, b: Any) -> bool:
    """Equality that takes an empty list or map for an absent one, as the server's comparisons do."""
    return (a or None) == (b or None)


def check_protocol(port: Json, path: str, problems: Problems) -> None:
    if port["protocol"] not in PROTOCOLS:
        problems.add(f"{path}.protocol", f"supported values: {', '.join(PROTOCOLS)}")


def check_optional(value: str | None, path: str, check: Callable[[str], str], problems: Problems) -> None:
    """Applies ``check`` where there is a value; unlike an absent one, an empty one is checked too."""
    if value is not None:
        problems.add(path, check(value))


# ---- EndpointSlice --------------------------------------------------------------------------------------------------


def _default_slice(body: Json) -> None:
    # Empty lists are null once they have been stored: the fields have no omitempty.
    body["endpoints"] = body.get("endpoints") or None
    body["ports"] = body.get("ports") or None
    for endpoint in body["endpoints"] or ():
        endpoint.setdefault("conditions", {})
        endpoint.pop("deprecatedTopology", None)  # cannot be written through v1
    for port in body["ports"] or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def _validate_slice(body: Json, stored: Json | None, problems: Problems) -> None:
    address_type = body.get("addressType", "")
    if address_type not in ("FQDN", "IPv4", "IPv6"):
        problems.add("addressType", "supported values: FQDN, IPv4, IPv6")
    if stored is not None and stored["addressType"] != address_type:
        problems.add("addressType", "field is immutable")
    _validate_slice_ports(body["ports"] or [], problems)
    endpoints = body["endpoints"] or []
    if len(endpoints) > MAX_SLICE_ENDPOINTS:
        problems.add("endpoints", f"must have at most {MAX_SLICE_ENDPOINTS} items")
        return
    for index, endpoint in enumerate(endpoints):
        _validate_slice_endpoint(endpoint, address_type, f"endpoints[{index}]", problems)


def _validate_slice_ports(ports: list[Json], problems: Problems) -> None:
    if len(ports) > MAX_SLICE_PORTS:
        problems.add("ports", f"must have at most {MAX_SLICE_PORTS} items")
        return
    names: set[str] = set()
    for index, port in enumerate(ports):
        path = f"ports[{index}]"
        if port["name"]:
            problems.add(f"{path}.name", formats.dns_label(port["name"]))
        if port["name"] in names:
            problems.add(f"{path}.name", f"duplicate value {port['name']!r}")
        names.add(port["name"])
        check_protocol(port, path, problems)
        check_optional(port.get("appProtocol"), f"{path}.appProtocol", formats.qualified_name, problems)


def _validate_slice_endpoint(endpoint: Json, address_type: str, path: str, problems: Problems) -> None:
    addresses = endpoint.get("addresses") or []
    if not 1 <= len(addresses) <= MAX_ADDRESSES:
        problems.add(f"{path}.addresses", f"must contain 1 to {MAX_ADDRESSES} addresses")
    for index, address in enumerate(addresses):
        problems.add(f"{path}.addresses[{index}]", _slice_address(address, address_type))
    check_optional(endpoint.get("nodeName"), f"{path}.nodeName", formats.dns_subdomain, problems)
    check_optional(endpoint.get("hostname"), f"{path}.hostname", formats.dns_label, problems)
    hints = endpoint.get("hints") or {}
    _validate_hints(hints.get("forZones") or [], formats.label_value, f"{path}.hints.forZones", problems)
    _validate_hints(hints.get("forNodes") or [], formats.dns_subdomain, f"{path}.hints.forNodes", problems)


def _slice_address(address: str, address_type: str) -> str:
    if address_type == "FQDN":
        return formats.full_domain(address)
    if address_type not in ("IPv4", "IPv6"):
        return ""
    if problem := formats.endpoint_ip(address):
        return problem
    if formats.family(address) != address_type:
        return f"must be an {address_type} address"
    return formats.canonical_ip(address) if address_type == "IPv6" else ""


def _validate_hints(hints: list[Json], check: Callable[[str], str], path: str, problems: Problems) -> None:
    if len(hints) > MAX_HINTS:
        problems.add(path, f"must have at most {MAX_HINTS} items")
        return
    names = [hint["name"] for hint in hints]
    for index, name in enumerate(names):
        problems.add(f"{path}[{index}].name", check(name))
        if name in names[:index]:
            problems.add(f"{path}[{index}].name", f"duplicate value {name!r}")


# ---- Endpoints ------------------------------------------------------------------------------------------------------


def _default_endpoints(body: Json) -> None:
    for subset in body.get("subsets") or ():
        for address in (*(subset.get("addresses") or ()), *(subset.get("notReadyAddresses") or ())):
            drop_empty(address, "hostname")
        for port in subset.get("ports") or ():
            drop_empty(port, "name", "protocol")
            port.setdefault("protocol", "TCP")
        drop_empty(subset, "addresses", "notReadyAddresses", "ports")
    drop_empty(body, "subsets")


def _validate_endpoints(body: Json, _stored: Json | None, problems: Problems) -> None:
    for index, subset in enumerate(body.get("subsets", ())):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            problems.add(path, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(field, ())):
                _validate_address(address, f"{path}.{field}[{number}]", problems)
        ports = subset.get("ports", [])
        for number, port in enumerate(ports):
            _validate_endpoint_port(port, len(ports) > 1, f"{path}.ports[{number}]", problems)


def _validate_address(address: Json, path: str, problems: Problems) -> None:
    problems.add(f"{path}.ip", formats.endpoint_ip(address["ip"]))
    check_optional(address.get("hostname"), f"{path}.hostname", formats.dns_label, problems)
    check_optional(address.get("nodeName"), f"{path}.nodeName", formats.dns_subdomain, problems)


def _validate_endpoint_port(port: Json, needs_name: bool, path: str, problems: Problems) -> None:
    name = port.get("name")
    if needs_name and not name:
        problems.add(f"{path}.name", "a name is required where there is more than one port")
    check_optional(name, f"{path}.name", formats.dns_label, problems)
    problems.add(f"{path}.port", formats.port_number(port["port"]))
    check_protocol(port, path, problems)
    check_optional(port.get("appProtocol"), f"{path}.appProtocol", formats.qualified_name, problems)


# ---- Lease, Event and the others ------------------------------------------------------------------------------------


def _validate_lease(body: Json, _stored: Json | None, problems: Problems) -> None:
    spec = body["spec"]
    if spec.get("leaseDurationSeconds", 1) <= 0:
        problems.add("spec.leaseDurationSeconds", "must be greater than 0")
    if spec.get("leaseTransitions", 0) < 0:
        problems.add("spec.leaseTransitions", "must be greater than or equal to 0")


def _default_event(body: Json) -> None:
    # Shown even without a value: these fields have no omitempty.
    for name in ("firstTimestamp", "lastTimestamp", "eventTime"):
        body.setdefault(name, None)
    for name in ("reportingComponent", "reportingInstance"):
        body.setdefault(name, "")
    body.setdefault("source", {})


def _validate_event(body: Json, _stored: Json | None, problems: Problems) -> None:
    involved = body["involvedObject"].get("namespace", "")
    namespace = body["metadata"]["namespace"]
    if involved != namespace and not (involved == "" and namespace == "default"):
        problems.add("involvedObject.namespace", "does not match event.namespace")


def _nothing(_body: Json, _stored: Json | None = None, _problems: Problems | None = None) -> None:
    pass


_AS_GIVEN = Rules(default=_nothing, validate=_nothing, put_creates=False)
"""Pods, Nodes and ServiceCIDRs: extsync only reads them, so whoever puts them here is taken at their word."""

_RULES: dict[type[KubeObject], Rules] = {
    EndpointSlice: Rules(_default_slice, _validate_slice, put_creates=False, counts_generations=True),
    Endpoints: Rules(_default_endpoints, _validate_endpoints),
    Lease: Rules(lambda body: body.setdefault("spec", {}), _validate_lease),
    Event: Rules(_default_event, _validate_event),
}
