"""Invariants 3, 4 and 9 of the design over random histories: what is desired, what is asked for, and what others do."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from extsync.model import Endpoint, PortValue, State
from extsync.plan.plan import PlanMemo, plan
from extsync.plan.policy import PackPolicy
from extsync.plan.published import read_endpoints
from tests.plan.cluster import KEY, MYSQL, Cluster, addresses, endpoint, many, service

PORT_SETS = (
    MYSQL,
    (PortValue("mysql", 3307),),
    (PortValue("mysql", 3308), PortValue("metrics", 9104)),
)
POOL = [*addresses(9), "2001:db8::1", "2001:db8::2", "2001:db8::3"]

ENDPOINTS = st.builds(
    endpoint,
    st.sampled_from(POOL),
    st.sampled_from(State),
    ports=st.sampled_from(PORT_SETS),
    group=st.sampled_from(["", "canary"]),
    hostname=st.sampled_from([None, "db-1"]),
    zone=st.sampled_from([None, "dc-1"]),
)
DESIRED = st.lists(ENDPOINTS, max_size=16, unique_by=lambda one: (one.address, one.ports)).map(tuple)
POLICIES = st.builds(
    PackPolicy,
    labels=st.sampled_from([{}, {"app": "orders"}]),
    annotations=st.sampled_from([{}, {"description": "Orders"}]),
    max_endpoints_per_slice=st.integers(1, 4),
    endpoints=st.booleans(),
)
SERVICES = st.builds(
    service,
    traffic_distribution=st.sampled_from([None, "PreferSameZone"]),
    publish_not_ready_addresses=st.sampled_from([None, True]),
    cluster_ip=st.sampled_from(["10.96.0.7", "None"]),
    ip_families=st.sampled_from([("IPv4",), ("IPv4", "IPv6")]),
)
EDITS = st.sampled_from(["none", "delete", "relabel", "unmark", "empty", "copy", "subsets"])
STEPS = st.lists(st.tuples(DESIRED, POLICIES, SERVICES, EDITS, st.integers(0, 99)), min_size=1, max_size=6)


def edit(cluster: Cluster, kind: str, number: int) -> None:
    """Something that others do to our objects."""
    if kind == "subsets" and cluster.endpoints is not None:
        cluster.put(msgspec.structs.replace(cluster.endpoints, subsets=None))
    if not cluster.ours:
        return
    slices = cluster.ours
    one, other = slices[number % len(slices)], slices[(number + 1) % len(slices)]
    if kind == "delete":
        del cluster.slices[one.metadata.name]
    elif kind == "empty":
        cluster.put(msgspec.structs.replace(one, endpoints=None))
    elif kind == "copy" and one.address_type == other.address_type:
        room = 1000 - len(one.endpoints or ())
        cluster.put(msgspec.structs.replace(one, endpoints=(*(one.endpoints or ()), *(other.endpoints or ())[:room])))
    elif kind in ("relabel", "unmark"):
        labels: dict[str, Any] = {**one.labels, "theirs": "1"}
        if kind == "unmark":
            del labels["endpointslice.kubernetes.io/managed-by"]
        metadata = msgspec.structs.replace(one.metadata, labels=labels)
        cluster.put(msgspec.structs.replace(one, metadata=metadata))


def check(cluster: Cluster, desired: tuple[Endpoint, ...], policy: PackPolicy) -> None:
    assert cluster.service is not None
    all_ready = bool(cluster.service.spec.publish_not_ready_addresses)
    expected = Counter((e.address, e.ports, e.group, all_ready or e.state is State.READY) for e in desired)
    assert Counter(cluster.shown()) == expected, "each endpoint in exactly one slice"
    assert all(size <= policy.max_endpoints_per_slice for size in cluster.sizes())
    if policy.endpoints:
        found = Counter((e.address, e.ports, e.state is State.READY) for e in read_endpoints(cluster.endpoints))
        assert found == Counter((address, ports, ready) for address, ports, _, ready in cluster.shown())
    else:
        assert cluster.endpoints is None


@settings(max_examples=60)
@given(STEPS)
def test_whatever_happened_one_plan_makes_the_cluster_true_and_the_next_writes_nothing(
    steps: list[tuple[tuple[Endpoint, ...], PackPolicy, Any, str, int]],
) -> None:
    cluster, memo = Cluster(), PlanMemo()
    for desired, policy, changed_service, edited, number in steps:
        cluster.service = changed_service
        edit(cluster, edited, number)
        planned = plan(KEY, cluster.current, desired, policy, memo=memo)
        assert planned == plan(KEY, cluster.current, desired, policy), "a memo changes no result"
        assert planned == plan(KEY, cluster.current, desired, policy, memo=memo), (
            "what was not written is still missing"
        )
        cluster.carry_out(planned.changes)
        check(cluster, desired, policy)
        assert plan(KEY, cluster.current, desired, policy, memo=memo).changes.is_empty
        assert plan(KEY, cluster.current, desired, policy).changes.is_empty


@settings(max_examples=50)
@given(DESIRED, st.lists(st.tuples(st.integers(0, 15), st.sampled_from(State)), max_size=8), st.integers(1, 4))
def test_each_flip_writes_one_slice_and_one_endpoints_object_at_most(
    desired: tuple[Endpoint, ...], flips: list[tuple[int, State]], limit: int
) -> None:
    cluster, memo = Cluster(service(ip_families=("IPv4", "IPv6"))), PlanMemo()
    policy = PackPolicy(max_endpoints_per_slice=limit)
    cluster.carry_out(plan(KEY, cluster.current, desired, policy, memo=memo).changes)
    for place, state in flips:
        if place >= len(desired):
            continue
        flipped = msgspec.structs.replace(desired[place], state=state)
        changed = flipped != desired[place]
        desired = (*desired[:place], flipped, *desired[place + 1 :])
        changes = plan(KEY, cluster.current, desired, policy, memo=memo).changes
        assert len(changes) == len(changes.updates) <= 2 * changed
        cluster.carry_out(changes)
        check(cluster, desired, policy)


def test_one_flip_of_10_000_writes_one_slice_and_one_endpoints_object() -> None:
    cluster, memo = Cluster(), PlanMemo()
    desired = many(10_000)
    cluster.carry_out(plan(KEY, cluster.current, desired, PackPolicy(), memo=memo).changes)
    assert plan(KEY, cluster.current, desired, PackPolicy(), memo=memo).changes.is_empty
    # The object has the first 1,000 of the ready addresses, in their order.
    shown = min(one.address for one in desired)
    flipped = tuple(endpoint(e.address, State.NOT_READY) if e.address == shown else e for e in desired)
    changes = plan(KEY, cluster.current, flipped, PackPolicy(), memo=memo).changes
    assert [type(update.obj).__name__ for update in changes] == ["EndpointSlice", "Endpoints"]  # type: ignore[union-attr]
    cluster.carry_out(changes)
    assert plan(KEY, cluster.current, flipped, PackPolicy(), memo=memo).changes.is_empty


@settings(max_examples=50)
@given(DESIRED, DESIRED, POLICIES)
def test_no_endpoint_that_stays_is_ever_missing_while_updates_move_it(
    before: tuple[Endpoint, ...], after: tuple[Endpoint, ...], policy: PackPolicy
) -> None:
    """A create or an addition comes first; only an exchange between two slices could pass through a gap."""
    cluster = Cluster(service(ip_families=("IPv4", "IPv6")))
    cluster.carry_out(plan(KEY, cluster.current, before, policy).changes)
    planned = plan(KEY, cluster.current, after, policy)
    both = [update for update in planned.changes.updates if update.adds and update.takes_away]
    stay = cluster.served() & {(e.address, p.name, p.port) for e in after for p in e.ports}
    for change in planned.changes:
        cluster.carry_out_one(change)
        if len(both) < 2:
            assert stay <= cluster.served()


def test_a_failed_write_between_the_others_is_made_good_by_the_next_plan() -> None:
    desired = many(7)
    policy = PackPolicy(max_endpoints_per_slice=3)
    for failing in range(4):
        cluster, memo = Cluster(), PlanMemo()
        changes = list(plan(KEY, cluster.current, desired, policy, memo=memo).changes)
        cluster.carry_out(change for place, change in enumerate(changes) if place != failing)
        cluster.carry_out(plan(KEY, cluster.current, desired, policy, memo=memo).changes)
        check(cluster, desired, policy)
