"""The ports of a Service, and the number that each of them has on one backend."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import TypeAlias

import msgspec

from extsync.model import Backend, PortSet, PortValue
from extsync.objects import Service

HIGHEST_PORT = 65535


class PortSpec(msgspec.Struct, frozen=True, gc=False):
    """One port of the Service.

    ``name`` is "" for the only, unnamed port. ``target_port`` is the number behind it on backends that name no other;
    None: the same as ``port``.
    """

    name: str
    port: int
    target_port: int | None = None
    protocol: str = "TCP"
    app_protocol: str | None = None

    @property
    def number(self) -> int:
        """The number behind this port where a backend says nothing else."""
        return self.port if self.target_port is None else self.target_port


def ports_of(service: Service) -> tuple[PortSpec, ...]:
    """The ports of a Service that exists.

    A targetPort that is a name is a port of a container, which means nothing outside of the cluster: the Service's own
    number counts there.
    """
    return tuple(
        PortSpec(
            port.name or "",
            port.port,
            port.target_port if isinstance(port.target_port, int) else None,
            port.protocol or "TCP",
            port.app_protocol,
        )
        for port in service.spec.ports or ()
    )


Interned: TypeAlias = MutableMapping[PortSet, PortSet]
"""Port sets by their value, so that equal ones are the same object."""


class PortSets:
    """Resolves the port sets of one source's backends.

    The first of these that a backend has counts, port by port: its entry in ``ports``; its ``port``, for the port
    named ``port_name`` or the only one; the Service's targetPort.
    """

    def __init__(self, ports: Sequence[PortSpec], port_name: str | None, interned: Interned) -> None:
        self._ports = ports
        self._names = {port.name for port in ports}
        self._port_name = port_name
        self._interned = interned
        self._known: dict[tuple[int | None, tuple[tuple[str, int], ...]], PortSet] = {}

    def of(self, backend: Backend) -> PortSet:
        """The port set of ``backend``; raises ValueError with the reason where it has none."""
        key = backend.port, backend.ports
        ports = self._known.get(key)
        if ports is None:
            ports = self._resolve(*key)
            ports = self._known[key] = self._interned.setdefault(ports, ports)
        return ports

    def _resolve(self, discovered: int | None, named: tuple[tuple[str, int], ...]) -> PortSet:
        numbers = self._own_numbers(named)
        if discovered is not None:
            numbers.setdefault(self._name_of_discovered(discovered), discovered)
        for number in numbers.values():
            if not 1 <= number <= HIGHEST_PORT:
                raise ValueError(f"{number} is not a port: ports are 1 to {HIGHEST_PORT}")
        return tuple(
            PortValue(port.name, numbers.get(port.name, port.number), port.protocol, port.app_protocol)
            for port in self._ports
        )

    def _own_numbers(self, named: tuple[tuple[str, int], ...]) -> dict[str, int]:
        numbers = dict(named)
        if len(numbers) != len(named):
            raise ValueError("names a port twice")
        for name in numbers:
            if name not in self._names:
                raise ValueError(f"has a port {name!r} that is none here: {self._known_names()}")
        return numbers

    def _name_of_discovered(self, discovered: int) -> str:
        if self._port_name is not None:
            if self._port_name not in self._names:
                raise ValueError(f"its source's portName {self._port_name!r} is no port here: {self._known_names()}")
            return self._port_name
        if len(self._ports) != 1:
            raise ValueError(
                f"has port {discovered}, and the Service has {len(self._ports)} ports: "
                "say with portName to which of them it belongs"
            )
        return self._ports[0].name

    def _known_names(self) -> str:
        return "the Service has " + (", ".join(port.name or "one without a name" for port in self._ports) or "none")
