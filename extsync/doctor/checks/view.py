"""What traffic sees of a Service: the slices as kube-proxy reads them, of whoever keeps them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from extsync.doctor.facts import ServiceFacts
from extsync.doctor.findings import kubectl
from extsync.objects import SERVICE_NAME_LABEL, EndpointSlice, Service, SliceEndpoint
from extsync.plan.ownership import FQDN


class Port(NamedTuple):
    """By what kube-proxy matches the ports of slices with those of the Service."""

    name: str
    protocol: str

    def __str__(self) -> str:
        return f"{self.name or '(no name)'}/{self.protocol}"


class Shown(NamedTuple):
    """An endpoint at one of its ports, in one slice."""

    slice: str
    endpoint: SliceEndpoint
    port: Port
    number: int | None

    @property
    def address(self) -> str:
        """kube-proxy takes the first address only."""
        return self.endpoint.addresses[0] if self.endpoint.addresses else ""

    @property
    def place(self) -> str:
        return f"[{self.address}]:{self.number}" if ":" in self.address else f"{self.address}:{self.number}"


def is_ready(endpoint: SliceEndpoint) -> bool:
    """Whether it gets traffic; where nothing is said it does."""
    return endpoint.conditions.ready is not False


def is_headless(service: Service) -> bool:
    return service.spec.cluster_ip == "None"


def service_of(facts: ServiceFacts) -> Service | None:
    """The Service, None where there is none or it could not be read."""
    return facts.service if isinstance(facts.service, Service) else None


def slices_of(facts: ServiceFacts) -> tuple[EndpointSlice, ...]:
    """The slices that carry the Service's name, as far as they were read, without those being deleted."""
    slices = facts.slices if isinstance(facts.slices, tuple) else ()
    return tuple(one for one in slices if one.metadata.deletion_timestamp is None)


def shown(slices: Iterable[EndpointSlice]) -> Iterator[Shown]:
    """All endpoints at all of their ports, without slices of names, which kube-proxy ignores."""
    for slice_ in slices:
        if slice_.address_type == FQDN:
            continue
        for endpoint in slice_.endpoints or ():
            for port in slice_.ports or ():
                yield Shown(slice_.metadata.name, endpoint, Port(port.name or "", port.protocol or "TCP"), port.port)


def by_port(slices: Iterable[EndpointSlice], *, ready_only: bool = False) -> dict[Port, list[Shown]]:
    """``shown``, by the port that traffic is for."""
    found: defaultdict[Port, list[Shown]] = defaultdict(list)
    for one in shown(slices):
        if not ready_only or is_ready(one.endpoint):
            found[one.port].append(one)
    return dict(found)


def endpoints(slices: Iterable[EndpointSlice]) -> Iterator[SliceEndpoint]:
    """All endpoints, those without a port too."""
    for slice_ in slices:
        if slice_.address_type != FQDN:
            yield from slice_.endpoints or ()


def service_ports(service: Service) -> dict[Port, int]:
    """The Service's ports with their numbers."""
    return {Port(port.name or "", port.protocol or "TCP"): port.port for port in service.spec.ports or ()}


def slices_command(facts: ServiceFacts) -> str:
    """Shows the slices of the Service."""
    label = f"{SERVICE_NAME_LABEL}={facts.key.name}"
    return kubectl("get", "endpointslices", "-l", label, "-o", "yaml", namespace=facts.key.namespace)
