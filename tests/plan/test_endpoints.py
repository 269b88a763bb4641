from __future__ import annotations

from typing import Any

import msgspec
import pytest

from extsync.changes import Delete, Update
from extsync.model import Endpoint, PortValue, State, TargetRef
from extsync.objects import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, OwnerReference
from extsync.plan.plan import Plan, PlanMemo, plan
from extsync.plan.policy import PackPolicy
from tests.plan.cluster import KEY, MYSQL, UID, Cluster, endpoint, many, service

BOTH = PackPolicy()
ALONE = PackPolicy(slices=False)
OTHER_PORT = (PortValue("mysql", 3307),)
SKIP = "endpointslice.kubernetes.io/skip-mirror"
CAPACITY = "endpoints.kubernetes.io/over-capacity"


def make(cluster: Cluster, endpoints: tuple[Endpoint, ...], policy: PackPolicy = BOTH) -> Plan:
    planned = plan(KEY, cluster.current, endpoints, policy)
    cluster.carry_out(planned.changes)
    assert plan(KEY, cluster.current, endpoints, policy).changes.is_empty
    return planned


def made(endpoints: tuple[Endpoint, ...], policy: PackPolicy = BOTH, **spec: object) -> Cluster:
    cluster = Cluster(service(**spec))
    make(cluster, endpoints, policy)
    return cluster


def the(cluster: Cluster) -> Endpoints:
    assert cluster.endpoints is not None
    return cluster.endpoints


def subsets(cluster: Cluster) -> tuple[EndpointSubset, ...]:
    return the(cluster).subsets or ()


def ips(listed: tuple[EndpointAddress, ...] | None) -> list[str]:
    return [address.ip for address in listed or ()]


def test_an_address_shows_all_that_the_object_can_show() -> None:
    reference = TargetRef(kind="VirtualMachine", namespace="vms", name="db-1", uid="7")
    one = msgspec.structs.replace(endpoint("10.0.0.1", hostname="db-1", node_name="edge-1"), target_ref=reference)
    assert subsets(made((one,))) == (
        EndpointSubset(
            addresses=(EndpointAddress(ip="10.0.0.1", hostname="db-1", node_name="edge-1", target_ref=reference),),
            ports=(EndpointPort(name="mysql", port=3306, protocol="TCP"),),
        ),
    )


def test_endpoints_that_are_not_ready_or_draining_are_not_ready_addresses_sorted() -> None:
    states = {"10.0.0.4": State.NOT_READY, "10.0.0.3": State.READY, "10.0.0.2": State.DRAINING, "10.0.0.1": State.READY}
    (subset,) = subsets(made(tuple(endpoint(address, state) for address, state in states.items())))
    assert ips(subset.addresses) == ["10.0.0.1", "10.0.0.3"]
    assert ips(subset.not_ready_addresses) == ["10.0.0.2", "10.0.0.4"]


def test_with_publish_not_ready_addresses_all_are_ready_as_in_the_slices() -> None:
    (subset,) = subsets(made((endpoint("10.0.0.1", State.NOT_READY),), publish_not_ready_addresses=True))
    assert ips(subset.addresses) == ["10.0.0.1"]


def test_port_sets_and_groups_are_subsets_and_families_share_one() -> None:
    endpoints = (
        endpoint("10.0.0.1"),
        endpoint("2001:db8::1"),
        endpoint("10.0.0.2", ports=OTHER_PORT),
        endpoint("10.0.0.3", group="canary"),
    )
    found = [(ips(s.addresses), (s.ports or ())[0].port) for s in subsets(made(endpoints))]
    assert sorted(found) == [
        (["10.0.0.1", "2001:db8::1"], 3306),
        (["10.0.0.2"], 3307),
        (["10.0.0.3"], 3306),
    ]


def test_an_unnamed_port_has_no_name() -> None:
    (subset,) = subsets(made((endpoint("10.0.0.1", ports=(PortValue("", 80),)),)))
    assert subset.ports == (EndpointPort(port=80, protocol="TCP"),)


def test_beside_slices_the_object_is_labelled_skip_mirror_from_its_create_on() -> None:
    (create,) = (c for c in plan(KEY, Cluster().current, many(1), BOTH).changes.creates if isinstance(c.obj, Endpoints))
    assert create.obj.labels == {"app": "db", "extsync.dev/owner": "default", SKIP: "true"}


def test_alone_the_object_is_not_labelled_skip_mirror_even_if_the_service_is() -> None:
    plain = service()
    metadata = msgspec.structs.replace(plain.metadata, labels={SKIP: "true"})
    cluster = Cluster(msgspec.structs.replace(plain, metadata=metadata))
    make(cluster, many(1), ALONE)
    assert the(cluster).labels == {"extsync.dev/owner": "default"}
    assert not cluster.slices


@pytest.mark.parametrize(("cluster_ip", "headless"), [("None", True), ("10.96.0.7", False)])
def test_the_object_of_a_headless_service_is_labelled_so(cluster_ip: str, headless: bool) -> None:
    assert ("service.kubernetes.io/headless" in the(made(many(1), cluster_ip=cluster_ip)).labels) is headless


def test_the_service_is_its_controller() -> None:
    (reference,) = the(made(many(1))).metadata.owner_references or ()
    assert (reference.kind, reference.uid, reference.controller, reference.block_owner_deletion) == (
        "Service",
        UID,
        True,
        True,
    )


def test_with_nothing_desired_the_object_is_kept_without_subsets() -> None:
    cluster = made(many(2))
    make(cluster, ())
    assert the(cluster).subsets is None


def test_a_flip_updates_the_object_once() -> None:
    cluster = made(many(3))
    planned = make(cluster, (endpoint("10.0.0.1", State.NOT_READY), *many(2, first=2)))
    (update,) = (change for change in planned.changes.updates if isinstance(change.obj, Endpoints))
    assert update.reason == "1 address now not ready"
    assert planned.changes.summary == "2 to update"


def test_foreign_annotations_stay_and_labels_are_exactly_ours() -> None:
    policy = PackPolicy(annotations={"description": "Orders"})
    cluster = made(many(1), policy)
    before = the(cluster)
    metadata = msgspec.structs.replace(
        before.metadata, labels={**before.labels, "theirs": "1"}, annotations={**before.annotations, "theirs": "1"}
    )
    cluster.put(msgspec.structs.replace(before, metadata=metadata))
    make(cluster, many(1), policy)
    assert the(cluster).labels == before.labels
    assert the(cluster).annotations == {**before.annotations, "theirs": "1"}


def test_subsets_emptied_by_hand_come_back() -> None:
    cluster = made(many(2))
    before = the(cluster)
    cluster.put(msgspec.structs.replace(before, subsets=None))
    make(cluster, many(2))
    assert the(cluster).subsets == before.subsets


def test_an_object_that_lost_its_reference_is_repaired() -> None:
    cluster = made(many(1))
    metadata = msgspec.structs.replace(the(cluster).metadata, owner_references=None)
    cluster.put(msgspec.structs.replace(the(cluster), metadata=metadata))
    assert make(cluster, many(1)).changes.updates[0].reason == "owner reference"


# ---- more than the object can hold -----------------------------------------------------------------------------------


def test_beside_slices_the_object_is_truncated_ready_addresses_first() -> None:
    endpoints = (*(endpoint(e.address, State.NOT_READY) for e in many(400)), *many(900, first=401))
    cluster = made(endpoints)
    (subset,) = subsets(cluster)
    assert (len(subset.addresses or ()), len(subset.not_ready_addresses or ())) == (900, 100)
    assert the(cluster).annotations[CAPACITY] == "truncated"


def test_subsets_share_the_capacity_in_proportion() -> None:
    endpoints = (*many(1500), *(endpoint(e.address, ports=OTHER_PORT) for e in many(500, first=2000)))
    found = {(s.ports or ())[0].port: len(s.addresses or ()) for s in subsets(made(endpoints))}
    assert found == {3306: 750, 3307: 250}


def test_when_there_is_room_again_the_mark_goes() -> None:
    cluster = made(many(1001))
    make(cluster, many(1000))
    assert CAPACITY not in the(cluster).annotations
    assert len(subsets(cluster)[0].addresses or ()) == 1000


def test_alone_more_than_the_mirror_takes_of_a_port_set_is_refused() -> None:
    planned = plan(KEY, Cluster().current, many(1001), ALONE)
    assert [refusal.code for refusal in planned.refusals] == ["TooManyForEndpoints"]
    assert planned.changes.is_empty


def test_alone_several_port_sets_may_have_more_together() -> None:
    endpoints = (*many(700), *(endpoint(e.address, ports=OTHER_PORT) for e in many(700, first=2000)))
    cluster = made(endpoints, ALONE)
    assert [len(subset.addresses or ()) for subset in subsets(cluster)] == [700, 700]
    assert CAPACITY not in the(cluster).annotations


def test_groups_do_not_make_a_port_set_smaller() -> None:
    endpoints = (*many(700), *(endpoint(e.address, group="b") for e in many(700, first=2000)))
    assert plan(KEY, Cluster().current, endpoints, ALONE).refusals


def test_one_that_grows_too_large_is_still_kept_true() -> None:
    cluster = made(many(1000), ALONE)
    grown = (endpoint("10.0.0.1", State.NOT_READY), *many(1001, first=2))
    planned = plan(KEY, cluster.current, grown, ALONE)
    cluster.carry_out(planned.changes)
    assert [refusal.code for refusal in planned.refusals] == ["TooManyForEndpoints"]
    assert "10.0.0.1" not in ips(subsets(cluster)[0].addresses)


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_endpoints_of_a_service_with_a_selector_are_never_written() -> None:
    cluster = Cluster(service(selector={"app": "db"}))
    planned = plan(KEY, cluster.current, many(1), BOTH)
    assert [refusal.code for refusal in planned.refusals] == ["ServiceHasSelector"]
    assert "publish: [EndpointSlice]" in planned.refusals[0].cure
    assert planned.changes.is_empty, "nothing is started by halves"


def test_slices_beside_a_selector_are_written_where_endpoints_are_not_asked_for() -> None:
    cluster = made(many(1), PackPolicy(endpoints=False), selector={"app": "db"})
    assert len(cluster.ours) == 1


def test_a_selector_that_is_added_later_stops_endpoints_and_not_slices() -> None:
    cluster = made(many(2))
    cluster.service = service(selector={"app": "db"})
    before = the(cluster)
    planned = plan(KEY, cluster.current, (endpoint("10.0.0.1", State.NOT_READY),), BOTH)
    cluster.carry_out(planned.changes)
    assert [refusal.code for refusal in planned.refusals] == ["ServiceHasSelector"]
    assert cluster.endpoints is before
    assert cluster.shown() == [("10.0.0.1", MYSQL, "", False)]


@pytest.mark.parametrize(
    ("labels", "code", "says"),
    [
        ({}, "EndpointsNotOurs", "nobody else keeps them"),
        ({"app.kubernetes.io/managed-by": "Helm"}, "EndpointsNotOurs", "Helm"),
        ({"extsync.dev/owner": "blue"}, "EndpointsNotOurs", "owner id 'blue'"),
    ],
)
def test_endpoints_of_others_are_never_written(labels: dict[str, str], code: str, says: str) -> None:
    cluster = Cluster()
    metadata = msgspec.structs.replace(service().metadata, labels=labels, uid="e-1")
    cluster.endpoints = Endpoints(metadata=metadata)
    planned = plan(KEY, cluster.current, many(1), BOTH)
    (refusal,) = planned.refusals
    assert refusal.code == code
    assert says in refusal.reason
    assert planned.changes.is_empty


def test_endpoints_of_an_earlier_service_are_waited_for() -> None:
    cluster = Cluster()
    reference = OwnerReference(api_version="v1", kind="Service", name="orders", uid="earlier", controller=True)
    metadata = msgspec.structs.replace(
        service().metadata, labels={"extsync.dev/owner": "default"}, owner_references=(reference,)
    )
    cluster.endpoints = Endpoints(metadata=metadata)
    assert [r.code for r in plan(KEY, cluster.current, many(1), BOTH).refusals] == ["EndpointsOfEarlierService"]


def test_endpoints_of_others_do_not_matter_where_slices_alone_are_published() -> None:
    cluster = Cluster()
    cluster.endpoints = theirs = Endpoints(metadata=msgspec.structs.replace(service().metadata, labels={}))
    planned = make(cluster, many(1), PackPolicy(endpoints=False))
    assert not planned.refusals
    assert cluster.endpoints is theirs


def test_an_external_name_has_neither_slices_nor_endpoints() -> None:
    cluster = made(many(2))
    cluster.service = service(type="ExternalName", external_name="db.example.org", cluster_ip=None, ip_families=None)
    planned = make(cluster, many(1))
    assert {type(change) for change in planned.changes} == {Delete}
    assert not cluster.slices
    assert cluster.endpoints is None
    assert [warning.code for warning in planned.warnings] == ["ExternalNameWithEndpoints"]


# ---- the memo --------------------------------------------------------------------------------------------------------


def test_with_a_memo_a_changed_name_is_seen() -> None:
    cluster, memo = Cluster(), PlanMemo()
    endpoints = many(20)
    cluster.carry_out(plan(KEY, cluster.current, endpoints, BOTH, memo=memo).changes)
    named = (endpoint(endpoints[0].address, hostname="db-1"), *endpoints[1:])
    cluster.carry_out(plan(KEY, cluster.current, named, BOTH, memo=memo).changes)
    assert [a.hostname for a in subsets(cluster)[0].addresses or () if a.hostname] == ["db-1"]


def test_with_a_memo_endpoints_that_come_go_and_flip_are_sorted_in() -> None:
    cluster, memo = Cluster(), PlanMemo()
    steps: list[dict[str, State]] = [
        {"10.0.0.1": State.READY, "10.0.0.5": State.READY, "10.0.0.3": State.NOT_READY},
        {"10.0.0.1": State.READY, "10.0.0.5": State.NOT_READY, "10.0.0.3": State.NOT_READY},
        {"10.0.0.1": State.READY, "10.0.0.4": State.READY, "10.0.0.3": State.NOT_READY},
        {"10.0.0.1": State.NOT_READY, "10.0.0.4": State.READY, "10.0.0.3": State.READY},
    ]
    filler = many(20, first=300)
    for states in steps:
        endpoints = (*(endpoint(address, state) for address, state in states.items()), *filler)
        changes: Any = plan(KEY, cluster.current, endpoints, BOTH, memo=memo).changes
        assert changes == plan(KEY, cluster.current, endpoints, BOTH).changes
        cluster.carry_out(changes)
        assert [type(c) for c in changes if isinstance(c, Update)] == [Update] * len(changes.updates)
        (subset,) = subsets(cluster)
        assert ips(subset.not_ready_addresses) == sorted(a for a, s in states.items() if s is State.NOT_READY)
