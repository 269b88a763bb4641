"""What the watches show, by service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from extsync.changes import Create
from extsync.engine.view import ClusterView, service_keys
from extsync.errors import Unavailable
from extsync.kube.memory import Fault
from extsync.model import ServiceKey
from extsync.objects import Endpoints, EndpointSlice, ObjectMeta, OwnerReference, Service
from extsync.seams.virtual import virtual_time
from tests.engine.support import NAMESPACE, Rig, flat_service, key

ORDERS, CARTS = key("orders"), key("carts")
SETTLED = 0.01


def slice_of(service: str | None, *, name: str = "x", **labels: str) -> dict[str, Any]:
    marks = {"kubernetes.io/service-name": service} if service else {}
    endpoints = [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}]
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {**marks, **labels}},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
    }


class Viewed:
    """A view of a rig's store; ``changed`` are the services reported since it was cleared."""

    def __init__(self, rig: Rig, namespaces: Iterable[str] = (NAMESPACE,)) -> None:
        self.changed: list[ServiceKey] = []
        self.answers = 0
        self.view = ClusterView(
            rig.store,
            clock=rig.clock,
            random=rig.random,
            namespaces=namespaces,
            on_change=self.changed.append,
            on_answer=self._answered,
        )

    def _answered(self) -> None:
        self.answers += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ClusterView]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self._run())
            await asyncio.sleep(0)
            await self.view.synced()
            yield self.view
            running.cancel()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self.view.start(tasks)


@virtual_time
async def test_it_tells_when_all_caches_are_in_step_again() -> None:
    rig = Rig()
    viewed = Viewed(rig)
    async with viewed.running():
        assert viewed.answers == 1
        rig.faults = lambda verb, kind, at: Fault(error=Unavailable("list it: away"))
        rig.store.restore(rig.store.backup())
        await rig.clock.sleep(100)
        rig.faults = lambda verb, kind, at: Fault(error=Unavailable("list it: away")) if kind is Endpoints else None
        await rig.clock.sleep(100)
        assert viewed.answers == 1
        rig.faults = None
        await rig.clock.sleep(31)
        assert viewed.answers == 2


@virtual_time
async def test_it_shows_what_is_there_and_reports_each_change_with_its_service() -> None:
    rig = Rig()
    rig.store.put(Service, flat_service("orders"))
    viewed = Viewed(rig)
    async with viewed.running() as view:
        assert view.current(ORDERS).service is not None
        viewed.changed.clear()
        rig.store.put(EndpointSlice, slice_of("orders"))
        rig.store.put(Endpoints, {"metadata": {"name": "orders", "namespace": NAMESPACE}, "subsets": []})
        await rig.clock.sleep(SETTLED)
        assert viewed.changed == [ORDERS, ORDERS]
        current = view.current(ORDERS)
        assert [slice_.metadata.name for slice_ in current.slices] == ["x"]
        assert current.endpoints is not None
        rig.store.remove(EndpointSlice, NAMESPACE, "x")
        await rig.clock.sleep(SETTLED)
        assert view.current(ORDERS).slices == ()


@virtual_time
async def test_a_slice_that_changes_hands_concerns_both_services() -> None:
    rig = Rig()
    rig.store.put(EndpointSlice, slice_of("orders"))
    viewed = Viewed(rig)
    async with viewed.running() as view:
        viewed.changed.clear()
        rig.store.put(EndpointSlice, slice_of("carts"))
        await rig.clock.sleep(SETTLED)
        assert viewed.changed == [ORDERS, CARTS]
        assert view.current(ORDERS).slices == ()
        assert len(view.current(CARTS).slices) == 1


@virtual_time
async def test_own_writes_are_read_at_once() -> None:
    rig = Rig()
    viewed = Viewed(rig)
    async with viewed.running() as view:
        rig.faults = lambda verb, kind, at: Fault(before=30.0) if verb == "event" else None
        rig.store.put(EndpointSlice, slice_of("orders"))
        written = await rig.store.get(EndpointSlice, NAMESPACE, "x")
        assert view.current(ORDERS).slices == ()
        view.written(written)
        assert [slice_.metadata.name for slice_ in view.current(ORDERS).slices] == ["x"]
        view.deleted(EndpointSlice, NAMESPACE, "x", str(written.metadata.uid))
        assert view.current(ORDERS).slices == ()


@virtual_time
async def test_what_the_watch_tells_of_an_own_write_before_its_answer_is_no_change() -> None:
    rig = Rig()
    viewed = Viewed(rig)
    async with viewed.running() as view:
        viewed.changed.clear()
        with view.writing(ORDERS, [Create(msgspec.convert(slice_of("orders"), EndpointSlice), "")]):
            rig.store.put(EndpointSlice, slice_of("orders"))
            await rig.clock.sleep(SETTLED)
            view.written(await rig.store.get(EndpointSlice, NAMESPACE, "x"))
        assert len(view.current(ORDERS).slices) == 1
        assert viewed.changed == []


@pytest.mark.parametrize("answered", [False, True])
@virtual_time
async def test_what_another_one_makes_of_an_object_under_way_is_a_change_once_the_write_is_over(answered: bool) -> None:
    rig = Rig()
    viewed = Viewed(rig)
    async with viewed.running() as view:
        viewed.changed.clear()
        with view.writing(ORDERS, [Create(msgspec.convert(slice_of("orders"), EndpointSlice), "")]):
            rig.store.put(EndpointSlice, slice_of("orders"))
            own = await rig.store.get(EndpointSlice, NAMESPACE, "x")
            rig.store.put(EndpointSlice, slice_of("orders", theirs="now"))
            await rig.clock.sleep(SETTLED)
            assert viewed.changed == []
            if answered:
                view.written(own)
        assert viewed.changed == [ORDERS]


@virtual_time
async def test_what_happens_to_other_objects_while_one_is_written_is_a_change_at_once() -> None:
    rig = Rig()
    viewed = Viewed(rig)
    async with viewed.running() as view:
        viewed.changed.clear()
        with view.writing(ORDERS, [Create(msgspec.convert(slice_of("orders"), EndpointSlice), "")]):
            rig.store.put(Service, flat_service("orders"))
            await rig.clock.sleep(SETTLED)
            assert viewed.changed == [ORDERS]


@virtual_time
async def test_of_slices_of_others_the_endpoints_are_not_kept() -> None:
    rig = Rig()
    by_hand = slice_of("orders", name="by-hand")
    theirs = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
    rig.store.put(EndpointSlice, by_hand)
    rig.store.put(EndpointSlice, slice_of("orders", name="theirs", **theirs))
    ours = {"endpointslice.kubernetes.io/managed-by": "extsync.dev"}
    rig.store.put(EndpointSlice, slice_of("orders", name="ours", **ours))
    async with Viewed(rig).running() as view:
        kept = {slice_.metadata.name: slice_.endpoints for slice_ in view.current(ORDERS).slices}
        assert kept["theirs"] is None
        assert kept["ours"]
        assert kept["by-hand"], "people are warned where these show what ours do"


@pytest.mark.parametrize("namespaces", [(), (NAMESPACE, "other")])
@virtual_time
async def test_one_watch_for_all_namespaces_or_one_for_each(namespaces: tuple[str, ...]) -> None:
    rig = Rig()
    rig.store.create_namespace("other")
    rig.store.create_namespace("third")
    elsewhere = flat_service("orders")
    elsewhere["metadata"]["namespace"] = "other"
    rig.store.put(Service, elsewhere)
    async with Viewed(rig, namespaces).running() as view:
        assert view.current(ServiceKey("other", "orders")).service is not None
        assert view.covers("third") is (namespaces == ())
    watched = [request for request in rig.requests if request.verb == "watch" and request.kind is Service]
    assert len(watched) == max(1, len(namespaces))


def test_a_damaged_slice_of_ours_still_concerns_its_service() -> None:
    owner = OwnerReference(api_version="v1", kind="Service", name="orders", uid="u", controller=True)
    by_owner = ObjectMeta(name="x", namespace=NAMESPACE, owner_references=(owner,))
    by_name = ObjectMeta(name="orders-0123456789-12", namespace=NAMESPACE)
    by_label = ObjectMeta(name="x", namespace=NAMESPACE, labels={"kubernetes.io/service-name": "orders"})
    for metadata in (by_owner, by_name, by_label):
        assert service_keys(EndpointSlice(metadata=metadata, address_type="IPv4")) == (ORDERS,)


def test_a_slice_without_any_mark_concerns_nobody() -> None:
    metadata = ObjectMeta(name="orders-abc12", namespace=NAMESPACE)
    assert service_keys(EndpointSlice(metadata=metadata, address_type="IPv4")) == ()


@virtual_time
async def test_its_age_is_that_of_the_cache_that_heard_nothing_for_the_longest_time() -> None:
    rig = Rig()
    viewed = Viewed(rig)
    assert viewed.view.age() is None
    async with viewed.running() as view:
        await rig.clock.sleep(5.0)
        assert view.age() == pytest.approx(5.0, abs=SETTLED)


@virtual_time
async def test_what_another_one_makes_of_an_object_that_is_written_already_is_a_change_at_once() -> None:
    rig = Rig()
    viewed = Viewed(rig)
    async with viewed.running() as view:
        viewed.changed.clear()
        with view.writing(ORDERS, [Create(msgspec.convert(slice_of("orders"), EndpointSlice), "")]):
            rig.store.put(EndpointSlice, slice_of("orders"))
            view.written(await rig.store.get(EndpointSlice, NAMESPACE, "x"))
            rig.store.put(EndpointSlice, slice_of("orders", theirs="now"))
            await rig.clock.sleep(SETTLED)
            assert viewed.changed == [ORDERS], "or the rest of the round would go on with an old plan"


@virtual_time
async def test_an_own_write_that_takes_an_object_away_from_another_service_is_a_change_for_that_one() -> None:
    rig = Rig()
    rig.store.put(EndpointSlice, slice_of("carts"))
    viewed = Viewed(rig)
    async with viewed.running() as view:
        viewed.changed.clear()
        with view.writing(ORDERS, [Create(msgspec.convert(slice_of("orders"), EndpointSlice), "")]):
            rig.store.put(EndpointSlice, slice_of("orders"))
            view.written(await rig.store.get(EndpointSlice, NAMESPACE, "x"))
            await rig.clock.sleep(SETTLED)
        assert viewed.changed == [CARTS]
