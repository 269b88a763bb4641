"""What only the in-memory store has: doors for other clients, namespaces as needed, controllers that can be stopped."""

from __future__ import annotations

import pytest

from extsync.errors import AlreadyExists, Conflict, Invalid, NotFound
from extsync.kube.memory import MemoryStore
from extsync.objects import (
    MANAGED_BY_LABEL,
    MIRRORING_CONTROLLER,
    SERVICE_NAME_LABEL,
    Endpoints,
    EndpointSlice,
    Lease,
    Node,
    Pod,
    Service,
)
from extsync.seams.virtual import SeededRandom, VirtualClock, virtual_time
from tests.contract.things import endpoints_of, service_body, slice_of

CLOCK = VirtualClock()


def make_store(*, seed: int = 0, on_demand: bool = False) -> MemoryStore:
    return MemoryStore(clock=CLOCK, random=SeededRandom(seed), namespaces_on_demand=on_demand)


@virtual_time
async def test_namespaces_can_come_into_being_with_what_is_in_them() -> None:
    with pytest.raises(NotFound):
        await make_store().create(slice_of("new"))
    store = make_store(on_demand=True)
    await store.create(slice_of("new"))
    await store.apply_service(service_body("newer"), field_manager="x")
    store.put(Lease, {"metadata": {"name": "one", "namespace": "newest"}})


@virtual_time
async def test_a_terminated_namespace_is_emptied_and_can_be_made_again() -> None:
    store = make_store()
    async with store.running():
        await store.create(slice_of("default"))
        await store.apply_service(service_body("default"), field_manager="x")
        store.terminate_namespace("default")
        await CLOCK.sleep(5.0)
        assert store.dump(EndpointSlice) == store.dump(Service) == ()
        with pytest.raises(NotFound):
            await store.create(slice_of("default"))
        store.create_namespace("default")
        await store.create(slice_of("default"))


@virtual_time
async def test_a_namespace_is_terminated_although_nothing_else_happens() -> None:
    store = make_store()
    async with store.running():
        await store.create(slice_of("default"))
        await CLOCK.sleep(60.0)
        store.terminate_namespace("default")
        await CLOCK.sleep(5.0)
        assert store.dump(EndpointSlice) == ()


@virtual_time
async def test_only_a_namespace_that_is_there_can_be_terminated() -> None:
    with pytest.raises(NotFound):
        make_store().terminate_namespace("none")


@virtual_time
async def test_nothing_is_collected_or_mirrored_while_the_controllers_do_not_run() -> None:
    store = make_store()
    await store.apply_service(service_body("default"), field_manager="x")
    await store.create(endpoints_of("default", "one", "192.0.2.1"))
    async with store.running():
        await CLOCK.sleep(5.0)
        assert len(store.dump(EndpointSlice)) == 1
    store.remove(Endpoints, "default", "one")
    await CLOCK.sleep(60.0)
    assert len(store.dump(EndpointSlice)) == 1
    async with store.running():
        await CLOCK.sleep(5.0)
        assert store.dump(EndpointSlice) == ()


@virtual_time
async def test_a_mirrored_slice_that_was_deleted_or_changed_by_hand_is_mended() -> None:
    store = make_store()
    async with store.running():
        await store.apply_service(service_body("default"), field_manager="x")
        await store.create(endpoints_of("default", "one", "192.0.2.1"))
        await CLOCK.sleep(5.0)
        (body,) = store.dump(EndpointSlice)
        store.remove(EndpointSlice, "default", body["metadata"]["name"])
        await CLOCK.sleep(5.0)
        (body,) = store.dump(EndpointSlice)
        store.put(EndpointSlice, {**body, "endpoints": []})
        await CLOCK.sleep(5.0)
        (body,) = store.dump(EndpointSlice)
        assert [endpoint["addresses"] for endpoint in body["endpoints"]] == [["192.0.2.1"]]


@virtual_time
async def test_a_mirrored_slice_whose_marks_are_taken_off_at_once_is_made_again() -> None:
    store = make_store()
    async with store.running():
        await store.apply_service(service_body("default"), field_manager="x")
        await store.create(endpoints_of("default", "one", "192.0.2.1"))
        while not store.dump(EndpointSlice):
            await CLOCK.sleep(0.001)
        (body,) = store.dump(EndpointSlice)
        store.put(EndpointSlice, {**body, "metadata": {**body["metadata"], "labels": {}}})
        await CLOCK.sleep(5.0)
        mirrored = [one for one in store.dump(EndpointSlice) if one["metadata"].get("labels")]
        assert [one["endpoints"][0]["addresses"] for one in mirrored] == [["192.0.2.1"]]


@virtual_time
async def test_a_slice_that_only_says_that_it_is_mirrored_is_removed() -> None:
    store = make_store()
    labels = {MANAGED_BY_LABEL: MIRRORING_CONTROLLER, SERVICE_NAME_LABEL: "one"}
    async with store.running():
        await store.apply_service(service_body("default"), field_manager="x")
        await store.create(slice_of("default", "forged", labels=labels))
        await CLOCK.sleep(5.0)
        assert store.dump(EndpointSlice) == ()


@virtual_time
async def test_a_service_that_gets_a_selector_loses_its_mirror() -> None:
    store = make_store()
    async with store.running():
        await store.apply_service(service_body("default"), field_manager="x")
        await store.create(endpoints_of("default", "one", "192.0.2.1"))
        await CLOCK.sleep(5.0)
        service = store.raw(Service, "default", "one")
        store.put(Service, {**service, "spec": {**service["spec"], "selector": {"app": "db"}}})
        await CLOCK.sleep(5.0)
        assert store.dump(EndpointSlice) == ()


@virtual_time
async def test_a_mirrored_slice_is_used_again_when_the_ports_change() -> None:
    store = make_store()
    endpoints = endpoints_of("default", "one", "192.0.2.1")
    async with store.running():
        await store.apply_service(service_body("default"), field_manager="x")
        await store.create(endpoints)
        await CLOCK.sleep(5.0)
        (before,) = store.dump(EndpointSlice)
        ports = [{"name": "other", "port": 81}]
        subset = {"addresses": [{"ip": "192.0.2.1"}], "ports": ports}
        store.put(Endpoints, {"metadata": {"name": "one", "namespace": "default"}, "subsets": [subset]})
        await CLOCK.sleep(5.0)
        (after,) = store.dump(EndpointSlice)
        assert after["ports"] == [{"name": "other", "port": 81, "protocol": "TCP"}]
        assert after["metadata"]["name"] == before["metadata"]["name"]


@virtual_time
async def test_pods_and_nodes_are_taken_as_they_are() -> None:
    store = make_store()
    store.put(Node, {"metadata": {"name": "node-1", "labels": {"topology.kubernetes.io/zone": "a"}}})
    store.put(Pod, {"metadata": {"name": "a", "namespace": "default"}, "status": {"podIP": "192.0.2.1"}})
    assert (await store.get(Node, "", "node-1")).labels == {"topology.kubernetes.io/zone": "a"}
    assert (await store.get(Pod, "default", "a")).status.pod_ip == "192.0.2.1"
    assert (await store.list(Node)).items[0].metadata.namespace == ""


@virtual_time
async def test_put_creates_replaces_and_keeps_preconditions_where_they_are_given() -> None:
    store = make_store()
    first = store.put(Endpoints, {"metadata": {"name": "one", "namespace": "default"}})
    store.put(Endpoints, {"metadata": {"name": "one", "namespace": "default", "labels": {"app": "db"}}})
    with pytest.raises(Conflict):
        store.put(Endpoints, first)


@virtual_time
async def test_what_is_no_object_of_its_kind_is_refused() -> None:
    with pytest.raises(Invalid):
        make_store().put(EndpointSlice, {"metadata": {"name": "one", "namespace": "default"}, "addressType": 4})


@virtual_time
async def test_services_never_share_an_address_or_a_node_port() -> None:
    store = make_store()
    given = [
        (await store.apply_service(service_body("default", f"s{n}", type="NodePort"), field_manager="x")).spec
        for n in range(50)
    ]
    assert len({spec.cluster_ip for spec in given}) == 50
    assert len({port.node_port for spec in given for port in spec.ports or ()}) == 50
    taken = given[0].cluster_ip
    with pytest.raises(Invalid, match="already allocated"):
        await store.apply_service(service_body("default", "late", clusterIP=taken), field_manager="x")
    store.remove(Service, "default", "s0")
    await store.apply_service(service_body("default", "late", clusterIP=taken), field_manager="x")


@virtual_time
async def test_the_same_seed_makes_the_same_objects() -> None:
    async def objects(seed: int) -> tuple[object, ...]:
        store = make_store(seed=seed)
        await store.create(slice_of("default", "", generate_name="a-"))
        await store.apply_service(service_body("default"), field_manager="x")
        return store.dump(EndpointSlice) + store.dump(Service)

    assert await objects(1) == await objects(1)
    assert await objects(1) != await objects(2)


@virtual_time
async def test_a_finalizer_cannot_be_added_to_what_is_being_deleted() -> None:
    store = make_store()
    obj = await store.create(slice_of("default", finalizers=("example.com/hold",)))
    await store.delete(EndpointSlice, "default", "one", uid=obj.metadata.uid or "")
    body = store.raw(EndpointSlice, "default", "one")
    body["metadata"]["finalizers"].append("example.com/more")
    with pytest.raises(Invalid):
        store.put(EndpointSlice, body)
    with pytest.raises(AlreadyExists):
        await store.create(slice_of("default"))
