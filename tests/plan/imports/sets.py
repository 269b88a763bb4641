"""Random sets of endpoints, written down as people write Endpoints and slices."""

from __future__ import annotations

from itertools import groupby

from hypothesis import strategies as st

from extsync.model import State
from extsync.objects import EndpointAddress, Endpoints, EndpointSlice, EndpointSubset, SliceEndpoint
from tests.plan.cluster import service
from tests.plan.imports.byhand import Served, address, endpoints, entry, slice_of, subset

CONDITIONS: dict[State, list[tuple[bool | None, bool | None, bool | None]]] = {
    State.READY: [(None, None, None), (True, None, None), (True, True, False)],
    State.NOT_READY: [(False, None, None), (False, False, False), (False, False, True)],
    State.DRAINING: [(False, True, True)],
}
PORT_SETS = (
    (("metrics", 9104), ("mysql", 3306)),
    (("metrics", 9105), ("mysql", 3307)),
    (("metrics", 9106), ("mysql", 3308)),
)
SERVED = st.builds(
    Served,
    st.sampled_from([*(f"192.0.2.{number}" for number in range(1, 9)), "2001:db8::1", "2001:db8::2"]),
    st.sampled_from(PORT_SETS),
    st.sampled_from(State),
    st.sampled_from([None, "db-1", "db-2"]),
    st.sampled_from([None, "edge-1"]),
    st.sampled_from([None, "dc-1a", "no"]),
)
SETS = st.lists(SERVED, max_size=20, unique_by=lambda one: (one.address, one.ports))
"""No two of them have a port of an address in common."""
SERVICE = service(ip_families=("IPv4", "IPv6"))


def plain(one: Served) -> Served:
    """What Endpoints can say of it."""
    state = State.READY if one.state is State.READY else State.NOT_READY
    return one._replace(state=state, zone=None)


def as_endpoints(sets: list[Served]) -> Endpoints:
    """One subset for each set of ports."""

    def addresses(group: list[Served], *, ready: bool) -> tuple[EndpointAddress, ...] | None:
        found = [
            address(one.address, hostname=one.hostname, node_name=one.node_name)
            for one in group
            if (one.state is State.READY) == ready
        ]
        return tuple(found) or None

    subsets = []
    for ports, entries in groupby(sorted(sets, key=lambda one: one.ports), key=lambda one: one.ports):
        group = list(entries)
        with_ports = subset([], **dict(ports))
        subsets.append(
            EndpointSubset(
                addresses=addresses(group, ready=True),
                not_ready_addresses=addresses(group, ready=False),
                ports=with_ports.ports,
            )
        )
    return endpoints(*subsets)


def as_slices(sets: list[Served], data: st.DataObject) -> list[EndpointSlice]:
    """Up to three slices for each family and set of ports."""
    places: dict[tuple[str, tuple[tuple[str, int], ...], int], list[SliceEndpoint]] = {}
    for one in sets:
        conditions = data.draw(st.sampled_from(CONDITIONS[one.state]))
        written = entry(one.address, *conditions, hostname=one.hostname, node_name=one.node_name, zone=one.zone)
        family = "IPv6" if ":" in one.address else "IPv4"
        places.setdefault((family, one.ports, data.draw(st.integers(0, 2))), []).append(written)
    return [
        slice_of(*entries, name=f"by-hand-{number}", ports=dict(ports), address_type=family)
        for number, ((family, ports, _), entries) in enumerate(places.items())
    ]


def repacked(sets: list[Served]) -> Endpoints:
    """The same as Kubernetes's own controllers write it: grouped by port, each address in a subset for each of its
    ports. No address may be in ``sets`` twice."""
    by_port: dict[tuple[str, int], list[Served]] = {}
    for one in sets:
        for port in one.ports:
            by_port.setdefault(port, []).append(one._replace(ports=(port,)))
    return endpoints(*(subset for group in by_port.values() for subset in as_endpoints(group).subsets or ()))
