"""Why traffic is uneven although all is well: affinity, hints, endpoints that are one, or that count twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from extsync.doctor.checks.topology import zones_of
from extsync.doctor.checks.view import Port, Shown, by_port, service_of, slices_command, slices_of
from extsync.doctor.facts import ClusterFacts, ServiceFacts
from extsync.doctor.findings import Finding, Findings, kubectl
from extsync.objects import ZONE_LABEL, Service

THEME: Final = "balance"

SMALL_SLICES: Final = 3
"""From so many slices with a single address each on, it is worth a word."""

UNEVEN: Final = 2.0
"""How many times the load of the average an endpoint must get by its hints before it is told of."""


def check(facts: ServiceFacts, cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about how traffic is shared out. They are no faults."""
    service = service_of(facts)
    ports = by_port(slices_of(facts), ready_only=True)
    if service is None or not ports:
        return
    findings = [*_affinity(facts, service), *_single(facts, ports), *_weights(facts, ports)]
    findings += [*_small_slices(facts), *_by_hints(facts, ports, cluster)]
    yield from findings or [_say(facts).ok("Balanced", "nothing known makes traffic uneven")]


def _affinity(facts: ServiceFacts, service: Service) -> Iterator[Finding]:
    if service.spec.session_affinity == "ClientIP":
        config = (service.spec.session_affinity_config or {}).get("clientIP") or {}
        seconds = config.get("timeoutSeconds", 10800)
        yield _say(facts, kubectl("get", "service", facts.key.name, "-o", "yaml", namespace=facts.key.namespace)).info(
            "SessionAffinity",
            f"sessionAffinity ClientIP keeps each client at one endpoint until it was silent for {seconds} s",
            evidence=("clients behind one address, as of a proxy or NAT, are one client",),
            cure="remove sessionAffinity where sessions do not need it",
        )


def _single(facts: ServiceFacts, ports: dict[Port, list[Shown]]) -> Iterator[Finding]:
    for port, of in ports.items():
        places = {one.place for one in of}
        if len(places) == 1:
            yield _say(facts).info(
                "SingleEndpoint",
                f"one ready endpoint gets all traffic of {port}: {next(iter(places))}",
                cure="add backends; when it is down there is none",
            )


def _weights(facts: ServiceFacts, ports: dict[Port, list[Shown]]) -> Iterator[Finding]:
    """kube-proxy balances over pairs of address and port."""
    for port, of in ports.items():
        numbers = Counter(address for address, _ in {(one.address, one.number) for one in of})
        often = {address: count for address, count in numbers.items() if count > 1}
        if often and len(set(numbers.values())) > 1:
            yield _say(facts).info(
                "SeveralPorts",
                f"addresses with several port numbers for {port} get several shares of the traffic",
                evidence=(f"{address} has {count}" for address, count in sorted(often.items())),
            )


def _small_slices(facts: ServiceFacts) -> Iterator[Finding]:
    alone = [one for one in slices_of(facts) if len(one.endpoints or ()) == 1]
    if len(alone) >= SMALL_SLICES:
        yield _say(facts).info(
            "OneAddressSlices",
            f"{len(alone)} slices have a single address each",
            evidence=(f"{one.metadata.name}: {one.address_type}, {_numbers(one.ports or ())}" for one in alone),
            cure="kube-proxy does not mind, programs that read one slice do; extsync packs what has the same ports",
        )


def _numbers(ports: tuple[object, ...]) -> str:
    return f"ports {', '.join(str(getattr(port, 'port', None)) for port in ports)}"


def _by_hints(facts: ServiceFacts, ports: dict[Port, list[Shown]], cluster: ClusterFacts) -> Iterator[Finding]:
    """Each node sends its traffic to the endpoints of its zone: a zone with few of them and many nodes loads these."""
    if not isinstance(cluster.nodes, tuple) or not cluster.nodes:
        return
    nodes = Counter(node.labels.get(ZONE_LABEL, "") for node in cluster.nodes)
    for port, of in ports.items():
        if not all(zones_of(one.endpoint) for one in of):
            continue
        in_zone = Counter(zone for one in of for zone in zones_of(one.endpoint))
        average = len(cluster.nodes) / len(of)
        heavy = [
            f"zone {zone}: {nodes[zone]} nodes, {count} endpoints"
            for zone, count in sorted(in_zone.items())
            if nodes[zone] / count >= UNEVEN * average
        ]
        if heavy:
            yield _say(facts, kubectl("get", "nodes", "-L", ZONE_LABEL)).warning(
                "HintsOverload",
                f"by their hints endpoints of {port} get {UNEVEN:g} times the traffic of the average, or more",
                evidence=heavy,
                cure="add endpoints in that zone, or remove trafficDistribution",
            )


def _say(facts: ServiceFacts, command: str = "") -> Findings:
    return Findings(THEME, str(facts.key), command or slices_command(facts))
