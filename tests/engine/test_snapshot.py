"""What a pass knows of the cluster: what it read, and what was written since."""

from __future__ import annotations

import pytest

from extsync.engine.snapshot import Snapshot
from extsync.errors import Unavailable
from extsync.kube.memory import Fault
from extsync.objects import EndpointSlice, KubeObject, Service
from extsync.plan.plan import Current
from extsync.seams.virtual import virtual_time
from tests.engine.support import NAMESPACE, A, B, Rig, flat_service, key, manifest, rack

ORDERS, CARTS = key("orders"), key("carts")


async def filled() -> Rig:
    rig = Rig()
    await rig.once(manifest("orders", rack(A), checks=[]), manifest("carts", rack(B), checks=[]))
    return rig


def snapshot(rig: Rig) -> Snapshot:
    return Snapshot(rig.store, clock=rig.clock, timeout=10.0)


@virtual_time
async def test_it_reads_the_service_its_slices_and_its_endpoints() -> None:
    rig = await filled()
    view = snapshot(rig)
    await view.read([ORDERS])
    current = view.current(ORDERS)
    assert current.service is not None
    assert current.endpoints is not None
    assert [slice_.labels["kubernetes.io/service-name"] for slice_ in current.slices] == ["orders"]


@virtual_time
async def test_what_is_not_there_is_none_and_no_error() -> None:
    view = snapshot(Rig())
    await view.read([ORDERS])
    assert view.current(ORDERS) == Current()


@virtual_time
async def test_a_slice_that_lost_its_labels_is_still_seen() -> None:
    rig = await filled()
    (slice_,) = rig.slice_objects("orders")
    del slice_["metadata"]["labels"]
    rig.store.put(EndpointSlice, slice_)
    view = snapshot(rig)
    await view.read([ORDERS])
    assert len(view.current(ORDERS).slices) == 1


@virtual_time
async def test_reading_again_forgets_what_is_gone() -> None:
    rig = await filled()
    view = snapshot(rig)
    await view.read([ORDERS, CARTS])
    rig.store.remove(Service, NAMESPACE, "orders")  # and with it the Endpoints go
    rig.store.remove(EndpointSlice, NAMESPACE, rig.slice_objects("orders")[0]["metadata"]["name"])
    await view.read([ORDERS])
    assert view.current(ORDERS) == Current()
    assert view.current(CARTS).service is not None
    assert len(view.current(CARTS).slices) == 1


@virtual_time
async def test_writes_and_deletions_are_taken_in() -> None:
    rig = await filled()
    other = snapshot(rig)
    await other.read([ORDERS])
    objects: list[KubeObject] = [
        obj for obj in (other.current(ORDERS).service, other.current(ORDERS).endpoints) if obj is not None
    ]
    objects += other.current(ORDERS).slices
    view = snapshot(rig)
    for obj in objects:
        view.written(obj)
    assert view.current(ORDERS) == other.current(ORDERS)
    for obj in objects:
        view.deleted(type(obj), NAMESPACE, obj.metadata.name, str(obj.metadata.uid))
    assert view.current(ORDERS) == Current()


@virtual_time
async def test_a_slice_that_changes_hands_is_found_with_its_new_service() -> None:
    rig = await filled()
    view = snapshot(rig)
    await view.read([ORDERS])
    rig.store.put(
        EndpointSlice,
        {
            "metadata": {"name": "x", "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": "carts"}},
            "addressType": "IPv4",
            "endpoints": [],
            "ports": [],
        },
    )
    await view.read([CARTS])
    assert "x" in [slice_.metadata.name for slice_ in view.current(CARTS).slices]
    body = rig.store.raw(EndpointSlice, NAMESPACE, "x")
    body["metadata"]["labels"] = {"kubernetes.io/service-name": "orders"}
    rig.store.put(EndpointSlice, body)
    await view.read([CARTS])
    assert "x" not in [slice_.metadata.name for slice_ in view.current(CARTS).slices]
    assert "x" in [slice_.metadata.name for slice_ in view.current(ORDERS).slices]


@virtual_time
async def test_a_read_is_tried_again_and_then_given_up() -> None:
    rig = Rig()
    rig.store.put(Service, flat_service("orders"))
    failures = [Fault(error=Unavailable("scripted"))] * 2
    rig.faults = lambda verb, kind, at: failures.pop() if failures and kind is Service else None
    view = snapshot(rig)
    await view.read([ORDERS])
    assert view.current(ORDERS).service is not None
    rig.faults = lambda verb, kind, at: Fault(error=Unavailable("scripted"))
    with pytest.raises(Unavailable, match="scripted"):
        await view.read([ORDERS])
