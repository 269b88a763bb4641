"""``run --prune``: after a start, what the owner id made and no manifest names goes; and what outlived its Service."""

from __future__ import annotations

from typing import Any

import pytest

from extsync.engine.options import Options
from extsync.errors import Forbidden
from extsync.kube.memory import Fault
from extsync.objects import EndpointSlice, Service
from extsync.seams.virtual import virtual_time
from tests.engine.support import NAMESPACE, A, B, Rig, feed, flat_service, manifest, rack, ready

PRUNE = Options(namespaces=(NAMESPACE,), owner="mine", prune=True)
BROKEN = "apiVersion: extsync.dev/v1alpha1\nkind: ExternalService\nspecification: {}\n"


def plain(name: str, *addresses: str, **spec: Any) -> dict[str, Any]:
    return manifest(name, rack(*addresses), checks=[], **spec)


async def with_leftovers(options: Options = PRUNE, owner: str = "mine") -> Rig:
    """A cluster in which an earlier process of ``owner`` kept "old" and "orders"."""
    rig = Rig(options=options)
    await rig.once(plain("old", A), plain("orders", B), owner=owner)
    return rig


def orphaned(rig: Rig, name: str) -> None:
    """Deletes the Service as ``kubectl delete --cascade=orphan`` does."""
    for slice_ in rig.slice_objects(name):
        del slice_["metadata"]["ownerReferences"]
        rig.store.put(EndpointSlice, slice_)
    rig.store.remove(Service, NAMESPACE, name)


@virtual_time
async def test_what_no_manifest_names_goes_after_the_delay() -> None:
    rig = await with_leftovers()
    async with rig.running(plain("orders", B)):
        await rig.clock.sleep(59)
        assert rig.published("old") == ready(A)
        await rig.until(lambda: not rig.has_service("old"), within=20)
        assert rig.published("old") == {}
        assert rig.published("orders") == ready(B)


@pytest.mark.parametrize(
    "options",
    [
        Options(namespaces=(NAMESPACE,), owner="mine"),
        Options(namespaces=(NAMESPACE,), owner="mine", prune=True, only_in="elsewhere"),
    ],
)
@virtual_time
async def test_unasked_nothing_goes_nor_from_where_no_manifest_may_name_it(options: Options) -> None:
    rig = await with_leftovers(options)
    async with rig.running(plain("orders", B)):
        await rig.clock.sleep(600)
        assert rig.published("old") == ready(A)


@virtual_time
async def test_what_another_owner_made_stays() -> None:
    rig = await with_leftovers(owner="theirs")
    before = rig.versions()
    async with rig.running(plain("carts", A)):
        await rig.clock.sleep(600)
        after = rig.versions()
    assert {name: after[name] for name in before} == before


@virtual_time
async def test_manifests_that_cannot_be_read_hold_it_up() -> None:
    rig = await with_leftovers()
    async with rig.running(plain("orders", B), BROKEN):
        await rig.clock.sleep(600)
        assert rig.published("old") == ready(A)
        rig.manifests.put(plain("orders", B))
        await rig.clock.sleep(30)
        rig.manifests.put(plain("orders", B), BROKEN)
        await rig.clock.sleep(30)
        rig.manifests.put(plain("orders", B))
        await rig.clock.sleep(59)
        assert rig.published("old") == ready(A), "the wait begins anew"
        await rig.until(lambda: not rig.has_service("old"), within=20)


@virtual_time
async def test_a_manifest_that_comes_in_time_keeps_its_service() -> None:
    rig = await with_leftovers()
    async with rig.running(plain("orders", B)):
        await rig.clock.sleep(50)
        rig.manifests.put(plain("orders", B), plain("old", A))
        with rig.recorded() as writes:
            await rig.clock.sleep(600)
        assert writes == []


@virtual_time
async def test_a_removal_that_fails_is_tried_again() -> None:
    rig = await with_leftovers()
    rig.faults = lambda verb, kind, at: Fault(error=Forbidden("scripted")) if verb == "delete" else None
    async with rig.running(plain("orders", B)):
        await rig.clock.sleep(120)
        assert rig.published("old") == ready(A)
        rig.faults = None
        await rig.until(lambda: not rig.has_service("old"), within=310)


@virtual_time
async def test_it_is_done_once_nothing_is_left() -> None:
    rig = await with_leftovers()
    async with rig.running(plain("orders", B)):
        await rig.until(lambda: not rig.has_service("old"), within=80)
        await rig.clock.sleep(10)
        await rig.once(plain("later", A), owner="mine")
        await rig.clock.sleep(600)
        assert rig.published("later") == ready(A)


# ---- what outlived its Service ---------------------------------------------------------------------------------------


@virtual_time
async def test_slices_that_outlived_a_service_nobody_names_are_swept() -> None:
    rig = await with_leftovers()
    orphaned(rig, "old")
    async with rig.running(plain("orders", B)):
        await rig.clock.sleep(50)
        assert rig.slices("old") == ready(A)
        await rig.until(lambda: not rig.slice_objects("old"), within=30)


@virtual_time
async def test_slices_that_outlived_a_service_that_a_manifest_names_go_at_once() -> None:
    rig = Rig()
    rig.store.put(Service, flat_service("orders"))
    async with rig.running(plain("orders", A, service=None, publish=["EndpointSlice"])):
        await rig.until(lambda: rig.slices("orders") == ready(A), within=1)
        orphaned(rig, "orders")
        await rig.until(lambda: not rig.slice_objects("orders"), within=1)
        rig.store.put(Service, flat_service("orders"))
        await rig.until(lambda: rig.slices("orders") == ready(A), within=1)


@virtual_time
async def test_a_service_that_extsync_keeps_and_is_orphaned_is_made_anew_with_slices_of_its_own() -> None:
    rig = Rig()
    async with rig.running(plain("orders", A)):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        before = {slice_["metadata"]["uid"] for slice_ in rig.slice_objects("orders")}
        orphaned(rig, "orders")
        await rig.until(rig.agree("orders", ready(A)), within=5)
        await rig.clock.sleep(5)
        (slice_,) = rig.slice_objects("orders")
        assert slice_["metadata"]["uid"] not in before


@virtual_time
async def test_what_outlived_its_service_is_published_at_a_start_for_the_one_that_was_made_anew() -> None:
    rig = Rig()
    rig.store.put(Service, flat_service("orders"))
    rig.feed().found(A, B)
    rig.up(A, B)
    orders = manifest("orders", feed(), service=None, publish=["EndpointSlice"])
    async with rig.running(orders):
        await rig.until(lambda: rig.slices("orders") == ready(A, B), within=30)
        await rig.stop()
        orphaned(rig, "orders")
        rig.store.put(Service, flat_service("orders"))
        rig.feed().fail()
        before = {slice_["metadata"]["uid"] for slice_ in rig.slice_objects("orders")}
        rig.start_anew(orders)
        for _ in range(100):
            assert rig.slices("orders") == ready(A, B)
            await rig.clock.sleep(0.1)
        (slice_,) = rig.slice_objects("orders")
        assert slice_["metadata"]["uid"] not in before
