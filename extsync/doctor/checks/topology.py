"""Where traffic may go: hints for zones and nodes, and traffic policies that stay on a node.

kube-proxy uses hints of a port only if every ready endpoint of it, over all slices, has them (pkg/proxy/topology.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from extsync.doctor.checks.view import Port, Shown, by_port, endpoints, is_ready, service_of, slices_command, slices_of
from extsync.doctor.facts import ClusterFacts, ServiceFacts, Unread
from extsync.doctor.findings import Finding, Findings, kubectl, some
from extsync.objects import ZONE_LABEL, Service, SliceEndpoint

THEME: Final = "topology"

_MODE_ANNOTATIONS: Final = ("service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints")


def check(facts: ServiceFacts, cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about hints and traffic policies."""
    service = service_of(facts)
    ports = by_port(slices_of(facts), ready_only=True)
    if service is None or not ports:
        return
    yield from _hints(facts, service, ports, cluster)
    yield from _local(facts, service, cluster)


def wants_hints(service: Service) -> str:
    """By what the Service asks for traffic that stays near, "" where it does not."""
    if service.spec.traffic_distribution:
        return f"trafficDistribution {service.spec.traffic_distribution}"
    for name in _MODE_ANNOTATIONS:
        if service.annotations.get(name, "").lower() == "auto":
            return f"annotation {name}"
    return ""


def zones_of(endpoint: SliceEndpoint) -> tuple[str, ...]:
    """The zones that the endpoint is meant for."""
    return tuple(one.name for one in (endpoint.hints and endpoint.hints.for_zones) or ())


def _hints(
    facts: ServiceFacts, service: Service, ports: dict[Port, list[Shown]], cluster: ClusterFacts
) -> Iterator[Finding]:
    wanted = wants_hints(service)
    with_hints = {port: [one for one in of if zones_of(one.endpoint)] for port, of in ports.items()}
    say = _say(facts)
    if not any(with_hints.values()):
        if wanted:
            yield say.warning(
                "HintsMissing",
                f"the Service has {wanted}, and no ready endpoint has hints: traffic goes anywhere",
                evidence=(f"{one.place} has {_where(one.endpoint)}" for one in _each(ports)),
                cure="give the backends a zone in the manifest; extsync makes hints of it",
            )
        return
    for port, of in ports.items():
        without = [one for one in of if not zones_of(one.endpoint)]
        if without and with_hints[port]:
            yield say.warning(
                "HintsIncomplete",
                f"{len(without)} of {len(of)} ready endpoints of {port} have no hints: kube-proxy ignores those of all",
                evidence=(f"{one.place} in {one.slice} has {_where(one.endpoint)}" for one in without),
                cure="give each backend a zone, or remove trafficDistribution",
            )
            return
    yield from _zones(facts, ports, cluster)


def _where(endpoint: SliceEndpoint) -> str:
    return f"zone {endpoint.zone}" if endpoint.zone else "no zone"


def _each(ports: dict[Port, list[Shown]]) -> Iterable[Shown]:
    return next(iter(ports.values()))


def _zones(facts: ServiceFacts, ports: dict[Port, list[Shown]], cluster: ClusterFacts) -> Iterator[Finding]:
    """The zones of hints and those that nodes are in."""
    say = _say(facts, kubectl("get", "nodes", "-L", ZONE_LABEL))
    if isinstance(cluster.nodes, Unread):
        yield say.info("ZonesUnread", f"whether nodes are in the zones of the hints is not known: {cluster.nodes.why}")
        return
    of_nodes = {node.labels.get(ZONE_LABEL, "") for node in cluster.nodes}
    hinted = {zone for one in _each(ports) for zone in zones_of(one.endpoint)}
    nowhere = sorted(hinted - of_nodes)
    bare = sorted(zone for zone in of_nodes - hinted if zone)
    without_zone = [node.metadata.name for node in cluster.nodes if not node.labels.get(ZONE_LABEL)]
    if nowhere and not hinted & of_nodes:
        yield say.warning(
            "HintsOfNoZone",
            f"no node is in a zone of the hints ({some(nowhere)}): kube-proxy ignores them",
            evidence=(f"nodes are in {some(sorted(zone for zone in of_nodes if zone)) or 'no zone'}",),
            cure=f"use the names that nodes have in {ZONE_LABEL}",
        )
        return
    if bare or without_zone:
        yield say.info(
            "ZonesWithoutEndpoint",
            "nodes of some zones have no endpoint of their own: they use all",
            evidence=(*(f"zone {zone}" for zone in bare), *(f"node {name} has no zone" for name in without_zone)),
        )
    else:
        yield say.ok("HintsUsable", f"hints are complete and name zones of nodes: {some(sorted(hinted))}")


def _local(facts: ServiceFacts, service: Service, cluster: ClusterFacts) -> Iterator[Finding]:
    spec = service.spec
    policies = [("internalTrafficPolicy", spec.internal_traffic_policy)]
    if spec.type in ("NodePort", "LoadBalancer"):
        policies.append(("externalTrafficPolicy", spec.external_traffic_policy))
    local = [name for name, policy in policies if policy == "Local"]
    ready = [one for one in endpoints(slices_of(facts)) if is_ready(one)]
    if not local:
        return
    names = " and ".join(local)
    nowhere = [one.addresses[0] for one in ready if not one.node_name]
    say = _say(facts)
    if nowhere:
        make = say.error if len(nowhere) == len(ready) else say.warning
        yield make(
            "LocalWithoutNode",
            f"{names}: Local drops traffic for endpoints without a nodeName: {len(nowhere)} of {len(ready)} have none",
            evidence=nowhere,
            cure=f"remove {names}: Local, which suits pods; or give each backend the nodeName of its node",
        )
    if isinstance(cluster.nodes, tuple):
        known = {node.metadata.name for node in cluster.nodes}
        strange = [
            f"{one.addresses[0]}: {one.node_name}" for one in ready if one.node_name and one.node_name not in known
        ]
        if strange:
            yield say.warning(
                "NodeUnknown",
                f"{names}: Local, and endpoints name nodes that are not in the cluster",
                evidence=strange,
                cure="use the name that kubectl get nodes shows",
                command=kubectl("get", "nodes"),
            )
        bare = known - {one.node_name for one in ready}
        if bare and not nowhere:
            yield say.info(
                "NodesWithoutEndpoint",
                f"{names}: Local: {len(bare)} of {len(known)} nodes have no endpoint and drop the traffic",
                evidence=sorted(bare),
                command=kubectl("get", "nodes"),
            )


def _say(facts: ServiceFacts, command: str = "") -> Findings:
    return Findings(THEME, str(facts.key), command or slices_command(facts))
