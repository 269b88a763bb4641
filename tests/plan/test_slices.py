"""What a slice looks like."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from extsync.model import Endpoint, State, TargetRef
from extsync.objects import (
    EndpointConditions,
    EndpointHints,
    HintFor,
    OwnerReference,
    SliceEndpoint,
    SlicePort,
)
from extsync.plan.metadata import slice_prefix
from extsync.plan.plan import PlanMemo, plan
from extsync.plan.policy import PackPolicy
from tests.plan.cluster import KEY, MYSQL, UID, Cluster, endpoint, many, service
from tests.plan.making import OTHER_PORT, SLICES, made, make, small


def test_a_slice_shows_all_that_is_known_of_an_endpoint() -> None:
    reference = TargetRef(kind="VirtualMachine", namespace="vms", name="db-1", uid="7")
    one = Endpoint("10.0.0.1", MYSQL, "", State.READY, endpoint("10.0.0.1").why, "db-1", "edge-1", "dc-1", reference)
    slice_ = made((one,)).only_slice
    assert slice_.address_type == "IPv4"
    assert slice_.ports == (SlicePort(name="mysql", protocol="TCP", port=3306),)
    assert slice_.endpoints == (
        SliceEndpoint(
            addresses=("10.0.0.1",),
            conditions=EndpointConditions(True, True, False),
            hostname="db-1",
            node_name="edge-1",
            zone="dc-1",
            target_ref=reference,
        ),
    )


@pytest.mark.parametrize(
    ("state", "publish_not_ready", "expected"),
    [
        (State.READY, False, (True, True, False)),
        (State.NOT_READY, False, (False, False, False)),
        (State.DRAINING, False, (False, True, True)),
        (State.READY, True, (True, True, False)),
        (State.NOT_READY, True, (True, False, False)),
        (State.DRAINING, True, (True, True, True)),
    ],
)
def test_conditions_follow_the_state_and_publish_not_ready_addresses(
    state: State, publish_not_ready: bool, expected: tuple[bool, bool, bool]
) -> None:
    cluster = made((endpoint("10.0.0.1", state),), publish_not_ready_addresses=publish_not_ready)
    assert (cluster.only_slice.endpoints or ())[0].conditions == EndpointConditions(*expected)


def test_labels_are_those_of_the_service_then_of_the_manifest_then_reserved() -> None:
    cluster = Cluster(
        labelled({"app": "db", "tier": "back", "extsync.dev/group": "no", "kubernetes.io/service-name": "no"})
    )
    make(cluster, many(1), PackPolicy(owner="blue", labels={"app": "orders"}, endpoints=False))
    assert cluster.only_slice.labels == {
        "app": "orders",
        "tier": "back",
        "kubernetes.io/service-name": "orders",
        "endpointslice.kubernetes.io/managed-by": "extsync.dev",
        "extsync.dev/owner": "blue",
    }


def labelled(labels: dict[str, str], **spec: object) -> Any:
    plain = service(**spec)
    return msgspec.structs.replace(plain, metadata=msgspec.structs.replace(plain.metadata, labels=labels))


def test_the_service_is_the_controller_of_its_slices() -> None:
    assert made(many(1)).only_slice.metadata.owner_references == (
        OwnerReference(
            api_version="v1", kind="Service", name="orders", uid=UID, controller=True, block_owner_deletion=True
        ),
    )


@pytest.mark.parametrize(("cluster_ip", "headless"), [("None", True), ("10.96.0.7", False)])
def test_slices_of_a_headless_service_are_labelled_so(cluster_ip: str, headless: bool) -> None:
    labels = made(many(1), cluster_ip=cluster_ip).only_slice.labels
    assert ("service.kubernetes.io/headless" in labels) is headless


def test_the_name_follows_from_service_owner_and_the_lowest_free_number() -> None:
    cluster = made(many(3), small(1))
    prefix = slice_prefix(service(), "default")
    assert sorted(cluster.slices) == [f"{prefix}{n}" for n in range(3)]
    del cluster.slices[f"{prefix}1"]
    make(cluster, many(4), small(1))
    assert sorted(cluster.slices) == [f"{prefix}{n}" for n in range(4)]
    assert slice_prefix(service(), "blue") != prefix


def test_a_name_that_a_foreign_slice_has_is_not_free() -> None:
    cluster = made(many(1))
    (name,) = cluster.slices
    foreign = msgspec.structs.replace(
        cluster.only_slice,
        metadata=msgspec.structs.replace(
            cluster.only_slice.metadata,
            labels={**cluster.only_slice.labels, "endpointslice.kubernetes.io/managed-by": "else"},
        ),
    )
    cluster.slices[name] = foreign
    make(cluster, many(1))
    assert cluster.slices[name] is foreign
    assert sorted(cluster.slices) == [name, name[:-1] + "1"]


def test_ipv4_and_ipv6_port_sets_and_groups_have_slices_of_their_own() -> None:
    endpoints = (
        endpoint("10.0.0.1"),
        endpoint("2001:db8::1"),
        endpoint("10.0.0.2", ports=OTHER_PORT),
        endpoint("10.0.0.3", group="canary"),
    )
    cluster = made(endpoints, ip_families=("IPv4", "IPv6"))
    assert cluster.sizes() == [1, 1, 1, 1]
    by_address = {(s.endpoints or ())[0].addresses[0]: s for s in cluster.ours}
    assert by_address["2001:db8::1"].address_type == "IPv6"
    assert (by_address["10.0.0.2"].ports or ())[0].port == 3307
    assert by_address["10.0.0.3"].labels["extsync.dev/group"] == "canary"
    assert "extsync.dev/group" not in by_address["10.0.0.1"].labels


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (None, None),
        ("PreferClose", EndpointHints(for_zones=(HintFor("dc-1"),))),
        ("PreferSameZone", EndpointHints(for_zones=(HintFor("dc-1"),))),
        ("PreferSameNode", EndpointHints(for_zones=(HintFor("dc-1"),), for_nodes=(HintFor("edge-1"),))),
        ("Unheard", None),
    ],
)
def test_ready_endpoints_carry_hints_where_the_service_asks_for_a_distribution(
    distribution: str | None, expected: EndpointHints | None
) -> None:
    endpoints = (
        endpoint("10.0.0.1", node_name="edge-1", zone="dc-1"),
        endpoint("10.0.0.2", State.NOT_READY, node_name="edge-1", zone="dc-1"),
        endpoint("10.0.0.3"),
    )
    cluster = made(endpoints, traffic_distribution=distribution)
    hints = {e.addresses[0]: e.hints for e in cluster.only_slice.endpoints or ()}
    assert hints == {"10.0.0.1": expected, "10.0.0.2": None, "10.0.0.3": None}


TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"


def test_the_trigger_time_goes_onto_what_is_written_and_causes_no_write() -> None:
    cluster = Cluster()
    cluster.carry_out(plan(KEY, cluster.current, many(1), SLICES, triggered="T1").changes)
    assert cluster.only_slice.annotations == {TRIGGER: "T1"}
    assert plan(KEY, cluster.current, many(1), SLICES, triggered="T2").changes.is_empty
    cluster.carry_out(plan(KEY, cluster.current, many(2), SLICES, triggered="T2").changes)
    assert cluster.only_slice.annotations == {TRIGGER: "T2"}
    cluster.carry_out(plan(KEY, cluster.current, many(1), SLICES).changes)
    assert cluster.only_slice.annotations == {}


def test_a_write_that_is_tried_again_carries_the_newest_trigger_time() -> None:
    memo = PlanMemo()
    current, endpoints = Cluster().current, many(1)
    plan(KEY, current, endpoints, SLICES, triggered="T1", memo=memo)
    (create,) = plan(KEY, current, endpoints, SLICES, triggered="T2", memo=memo).changes.creates
    assert create.obj.annotations == {TRIGGER: "T2"}


def test_without_a_cluster_slices_have_no_owner_reference() -> None:
    plain = service()
    preview = msgspec.structs.replace(plain, metadata=msgspec.structs.replace(plain.metadata, uid=None))
    cluster = Cluster(preview)
    (create,) = plan(KEY, cluster.current, many(1), SLICES).changes.creates
    assert create.obj.metadata.owner_references is None


def test_with_a_memo_a_flip_and_its_write_are_seen() -> None:
    cluster, memo = made(many(250)), PlanMemo()
    endpoints = many(250)
    assert plan(KEY, cluster.current, endpoints, SLICES, memo=memo).changes.is_empty
    flipped = (*endpoints[:7], endpoint(endpoints[7].address, State.NOT_READY), *endpoints[8:])
    (update,) = plan(KEY, cluster.current, flipped, SLICES, memo=memo).changes.updates
    cluster.carry_out_one(update)
    assert plan(KEY, cluster.current, flipped, SLICES, memo=memo).changes.is_empty
    assert [address for address, _, _, ready in cluster.shown() if not ready] == [endpoints[7].address]
