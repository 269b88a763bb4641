"""Ownership: installations side by side, Services that come, go and change, and objects that others change back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from extsync.engine.options import Options
from extsync.objects import Endpoints, EndpointSlice, Event, KubeObject, Service
from extsync.seams.virtual import virtual_time
from tests.engine.support import CHECK, NAMESPACE, PERIOD, A, B, Rig, flat_service, manifest, rack, ready

OWNER = "extsync.dev/owner"


def plain(name: str, *addresses: str, **spec: Any) -> dict[str, Any]:
    return manifest(name, rack(*addresses), checks=[], **spec)


def events(rig: Rig, reason: str) -> list[tuple[str, str]]:
    """Kind and message of the events of that reason."""
    return [
        (event["involvedObject"]["kind"], event["message"])
        for event in rig.store.dump(Event, NAMESPACE)
        if event["reason"] == reason
    ]


# ---- installations side by side --------------------------------------------------------------------------------------


@virtual_time
async def test_a_service_that_another_installation_keeps_is_refused_and_untouched(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig(options=Options(namespaces=(NAMESPACE,), owner="ours"))
    await rig.once(plain("orders", A), owner="theirs")
    before = rig.versions()
    async with rig.running(plain("orders", B)):
        await rig.clock.sleep(120)
        assert rig.versions() == before
    assert [kind for kind, _ in events(rig, "OwnershipConflict")] == ["Service", "Service", "Endpoints"]
    assert caplog.text.count("kept by the extsync installation with owner id 'theirs'") == 2


@pytest.mark.parametrize("publish", [["EndpointSlice"], ["EndpointSlice", "Endpoints"]])
@virtual_time
async def test_a_service_that_another_installation_keeps_gets_no_slices_either(publish: list[str]) -> None:
    rig = Rig(options=Options(namespaces=(NAMESPACE,), owner="ours"))
    await rig.once(plain("orders", A), owner="theirs")
    before = rig.versions()
    async with rig.running(plain("orders", B, service=None, publish=publish)):
        await rig.clock.sleep(120)
        assert rig.versions() == before


@virtual_time
async def test_to_a_service_that_nobody_keeps_each_installation_adds_slices_of_its_own() -> None:
    rig = Rig(options=Options(namespaces=(NAMESPACE,), owner="ours"))
    rig.store.put(Service, flat_service("orders"))
    await rig.once(plain("orders", A, service=None), owner="theirs")
    before = rig.versions()
    async with rig.running(plain("orders", B, service=None, publish=["EndpointSlice"])):
        await rig.until(lambda: rig.slices("orders") == ready(A, B), within=2)
        await rig.clock.sleep(600)
        after = rig.versions()
    assert {name: after[name] for name in before} == before
    assert {slice_["metadata"]["labels"][OWNER] for slice_ in rig.slice_objects("orders")} == {"ours", "theirs"}


@virtual_time
async def test_the_endpoints_belong_to_the_installation_that_was_there_first() -> None:
    rig = Rig(options=Options(namespaces=(NAMESPACE,), owner="ours"))
    rig.store.put(Service, flat_service("orders"))
    await rig.once(plain("orders", A, service=None), owner="theirs")
    before = rig.versions()
    async with rig.running(plain("orders", B, service=None, policy={"adopt": "IfUnmanaged"})):
        await rig.clock.sleep(600)
        assert rig.versions() == before
    assert "'theirs'" in events(rig, "OwnershipConflict")[0][1]


def ages(rig: Rig, monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    """From now on the server is too old for ``field`` of a Service, as the API server drops what is not enabled."""
    apply = rig.store.apply_service

    async def without(service: dict[str, Any], **options: Any) -> Service:
        spec = {name: value for name, value in service["spec"].items() if name != field}
        return await apply({**service, "spec": spec}, **options)

    monkeypatch.setattr(rig.store, "apply_service", without)


NOT_KEPT = "apply service/orders changes nothing: the server does not keep trafficDistribution as the manifest has it"


@virtual_time
async def test_a_field_that_the_server_does_not_keep_is_told_of_once_and_no_fight_over_it_begins(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig()
    ages(rig, monkeypatch, "trafficDistribution")
    async with rig.running(plain("orders", A, service={"trafficDistribution": "PreferClose"})):
        await rig.until(rig.agree("orders", ready(A)), within=2)
        with rig.recorded() as writes:
            await rig.clock.sleep(600)
        assert writes == []
    (told,) = [line for line in caplog.messages if "server does not keep" in line]
    assert told.startswith(f"test/orders: {NOT_KEPT}")
    assert events(rig, "WriteContention") == []


@virtual_time
async def test_a_single_pass_says_which_field_the_server_does_not_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    ages(rig, monkeypatch, "trafficDistribution")
    (result,) = await rig.once(plain("orders", A, service={"trafficDistribution": "PreferClose"}))
    assert rig.published("orders") == ready(A)
    (error,) = result.errors
    assert error.startswith(NOT_KEPT)
    assert rig.clock.monotonic() < 10.0


@virtual_time
async def test_a_refusal_that_comes_again_is_told_again() -> None:
    rig = Rig()
    rig.store.put(Service, flat_service("orders"))
    async with rig.running(plain("orders", A, service=None)):
        for _ in range(2):
            await rig.until(rig.agree("orders", ready(A)), within=2)
            rig.store.put(Service, flat_service("orders", selector={"app": "orders"}))
            await rig.clock.sleep(60)
            rig.store.put(Service, flat_service("orders"))
            await rig.clock.sleep(60)
        (event,) = [e for e in rig.store.dump(Event, NAMESPACE) if e["reason"] == "ServiceHasSelector"]
        assert event["count"] == 2


# ---- Services that come, go and change -------------------------------------------------------------------------------


@virtual_time
async def test_a_service_made_anew_gets_slices_of_its_own() -> None:
    rig = Rig(controller_delay=30.0)  # the garbage collector is late, so that the old slices are still there
    rig.store.put(Service, flat_service("orders"))
    async with rig.running(plain("orders", A, service=None)):
        await rig.until(rig.agree("orders", ready(A)), within=2)
        (old,) = rig.slice_objects("orders")
        rig.store.remove(Service, NAMESPACE, "orders")
        made = rig.store.put(Service, flat_service("orders"))
        await rig.until(lambda: len(rig.slice_objects("orders")) == 2, within=2)
        (new,) = [s for s in rig.slice_objects("orders") if s["metadata"]["uid"] != old["metadata"]["uid"]]
        assert new["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
        await rig.until(
            lambda: [s["metadata"]["uid"] for s in rig.slice_objects("orders")] == [new["metadata"]["uid"]], within=60
        )
        await rig.until(rig.agree("orders", ready(A)), within=60)


@virtual_time
async def test_a_service_that_is_being_deleted_gets_nothing_new() -> None:
    rig = Rig()
    service = flat_service("orders")
    service["metadata"]["finalizers"] = ["example.org/wait"]
    rig.store.put(Service, service)
    async with rig.running(plain("orders", A, service=None)):
        await rig.until(rig.agree("orders", ready(A)), within=2)
        rig.store.remove(Service, NAMESPACE, "orders")
        for kind in (EndpointSlice, Endpoints):
            for obj in rig.store.dump(kind, NAMESPACE):
                rig.store.remove(kind, NAMESPACE, obj["metadata"]["name"])
        await rig.clock.sleep(60)
        assert rig.published("orders") == {}


@virtual_time
async def test_endpoints_that_controllers_deleted_for_want_of_a_service_come_back_with_it() -> None:
    rig = Rig()
    rig.store.put(Service, flat_service("orders"))
    async with rig.running(plain("orders", A, service=None)):
        await rig.until(rig.agree("orders", ready(A)), within=2)
        rig.store.remove(Service, NAMESPACE, "orders")
        await rig.until(lambda: not rig.store.dump(Endpoints, NAMESPACE), within=5)
        rig.store.put(Service, flat_service("orders"))
        await rig.until(rig.agree("orders", ready(A)), within=5)


@virtual_time
async def test_a_service_that_its_manifest_keeps_no_more_is_released_and_stays() -> None:
    rig = Rig()
    async with rig.running(plain("orders", A), plain("carts", B)):
        await rig.until(rig.agree("orders", ready(A)), within=2)
        rig.manifests.put(plain("orders", A, service=None), plain("carts", B))
        await rig.until(
            lambda: OWNER not in rig.store.raw(Service, NAMESPACE, "orders")["metadata"].get("labels", {}), within=2
        )
        rig.manifests.put(plain("carts", B))
        await rig.until(rig.agree("orders", {}), within=62)
        await rig.clock.sleep(60)
        assert rig.has_service("orders")


@virtual_time
async def test_labels_that_kubernetes_copied_from_our_service_make_nothing_ours() -> None:
    """Its controllers copy the owner id of a Service that extsync keeps onto the Endpoints of a selector."""
    rig = Rig()
    async with rig.running(plain("orders", A, publish=["EndpointSlice"]), plain("carts", B)):
        await rig.until(lambda: rig.slices("orders") == ready(A), within=2)
        labels = {OWNER: "default", "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
        theirs = rig.store.put(
            Endpoints, {"metadata": {"name": "orders", "namespace": NAMESPACE, "labels": labels}, "subsets": []}
        )
        await rig.clock.sleep(60)
        assert rig.store.raw(Endpoints, NAMESPACE, "orders") == theirs


# ---- objects that others change back ---------------------------------------------------------------------------------


class Rival:
    """Another manager, which changes an object back as soon as extsync has written it."""

    def __init__(self, rig: Rig, kind: type[KubeObject]) -> None:
        self.rig = rig
        self.kind = kind
        self.active = True
        self.writes = 0

    async def run(self) -> None:
        while True:
            await self.rig.clock.sleep(0.5)
            if self.active:
                self.meddle()

    def meddle(self) -> None:
        for obj in self.rig.store.dump(self.kind, NAMESPACE):
            if obj["metadata"]["name"].startswith("orders") and obj["metadata"]["labels"].get("app") != "mine":
                obj["metadata"]["labels"]["app"] = "mine"
                self.rig.store.put(self.kind, obj, field_manager="rival")
                self.writes += 1


@asynccontextmanager
async def contested(rig: Rig, kind: type[KubeObject], *manifests: dict[str, Any]) -> AsyncIterator[Rival]:
    rival = Rival(rig, kind)
    async with rig.running(*manifests):
        await rig.until(lambda: bool(rig.slice_objects("orders")), within=2)
        task = asyncio.create_task(rival.run())
        try:
            yield rival
        finally:
            task.cancel()


@pytest.mark.parametrize("kind", [EndpointSlice, Endpoints])
@virtual_time
async def test_an_object_that_is_changed_back_is_written_ever_less_often(
    kind: type[KubeObject], caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig()
    async with contested(rig, kind, plain("orders", A)) as rival:
        await rig.clock.sleep(600)
        first, rival.writes = rival.writes, 0
        await rig.clock.sleep(3600)
        assert first <= 5 + 6
        assert rival.writes <= 3600 / 300 + 1
    assert caplog.text.count("is changed back again and again") == 1, "as long as it lasts it is said once"
    assert {told for told, _ in events(rig, "WriteContention")} == {"Service", kind.__name__}


@virtual_time
async def test_what_is_new_goes_out_however_contested_its_object_is_and_other_objects_go_on() -> None:
    rig = Rig()
    rig.up(A, B)
    async with contested(rig, EndpointSlice, manifest("orders", rack(A, B), checks=[CHECK])):
        await rig.clock.sleep(1800)
        assert rig.endpoints("orders") == ready(A, B)
        rig.down(B)
        await rig.until(rig.agree("orders", {A: True, B: False}), within=3 * PERIOD + 2)


@virtual_time
async def test_when_the_other_manager_stops_the_object_is_put_right_and_it_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    rig = Rig()
    async with contested(rig, EndpointSlice, plain("orders", A)) as rival:
        await rig.clock.sleep(1800)
        rival.active = False
        await rig.until(
            lambda: all("app" not in slice_["metadata"]["labels"] for slice_ in rig.slice_objects("orders")), within=300
        )
        await rig.clock.sleep(610)
        assert "stays as extsync writes it again" in caplog.text
        rival.meddle()
        await rig.clock.sleep(0.2)
        assert all("app" not in slice_["metadata"]["labels"] for slice_ in rig.slice_objects("orders"))
    assert {told for told, _ in events(rig, "WriteContentionOver")} == {"Service", "EndpointSlice"}


@virtual_time
async def test_a_slice_that_somebody_deletes_again_and_again_backs_off_too(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    deleted = 0
    async with rig.running(plain("orders", A)):
        for _ in range(7200):
            for slice_ in rig.slice_objects("orders"):
                rig.store.remove(EndpointSlice, NAMESPACE, slice_["metadata"]["name"])
                deleted += 1
            await rig.clock.sleep(0.5)
    assert deleted < 25
    assert "last by somebody who deletes it" in caplog.text


@virtual_time
async def test_fields_of_the_service_that_another_manager_took_over_are_told_by_an_event() -> None:
    rig = Rig()
    async with rig.running(plain("orders", A, service={"sessionAffinity": "ClientIP"})):
        await rig.until(rig.agree("orders", ready(A)), within=2)
        service = rig.store.raw(Service, NAMESPACE, "orders")
        service["spec"]["sessionAffinity"] = "None"
        service["spec"].pop("sessionAffinityConfig", None)
        rig.store.put(Service, service, field_manager="kubectl-edit")
        await rig.clock.sleep(600)
    (event,) = [e for e in rig.store.dump(Event, NAMESPACE) if e["reason"] == "OwnershipConflict"]
    assert event["involvedObject"]["kind"] == "Service"
    assert "kubectl-edit" in event["message"]
    assert event["count"] == 1
