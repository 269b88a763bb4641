"""The endpoints that hand-written objects show, each address and port set once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from extsync.address_policy import Scope
from extsync.addresses import check_address
from extsync.config import names
from extsync.config.faults import shown
from extsync.model import Endpoint, PortSet, PortValue, State, Why
from extsync.objects import EndpointAddress, EndpointPort, Endpoints, EndpointSlice, SliceEndpoint, SlicePort
from extsync.plan.imports.found import Found
from extsync.plan.imports.notes import Notes
from extsync.plan.metadata import families_of
from extsync.plan.ports import HIGHEST_PORT
from extsync.plan.published import Place, places
from extsync.plan.render import Rendering, render


class Shown(NamedTuple):
    """One endpoint with the place where it was found. Its ports are in the order of their names."""

    endpoint: Endpoint
    place: str


def read(found: Found, notes: Notes, allowed: Scope) -> tuple[Shown, ...]:
    """Every endpoint of the objects; what cannot be published by a manifest is left out and noted.

    What is not ``allowed`` is noted and stays in, since settings can allow it.
    """
    reading = _Reading(found, notes, allowed)
    in_slices = _whole([one for slice_ in found.slices for one in reading.slice(slice_)], notes)
    in_endpoints = _whole(list(reading.endpoints(found.endpoints)) if found.endpoints is not None else [], notes)
    if found.slices and found.endpoints is not None:
        in_endpoints = _compare(in_slices, in_endpoints, found, notes)
    elif found.endpoints is not None and not found.mirrored:
        notes.change(
            f"Endpoints {found.endpoints.metadata.name}",
            "its label skip-mirror keeps Kubernetes from making slices of it, so that nothing reaches it today: "
            "published by extsync it is reached",
        )
    return _unique([*in_slices, *in_endpoints], notes)


def _whole(entries: list[Shown], notes: Notes) -> list[Shown]:
    """``entries`` with the ports of one address together, where they are written apart.

    Kubernetes itself writes them so where some addresses have another number behind one of the names: it groups by
    port (RepackSubsets in k8s.io/kubernetes/pkg/api/v1/endpoints), and an address is in several subsets.
    """
    shapes = {_shape(one.endpoint.ports) for one in entries}
    if len(shapes) < 2:
        return entries
    every = sorted({port for shape in shapes for port in shape})
    by_address: dict[str, list[Shown]] = {}
    for one in entries:
        by_address.setdefault(one.endpoint.address, []).append(one)
    whole = []
    for parts in by_address.values():
        ports = tuple(sorted((port for one in parts for port in one.endpoint.ports), key=lambda port: port.name))
        if sorted(_shape(ports)) != every:
            return entries  # they have different ports, which no manifest can say
        first = parts[0].endpoint
        for other in parts[1:]:
            first = _joined(first, other, notes)
        whole.append(Shown(msgspec.structs.replace(first, ports=ports), parts[0].place))
    return whole


def _shape(ports: PortSet) -> tuple[tuple[str, str], ...]:
    return tuple((port.name, port.protocol) for port in ports)


def _compare(slices: list[Shown], endpoints: list[Shown], found: Found, notes: Notes) -> list[Shown]:
    """The endpoints of the Endpoints object that are published beside the slices; where the two differ is noted."""
    known = {one.endpoint.identity for one in slices}
    mirrored = {one.endpoint.identity for one in endpoints}
    for one in slices:
        if one.endpoint.identity not in mirrored:
            notes.change(_at(one), "it is in slices alone: extsync publishes it in the Endpoints too")
    if found.mirrored:
        return endpoints
    for one in endpoints:
        if one.endpoint.identity not in known:
            notes.change(
                _at(one), "nothing reaches it, since no slice has it and the Endpoints are not mirrored: left out"
            )
    return [one for one in endpoints if one.endpoint.identity in known]


class _Reading:
    """Reads objects of one Service."""

    def __init__(self, found: Found, notes: Notes, allowed: Scope) -> None:
        self._notes = notes
        self._allowed = allowed
        self._rendering = Rendering.of(found.service)
        self._families = found.service.spec.ip_families or ()
        self._found = families_of(found.service)

    def slice(self, slice_: EndpointSlice) -> Iterator[Shown]:
        place = f"EndpointSlice {slice_.metadata.name}"
        if not slice_.endpoints:
            return
        ports = self._ports(slice_.ports or (), place)
        for entry in slice_.endpoints if ports is not None else ():
            if len(entry.addresses) > 1:
                self._notes.say(f"{place}, {entry.addresses[0]}", "only the first of its addresses is ever used")
            endpoint = Endpoint(
                entry.addresses[0],
                ports or (),
                "",
                self._state(entry),
                Why.KEPT,
                entry.hostname,
                entry.node_name,
                entry.zone,
                entry.target_ref,
            )
            self._look(entry, endpoint, place)
            yield from self._usable(Shown(endpoint, place))

    def endpoints(self, obj: Endpoints) -> Iterator[Shown]:
        for index, subset in enumerate(obj.subsets or ()):
            place = f"Endpoints {obj.metadata.name}, subsets[{index}]"
            ports = self._ports(subset.ports or (), place)
            if ports is None:
                continue
            for address in subset.addresses or ():
                yield from self._usable(_of_address(address, ports, State.READY, place))
            for address in subset.not_ready_addresses or ():
                if self._rendering.publish_not_ready:
                    self._notes.change(f"{place}, {address.ip}", _MADE_READY)
                yield from self._usable(_of_address(address, ports, State.NOT_READY, place))

    def _ports(self, ports: tuple[SlicePort | EndpointPort, ...], place: str) -> PortSet | None:
        """The port set in the order of names; None where no endpoint can have it."""
        bad = [port.port for port in ports if port.port is None or not 1 <= port.port <= HIGHEST_PORT]
        if bad:
            number = "a port without a number" if bad[0] is None else f"port {bad[0]}"
            self._notes.change(place, f"it has {number}, which no endpoint can have: left out")
            return None
        return tuple(
            sorted(
                (PortValue(port.name or "", port.port or 0, port.protocol or "TCP") for port in ports),
                key=lambda port: port.name,
            )
        )

    def _state(self, entry: SliceEndpoint) -> State:
        """The state whose conditions mean the same to kube-proxy: it takes the ready ones, and only for want of any
        those that serve while they terminate."""
        conditions = entry.conditions
        ready = conditions.ready is not False
        serving = ready if conditions.serving is None else conditions.serving
        leaving = serving and bool(conditions.terminating)
        if not self._rendering.publish_not_ready:
            return State.READY if ready else State.DRAINING if leaving else State.NOT_READY
        return State.DRAINING if leaving else State.READY if serving else State.NOT_READY

    def _look(self, entry: SliceEndpoint, endpoint: Endpoint, place: str) -> None:
        """Notes what of ``entry`` is published otherwise."""
        there = f"{place}, {entry.addresses[0]}"
        conditions = render(endpoint, self._rendering).conditions
        if (entry.conditions.ready is not False) != conditions.ready:
            self._notes.change(there, _MADE_READY)
        elif (entry.conditions.serving, entry.conditions.terminating) not in (
            (None, None),
            (None, conditions.terminating),
            (conditions.serving, None),
            (conditions.serving, conditions.terminating),
        ):
            self._notes.say(there, "its conditions serving and terminating become those that follow from ready")
        if entry.hints is not None and entry.hints != render(endpoint, self._rendering).hints:
            self._notes.change(
                there, "its hints are left out: extsync sets them from the Service's trafficDistribution"
            )
        if entry.deprecated_topology:
            self._notes.say(there, "its deprecatedTopology, which nothing reads, is left out")

    def _usable(self, one: Shown) -> Iterator[Shown]:
        endpoint = one.endpoint
        try:
            address = check_address(endpoint.address)
        except ValueError as error:
            self._notes.change(one.place, f"{error}: left out")
            return
        endpoint = msgspec.structs.replace(endpoint, address=address, **self._unfit(one))
        if self._families and endpoint.family not in self._families:
            reason = f"the Service has no {endpoint.family} addresses (ipFamilies): left out"
            self._notes.change(_at(one), reason)
            return
        if reason := self._allowed.denied(address):
            self._notes.change(_at(one), f"{reason}; until then extsync publishes it no more")
        yield Shown(endpoint, one.place)

    def _unfit(self, one: Shown) -> dict[str, None]:
        """The names of the endpoint that no manifest may have, with None for each."""
        unfit: dict[str, None] = {}
        for field, label, check in (
            ("hostname", "hostname", names.check_dns_label),
            ("node_name", "nodeName", names.check_subdomain),
            ("zone", "zone", names.check_label_value),
        ):
            text = getattr(one.endpoint, field)
            if text == "":
                unfit[field] = None
            elif text is not None:
                try:
                    check(text)
                except ValueError as error:
                    unfit[field] = None
                    self._notes.change(
                        _at(one), f"its {label} {shown(text)} {error}: the endpoint is published without it"
                    )
        return unfit


_MADE_READY = "it is not ready, and the Service's publishNotReadyAddresses has extsync show every endpoint as ready"


def _at(one: Shown) -> str:
    return f"{one.place}, {one.endpoint.identity}"


def _of_address(address: EndpointAddress, ports: PortSet, state: State, place: str) -> Shown:
    ref = address.target_ref
    return Shown(
        Endpoint(address.ip, ports, "", state, Why.KEPT, address.hostname, address.node_name, None, ref), place
    )


def _unique(entries: list[Shown], notes: Notes) -> tuple[Shown, ...]:
    """Each address and port set once; the first counts, the others add what it does not say."""
    result: dict[object, Shown] = {}
    taken: dict[Place, object] = {}
    for one in entries:
        identity = one.endpoint.identity
        keys = places(*identity)
        first = result.get(identity)
        if first is not None:
            result[identity] = Shown(_joined(first.endpoint, one, notes), first.place)
        elif any(key in taken for key in keys):
            notes.change(_at(one), "another entry has one of its ports at the same address: left out")
        else:
            result[identity] = one
            taken.update(dict.fromkeys(keys, identity))
    return tuple(result.values())


def _joined(first: Endpoint, one: Shown, notes: Notes) -> Endpoint:
    other = one.endpoint
    if (other.state is State.READY) != (first.state is State.READY):
        notes.change(_at(one), "it is ready in one place and not in another: it is declared as the more careful one")
    filled = {}
    for field, label in (
        ("hostname", "hostname"),
        ("node_name", "nodeName"),
        ("zone", "zone"),
        ("target_ref", "targetRef"),
    ):
        value, again = getattr(first, field), getattr(other, field)
        filled[field] = again if value is None else value
        if None not in (value, again) and value != again:
            notes.change(_at(one), f"it is there twice, with different {label}: the first counts")
    # What Endpoints call not ready may well drain: then the slice, which comes first, knows more.
    state = other.state if first.state is State.READY else first.state
    return msgspec.structs.replace(first, state=state, **filled)
