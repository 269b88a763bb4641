"""``render``: the objects of manifests, without a cluster."""

from __future__ import annotations

from extsync.engine.offline import PORTS_UNKNOWN, objects_of, render
from extsync.engine.passes import OnceOptions
from extsync.objects import Endpoints, EndpointSlice
from extsync.seams.virtual import virtual_time
from tests.engine.support import A, B, Rig, manifest, prepared, rack

ORDERS = manifest("orders", rack(A, B))


@virtual_time
async def test_without_probing_all_endpoints_are_as_declared() -> None:
    rig = Rig()
    (result,) = await render(rig.world, OnceOptions(write=False, probe=False), prepared(ORDERS))
    slice_, endpoints = objects_of(result)
    assert isinstance(slice_, EndpointSlice)
    assert isinstance(endpoints, Endpoints)
    assert {e.addresses[0]: e.conditions.ready for e in slice_.endpoints or ()} == {A: True, B: True}
    assert rig.requests == []
    assert not rig.io.connections


@virtual_time
async def test_with_probing_they_are_as_they_are_found() -> None:
    rig = Rig()
    rig.up(A)
    (result,) = await render(rig.world, OnceOptions(write=False), prepared(ORDERS))
    slice_ = objects_of(result)[0]
    assert isinstance(slice_, EndpointSlice)
    assert {e.addresses[0]: e.conditions.ready for e in slice_.endpoints or ()} == {A: True, B: False}
    assert rig.requests == []


@virtual_time
async def test_a_service_that_has_to_exist_needs_its_ports_in_the_manifest() -> None:
    rig = Rig()
    unknown = manifest("unknown", rack(A), service=None, ports=None)
    known = manifest("known", rack(A), service=None)
    results = await render(rig.world, OnceOptions(write=False), prepared(unknown, known))
    assert [result.errors for result in results] == [[PORTS_UNKNOWN], []]
    assert [len(objects_of(result)) for result in results] == [0, 2]


@virtual_time
async def test_external_name_has_no_objects_but_its_service() -> None:
    alias = {"service": {"type": "ExternalName", "externalName": "db.example.com"}, "ports": [], "checks": []}
    (result,) = await render(Rig().world, OnceOptions(write=False), prepared(manifest("orders", **alias)))
    assert not result.failed
    assert objects_of(result) == []
