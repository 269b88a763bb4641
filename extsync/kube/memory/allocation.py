"""What a cluster gives to Services: addresses, address families and node ports, as Kubernetes 1.36 does.

The cluster is dual-stack with IPv4 first.
"""

from __future__ import annotations

import ipaddress

from extsync.errors import Unavailable
from extsync.kube.memory import formats
from extsync.kube.memory.metadata import Json, drop_empty
from extsync.kube.memory.problems import Problems
from extsync.kube.memory.service import (
    HEADLESS,
    gets_node_ports,
    is_headless,
    is_reachable_from_outside,
    needs_cluster_ip,
    needs_health_port,
    needs_node_ports,
)
from extsync.seams import Random

SERVICE_RANGES = {
    "IPv4": ipaddress.ip_network("10.96.0.0/16"),
    "IPv6": ipaddress.ip_network("fd00:10:96::/112"),
}
NODE_PORTS = range(30_000, 32_768)

_POLICIES = ("SingleStack", "PreferDualStack", "RequireDualStack")


class Allocator:
    """The addresses and node ports that Services have been given."""

    def __init__(self, *, random: Random) -> None:
        self._random = random
        self._addresses: set[str] = set()
        self._ports: set[int] = set()

    def replace(self, stored: Json | None, new: Json | None) -> None:
        """Gives back what ``stored`` has and marks what ``new`` has as taken."""
        if stored is not None:
            self._addresses.difference_update(_addresses(stored["spec"]))
            self._ports.difference_update(_node_ports(stored["spec"]))
        if new is not None:
            self._addresses.update(_addresses(new["spec"]))
            self._ports.update(_node_ports(new["spec"]))

    def address(self, family: str) -> str:
        """A free address of ``family``."""
        network = SERVICE_RANGES[family]
        while True:
            text = str(network[1 + int(self._random.random() * (network.num_addresses - 2))])
            if text not in self._addresses:
                return text

    def check_address(self, text: str) -> str:
        """What keeps a Service from having the address that it asks for."""
        if ipaddress.ip_address(text) not in SERVICE_RANGES[formats.family(text)]:
            return f"failed to allocate IP {text}: the provided network does not match the current range"
        return f"failed to allocate IP {text}: provided IP is already allocated" if text in self._addresses else ""

    def port(self, without: set[int]) -> int:
        """A free node port."""
        while True:
            number = NODE_PORTS[int(self._random.random() * len(NODE_PORTS))]
            if number not in self._ports and number not in without:
                return number

    def check_port(self, number: int) -> str:
        if number not in NODE_PORTS:
            return "provided port is not in the valid range. The range of valid ports is 30000-32767"
        return "provided port is already allocated" if number in self._ports else ""


def _addresses(spec: Json) -> list[str]:
    ips: list[str] = spec.get("clusterIPs", [])
    return [] if ips == HEADLESS else ips


def _node_ports(spec: Json) -> list[int]:
    ports = [port["nodePort"] for port in spec.get("ports", ()) if port.get("nodePort")]
    return [*ports, *([spec["healthCheckNodePort"]] if spec.get("healthCheckNodePort") else [])]


def allocate(body: Json, stored: Json | None, allocator: Allocator) -> None:
    """Settles families, addresses and node ports of ``body``, in place; raises Invalid.

    The order is the API server's: keep what the stored Service had been given, settle the families, hand out what is
    missing, and drop what a change of type makes meaningless.
    """
    spec = body["spec"]
    before = stored["spec"] if stored is not None else None
    if before is not None:
        _keep_allocated(spec, before)
    _align_cluster_ips(spec, before or {})
    problems = Problems()
    if needs_cluster_ip(spec):
        _validate_cluster_ips(spec, problems)
        problems.raise_if_any("Service")
        _settle_families(spec, before, problems)
        problems.raise_if_any("Service")
        _allocate_addresses(spec, before, allocator, problems)
    _allocate_node_ports(spec, before, allocator, problems)
    problems.raise_if_any("Service")
    if before is not None:
        _drop_what_the_type_lost(spec, before)
    body["status"] = (stored or {}).get("status") or {"loadBalancer": {}}


def _keep_allocated(spec: Json, before: Json) -> None:
    if needs_cluster_ip(spec) and needs_cluster_ip(before):
        for field in ("clusterIP", "clusterIPs"):
            if field not in spec and field in before:
                spec[field] = before[field]
    if gets_node_ports(spec) and gets_node_ports(before):
        taken = {port.get("nodePort") for port in spec.get("ports", ())}
        by_name = {port.get("name"): port.get("nodePort") for port in before.get("ports", ())}
        for port in spec.get("ports", ()):
            known = by_name.get(port.get("name"))
            if "nodePort" not in port and known and known not in taken:
                port["nodePort"] = known
    if needs_health_port(spec) and needs_health_port(before):
        spec.setdefault("healthCheckNodePort", before.get("healthCheckNodePort", 0))


def _align_cluster_ips(spec: Json, before: Json) -> None:
    """Lets a client that knows only clusterIP set it: clusterIPs, which it left as they were, follow."""
    if spec.get("clusterIP") == before.get("clusterIP"):
        if "clusterIPs" in before:
            spec.setdefault("clusterIPs", before["clusterIPs"])
    elif spec.get("clusterIPs") == before.get("clusterIPs"):
        _drop(spec, "clusterIPs")
        if "clusterIP" in spec:
            spec["clusterIPs"] = [spec["clusterIP"]]


def _validate_cluster_ips(spec: Json, problems: Problems) -> None:
    ips: list[str] = spec.get("clusterIPs", [])
    families: list[str] = spec.get("ipFamilies", [])
    if spec.get("clusterIP") != (ips[0] if ips else None):
        problems.add("spec.clusterIPs", "the first value must match `clusterIP`")
    if len(ips) > 2 or ("None" in ips and ips != HEADLESS):
        problems.add("spec.clusterIPs", "may hold up to two addresses, or 'None' alone")
    for index, family in enumerate(families):
        if family not in SERVICE_RANGES:
            problems.add(f"spec.ipFamilies[{index}]", "supported values: IPv4, IPv6")
        if family in families[:index]:
            problems.add(f"spec.ipFamilies[{index}]", f"duplicate value {family!r}")
    if spec.get("ipFamilyPolicy", "SingleStack") not in _POLICIES:
        problems.add("spec.ipFamilyPolicy", f"supported values: {', '.join(_POLICIES)}")
    if ips == HEADLESS:
        return
    for index, ip in enumerate(ips):
        _validate_cluster_ip(ip, families[index : index + 1], f"spec.clusterIPs[{index}]", problems)
    if len(ips) == 2 and formats.family(ips[0]) == formats.family(ips[1]):
        problems.add("spec.clusterIPs", "may specify no more than one IP for each IP family")


def _validate_cluster_ip(ip: str, families: list[str], path: str, problems: Problems) -> None:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        problems.add(path, "must be a valid IP address without leading zeros")
        return
    if getattr(address, "ipv4_mapped", None) is not None:
        problems.add(path, "must not be an IPv4-mapped IPv6 address")
    if families and families[0] != formats.family(ip):
        problems.add(path, f"expected an {families[0]} value as indicated by `ipFamilies`")


def _settle_families(spec: Json, before: Json | None, problems: Problems) -> None:
    headless_without_selector = is_headless(spec) and not spec.get("selector")
    if "ipFamilyPolicy" not in spec:
        inherited = (before or {}).get("ipFamilyPolicy")
        spec["ipFamilyPolicy"] = inherited or ("RequireDualStack" if headless_without_selector else "SingleStack")
    single = spec["ipFamilyPolicy"] == "SingleStack"
    if before is not None:
        _settle_reductions(spec, before, single=single, problems=problems)
    ips: list[str] = spec.get("clusterIPs", [])
    families: list[str] = list(spec.get("ipFamilies", ()))
    if single and (len(ips) > 1 or len(families) > 1):
        problems.add("spec.ipFamilyPolicy", "must be 'RequireDualStack' or 'PreferDualStack' for two families")
    if not is_headless(spec):
        families += [formats.family(ip) for ip in ips[len(families) :]]
    families = families or ["IPv4"]
    if not single and len(families) == 1:
        families.append("IPv6" if families[0] == "IPv4" else "IPv4")
    spec["ipFamilies"] = families


def _settle_reductions(spec: Json, before: Json, *, single: bool, problems: Problems) -> None:
    """Going back to one family: wanting SingleStack is enough, wanting less without saying so is an error."""
    for field, word in (("clusterIPs", "secondary cluster IP"), ("ipFamilies", "secondary IP family")):
        new, old = spec.get(field, []), before.get(field, [])
        if single and new == old:
            spec[field] = new[:1]
        elif not single and len(new) == 1 and len(old) == 2:
            problems.add("spec.ipFamilyPolicy", f"must be 'SingleStack' to release the {word}")
    drop_empty(spec, "clusterIPs", "ipFamilies")


def _allocate_addresses(spec: Json, before: Json | None, allocator: Allocator, problems: Problems) -> None:
    if is_headless(spec):
        return
    given: list[str] = spec.get("clusterIPs", [])
    kept = (before or {}).get("clusterIPs", [])
    for ip in given:
        if ip not in kept:
            problems.add("spec.clusterIPs", allocator.check_address(ip))
    ips = [*given, *(allocator.address(family) for family in spec["ipFamilies"][len(given) :])]
    spec["clusterIPs"], spec["clusterIP"] = ips, ips[0]


def _allocate_node_ports(spec: Json, before: Json | None, allocator: Allocator, problems: Problems) -> None:
    kept = set(_node_ports(before)) if before is not None else set()
    given: dict[int, int] = {}
    for index, port in enumerate(spec.get("ports", ()) if needs_node_ports(spec) else ()):
        number = port.get("nodePort")
        if number is not None and number not in kept and number not in given.values():
            problems.add(f"spec.ports[{index}].nodePort", allocator.check_port(number))
        if number is None and gets_node_ports(spec):
            # One port under two protocols is given one node port, but only at first.
            shared = given.get(port["port"]) if before is None else None
            number = port["nodePort"] = shared or allocator.port(set(given.values()))
        if number is not None:
            given[port["port"]] = number
    pairs = [(port["protocol"], port["nodePort"]) for port in spec.get("ports", ()) if port.get("nodePort")]
    if before is not None and needs_node_ports(spec) and len(set(pairs)) < len(pairs):
        raise Unavailable("duplicate nodePort")  # a 500
    if needs_health_port(spec) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = allocator.port(set(given.values()))


def _drop_what_the_type_lost(spec: Json, before: Json) -> None:
    """Clears fields that no longer apply, unless the client changed them: then validation refuses them."""
    if needs_cluster_ip(before) and not needs_cluster_ip(spec):
        if all(spec.get(field) == before.get(field) for field in ("clusterIP", "clusterIPs")):
            _drop(spec, "clusterIP", "clusterIPs")
        _drop_unchanged(spec, before, "ipFamilies", "ipFamilyPolicy")
    if needs_node_ports(before) and not needs_node_ports(spec) and set(_node_ports(spec)) <= set(_node_ports(before)):
        for port in spec.get("ports", ()):
            port.pop("nodePort", None)
    if needs_health_port(before) and not needs_health_port(spec):
        _drop_unchanged(spec, before, "healthCheckNodePort")
    if before["type"] == "LoadBalancer" and spec["type"] != "LoadBalancer":
        _drop_unchanged(spec, before, "allocateLoadBalancerNodePorts")
    if is_reachable_from_outside(before) and not is_reachable_from_outside(spec):
        _drop_unchanged(spec, before, "externalTrafficPolicy")


def _drop(spec: Json, *fields: str) -> None:
    for field in fields:
        spec.pop(field, None)


def _drop_unchanged(spec: Json, before: Json, *fields: str) -> None:
    _drop(spec, *(field for field in fields if spec.get(field) == before.get(field)))
