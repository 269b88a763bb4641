"""Prune: what an owner id made and its manifests no longer name goes, and nothing else."""

from __future__ import annotations

from collections.abc import Collection

from extsync.engine.once import Once
from extsync.engine.passes import OnceOptions, ServiceResult
from extsync.engine.prune import prune
from extsync.errors import FORBIDDEN_CURE, Forbidden
from extsync.kube.memory import Fault
from extsync.model import ServiceKey
from extsync.objects import Endpoints, EndpointSlice, Service
from extsync.seams.virtual import virtual_time
from tests.engine.support import NAMESPACE, A, B, Rig, flat_service, key, manifest, rack

ORDERS, CARTS = manifest("orders", rack(A), checks=[]), manifest("carts", rack(B), checks=[])


async def pruned(rig: Rig, keep: Collection[ServiceKey], *, owner: str = "mine", write: bool = True) -> list[str]:
    """Prunes, and returns the services concerned."""
    return [result.key.name for result in await results(rig, keep, owner=owner, write=write)]


async def results(
    rig: Rig, keep: Collection[ServiceKey], *, owner: str = "mine", write: bool = True
) -> list[ServiceResult]:
    options = OnceOptions(owner=owner, write=write)
    once = Once(rig.world, options)
    return await prune(rig.world, once.writer, once.keepers, options, keep, [NAMESPACE])


@virtual_time
async def test_what_is_no_longer_named_goes_and_the_rest_stays() -> None:
    rig = Rig()
    await rig.once(ORDERS, CARTS, owner="mine")
    assert await pruned(rig, [key("carts")]) == ["orders"]
    assert not rig.has_service("orders")
    assert rig.slice_objects("orders") == []
    assert rig.published("orders") == {}
    assert rig.published("carts") == {B: True}


@virtual_time
async def test_without_writing_it_only_says_what_would_go() -> None:
    rig = Rig()
    await rig.once(ORDERS, owner="mine")
    before = rig.versions()
    (result,) = await results(rig, [], write=False)
    assert len(result.steps) == 3
    assert rig.versions() == before


@virtual_time
async def test_what_another_owner_made_is_left_alone() -> None:
    rig = Rig()
    await rig.once(ORDERS, owner="theirs")
    before = rig.versions()
    assert await pruned(rig, []) == []
    assert rig.versions() == before


@virtual_time
async def test_a_service_that_extsync_did_not_make_stays_without_our_endpoints() -> None:
    rig = Rig()
    rig.store.put(Service, flat_service("orders"))
    await rig.once(manifest("orders", rack(A), service=None, checks=[]), owner="mine")
    assert await pruned(rig, []) == ["orders"]
    assert set(rig.versions()) == {"Service/orders"}


@virtual_time
async def test_a_slice_that_merely_looks_like_ours_stays() -> None:
    """The mirroring controller copies our owner label onto its slices."""
    rig = Rig()
    labels = {
        "kubernetes.io/service-name": "orders",
        "extsync.dev/owner": "mine",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
    }
    rig.store.put(
        EndpointSlice,
        {
            "metadata": {"name": "orders-abc", "namespace": NAMESPACE, "labels": labels},
            "addressType": "IPv4",
            "endpoints": [],
            "ports": [],
        },
    )
    assert await pruned(rig, []) == []


@virtual_time
async def test_what_cannot_be_deleted_is_told() -> None:
    rig = Rig()
    await rig.once(ORDERS, owner="mine")
    rig.faults = lambda verb, kind, at: (
        Fault(error=Forbidden("scripted: no rights")) if (verb, kind) == ("delete", Endpoints) else None
    )
    (result,) = await results(rig, [])
    assert result.failed
    assert result.errors == [f"delete endpoints/orders failed: scripted: no rights{FORBIDDEN_CURE}"]
