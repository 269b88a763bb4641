"""The events of a running engine: what happens to a service, on the Service and on what is published."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from extsync.engine.news import GATHER
from extsync.engine.options import Options
from extsync.model import Outcome
from extsync.objects import Endpoints, EndpointSlice, Event, Service
from extsync.seams.virtual import virtual_time
from tests.engine.support import NAMESPACE, A, B, C, OnAndOff, Rig, feed, manifest, not_ready, rack, ready

RACK = [f"192.0.2.{number}" for number in range(1, 13)]


def counts(rig: Rig, reason: str) -> list[int]:
    return [event["count"] for event in rig.store.dump(Event, NAMESPACE) if event["reason"] == reason]


@virtual_time
async def test_an_endpoint_that_goes_down_and_up_is_told_on_the_service_and_on_the_endpoints() -> None:
    rig = Rig()
    rig.up(A, B, C)
    async with rig.running(manifest("web", rack(A, B, C))):
        await rig.until(rig.agree("web", ready(A, B, C)), within=30.0)
        rig.down(B)
        await rig.until(rig.agree("web", {A: True, B: False, C: True}), within=60.0)
        await rig.clock.sleep(GATHER + 1.0)
        for kind in (Service, Endpoints):
            [(_, told)] = rig.events("EndpointDown", on=kind)
            assert told.startswith(f"{B}:80 is not ready: its checks fail: ")
        rig.up(B)
        await rig.until(rig.agree("web", ready(A, B, C)), within=60.0)
        await rig.clock.sleep(GATHER + 1.0)
    assert ("EndpointUp", f"{B}:80 is ready: its checks pass") in rig.events("EndpointUp")
    assert rig.events("ServiceEmpty", "ServiceDegraded") == []
    assert rig.events(on=EndpointSlice) == []


@virtual_time
async def test_what_comes_up_for_the_first_time_is_no_event() -> None:
    rig = Rig()
    rig.up(A, B)
    async with rig.running(manifest("web", rack(A))):
        await rig.until(rig.agree("web", ready(A)), within=30.0)
        rig.manifests.put(manifest("web", rack(A, B)))
        await rig.until(rig.agree("web", ready(A, B)), within=60.0)
        await rig.clock.sleep(GATHER + 1.0)
    assert rig.store.dump(Event, NAMESPACE) == ()


@virtual_time
async def test_without_endpoints_it_is_told_on_the_slice_that_has_the_address() -> None:
    rig = Rig()
    rig.up(*RACK)
    small = manifest("web", rack(*RACK), publish=["EndpointSlice"], policy={"maxEndpointsPerSlice": 4})
    async with rig.running(small):
        await rig.until(lambda: rig.slices("web") == ready(*RACK), within=30.0)
        await rig.clock.sleep(GATHER + 1.0)
        rig.down(RACK[7])
        await rig.until(lambda: rig.slices("web")[RACK[7]] is False, within=60.0)
        await rig.clock.sleep(GATHER + 1.0)
    [about] = [
        event["involvedObject"]["name"]
        for event in rig.store.dump(Event, NAMESPACE)
        if event["reason"] == "EndpointDown" and event["involvedObject"]["kind"] == "EndpointSlice"
    ]
    [having] = [
        slice_["metadata"]["name"]
        for slice_ in rig.slice_objects("web")
        if any(RACK[7] in endpoint["addresses"] for endpoint in slice_["endpoints"])
    ]
    assert about == having


@virtual_time
async def test_what_goes_down_at_once_is_one_event() -> None:
    rig = Rig()
    rig.up(*RACK)
    async with rig.running(manifest("web", rack(*RACK))):
        await rig.until(rig.agree("web", ready(*RACK)), within=30.0)
        await rig.clock.sleep(60.0)
        rig.down(*RACK[:8])
        await rig.until(lambda: list(rig.slices("web").values()).count(False) == 8, within=90.0)
        await rig.clock.sleep(GATHER + 1.0)
        told = [message for _, message in rig.events("EndpointDown")]
    assert len(told) <= 3
    assert "192.0.2." in told[0]
    assert len(rig.events("ServiceDegraded")) == 1


@virtual_time
async def test_a_service_that_runs_empty_and_recovers_is_told() -> None:
    rig = Rig()
    rig.up(A, B)
    async with rig.running(manifest("web", rack(A, B))):
        await rig.until(rig.agree("web", ready(A, B)), within=30.0)
        rig.down(A, B)
        await rig.until(rig.agree("web", not_ready(A, B)), within=90.0)
        await rig.clock.sleep(GATHER + 1.0)
        assert rig.events("ServiceEmpty") == [("ServiceEmpty", "none of its 2 endpoints is ready")]
        assert rig.events("ServiceEmpty", on=Endpoints) == rig.events("ServiceEmpty")
        rig.up(A, B)
        await rig.until(rig.agree("web", ready(A, B)), within=90.0)
        await rig.clock.sleep(GATHER + 1.0)
    assert rig.events("ServiceRecovered") == [("ServiceRecovered", "1 of 2 endpoints is ready again")]


@virtual_time
async def test_a_new_service_is_not_called_empty_before_its_backends_had_their_chance() -> None:
    rig = Rig()
    rig.up(A)
    rig.down(B)
    async with rig.running(manifest("web", feed(), rack(A)), manifest("down", rack(B))):
        await rig.until(rig.agree("web", ready(A)), within=60.0)
        await rig.until(lambda: bool(rig.events("ServiceEmpty")), within=60.0)
        await rig.clock.sleep(60.0)
        empty = [e["involvedObject"]["name"] for e in rig.store.dump(Event, NAMESPACE) if e["reason"] == "ServiceEmpty"]
    assert set(empty) == {"down"}


@virtual_time
async def test_fewer_ready_endpoints_than_min_ready_are_told() -> None:
    rig = Rig()
    rig.up(A, B, C)
    async with rig.running(manifest("web", rack(A, B, C), policy={"minReady": 3})):
        await rig.until(rig.agree("web", ready(A, B, C)), within=30.0)
        rig.down(C)
        await rig.until(rig.agree("web", {A: True, B: True, C: False}), within=60.0)
        await rig.clock.sleep(GATHER + 1.0)
    assert rig.events("ServiceDegraded") == [
        ("ServiceDegraded", "only 2 of 3 endpoints are ready; policy.minReady is 3")
    ]


@virtual_time
async def test_a_source_that_fails_and_recovers_is_told() -> None:
    rig = Rig()
    rig.feed().found(A)
    async with rig.running(manifest("web", feed(), checks=[])):
        await rig.until(rig.agree("web", ready(A)), within=10.0)
        rig.feed().fail(Outcome.ERROR)
        await rig.clock.sleep(2.0)
        rig.feed().found(A)
        await rig.clock.sleep(2.0)
    told = rig.events("SourceFailing", "SourceRecovered")
    assert told == [
        ("SourceFailing", "source 'feed': scripted; its last good set stays"),
        ("SourceRecovered", "source 'feed' answers again"),
    ]
    assert rig.events("SourceFailing", "SourceRecovered", on=Endpoints) == told


@virtual_time
async def test_a_source_that_flaps_fills_neither_the_log_nor_the_events(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rig = Rig()
    rig.feed().found(A)
    async with rig.running(manifest("web", feed(), checks=[])):
        await rig.until(rig.agree("web", ready(A)), within=10.0)
        caplog.clear()
        for _ in range(180):
            rig.feed().fail()
            await rig.clock.sleep(10.0)
            rig.feed().found(A)
            await rig.clock.sleep(10.0)
        rig.feed().fail()
        lines = [record.getMessage() for record in caplog.records]
        caplog.clear()
        await rig.clock.sleep(301.0)
        last = [record.getMessage() for record in caplog.records]
    assert len(lines) < 20
    assert sum(counts(rig, "SourceFailing")) + sum(counts(rig, "SourceFlapping")) <= 2 * 8
    assert last[-1] == "test/web: source 'feed': scripted; its last good set stays"


@virtual_time
async def test_endpoints_that_leave_are_told_without_alarm() -> None:
    rig = Rig()
    rig.feed().found(A, B, C)
    async with rig.running(manifest("web", feed(), checks=[])):
        await rig.until(rig.agree("web", ready(A, B, C)), within=10.0)
        rig.feed().found(A, B)
        await rig.until(rig.agree("web", ready(A, B)), within=60.0)
        await rig.clock.sleep(GATHER + 1.0)
    assert rig.events("EndpointRemoved") == [("EndpointRemoved", f"{C}:80 is not published any more: no source has it")]


@virtual_time
async def test_a_restart_tells_nothing_again_and_what_went_down_meanwhile() -> None:
    rig = Rig()
    rig.up(A, B, C)
    web: dict[str, Any] = manifest("web", rack(A, B, C))
    async with rig.running(web):
        await rig.until(rig.agree("web", ready(A, B, C)), within=30.0)
        await rig.clock.sleep(GATHER + 1.0)
        before = rig.store.dump(Event, NAMESPACE)
        await rig.restart(web)
        await rig.clock.sleep(60.0)
        assert rig.store.dump(Event, NAMESPACE) == before
        await rig.stop()
        rig.down(B)
        rig.start_anew(web)
        await rig.until(rig.agree("web", {A: True, B: False, C: True}), within=90.0)
        await rig.clock.sleep(GATHER + 1.0)
    assert len(rig.events("EndpointDown")) == 1


@virtual_time
async def test_a_replica_that_stands_by_tells_nothing_and_goes_on_from_there() -> None:
    rig = Rig(options=Options(namespaces=(NAMESPACE,)))
    rig.up(A, B, C)
    web = manifest("web", rack(A, B, C))
    async with rig.running(web):
        await rig.until(rig.agree("web", ready(A, B, C)), within=30.0)
        await rig.stop()
        leadership = OnAndOff()
        rig.manifests.put(web)
        rig.start(leadership=leadership)
        await rig.clock.sleep(60.0)
        rig.down(B)
        await rig.clock.sleep(60.0)
        assert rig.events("EndpointDown") == []
        leadership.turn(on=True)
        await rig.until(rig.agree("web", {A: True, B: False, C: True}), within=60.0)
        await rig.clock.sleep(GATHER + 1.0)
    assert len(rig.events("EndpointDown")) == 1
