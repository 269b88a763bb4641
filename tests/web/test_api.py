"""The status API: what it tells of the process, of services in pages, and of one service in full."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp.test_utils import make_mocked_request

from extsync.model import ServiceKey
from extsync.seams.virtual import virtual_time
from extsync.web import api
from extsync.web.api import Api
from tests.engine.support import NAMESPACE, A, B, C, Rig, feed, manifest, rack, ready


async def answer(rig: Rig, path: str, **match: str) -> tuple[int, Any]:
    """Status and decoded body."""
    handlers = Api(rig.engine)
    request = make_mocked_request("GET", path, match_info=match)
    handler = handlers.service if match else handlers.services if "services" in path else handlers.status
    response = await handler(request)
    assert response.content_type == "application/json"
    return response.status, msgspec.json.decode(response.body)  # type: ignore[arg-type]


async def service(rig: Rig, name: str, address: str = "") -> Any:
    status, document = await answer(rig, f"/?address={address}", namespace=NAMESPACE, name=name)
    assert status == 200
    return document


@virtual_time
async def test_the_process_is_told() -> None:
    rig = Rig()
    rig.up(A)
    async with rig.running(manifest("web", rack(A))):
        await rig.until(rig.agree("web", ready(A)), within=30.0)
        status, told = await answer(rig, "/api/v1/status")
    assert status == 200
    assert (told["synced"], told["services"], told["owner"], told["probeTargets"]) == (True, 1, "default", 1)
    assert told["isolated"] == ""
    assert 0.0 <= told["cacheAgeSeconds"] < 90.0


@virtual_time
async def test_why_an_endpoint_is_not_ready_is_told_with_its_probes_and_what_happened() -> None:
    rig = Rig()
    rig.up(A, B)
    async with rig.running(manifest("web", rack(A, B))):
        await rig.until(rig.agree("web", ready(A, B)), within=30.0)
        await rig.clock.sleep(20.0)
        rig.down(B)
        await rig.until(rig.agree("web", {A: True, B: False}), within=40.0)
        told = await service(rig, "web", B)
        [endpoint] = told["endpoints"]
        whole = await service(rig, "web")
    assert endpoint["state"] == "NotReady"
    assert endpoint["reason"].startswith("its checks fail: ")
    [probe] = endpoint["probes"]
    assert (probe["health"], probe["failed"]) == ("Unhealthy", 3)
    assert [result["failure"] is None for result in probe["results"]][-4:] == [True, False, False, False]
    assert [change["health"] for change in probe["changes"]] == ["Healthy", "Unhealthy"]
    topics = [entry["topic"] for entry in told["journal"]]
    assert topics[0] == "manifest"
    assert {"endpoint", "write"} <= set(topics)
    assert any(f"{B}:80 was ready and is not ready" in entry["text"] for entry in told["journal"])
    assert [one["address"] for one in whole["endpoints"]] == [A, B]
    assert [one["probes"] for one in whole["endpoints"]] == [None, None]


@virtual_time
async def test_sources_standbys_and_what_is_set_aside_are_told() -> None:
    rig = Rig()
    rig.up(A, B)
    rig.feed().found("not an address", C)
    rig.down(C)
    async with rig.running(manifest("web", rack(A), feed(), rack(B, name="standby", priority=1))):
        await rig.until(lambda: rig.slices("web") == {A: True, C: False}, within=30.0)
        told = await service(rig, "web")
    states = {one["address"]: (one["state"], one["standby"], one["source"]) for one in told["endpoints"]}
    assert states[B] == ("Ready", True, "standby")
    assert states[A] == ("Ready", False, "rack")
    assert [one["source"] for one in told["setAside"]] == ["feed"]
    assert [(one["name"], one["outcome"], one["backends"]) for one in told["summary"]["sources"]] == [
        ("rack", "found", 1),
        ("feed", "found", 2),
        ("standby", "found", 1),
    ]


@virtual_time
async def test_what_is_set_aside_is_told_of_the_address_that_was_asked_for_alone() -> None:
    rig = Rig()
    rig.feed().found(A, "127.0.0.1", "127.0.0.12", "::1", "not an address")
    async with rig.running(manifest("web", feed(), checks=[])):
        await rig.until(rig.agree("web", ready(A)), within=5.0)
        for address in ("127.0.0.1", "::1"):
            told = await service(rig, "web", address=address)
            assert [one["entry"] for one in told["setAside"]] == [address]


@virtual_time
async def test_each_endpoint_whose_removal_is_withheld_says_so() -> None:
    """The log and the event name but the first of them."""
    many = tuple(f"192.0.2.{number}" for number in range(1, 41))
    rig = Rig()
    rig.feed().found(*many)
    async with rig.running(manifest("web", feed(), checks=[])):
        await rig.until(rig.agree("web", ready(*many)), within=5.0)
        rig.feed().found(*many[:5])
        await rig.clock.sleep(5.0)
        told = await service(rig, "web")
    withheld = [one["address"] for one in told["endpoints"] if one["withheld"]]
    assert sorted(withheld) == sorted(many[5:])
    assert told["summary"]["suppressed"]["endpoints"] == len(withheld)


@virtual_time
async def test_services_come_in_pages_in_their_order_and_can_be_searched(monkeypatch: Any) -> None:
    monkeypatch.setattr(api, "MOST_SERVICES", 2)
    rig = Rig()
    names = ["a", "a-b", "b", "c", "d"]
    async with rig.running(*(manifest(name, rack(A), checks=[]) for name in names)):
        await rig.until(lambda: len(rig.engine.service_keys()) == 5, within=10.0)
        seen: list[str] = []
        after: str | None = ""
        while after is not None:
            _, page = await answer(rig, f"/api/v1/services?after={after}")
            assert len(page["items"]) <= 2
            seen += [one["name"] for one in page["items"]]
            after = page["next"]
        _, found = await answer(rig, "/api/v1/services?search=a")
        _, elsewhere = await answer(rig, "/api/v1/services?namespace=other")
    assert seen == names
    assert [one["name"] for one in found["items"]] == ["a", "a-b"]
    assert elsewhere == {"items": [], "next": None}


@virtual_time
async def test_of_very_many_endpoints_the_first_are_told_and_each_when_it_is_asked_for(monkeypatch: Any) -> None:
    monkeypatch.setattr(api, "MOST_ENDPOINTS", 2)
    rig = Rig()
    addresses = [f"192.0.2.{number}" for number in range(1, 6)]
    rig.feed().found(*addresses, *(f"no address {number}" for number in range(5)))
    async with rig.running(manifest("web", feed(), checks=[])):
        await rig.until(rig.agree("web", ready(*addresses)), within=10.0)
        some = await service(rig, "web")
        last = await service(rig, "web", addresses[-1])
        none = await service(rig, "web", "192.0.2.9")
    assert [one["address"] for one in some["endpoints"]] == addresses[:2]
    assert (some["omitted"], len(some["setAside"])) == (3, 2)
    assert [one["address"] for one in last["endpoints"]] == addresses[-1:]
    assert (last["omitted"], last["setAside"], none["endpoints"]) == (0, [], [])


@virtual_time
async def test_a_service_that_is_not_kept_is_not_found() -> None:
    rig = Rig()
    async with rig.running(manifest("web", rack(A), checks=[])):
        await rig.until(lambda: ServiceKey(NAMESPACE, "web") in rig.engine.service_keys(), within=10.0)
        status, told = await answer(rig, "/", namespace=NAMESPACE, name="other")
    assert (status, told) == (404, {"error": f"extsync does not keep {NAMESPACE}/other"})


@virtual_time
async def test_the_journal_is_bounded() -> None:
    rig = Rig()
    rig.feed().found(A)
    async with rig.running(manifest("web", feed(), checks=[])):
        for number in range(60):
            rig.feed().found(A, f"192.0.2.{100 + number}")
            await rig.clock.sleep(2.0)
        assert len((await service(rig, "web"))["journal"]) == 50


@virtual_time
async def test_a_removal_that_is_withheld_is_told_and_counted() -> None:
    rig = Rig()
    addresses = [f"192.0.2.{number}" for number in range(1, 11)]
    rig.feed().found(*addresses)
    async with rig.running(manifest("web", feed(), checks=[])):
        await rig.until(rig.agree("web", ready(*addresses)), within=10.0)
        rig.feed().found(*addresses[:2])
        await rig.clock.sleep(60.0)
        told = await service(rig, "web")
    suppressed = told["summary"]["suppressed"]
    assert suppressed["endpoints"] == 8
    assert suppressed["hash"] in suppressed["text"]
    assert told["summary"]["leads"] is True
