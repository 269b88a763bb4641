"""Objects as people write them, and what a manifest made of them publishes."""

from __future__ import annotations

from typing import Any, NamedTuple

from extsync.config.dump import to_text
from extsync.model import Endpoint, PortSet, State
from extsync.objects import (
    SERVICE_NAME_LABEL,
    EndpointAddress,
    EndpointConditions,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    ObjectMeta,
    Service,
    SliceEndpoint,
    SlicePort,
)
from extsync.plan.imports.manifest import Imported, import_service
from extsync.plan.judge import judge
from extsync.plan.merge import SourceSet, merge
from extsync.plan.ports import PortSpec, ports_of
from extsync.plan.publication import Current
from extsync.plan.published import Published
from tests.config.texts import load_one
from tests.plan.cluster import KEY


def address(ip: str, **more: Any) -> EndpointAddress:
    return EndpointAddress(ip=ip, **more)


def subset(ready: list[str | EndpointAddress], not_ready: list[str] | None = None, **ports: int) -> EndpointSubset:
    """A subset with these addresses and TCP ports."""
    return EndpointSubset(
        addresses=tuple(one if isinstance(one, EndpointAddress) else address(one) for one in ready) or None,
        not_ready_addresses=tuple(map(address, not_ready or ())) or None,
        ports=tuple(EndpointPort(name=name, port=number) for name, number in ports.items()) or None,
    )


def endpoints(*subsets: EndpointSubset, **metadata: Any) -> Endpoints:
    return Endpoints(metadata=ObjectMeta(name=KEY.name, namespace=KEY.namespace, **metadata), subsets=subsets or None)


def entry(
    ip: str, ready: bool | None = None, serving: bool | None = None, terminating: bool | None = None, **more: Any
) -> SliceEndpoint:
    return SliceEndpoint(addresses=(ip,), conditions=EndpointConditions(ready, serving, terminating), **more)


def slice_of(
    *entries: SliceEndpoint,
    name: str = "by-hand",
    labels: dict[str, str] | None = None,
    ports: dict[str, int] | None = None,
    address_type: str = "IPv4",
    **metadata: Any,
) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(
            name=name, namespace=KEY.namespace, labels={SERVICE_NAME_LABEL: KEY.name, **(labels or {})}, **metadata
        ),
        address_type=address_type,
        endpoints=entries or None,
        ports=tuple(
            SlicePort(name=name, port=number) for name, number in ({"mysql": 3306} if ports is None else ports).items()
        ),
    )


def imported(service: Service | None, *objects: Endpoints | EndpointSlice) -> Imported:
    """What comes of these objects."""
    obj = next((one for one in objects if isinstance(one, Endpoints)), None)
    return import_service(Current(service, tuple(one for one in objects if isinstance(one, EndpointSlice)), obj))


def told(result: Imported, *, changes: bool) -> list[str]:
    """The notes of one kind."""
    return [str(note) for note in result.notes if note.changes == changes]


class Served(NamedTuple):
    """An endpoint as those know it who read slices or Endpoints. ``ports`` are pairs of name and number, by name."""

    address: str
    ports: tuple[tuple[str, int], ...]
    state: State
    hostname: str | None
    node_name: str | None
    zone: str | None

    @classmethod
    def of(cls, endpoint: Endpoint) -> Served:
        ports = pairs(endpoint.ports)
        return cls(endpoint.address, ports, endpoint.state, endpoint.hostname, endpoint.node_name, endpoint.zone)


def pairs(ports: PortSet) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((port.name, port.port) for port in ports))


def published_by(result: Imported, service: Service) -> set[Served]:
    """What the manifest publishes, once it is written out and read again, for a Service that it does not keep."""
    manifest = load_one(to_text(result.manifest))
    ports = tuple(
        PortSpec(port.name or "", port.port, port.target, port.protocol, port.app_protocol)
        for port in manifest.spec.ports
    ) or ports_of(service)
    [source] = manifest.spec.sources
    assert source.static is not None
    merged = merge(ports, [SourceSet(source.name, source.static.backends)], families=service.spec.ip_families or ())
    assert merged.rejected == ()
    assert merged.duplicates == ()
    judged = judge(merged.candidates, [None] * len(merged.candidates), Published())
    return set(map(Served.of, judged))
