"""What the cluster shows of a service now, read back as endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TypeAlias

from extsync.model import Endpoint, Identity, PortSet, PortValue, State, Why
from extsync.objects import (
    GROUP_LABEL,
    EndpointAddress,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    SliceEndpoint,
    SlicePort,
)

Place: TypeAlias = tuple[str, str, int]
"""An address, the name of a port and its number; a headless Service may have no ports."""

_WORSE = (State.NOT_READY, State.DRAINING, State.READY)
"""Where one address and port is shown in two states, the more careful one counts."""


class Published:
    """The endpoints that objects of ours show. They are read when somebody asks for the first time.

    ``slices`` are slices of ours; ``endpoints`` is the Endpoints object of ours, which counts for what no slice shows.
    """

    def __init__(self, slices: Iterable[EndpointSlice] = (), endpoints: Endpoints | None = None) -> None:
        self._slices = tuple(slices)
        self._object = endpoints

    @property
    def objects(self) -> tuple[EndpointSlice | Endpoints, ...]:
        """The objects of ours, slices first."""
        return self._slices if self._object is None else (*self._slices, self._object)

    def get(self, identity: Identity, /) -> State | None:
        """The state in which ``identity`` is published, None where it is not.

        An endpoint whose port set was changed is known by the ports that stayed: another port on the same machine is no
        reason to take the ones that work away.
        """
        return _worst(self._states.get(key) for key in places(identity.address, identity.ports))

    @cached_property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Every endpoint that is published, each address and port once."""
        found: dict[Place, None] = {}
        result = []
        for endpoint in self._read():
            keys = places(endpoint.address, endpoint.ports)
            if not any(key in found for key in keys):
                found.update(dict.fromkeys(keys))
                result.append(endpoint)
        return tuple(result)

    @cached_property
    def _states(self) -> dict[Place, State]:
        states: dict[Place, State] = {}
        from_slices = [endpoint for slice_ in self._slices for endpoint in read_slice(slice_)]
        for endpoint in from_slices:
            for key in places(endpoint.address, endpoint.ports):
                states[key] = _worst((states.get(key), endpoint.state)) or endpoint.state
        for endpoint in read_endpoints(self._object):
            for key in places(endpoint.address, endpoint.ports):
                states.setdefault(key, endpoint.state)
        return states

    def _read(self) -> Iterator[Endpoint]:
        for slice_ in self._slices:
            yield from read_slice(slice_)
        yield from read_endpoints(self._object)


def read_slice(slice_: EndpointSlice) -> Iterator[Endpoint]:
    """The endpoints of a slice. Only the first address of each counts, as for kube-proxy."""
    ports = port_set(slice_.ports)
    group = slice_.labels.get(GROUP_LABEL, "")
    for endpoint in slice_.endpoints or ():
        if endpoint.addresses:
            yield Endpoint(
                endpoint.addresses[0],
                ports,
                group,
                state_of(endpoint),
                Why.KEPT,
                endpoint.hostname,
                endpoint.node_name,
                endpoint.zone,
                endpoint.target_ref,
            )


def read_endpoints(obj: Endpoints | None) -> Iterator[Endpoint]:
    """The endpoints of an Endpoints object. It knows neither groups, zones nor draining."""
    for subset in (obj.subsets if obj is not None else None) or ():
        ports = _subset_ports(subset)
        # Not-ready trumps ready, as where the API's own controllers merge subsets.
        yield from (_from_address(address, ports, State.NOT_READY) for address in subset.not_ready_addresses or ())
        yield from (_from_address(address, ports, State.READY) for address in subset.addresses or ())


def state_of(endpoint: SliceEndpoint) -> State:
    """The state that conditions say. A missing ``ready`` means true, a missing ``serving`` the same as ``ready``.

    ``serving`` counts before ``ready``, which publishNotReadyAddresses makes true for all.
    """
    conditions = endpoint.conditions
    ready = conditions.ready is not False
    serving = ready if conditions.serving is None else conditions.serving
    if not serving:
        return State.NOT_READY
    if conditions.terminating:
        return State.DRAINING
    return State.READY if ready else State.NOT_READY


def port_set(ports: Iterable[SlicePort] | None) -> PortSet:
    """The ports of a slice with the API's defaults filled in."""
    return tuple(
        PortValue(port.name or "", port.port or 0, port.protocol or "TCP", port.app_protocol) for port in ports or ()
    )


def _subset_ports(subset: EndpointSubset) -> PortSet:
    return tuple(
        PortValue(port.name or "", port.port, port.protocol or "TCP", port.app_protocol) for port in subset.ports or ()
    )


def _from_address(address: EndpointAddress, ports: PortSet, state: State) -> Endpoint:
    return Endpoint(
        address.ip, ports, "", state, Why.KEPT, address.hostname, address.node_name, None, address.target_ref
    )


def places(address: str, ports: PortSet) -> list[Place]:
    """One place for each port of the address."""
    return [(address, port.name, port.port) for port in ports] or [(address, "", 0)]


def _worst(states: Iterable[State | None]) -> State | None:
    found = [state for state in states if state is not None]
    return min(found, key=_WORSE.index) if found else None
