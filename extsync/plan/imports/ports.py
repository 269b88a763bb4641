"""The ports of a manifest that publishes what was found, and what each backend has to say of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from extsync.model import PortSet
from extsync.objects import EndpointPort, SlicePort
from extsync.plan.imports.found import Found, NotImported
from extsync.plan.imports.notes import Notes
from extsync.plan.imports.reading import Shown
from extsync.plan.ports import PortSpec, ports_of


def manifest_ports(found: Found, endpoints: Sequence[Shown], notes: Notes) -> tuple[PortSpec, ...]:
    """The ports that all of ``endpoints`` have, each with the number that most of them listen on.

    Raises NotImported where they do not have the same ports: a manifest gives every backend all of its ports.
    """
    service = ports_of(found.service)
    if not endpoints:
        return ()
    first = endpoints[0]
    for other in endpoints:
        if _shape(other.endpoint.ports) != _shape(first.endpoint.ports):
            raise NotImported(
                f"{first.place} has {_words(first)} and {other.place} has {_words(other)}, "
                "and a manifest gives every backend the same ports: make a Service for each"
            )
    shape = _shape(first.endpoint.ports)
    _check(shape, first, has_ports=bool(service))
    protocols = _app_protocols(found, notes)
    order = _order(found)
    return tuple(
        _port(name, protocol, protocols.get(name), service, endpoints)
        for name, protocol in sorted(shape, key=lambda one: order.index(one[0]))
    )


def own_ports(ports: Sequence[PortSpec], has: PortSet) -> dict[str, Any]:
    """The keys of a backend whose numbers differ from those of ``ports``."""
    numbers = {port.name: port.port for port in has}
    own = {port.name: numbers[port.name] for port in ports if numbers[port.name] != port.number}
    if not own:
        return {}
    return {"port": own[""]} if "" in own else {"ports": own}


def _shape(ports: PortSet) -> tuple[tuple[str, str], ...]:
    return tuple((port.name, port.protocol) for port in ports)


def _words(one: Shown) -> str:
    ports = [port.name or f"port {port.port} without a name" for port in one.endpoint.ports]
    protocols = {port.protocol for port in one.endpoint.ports}
    if protocols - {"TCP"}:
        ports = [f"{text}/{port.protocol}" for text, port in zip(ports, one.endpoint.ports, strict=True)]
    return ", ".join(ports) or "no ports"


def _check(shape: tuple[tuple[str, str], ...], first: Shown, *, has_ports: bool) -> None:
    names = [name for name, _ in shape]
    twice = next((name for name, number in Counter(names).items() if number > 1), None)
    if twice is not None:
        raise NotImported(f"{first.place} has two ports named {twice!r}: give each a name of its own")
    if "" in names and len(names) > 1:
        raise NotImported(f"{first.place} has a port without a name beside others: give it one")
    if not names and has_ports:
        raise NotImported(
            f"{first.place} has no ports, and the Service has: nothing reaches its endpoints at any port; give it ports"
        )


def _port(
    name: str, protocol: str, app_protocol: str | None, service: Sequence[PortSpec], endpoints: Sequence[Shown]
) -> PortSpec:
    numbers = Counter(port.port for one in endpoints for port in one.endpoint.ports if port.name == name)
    known = next((port for port in service if (port.name, port.protocol) == (name, protocol)), None)
    target = min(numbers, key=lambda number: (-numbers[number], known is None or number != known.number, number))
    return PortSpec(name, target if known is None else known.port, target, protocol, app_protocol)


def _app_protocols(found: Found, notes: Notes) -> dict[str, str | None]:
    """The appProtocol of each port; where objects differ that of the first counts, slices before Endpoints."""
    first: dict[str, str | None] = {}
    for place, port in _written(found):
        name = port.name or ""
        if first.setdefault(name, port.app_protocol) != port.app_protocol:
            notes.change(
                place,
                f"port {name or 'without a name'} has the appProtocol {port.app_protocol or '(none)'}, "
                f"elsewhere {first[name] or '(none)'}, which counts for all",
            )
    return first


def _order(found: Found) -> list[str]:
    """The names of ports as Endpoints have them, else as slices do: in that order nothing has to be written for it."""
    names = [port.name or "" for place, port in _written(found) if place.startswith("Endpoints")]
    return [*names, *(port.name or "" for _, port in _written(found))]


def _written(found: Found) -> Iterable[tuple[str, SlicePort | EndpointPort]]:
    for slice_ in found.slices:
        if slice_.endpoints:
            yield from ((f"EndpointSlice {slice_.metadata.name}", port) for port in slice_.ports or ())
    if found.endpoints is not None:
        for index, subset in enumerate(found.endpoints.subsets or ()):
            place = f"Endpoints {found.endpoints.metadata.name}, subsets[{index}]"
            yield from ((place, port) for port in subset.ports or ())
