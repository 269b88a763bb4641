"""Services, as Kubernetes 1.36 has them: what is inferred from a spec alone, and its validation.

Of the fields that extsync can apply every rule is here; the others are taken as they are given.
"""

from __future__ import annotations

from extsync.kube.memory import formats
from extsync.kube.memory.metadata import Json, drop_empty
from extsync.kube.memory.problems import Problems
from extsync.kube.memory.rules import check_optional, check_protocol, same

HEADLESS = ["None"]
"""The clusterIPs of a headless Service."""
MAX_AFFINITY_SECONDS = 86_400

_TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_OMITTED_IF_EMPTY = (
    "ports", "selector", "clusterIP", "clusterIPs", "ipFamilies", "type", "sessionAffinity", "externalName",
    "externalIPs", "externalTrafficPolicy", "healthCheckNodePort", "publishNotReadyAddresses",
)  # fmt: skip


# ---- Defaults -------------------------------------------------------------------------------------------------------


def default_service(body: Json) -> None:
    """Fills in what does not depend on the cluster."""
    spec = body.setdefault("spec", {})
    drop_empty(spec, *_OMITTED_IF_EMPTY)
    kind = spec.setdefault("type", "ClusterIP")
    _default_affinity(spec)
    for port in spec.get("ports", ()):
        drop_empty(port, "name", "protocol", "targetPort", "nodePort")
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])
    if is_reachable_from_outside(spec):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def _default_affinity(spec: Json) -> None:
    affinity = spec.setdefault("sessionAffinity", "None")
    if affinity == "None":
        spec.pop("sessionAffinityConfig", None)
    if affinity == "ClientIP":
        config = spec.get("sessionAffinityConfig") or {}
        if (config.get("clientIP") or {}).get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": 10_800}}


def is_reachable_from_outside(spec: Json) -> bool:
    kind = spec["type"]
    return kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_cluster_ip(spec: Json) -> bool:
    return bool(spec["type"] != "ExternalName")


def needs_node_ports(spec: Json) -> bool:
    return spec["type"] in ("NodePort", "LoadBalancer")


def gets_node_ports(spec: Json) -> bool:
    return spec["type"] == "NodePort" or bool(
        spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)
    )


def needs_health_port(spec: Json) -> bool:
    return spec["type"] == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def is_headless(spec: Json) -> bool:
    return bool(spec.get("clusterIPs") == HEADLESS)


def normalise(body: Json) -> None:
    """Brings a valid Service into the form in which it is read: what the API server does on each read."""
    spec = body["spec"]
    if "clusterIP" in spec:
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
    if not needs_cluster_ip(spec):
        spec.pop("internalTrafficPolicy", None)


# ---- Validation -----------------------------------------------------------------------------------------------------


def validate_service(body: Json, stored: Json | None, problems: Problems) -> None:
    spec = body["spec"]
    _validate_type(spec, problems)
    _validate_ports(spec, problems)
    for key, value in spec.get("selector", {}).items():
        problems.add("spec.selector", formats.qualified_name(key) or formats.label_value(value))
    _validate_affinity(spec, problems)
    _validate_policies(spec, problems)
    if stored is not None and needs_cluster_ip(spec) and needs_cluster_ip(stored["spec"]):
        _validate_immutable(spec, stored["spec"], problems)


def _validate_type(spec: Json, problems: Problems) -> None:
    if spec["type"] not in _TYPES:
        problems.add("spec.type", f"supported values: {', '.join(_TYPES)}")
    if is_headless(spec) and spec["type"] in ("NodePort", "LoadBalancer"):
        problems.add("spec.clusterIPs[0]", f"may not be set to 'None' for {spec['type']} services")
    if spec["type"] != "ExternalName":
        return
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            problems.add(f"spec.{field}", "may not be set for ExternalName services")
    problems.add("spec.externalName", formats.dns_subdomain(spec.get("externalName", "").removesuffix(".")))


def _validate_ports(spec: Json, problems: Problems) -> None:
    ports: list[Json] = spec.get("ports", [])
    if not ports and not is_headless(spec) and spec["type"] != "ExternalName":
        problems.add("spec.ports", "required value")
    for index, port in enumerate(ports):
        _validate_port(port, ports[:index], len(ports) > 1, f"spec.ports[{index}]", problems)
        if port.get("nodePort") and spec["type"] == "ClusterIP":
            problems.add(f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'")


def _validate_port(port: Json, before: list[Json], needs_name: bool, path: str, problems: Problems) -> None:
    name = port.get("name")
    if needs_name and not name:
        problems.add(f"{path}.name", "required value")
    check_optional(name, f"{path}.name", formats.dns_label, problems)
    if name is not None and any(other.get("name") == name for other in before):
        problems.add(f"{path}.name", f"duplicate value {name!r}")
    problems.add(f"{path}.port", formats.port_number(port["port"]))
    check_protocol(port, path, problems)
    target = port["targetPort"]
    problems.add(
        f"{path}.targetPort", formats.port_number(target) if isinstance(target, int) else formats.port_name(target)
    )
    check_optional(port.get("appProtocol"), f"{path}.appProtocol", formats.qualified_name, problems)
    for field in ("port", "nodePort"):
        pair = port["protocol"], port.get(field)
        if pair[1] and any((other["protocol"], other.get(field)) == pair for other in before):
            problems.add(f"{path}.{field}", f"duplicate value {pair[1]}/{pair[0]}")


def _validate_affinity(spec: Json, problems: Problems) -> None:
    if spec["sessionAffinity"] not in ("None", "ClientIP"):
        problems.add("spec.sessionAffinity", "supported values: ClientIP, None")
    if spec["sessionAffinity"] == "ClientIP":
        seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"]
        if not 0 < seconds <= MAX_AFFINITY_SECONDS:
            problems.add(
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                f"must be greater than 0 and less than {MAX_AFFINITY_SECONDS}",
            )


def _validate_policies(spec: Json, problems: Problems) -> None:
    if "trafficDistribution" in spec and spec["trafficDistribution"] not in _DISTRIBUTIONS:
        problems.add("spec.trafficDistribution", f"supported values: {', '.join(_DISTRIBUTIONS)}")
    if spec.get("internalTrafficPolicy", "Cluster") not in ("Cluster", "Local"):
        problems.add("spec.internalTrafficPolicy", "supported values: Cluster, Local")
    external = spec.get("externalTrafficPolicy")
    if is_reachable_from_outside(spec):
        if external not in ("Cluster", "Local"):
            problems.add("spec.externalTrafficPolicy", "supported values: Cluster, Local")
    elif external is not None:
        problems.add("spec.externalTrafficPolicy", "may only be set for externally-accessible services")
    if spec.get("healthCheckNodePort") and not needs_health_port(spec):
        problems.add("spec.healthCheckNodePort", "may only be set for LoadBalancer with externalTrafficPolicy Local")
    if "allocateLoadBalancerNodePorts" in spec and spec["type"] != "LoadBalancer":
        problems.add("spec.allocateLoadBalancerNodePorts", "may only be used when `type` is 'LoadBalancer'")


def _validate_immutable(spec: Json, before: Json, problems: Problems) -> None:
    """The first address and family stay; ClusterIP and headless cannot be exchanged."""
    if is_headless(spec) and is_headless(before):
        return
    if spec["clusterIPs"][0] != before["clusterIPs"][0]:
        problems.add("spec.clusterIPs[0]", "may not change once set")
    if is_headless(spec) == is_headless(before) and not same(spec["ipFamilies"][:1], before["ipFamilies"][:1]):
        problems.add("spec.ipFamilies[0]", "may not change once set")
    if len(spec["clusterIPs"]) == len(before["clusterIPs"]) == 2 and spec["clusterIPs"] != before["clusterIPs"]:
        problems.add("spec.clusterIPs[1]", "may not change once set")
