"""The Kubernetes objects that extsync reads and writes, as typed structs. No I/O.

Only the fields that extsync knows are here; ``kube.codec`` keeps those that it does not know through a write. Field
names are Kubernetes's own in snake_case. Lists that the API reads back as ``null`` decode to empty tuples.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import msgspec

from extsync.model import TargetRef


class _Struct(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True, gc=False):
    pass


class OwnerReference(_Struct, frozen=True, kw_only=True):
    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(_Struct, frozen=True, kw_only=True):
    name: str = ""
    generate_name: str | None = None
    namespace: str = ""
    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: tuple[OwnerReference, ...] | None = None
    finalizers: tuple[str, ...] | None = None
    self_link: str | None = None
    managed_fields: tuple[dict[str, Any], ...] | None = None


class KubeObject(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """What every object has. ``PLURAL`` and ``API_VERSION`` say where it lives in the API."""

    PLURAL: ClassVar[str]
    API_VERSION: ClassVar[str]

    metadata: ObjectMeta
    api_version: str | None = None
    kind: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.metadata.namespace, self.metadata.name

    @property
    def labels(self) -> dict[str, str]:
        return self.metadata.labels or {}

    @property
    def annotations(self) -> dict[str, str]:
        return self.metadata.annotations or {}


K = TypeVar("K", bound=KubeObject)


class ServicePort(_Struct, frozen=True, kw_only=True):
    port: int
    name: str | None = None
    protocol: str | None = None
    target_port: int | str | None = None
    node_port: int | None = None
    app_protocol: str | None = None


class ServiceSpec(_Struct, frozen=True, kw_only=True):
    """The spec of a Service as far as planning looks at it; the rest survives because Services are only applied."""

    type: str | None = None
    ports: tuple[ServicePort, ...] | None = None
    selector: dict[str, str] | None = None
    cluster_ip: str | None = msgspec.field(default=None, name="clusterIP")
    cluster_ips: tuple[str, ...] | None = msgspec.field(default=None, name="clusterIPs")
    external_name: str | None = None
    ip_families: tuple[str, ...] | None = None
    ip_family_policy: str | None = None
    session_affinity: str | None = None
    session_affinity_config: dict[str, Any] | None = None
    traffic_distribution: str | None = None
    internal_traffic_policy: str | None = None
    external_traffic_policy: str | None = None
    publish_not_ready_addresses: bool | None = None


class Service(KubeObject, frozen=True, kw_only=True):
    PLURAL = "services"
    API_VERSION = "v1"
    spec: ServiceSpec = ServiceSpec()


class EndpointConditions(_Struct, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class HintFor(_Struct, frozen=True):
    name: str


class EndpointHints(_Struct, frozen=True, kw_only=True):
    for_zones: tuple[HintFor, ...] | None = None
    for_nodes: tuple[HintFor, ...] | None = None


class ObjectReference(_Struct, frozen=True, kw_only=True):
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None
    api_version: str | None = None
    resource_version: str | None = None
    field_path: str | None = None


class SliceEndpoint(_Struct, frozen=True, kw_only=True):
    addresses: tuple[str, ...]
    conditions: EndpointConditions = EndpointConditions()
    hostname: str | None = None
    target_ref: TargetRef | None = None
    deprecated_topology: dict[str, str] | None = None
    node_name: str | None = None
    zone: str | None = None
    hints: EndpointHints | None = None


class SlicePort(_Struct, frozen=True, kw_only=True):
    name: str | None = None
    protocol: str | None = None
    port: int | None = None
    app_protocol: str | None = None


class EndpointSlice(KubeObject, frozen=True, kw_only=True):
    PLURAL = "endpointslices"
    API_VERSION = "discovery.k8s.io/v1"
    address_type: str
    endpoints: tuple[SliceEndpoint, ...] | None = None
    ports: tuple[SlicePort, ...] | None = None


class EndpointAddress(_Struct, frozen=True, kw_only=True):
    ip: str
    hostname: str | None = None
    node_name: str | None = None
    target_ref: TargetRef | None = None


class EndpointPort(_Struct, frozen=True, kw_only=True):
    port: int
    name: str | None = None
    protocol: str | None = None
    app_protocol: str | None = None


class EndpointSubset(_Struct, frozen=True, kw_only=True):
    addresses: tuple[EndpointAddress, ...] | None = None
    not_ready_addresses: tuple[EndpointAddress, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None


class Endpoints(KubeObject, frozen=True, kw_only=True):
    PLURAL = "endpoints"
    API_VERSION = "v1"
    subsets: tuple[EndpointSubset, ...] | None = None


class LeaseSpec(_Struct, frozen=True, kw_only=True):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(KubeObject, frozen=True, kw_only=True):
    PLURAL = "leases"
    API_VERSION = "coordination.k8s.io/v1"
    spec: LeaseSpec = LeaseSpec()


class EventSource(_Struct, frozen=True, kw_only=True):
    component: str | None = None
    host: str | None = None


class Event(KubeObject, frozen=True, kw_only=True):
    PLURAL = "events"
    API_VERSION = "v1"
    involved_object: ObjectReference
    reason: str = ""
    message: str = ""
    type: str | None = None
    count: int | None = None
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    source: EventSource | None = None
    event_time: str | None = None
    series: dict[str, Any] | None = None
    action: str | None = None
    related: ObjectReference | None = None
    reporting_component: str | None = None
    reporting_instance: str | None = None


class NodeSpec(_Struct, frozen=True, kw_only=True):
    pod_cidr: str | None = msgspec.field(default=None, name="podCIDR")
    pod_cidrs: tuple[str, ...] | None = msgspec.field(default=None, name="podCIDRs")


class NodeAddress(_Struct, frozen=True, kw_only=True):
    type: str
    address: str


class NodeStatus(_Struct, frozen=True, kw_only=True):
    addresses: tuple[NodeAddress, ...] | None = None


class Node(KubeObject, frozen=True, kw_only=True):
    """A Node: where it is (labels such as topology.kubernetes.io/zone), and its addresses and those of its pods."""

    PLURAL = "nodes"
    API_VERSION = "v1"
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class ServiceCIDRSpec(_Struct, frozen=True, kw_only=True):
    cidrs: tuple[str, ...] | None = None


class ServiceCIDR(KubeObject, frozen=True, kw_only=True):
    """Networks that cluster IPs are taken from; the API server has had them since Kubernetes 1.33."""

    PLURAL = "servicecidrs"
    API_VERSION = "networking.k8s.io/v1"
    spec: ServiceCIDRSpec = ServiceCIDRSpec()


class PodSpec(_Struct, frozen=True, kw_only=True):
    node_name: str | None = None
    hostname: str | None = None
    subdomain: str | None = None


class PodCondition(_Struct, frozen=True, kw_only=True):
    type: str
    status: str


class PodIP(_Struct, frozen=True, kw_only=True):
    ip: str


class PodStatus(_Struct, frozen=True, kw_only=True):
    phase: str | None = None
    host_ip: str | None = msgspec.field(default=None, name="hostIP")
    conditions: tuple[PodCondition, ...] | None = None
    pod_ip: str | None = msgspec.field(default=None, name="podIP")
    pod_ips: tuple[PodIP, ...] | None = msgspec.field(default=None, name="podIPs")


class Pod(KubeObject, frozen=True, kw_only=True):
    PLURAL = "pods"
    API_VERSION = "v1"
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


KINDS: tuple[type[KubeObject], ...] = (Service, Endpoints, EndpointSlice, Lease, Event, Node, Pod, ServiceCIDR)
"""Every kind that a store serves."""

# Names that extsync writes.
MANAGED_BY = "extsync.dev"
FIELD_MANAGER = "extsync"
OWNER_LABEL = "extsync.dev/owner"
GROUP_LABEL = "extsync.dev/group"
SHARDS_LABEL = "extsync.dev/shards"
"""With how many shards a replica runs: on its member Lease."""
WRITTEN_BY_ANNOTATION = "extsync.dev/written-by"
"""Which replica wrote a slice or Endpoints, where replicas elect a leader."""

# Names that Kubernetes gives a meaning to.
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
SKIP_MIRROR_LABEL = "endpointslice.kubernetes.io/skip-mirror"
HEADLESS_LABEL = "service.kubernetes.io/headless"
ZONE_LABEL = "topology.kubernetes.io/zone"
"""The label of Nodes that says where they are."""
TRIGGER_TIME_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"
OVER_CAPACITY_ANNOTATION = "endpoints.kubernetes.io/over-capacity"
ENDPOINTS_CONTROLLER = "endpoint-controller"
"""The managed-by value that the API server's own Endpoints controller gives to its objects (label of Endpoints)."""
MIRRORING_CONTROLLER = "endpointslicemirroring-controller.k8s.io"
SLICE_CONTROLLER = "endpointslice-controller.k8s.io"
