from __future__ import annotations

import pytest

from extsync.model import Identity, PortValue, State
from extsync.objects import EndpointConditions, Endpoints, EndpointSlice, SliceEndpoint
from extsync.plan.plan import plan
from extsync.plan.policy import PackPolicy
from extsync.plan.published import Published, state_of
from tests.plan.cluster import KEY, MYSQL, Cluster, endpoint, service

MIXED = (
    endpoint("10.0.0.1", State.READY, hostname="db-1", node_name="edge-1", zone="dc-1"),
    endpoint("10.0.0.2", State.NOT_READY),
    endpoint("10.0.0.3", State.DRAINING, group="canary"),
)


def published(*, slices: bool = True, endpoints: bool = True, **spec: object) -> Published:
    cluster = Cluster(service(**spec))
    cluster.carry_out(plan(KEY, cluster.current, MIXED, PackPolicy(slices=slices, endpoints=endpoints)).changes)
    return Published(cluster.ours, cluster.endpoints)


@pytest.mark.parametrize("publish_not_ready", [False, True])
def test_states_read_back_from_slices_as_they_were_published(publish_not_ready: bool) -> None:
    found = published(publish_not_ready_addresses=publish_not_ready)
    assert [found.get(Identity(one.address, one.ports)) for one in MIXED] == [one.state for one in MIXED]


def test_endpoints_alone_know_ready_and_not_ready() -> None:
    found = published(slices=False)
    assert [found.get(Identity(one.address, one.ports)) for one in MIXED] == [
        State.READY,
        State.NOT_READY,
        State.NOT_READY,
    ]


def test_what_is_not_published_has_no_state() -> None:
    assert published().get(Identity("10.0.0.9", MYSQL)) is None
    assert published().get(Identity("10.0.0.1", (PortValue("mysql", 3307),))) is None


def test_an_endpoint_with_a_further_port_is_known_by_the_one_that_stayed() -> None:
    ports = (PortValue("mysql", 3306), PortValue("metrics", 9104))
    assert published().get(Identity("10.0.0.1", ports)) is State.READY


def test_endpoints_read_back_whole_and_once() -> None:
    found = {one.address: one for one in published().endpoints}
    assert len(found) == 3
    one = found["10.0.0.1"]
    assert (one.hostname, one.node_name, one.zone, one.ports) == ("db-1", "edge-1", "dc-1", MYSQL)
    assert found["10.0.0.3"].group == "canary"


@pytest.mark.parametrize(
    ("conditions", "state"),
    [
        (EndpointConditions(), State.READY),
        (EndpointConditions(ready=False), State.NOT_READY),
        (EndpointConditions(ready=True, serving=False), State.NOT_READY),
        (EndpointConditions(ready=False, serving=True, terminating=True), State.DRAINING),
        (EndpointConditions(ready=False, serving=True), State.NOT_READY),
        (EndpointConditions(ready=False, serving=False, terminating=True), State.NOT_READY),
    ],
)
def test_conditions_that_others_wrote_are_read_as_kubernetes_reads_them(
    conditions: EndpointConditions, state: State
) -> None:
    assert state_of(SliceEndpoint(addresses=("10.0.0.1",), conditions=conditions)) is state


def test_one_address_in_two_states_counts_as_the_more_careful_one() -> None:
    cluster = Cluster()
    for address_state in (State.READY, State.NOT_READY):
        other = Cluster()
        changes = plan(KEY, other.current, (endpoint("10.0.0.1", address_state),), PackPolicy()).changes
        (slice_,) = (change.obj for change in changes.creates if isinstance(change.obj, EndpointSlice))
        cluster.slices[address_state.name] = slice_
    assert Published(cluster.slices.values()).get(Identity("10.0.0.1", MYSQL)) is State.NOT_READY


def test_an_empty_object_publishes_nothing() -> None:
    empty = Endpoints(metadata=Cluster().current.service.metadata)  # type: ignore[union-attr]
    assert Published((), empty).endpoints == ()
