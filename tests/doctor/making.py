"""Facts for the checks, sound but for what a test changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from extsync.address_policy import AddressPolicy
from extsync.doctor.facts import AccountFacts, ClusterFacts, DnsFacts, ProxyFacts, ServiceFacts
from extsync.doctor.findings import Finding, Severity
from extsync.doctor.kinds import FullNodeStatus, Node, NodeInfo
from extsync.kube.enquiries import User
from extsync.model import ServiceKey
from extsync.objects import (
    MANAGED_BY,
    MANAGED_BY_LABEL,
    OWNER_LABEL,
    SERVICE_NAME_LABEL,
    ZONE_LABEL,
    EndpointConditions,
    EndpointHints,
    EndpointSlice,
    HintFor,
    ObjectMeta,
    OwnerReference,
    Service,
    ServicePort,
    ServiceSpec,
    SliceEndpoint,
    SlicePort,
)

NOW = 1_800_000_000.0
A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"
KEY = ServiceKey("shop", "orders")
OWN = OwnerReference(api_version="v1", kind="Service", name="orders", uid="u1", controller=True)


def service(
    *, ports: Sequence[ServicePort] | None = None, annotations: dict[str, str] | None = None, **spec: Any
) -> Service:
    """The Service orders at 10.96.0.10 with the port sql."""
    default = {"cluster_ip": "10.96.0.10", "type": "ClusterIP", "ip_families": ("IPv4",)}
    return Service(
        metadata=ObjectMeta(name="orders", namespace="shop", uid="u1", annotations=annotations),
        spec=ServiceSpec(ports=tuple(ports or (ServicePort(name="sql", port=3306),)), **{**default, **spec}),
    )


def endpoint(
    address: str, *, ready: bool | None = True, zone: str | None = None, hint: str = "", **more: Any
) -> SliceEndpoint:
    hints = EndpointHints(for_zones=(HintFor(hint),)) if hint else None
    return SliceEndpoint(
        addresses=(address,), conditions=EndpointConditions(ready=ready), zone=zone, hints=hints, **more
    )


def slice_of(
    *endpoints: str | SliceEndpoint,
    name: str = "orders-1",
    by: str = MANAGED_BY,
    ports: Sequence[SlicePort] = (SlicePort(name="sql", port=3306, protocol="TCP"),),
    family: str = "IPv4",
    labels: dict[str, str] | None = None,
    owners: tuple[OwnerReference, ...] | None = (OWN,),
    **metadata: Any,
) -> EndpointSlice:
    """A slice of extsync's with these endpoints; an address alone is one that is ready."""
    known = {SERVICE_NAME_LABEL: "orders", MANAGED_BY_LABEL: by}
    if by == MANAGED_BY:
        known[OWNER_LABEL] = "default"
    return EndpointSlice(
        metadata=ObjectMeta(
            name=name, namespace="shop", labels={**known, **(labels or {})}, owner_references=owners, **metadata
        ),
        address_type=family,
        endpoints=tuple(endpoint(one) if isinstance(one, str) else one for one in endpoints),
        ports=tuple(ports),
    )


def facts(*slices: EndpointSlice, **changed: Any) -> ServiceFacts:
    """The Service with these slices, or with one of two ready endpoints."""
    given = {"key": KEY, "service": service(), "slices": slices or (slice_of(A, B),)}
    return ServiceFacts(**{**given, **changed})


def node(name: str, zone: str = "", *, kubelet: str = "v1.36.0") -> Node:
    return Node(
        metadata=ObjectMeta(name=name, labels={ZONE_LABEL: zone} if zone else None),
        status=FullNodeStatus(node_info=NodeInfo(kubelet_version=kubelet)),
    )


def cluster(**changed: Any) -> ClusterFacts:
    """A cluster of which nothing bad is known."""
    given: dict[str, Any] = {
        "now": NOW,
        "owner": "default",
        "client_version": "1.0",
        "server": "https://api",
        "policy": AddressPolicy(),
        "version": "v1.36.3",
        "proxy": ProxyFacts(daemon=None, configuration=None),
        "dns": DnsFacts(service="10.96.0.10", ready=2, domain="cluster.local"),
        "user": User("ann"),
        "account": AccountFacts(namespace="extsync", name="extsync", exists=False),
        "found": 1,
    }
    return ClusterFacts(**{**given, **changed})


def codes(findings: Sequence[Finding], *, above: Severity = Severity.INFO) -> set[str]:
    """The codes of findings that are worse than ``above``; every such finding has evidence of what to do."""
    order = list(Severity)
    found = [one for one in findings if order.index(one.severity) < order.index(above)]
    for one in found:
        assert one.command, one
        assert one.cure or one.severity is Severity.INFO, one
    return {one.code for one in found}
