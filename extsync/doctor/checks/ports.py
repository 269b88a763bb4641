"""Whether the ports of the Service and of its slices match: by name and protocol, as kube-proxy does it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extsync.doctor.checks.view import (
    Port,
    Shown,
    by_port,
    is_headless,
    service_of,
    service_ports,
    slices_command,
    slices_of,
)
from extsync.doctor.facts import ClusterFacts, ServiceFacts
from extsync.doctor.findings import Finding, Findings, Severity, some
from extsync.objects import MANAGED_BY_LABEL, SLICE_CONTROLLER, Service
from extsync.plan.ports import HIGHEST_PORT

THEME: Final = "ports"


def check(facts: ServiceFacts, cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about ports; none where nothing is published."""
    service = service_of(facts)
    found = by_port(slices_of(facts))
    if service is None or service.spec.type == "ExternalName" or not any(s.endpoints for s in slices_of(facts)):
        return
    findings = [*_unserved(facts, service, found), *_unasked(facts, service, found), *_numbers(facts, found)]
    if findings:
        yield from findings
    else:
        yield _say(facts).ok("PortsMatch", f"the ports match: {some([*map(str, service_ports(service))]) or 'none'}")
    yield from _target_ports(facts, service)


def _unserved(facts: ServiceFacts, service: Service, found: dict[Port, list[Shown]]) -> Iterator[Finding]:
    say, wanted = _say(facts), service_ports(service)
    spare = [port for port in found if port not in wanted]
    for port, number in wanted.items():
        if port in found:
            continue
        yield say.make(
            "PortNotServed",
            Severity.WARNING if is_headless(service) else Severity.ERROR,
            f"no slice has the Service's port {port} (number {number}): nothing answers there",
            evidence=(
                f"slice {one.slice} has {one.port} on {one.number}" for one in _one_a_slice(found, spare or [*found])
            ),
            cure=_cure(port, spare),
        )


def _cure(port: Port, spare: list[Port]) -> str:
    if any(other.name == port.name for other in spare):
        return f"give both the same protocol: the Service has {port.protocol}"
    if any(other.protocol == port.protocol for other in spare):
        return (
            f"name the port {port.name!r} in the slices too, or rename the Service's: name and protocol have to be "
            "equal, numbers and targetPort do not matter"
        )
    return f"publish a port {port.name!r} with protocol {port.protocol}, or take it out of the Service"


def _unasked(facts: ServiceFacts, service: Service, found: dict[Port, list[Shown]]) -> Iterator[Finding]:
    wanted = service_ports(service)
    for port in found:
        if port not in wanted and wanted:
            yield _say(facts).warning(
                "PortWithoutService",
                f"slices have a port {port} that the Service has not: nothing reaches the endpoints there",
                evidence=(
                    (
                        f"the Service has {', '.join(map(str, wanted))}",
                        *(f"slice {one.slice} has {one.port} on {one.number}" for one in _one_a_slice(found, [port])),
                    )
                ),
                cure="give it the name and protocol of a port of the Service, or add it to the Service",
            )


def _one_a_slice(found: dict[Port, list[Shown]], ports: list[Port]) -> Iterator[Shown]:
    seen: dict[tuple[str, Port], None] = {}
    for port in ports:
        for one in found.get(port, ()):
            if (one.slice, port) not in seen:
                seen[one.slice, port] = None
                yield one


def _numbers(facts: ServiceFacts, found: dict[Port, list[Shown]]) -> Iterator[Finding]:
    """The API takes any number in slices."""
    wrong = [one for one in _one_a_slice(found, [*found]) if one.number is None or not 1 <= one.number <= HIGHEST_PORT]
    if wrong:
        yield _say(facts).error(
            "PortNumber",
            "a port in a slice is no number from 1 to 65535",
            evidence=(f"slice {one.slice}: {one.port} is {one.number}" for one in wrong),
            cure="write the number that the backends listen on: the API server does not check it",
        )


def _target_ports(facts: ServiceFacts, service: Service) -> Iterator[Finding]:
    """A targetPort has a meaning for pods alone."""
    if service.spec.selector:
        return
    own = [one for one in slices_of(facts) if one.labels.get(MANAGED_BY_LABEL) != SLICE_CONTROLLER]
    found = by_port(own)
    for port in service.spec.ports or ():
        numbers = {one.number for one in found.get(Port(port.name or "", port.protocol or "TCP"), ())}
        if port.target_port not in (None, port.port) and numbers and port.target_port not in numbers:
            yield _say(facts).info(
                "TargetPortIgnored",
                f"targetPort {port.target_port} of the Service is ignored: traffic goes to "
                f"{some([str(number) for number in sorted(n for n in numbers if n is not None)])}, as the slices say",
                cure="nothing, if that is the right number",
            )


def _say(facts: ServiceFacts) -> Findings:
    return Findings(THEME, str(facts.key), slices_command(facts))
