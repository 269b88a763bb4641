"""``run``: manifests that come, change and go, objects that others change, and defects that stay where they are."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NoReturn

import pytest

from extsync.engine.options import Options
from extsync.engine.service import ServiceState
from extsync.errors import ConfigError, Forbidden
from extsync.health.registry import CheckRegistry
from extsync.kube.memory import Fault
from extsync.model import Backend, Observation, Outcome
from extsync.objects import Endpoints, EndpointSlice, KubeObject, Service
from extsync.seams.virtual import virtual_time
from extsync.sources.base import Emit
from tests.engine.support import (
    CHECK,
    NAMESPACE,
    PERIOD,
    A,
    B,
    C,
    Rig,
    feed,
    flat_service,
    key,
    manifest,
    rack,
    ready,
)

AT_ONCE = 0.2
BROKEN = "apiVersion: extsync.dev/v1alpha1\nkind: ExternalService\nspecification: {}\n"


def plain(name: str, *addresses: str, **spec: Any) -> dict[str, Any]:
    """A manifest without checks, whose backends are ready as declared."""
    return manifest(name, rack(*addresses), checks=[], **spec)


# ---- manifests -------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_manifest_that_is_wrong_never_stops_the_others(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    async with rig.running(BROKEN, plain("orders", A)):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        rig.manifests.put(plain("orders", A, B), BROKEN)
        await rig.until(rig.agree("orders", ready(A, B)), within=1)
    assert "specification" in caplog.text


@virtual_time
async def test_what_is_wrong_with_a_manifest_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    async with rig.running(BROKEN, plain("orders", A)):
        await rig.clock.sleep(120)
    assert caplog.text.count("unknown key 'specification'") == 1


@virtual_time
async def test_a_manifest_that_turns_wrong_goes_on_as_it_was() -> None:
    rig = Rig()
    rig.up(A)
    async with rig.running(manifest("orders", rack(A))):
        await rig.until(rig.agree("orders", ready(A)), within=PERIOD + 1)
        rig.manifests.put(BROKEN)
        rig.down(A)
        await rig.until(rig.agree("orders", {A: False}), within=32)
        await rig.clock.sleep(3600)
        assert rig.published("orders") == {A: False}


@virtual_time
async def test_a_changed_manifest_keeps_the_verdicts_of_what_stays() -> None:
    rig = Rig()
    rig.up(A, B, C)
    async with rig.running(manifest("orders", rack(A, B))):
        await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)
        rig.manifests.put(manifest("orders", rack(B, C)))
        await rig.until(rig.agree("orders", {B: True, C: False}), within=1)
        await rig.until(rig.agree("orders", ready(B, C)), within=PERIOD + 1)


@virtual_time
async def test_a_removed_manifest_takes_everything_with_it_after_the_delay() -> None:
    rig = Rig()
    async with rig.running(plain("orders", A), plain("carts", B)):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        rig.manifests.put(plain("carts", B))
        await rig.clock.sleep(59)
        assert rig.published("orders") == ready(A)
        await rig.until(lambda: not rig.has_service("orders"), within=2)
        assert rig.slice_objects("orders") == []
        assert rig.published("orders") == {}
        assert rig.published("carts") == ready(B)
        assert list(rig.engine.services()) == [key("carts")]


@virtual_time
async def test_a_removed_manifest_leaves_a_service_that_extsync_did_not_make() -> None:
    rig = Rig()
    rig.store.put(Service, flat_service("orders"))
    before = rig.store.raw(Service, NAMESPACE, "orders")
    async with rig.running(plain("orders", A, service=None, ports=None)):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        rig.manifests.put()
        await rig.clock.sleep(120)
        assert rig.published("orders") == ready(A)  # a folder without manifests is one that cannot be read
        rig.manifests.put(plain("carts", B))
        await rig.until(rig.agree("orders", {}), within=62)
        await rig.clock.sleep(60)
        assert rig.store.raw(Service, NAMESPACE, "orders") == before


@virtual_time
async def test_a_removal_that_fails_is_tried_again() -> None:
    rig = Rig()
    async with rig.running(plain("orders", A), plain("carts", B)):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        rig.faults = lambda verb, kind, at: Fault(error=Forbidden("scripted")) if verb == "delete" else None
        rig.manifests.put(plain("carts", B))
        await rig.clock.sleep(90)
        assert rig.published("orders") == ready(A)
        rig.faults = None
        await rig.until(lambda: not rig.has_service("orders"), within=31)


@virtual_time
async def test_a_removal_waits_for_what_became_of_a_write_without_an_answer() -> None:
    rig = Rig()
    async with rig.running(plain("orders", A), plain("carts", B)):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        rig.faults = lambda verb, kind, at: Fault(lost=True) if (verb, at[1]) == ("update", "orders") else None
        rig.manifests.put(plain("orders", A, C), plain("carts", B))
        await rig.clock.sleep(11)
        rig.manifests.put(plain("carts", B))
        await rig.clock.sleep(59)
        rig.faults = None
        await rig.until(lambda: not rig.has_service("orders"), within=31)
        assert list(rig.engine.services()) == [key("carts")]


@virtual_time
async def test_a_manifest_that_comes_back_while_its_objects_leave_is_kept_again() -> None:
    rig = Rig()
    async with rig.running(plain("orders", A), plain("carts", B)):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        rig.faults = lambda verb, kind, at: Fault(after=5.0) if verb == "delete" else None
        rig.manifests.put(plain("carts", B))
        await rig.until(lambda: not rig.slice_objects("orders"), within=62)
        rig.manifests.put(plain("carts", B), plain("orders", A))
        await rig.until(rig.agree("orders", ready(A)), within=60)
        await rig.clock.sleep(60)
        assert rig.published("orders") == ready(A)


@virtual_time
async def test_a_manifest_of_a_namespace_that_is_not_watched_is_refused_with_the_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig(options=Options(namespaces=("elsewhere",)))
    async with rig.running(plain("orders", A)):
        await rig.clock.sleep(10)
    assert "test/orders: its namespace is not among" in caplog.text
    assert "defect" not in caplog.text


@pytest.mark.parametrize("error", [ZeroDivisionError("scripted"), ConfigError("scripted"), SystemExit("scripted")])
@virtual_time
async def test_a_check_that_cannot_be_made_stops_no_other_manifest(
    error: BaseException, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: CheckRegistry, kind: str) -> NoReturn:
        raise error

    monkeypatch.setattr(CheckRegistry, "factory", failing)
    rig = Rig()
    async with rig.running(manifest("broken", rack(A)), plain("orders", A)):
        await rig.until(rig.agree("orders", ready(A)), within=1)
    assert "test/broken: " in caplog.text
    assert "scripted" in caplog.text


# ---- Services --------------------------------------------------------------------------------------------------------


@virtual_time
async def test_an_external_name_is_a_service_and_nothing_else() -> None:
    rig = Rig()
    alias = {"service": {"type": "ExternalName", "externalName": "db.example.com"}, "ports": [], "checks": []}
    async with rig.running(manifest("orders", **alias)):
        await rig.until(lambda: rig.has_service("orders"), within=1)
        await rig.clock.sleep(30)
        assert rig.store.raw(Service, NAMESPACE, "orders")["spec"]["externalName"] == "db.example.com"
        assert rig.slice_objects("orders") == []
        assert rig.store.dump(Endpoints, NAMESPACE) == ()


@virtual_time
async def test_a_service_that_has_to_exist_is_waited_for() -> None:
    rig = Rig()
    async with rig.running(plain("orders", A, service=None, ports=None)):
        await rig.clock.sleep(30)
        assert rig.slice_objects("orders") == []
        rig.store.put(Service, flat_service("orders"))
        await rig.until(rig.agree("orders", ready(A)), within=AT_ONCE)


@virtual_time
async def test_a_service_that_goes_and_comes_back_is_published_again(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.up(A)
    rig.store.put(Service, flat_service("orders"))
    async with rig.running(manifest("orders", rack(A), service=None, ports=None)):
        await rig.until(rig.agree("orders", ready(A)), within=PERIOD + 1)
        rig.store.remove(Service, NAMESPACE, "orders")
        await rig.until(lambda: not rig.slice_objects("orders"), within=5)
        await rig.clock.sleep(60)
        rig.store.put(Service, flat_service("orders"))
        await rig.until(rig.agree("orders", ready(A)), within=AT_ONCE)
    assert "defect" not in caplog.text


@virtual_time
async def test_a_check_that_names_a_port_of_no_service_is_said_and_mended_with_the_service(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()
    rig.up(A)
    rig.store.put(Service, flat_service("orders", ports=[{"name": "web", "port": 80}]))
    check = {**CHECK, "tcpSocket": {"port": "http"}}
    async with rig.running(manifest("orders", rack(A), service=None, ports=None, checks=[check])):
        await rig.clock.sleep(10)
        assert not any(rig.slices("orders").values())
        rig.store.put(Service, flat_service("orders", ports=[{"name": "http", "port": 80}]))
        await rig.until(rig.agree("orders", ready(A)), within=PERIOD + 1)
    assert "a check asks for port 'http', and the Service has web" in caplog.text
    assert "defect" not in caplog.text


@virtual_time
async def test_a_selector_that_somebody_adds_ends_our_endpoints_and_not_our_slices(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Kubernetes's own controller takes the Endpoints over; writing them too would be a fight without end."""
    rig = Rig()
    rig.store.put(Service, flat_service("orders"))
    async with rig.running(plain("orders", A, service=None)):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        rig.store.put(Service, flat_service("orders", selector={"app": "orders"}))
        await rig.clock.sleep(5)
        with rig.recorded() as writes:
            await rig.clock.sleep(300)
        assert writes == []
        assert rig.slices("orders") == ready(A)
    assert "selector" in caplog.text


# ---- objects that others change --------------------------------------------------------------------------------------


def edited(rig: Rig, kind: type[EndpointSlice] | type[Endpoints]) -> dict[str, Any]:
    """The one object of its kind of the service "orders", to be edited."""
    (body,) = rig.store.dump(kind, NAMESPACE)
    return body


@virtual_time
async def test_a_deleted_slice_and_deleted_endpoints_come_back_at_once() -> None:
    rig = Rig()
    async with rig.running(plain("orders", A)):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        kinds: tuple[type[EndpointSlice] | type[Endpoints], ...] = (EndpointSlice, Endpoints)
        for kind in kinds:
            rig.store.remove(kind, NAMESPACE, edited(rig, kind)["metadata"]["name"])
            await rig.until(rig.agree("orders", ready(A)), within=AT_ONCE)


@virtual_time
async def test_edits_by_others_are_put_right_at_once() -> None:
    rig = Rig()
    async with rig.running(plain("orders", A, B)):
        await rig.until(rig.agree("orders", ready(A, B)), within=1)
        slice_ = edited(rig, EndpointSlice)
        slice_["endpoints"][0]["conditions"]["ready"] = False
        rig.store.put(EndpointSlice, slice_)
        await rig.until(rig.agree("orders", ready(A, B)), within=AT_ONCE)
        emptied = edited(rig, Endpoints)
        emptied["subsets"] = []
        rig.store.put(Endpoints, emptied)
        await rig.until(rig.agree("orders", ready(A, B)), within=AT_ONCE)


@virtual_time
async def test_a_slice_whose_labels_somebody_took_off_is_labelled_again() -> None:
    rig = Rig()
    async with rig.running(plain("orders", A)):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        slice_ = edited(rig, EndpointSlice)
        labels = slice_["metadata"].pop("labels")
        rig.store.put(EndpointSlice, slice_)
        await rig.until(lambda: edited(rig, EndpointSlice)["metadata"].get("labels") == labels, within=AT_ONCE)


@virtual_time
async def test_what_others_add_to_our_objects_stays() -> None:
    rig = Rig()
    async with rig.running(plain("orders", A)):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        slice_ = edited(rig, EndpointSlice)
        slice_["metadata"].setdefault("annotations", {})["theirs"] = "stays"
        rig.store.put(EndpointSlice, slice_)
        rig.manifests.put(plain("orders", A, B))
        await rig.until(rig.agree("orders", ready(A, B)), within=1)
        assert edited(rig, EndpointSlice)["metadata"]["annotations"]["theirs"] == "stays"


# ---- defects ---------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_defect_in_one_service_is_told_and_tried_again_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide, broken = ServiceState.decide, [True]

    def defective(self: ServiceState, *args: Any, **kwargs: Any) -> Any:
        if broken and self.key == key("broken"):
            raise ZeroDivisionError("scripted defect")
        return decide(self, *args, **kwargs)

    monkeypatch.setattr(ServiceState, "decide", defective)
    rig = Rig()
    async with rig.running(plain("broken", A), manifest("orders", rack(B))):
        rig.up(B)
        await rig.until(rig.agree("orders", ready(B)), within=PERIOD + 1)
        assert rig.slice_objects("broken") == []
        told = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert {record.getMessage().partition(":")[0] for record in told} == {"test/broken"}
        assert all(record.exc_info for record in told)
        broken.clear()
        await rig.until(rig.agree("broken", ready(A)), within=31)


@virtual_time
async def test_a_source_that_was_replaced_and_does_not_stop_is_not_listened_to() -> None:
    rig = Rig()

    class Stubborn:
        async def run(self, emit: Emit) -> None:
            emit(Observation(Outcome.FOUND, (Backend(A),)))
            try:
                await asyncio.Event().wait()
            finally:
                await rig.clock.sleep(3)
                emit(Observation(Outcome.FOUND, (Backend(C),)))

    rig.sources["feed"] = Stubborn()
    async with rig.running(manifest("orders", feed(), checks=[])):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        rig.manifests.put(manifest("orders", rack(B, name="feed"), checks=[]))
        await rig.clock.sleep(10)
        assert rig.published("orders") == ready(B)


@virtual_time
async def test_stopping_leaves_everything_as_it_is() -> None:
    rig = Rig()
    rig.up(A)
    async with rig.running(manifest("orders", rack(A))):
        await rig.until(rig.agree("orders", ready(A)), within=PERIOD + 1)
        before = rig.versions()
        await rig.stop()
        await rig.clock.sleep(60)
        assert rig.versions() == before
        assert rig.io.open_sockets == 0
        rig.start()


@virtual_time
async def test_what_became_of_a_write_without_an_answer_is_read_before_the_next_one() -> None:
    """A plan from before it could take an endpoint from where it has moved to."""
    rig = Rig()
    async with rig.running(plain("orders", A, publish=["EndpointSlice"])):
        await rig.until(lambda: rig.slices("orders") == ready(A), within=1)
        lost = [Fault(lost=True)]

        def faults(verb: str, kind: type[KubeObject], at: tuple[str, str]) -> Fault | None:
            if kind is not EndpointSlice:
                return None
            if verb == "event":
                return Fault(before=60.0)  # and the watch is slow to tell
            return lost.pop() if verb == "update" and lost else None

        rig.faults = faults
        before = len(rig.requests)
        rig.manifests.put(plain("orders", A, B, publish=["EndpointSlice"]))
        await rig.until(lambda: rig.slices("orders") == ready(A, B), within=1)
        rig.manifests.put(plain("orders", A, C, publish=["EndpointSlice"]))
        await rig.until(lambda: rig.slices("orders") == ready(A, C), within=31)
        verbs = [request.verb for request in rig.requests[before:] if request.kind is EndpointSlice]
        assert [verb for verb in verbs if verb != "event"] == ["update", "get", "update"]


@virtual_time
async def test_what_was_written_as_it_was_meant_is_not_planned_again() -> None:
    rig = Rig()
    async with rig.running(manifest("web", rack(A), service=None, checks=[])):
        rig.store.put(Service, {"metadata": {"name": "web", "namespace": NAMESPACE}, "spec": {"ports": [{"port": 80}]}})
        await rig.until(rig.agree("web", ready(A)), within=10.0)
        await rig.clock.sleep(5.0)
        before = sum(rig.engine.status().plan_seconds.counts)
        rig.manifests.put(manifest("web", rack(A, B), service=None, checks=[]))
        await rig.until(rig.agree("web", ready(A, B)), within=20.0)
        await rig.clock.sleep(5.0)
        plans = sum(rig.engine.status().plan_seconds.counts) - before
    assert plans <= 2  # the manifest, and the report of its source


@virtual_time
async def test_nothing_is_made_before_the_sources_have_reported() -> None:
    rig = Rig()
    async with rig.running(manifest("web", feed(), checks=[])):
        await rig.clock.sleep(30.0)
        assert not [request for request in rig.requests if request.is_write and request.kind is not Service]
        rig.feed().found(A)
        await rig.until(rig.agree("web", ready(A)), within=1.0)
        made = [request.verb for request in rig.requests if request.is_write and request.kind is EndpointSlice]
    assert made == ["create"]


@virtual_time
async def test_of_a_source_that_is_not_heard_of_it_is_said_that_its_service_waits_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()
    told = "source 'feed' has not reported since the start: what it has is not known yet"

    def said() -> tuple[str, ...]:
        detail = rig.engine.details(key("web"), address="", most=1)
        assert detail is not None
        return detail.notices

    async with rig.running(manifest("web", feed(), checks=[])):
        await rig.clock.sleep(9.0)
        assert not caplog.messages
        await rig.clock.sleep(600.0)
        assert caplog.messages == [f"{NAMESPACE}/web: {told}"]
        assert said() == (told,)
        rig.feed().found(A)
        await rig.until(rig.agree("web", ready(A)), within=1.0)
        assert said() == ()


@virtual_time
async def test_each_decision_is_a_line_with_service_address_and_reason_for_machines(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    rig = Rig()
    rig.up(A, B)
    async with rig.running(manifest("web", rack(A, B))):
        await rig.until(rig.agree("web", ready(A, B)), within=30.0)
        caplog.clear()
        rig.down(B)
        await rig.until(rig.agree("web", {A: True, B: False}), within=60.0)
    endpoint, *writes = [record.fields for record in caplog.records]  # type: ignore[attr-defined]
    assert endpoint["service"] == f"{NAMESPACE}/web"
    assert endpoint["topic"] == "endpoint"
    assert endpoint["addresses"] == (f"{B}:80",)
    assert endpoint["reason"].startswith("its checks fail: ")
    assert {(one["service"], one["topic"]) for one in writes} == {(f"{NAMESPACE}/web", "write")}
    assert [one["reason"] for one in writes] == ["1 endpoint changed", "1 address now not ready"]


@virtual_time
async def test_of_many_new_services_nearly_all_sources_are_heard_before_the_first_look() -> None:
    rig = Rig()
    names = [f"web-{number}" for number in range(20)]
    for name in names:
        rig.store.put(Service, flat_service(name))
    async with rig.running():
        await rig.clock.sleep(5.0)
        rig.manifests.put(*(plain(name, A, service=None) for name in names))
        await rig.until(lambda: all(rig.slices(name) == ready(A) for name in names), within=20.0)
        await rig.clock.sleep(5.0)
        assert sum(rig.engine.status().plan_seconds.counts) < 1.5 * len(names)
