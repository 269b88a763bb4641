"""What the parts of a spec demand of each other. Pure; each rule notes its faults and names the keys that it read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from extsync.config.checks import Check
from extsync.config.faults import Faults, Place, shown, suggestion
from extsync.config.service import Port, ServiceSpec
from extsync.config.sources import Source
from extsync.model import Backend

MIRRORED_ADDRESSES = 1000
"""The mirroring controller copies at most so many addresses of a subset into slices."""


class SpecParts(Protocol):
    """The parts of a spec that the rules look at."""

    @property
    def service(self) -> ServiceSpec | None: ...
    @property
    def ports(self) -> tuple[Port, ...]: ...
    @property
    def sources(self) -> tuple[Source, ...]: ...
    @property
    def checks(self) -> tuple[Check, ...]: ...
    @property
    def publish(self) -> tuple[str, ...]: ...


def check_unique_names(data: Mapping[str, Any], faults: Faults) -> None:
    """Notes names that occur twice in a list of ``data``, a spec that is not validated yet."""
    for key in ("ports", "sources", "checks"):
        entries = data.get(key)
        known = set()
        for index, entry in enumerate(entries if isinstance(entries, list | tuple) else ()):
            name = entry.get("name") if isinstance(entry, dict) else getattr(entry, "name", None)
            if not isinstance(name, str):
                continue
            if name in known:
                faults.add((key, index, "name"), f"{shown(name)} is the name of another of the {key}: choose another")
            known.add(name)


def check_spec(spec: SpecParts, faults: Faults) -> None:
    """Notes everything in ``spec`` that does not fit together."""
    _check_ports(spec.ports, faults)
    if spec.service is not None and spec.service.is_external_name:
        _check_alias(spec, faults)
        return
    if not spec.sources:
        faults.add((), "sources are missing: nothing would ever be published", reads=("sources", "service"))
    if _ports_are_known(spec):
        _check_port_names(spec, faults)
    _check_mirrored(spec, faults)


def _ports_are_known(spec: SpecParts) -> bool:
    """Ports that are left out are taken from the Service, which only the cluster knows."""
    return bool(spec.ports) or spec.service is not None


def _check_ports(ports: Sequence[Port], faults: Faults) -> None:
    known = set()
    for index, port in enumerate(ports):
        if port.name is None and len(ports) > 1:
            faults.add(("ports", index), "name is missing: every port has one where there are several", reads=("name",))
        if (port.port, port.protocol) in known:
            message = f"{port.port} with protocol {port.protocol} is given twice: leave one out"
            faults.add(("ports", index, "port"), message)
        known.add((port.port, port.protocol))


def _check_alias(spec: SpecParts, faults: Faults) -> None:
    for key, given in (("sources", spec.sources), ("checks", spec.checks)):
        if given:
            message = f"the endpoints of a Service of type ExternalName are never used: leave out {key}"
            faults.add((key,), message, reads=("service",))


def _check_port_names(spec: SpecParts, faults: Faults) -> None:
    names = {port.name for port in spec.ports if port.name is not None}
    if not spec.ports and spec.service is not None and not spec.service.headless:
        message = "ports are missing: a Service that is not headless needs at least one"
        faults.add((), message, reads=("ports", "service"))
        return
    for index, check in enumerate(spec.checks):
        if isinstance(check.port, str):
            _check_name(check.port, names, ("checks", index, check.kind, "port"), faults)
    for index, source in enumerate(spec.sources):
        if source.port_name is not None:
            _check_name(source.port_name, names, ("sources", index, "portName"), faults)
        if source.static is not None:
            known = _KnownPorts(names, _discovered(source, spec.ports), len(spec.ports))
            place = ("sources", index, "static", "backends")
            for number, backend in enumerate(source.static.backends):
                known.check(backend, (*place, number), faults)


def _discovered(source: Source, ports: Sequence[Port]) -> str | None:
    """The name of the port to which a backend's single ``port`` belongs; "" for the only, unnamed one."""
    if source.port_name is not None:
        return source.port_name
    return (ports[0].name or "") if len(ports) == 1 else None


class _KnownPorts:
    """The ports of a spec, against which each backend is checked."""

    def __init__(self, names: set[str], discovered: str | None, count: int) -> None:
        self._names = names
        self._discovered = discovered
        self._count = count
        # Backends share their tuples of ports, and hardly any spec has more than a few different ones.
        self._good: set[tuple[tuple[str, int], ...]] = {()}

    def check(self, backend: Backend, place: Place, faults: Faults) -> None:
        if backend.ports not in self._good:
            unknown = [name for name, _ in backend.ports if name not in self._names]
            for name in unknown:
                _check_name(name, self._names, (*place, "ports", name), faults)
            if not unknown:
                self._good.add(backend.ports)
        if backend.port is not None:
            self._check_number(backend, place, faults)
        if backend.probe is not None and isinstance(backend.probe.port, str):
            _check_name(backend.probe.port, self._names, (*place, "probe", "port"), faults)

    def _check_number(self, backend: Backend, place: Place, faults: Faults) -> None:
        if self._count == 0:
            message = "has no port of the Service to belong to: spec.ports is empty"
        elif self._discovered is None:
            message = "belongs to one of several ports: name it (ports: {name: number}), or give the source a portName"
        elif any(name == self._discovered for name, _ in backend.ports):
            message = f"is the number of port {self._discovered!r}, which ports sets as well: leave one out"
        else:
            return
        faults.add((*place, "port"), message, reads=("ports", "portName"))


def _check_name(name: str, known: set[str], place: Place, faults: Faults) -> None:
    if name in known:
        return
    meant = suggestion(name, sorted(known))
    named = f"spec.ports has {', '.join(sorted(known))}" if known else "no port of spec.ports has a name"
    hint = f"did you mean {meant!r}?" if meant else named
    faults.add(place, f"no port is named {name!r}", hint=hint, reads=("ports",))


def _check_mirrored(spec: SpecParts, faults: Faults) -> None:
    """Endpoints alone reach kube-proxy through their mirror, which stops at a thousand addresses."""
    if "EndpointSlice" in spec.publish:
        return
    sizes = Counter(
        (backend.port, backend.ports)
        for source in spec.sources
        if source.static is not None
        for backend in source.static.backends
    )
    largest = max(sizes.values(), default=0)
    if largest > MIRRORED_ADDRESSES:
        message = (
            f"without EndpointSlice Kubernetes uses {MIRRORED_ADDRESSES} addresses of a set of ports, "
            f"and {largest} are declared: add EndpointSlice"
        )
        faults.add(("publish",), message, reads=("sources",))
