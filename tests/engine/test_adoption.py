"""Adoption: what nobody keeps is taken over with its readiness, and no moment is without it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from extsync.errors import Unavailable
from extsync.kube.memory import Fault
from extsync.objects import Endpoints, EndpointSlice, Event, Service
from extsync.seams.virtual import virtual_time
from tests.engine.support import NAMESPACE, PERIOD, PORT, A, B, Rig, feed, flat_service, manifest, rack, ready

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"
MIRROR = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
IF_UNMANAGED = {"adopt": "IfUnmanaged"}


def adopting(*addresses: str, **spec: Any) -> dict[str, Any]:
    """A manifest of a Service that exists, which takes over what nobody keeps."""
    return manifest("orders", rack(*addresses), service=None, **{"policy": IF_UNMANAGED, **spec})


def endpoints_of(*addresses: str, not_ready: tuple[str, ...] = (), **metadata: Any) -> dict[str, Any]:
    """Endpoints as somebody writes them by hand."""
    subset = {
        "addresses": [{"ip": address} for address in addresses],
        "notReadyAddresses": [{"ip": address} for address in not_ready],
        "ports": [{"port": PORT, "protocol": "TCP"}],
    }
    return {"metadata": {"name": "orders", "namespace": NAMESPACE, **metadata}, "subsets": [subset]}


def slice_of(*addresses: str, name: str = "orders-by-hand", **labels: str) -> dict[str, Any]:
    """A slice as somebody writes it by hand."""
    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": "orders", **labels},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [{"port": PORT, "protocol": "TCP", "name": ""}],
    }


def managers(rig: Rig) -> set[str | None]:
    """Who manages the slices of the Service."""
    return {slice_["metadata"]["labels"].get(MANAGED_BY) for slice_ in rig.slice_objects("orders")}


def states(rig: Rig, address: str) -> Iterator[bool]:
    """The readiness of an address in each slice that has it."""
    for slice_ in rig.slice_objects("orders"):
        for endpoint in slice_.get("endpoints") or ():
            if endpoint["addresses"] == [address]:
                yield endpoint["conditions"].get("ready", True)


async def watched(rig: Rig, *addresses: str, seconds: float) -> None:
    """Lets time pass; at every moment each address is ready in some slice, and in none not ready."""
    for _ in range(int(seconds / 0.01)):
        for address in addresses:
            assert set(states(rig, address)) == {True}, rig.slice_objects("orders")
        await rig.clock.sleep(0.01)


def events(rig: Rig, reason: str) -> list[tuple[str, str]]:
    """Kind and message of the events of that reason."""
    return [
        (event["involvedObject"]["kind"], event["message"])
        for event in rig.store.dump(Event, NAMESPACE)
        if event["reason"] == reason
    ]


def a_service(rig: Rig, **spec: Any) -> None:
    rig.store.put(Service, flat_service("orders", **spec))


def outcome(rig: Rig, publish: list[str]) -> None:
    """Nothing is there twice and nothing is missing."""
    assert managers(rig) == ({"extsync.dev"} if "EndpointSlice" in publish else {MIRROR})
    assert sum(1 for _ in states(rig, A)) == 1
    assert rig.endpoints("orders") == (ready(A) if "Endpoints" in publish else {})


WAYS = [["EndpointSlice", "Endpoints"], ["EndpointSlice"], ["Endpoints"]]


@pytest.mark.parametrize("publish", WAYS)
@virtual_time
async def test_hand_written_endpoints_are_taken_over_and_nothing_is_missing_meanwhile(publish: list[str]) -> None:
    rig = Rig()
    rig.up(A)
    a_service(rig)
    rig.store.put(Endpoints, endpoints_of(A, labels={"team": "a"}, annotations={"note": "by hand"}))
    async with rig.store.running():
        await rig.until(lambda: managers(rig) == {MIRROR}, within=5)
        async with rig.running(adopting(A, publish=publish)):
            await watched(rig, A, seconds=2 * PERIOD)
            outcome(rig, publish)
    for obj in rig.store.dump(Endpoints, NAMESPACE):
        assert obj["metadata"]["annotations"]["note"] == "by hand"
        assert obj["metadata"]["labels"].get(SKIP) == ("true" if len(publish) == 2 else None)
        assert obj["metadata"]["ownerReferences"][0]["kind"] == "Service"
    assert {kind for kind, _ in events(rig, "Adopted")} >= {"Service"}


@pytest.mark.parametrize("publish", WAYS)
@pytest.mark.parametrize("manager", [None, "staff"])
@virtual_time
async def test_hand_written_slices_are_taken_over_and_nothing_is_missing_meanwhile(
    publish: list[str], manager: str | None
) -> None:
    rig = Rig()
    rig.up(A)
    a_service(rig)
    rig.store.put(EndpointSlice, slice_of(A, **({MANAGED_BY: manager} if manager else {})))
    async with rig.running(adopting(A, publish=publish)):
        await watched(rig, A, seconds=2 * PERIOD)
        outcome(rig, publish)


@pytest.mark.parametrize("publish", WAYS)
@virtual_time
async def test_what_a_removed_selector_leaves_behind_is_taken_over(publish: list[str]) -> None:
    """The controllers' slices and Endpoints, with the labels of the Service, and the mirror's slices of the latter."""
    rig = Rig()
    rig.up(A)
    service = flat_service("orders")
    service["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
    made = rig.store.put(Service, service)
    owner = {"apiVersion": "v1", "kind": "Service", "name": "orders", "uid": made["metadata"]["uid"]}
    stale = slice_of(A, name="orders-x7b2q", **{MANAGED_BY: CONTROLLER, "app.kubernetes.io/managed-by": "Helm"})
    stale["metadata"]["ownerReferences"] = [{**owner, "controller": True, "blockOwnerDeletion": True}]
    rig.store.put(EndpointSlice, stale)
    labels = {"app.kubernetes.io/managed-by": "Helm", "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    rig.store.put(Endpoints, endpoints_of(A, labels=labels))
    async with rig.store.running():
        await rig.until(lambda: managers(rig) == {CONTROLLER, MIRROR}, within=5)
        async with rig.running(adopting(A, publish=publish)):
            await watched(rig, A, seconds=2 * PERIOD)
            outcome(rig, publish)


@virtual_time
async def test_readiness_that_is_found_stays_until_the_checks_have_their_own_evidence() -> None:
    rig = Rig()
    rig.up(B)
    rig.down(A)
    a_service(rig)
    rig.store.put(Endpoints, endpoints_of(A, not_ready=(B,)))
    async with rig.running(adopting(A, B)):
        await rig.until(rig.agree("orders", {A: True, B: False}), within=1)
        await rig.until(rig.agree("orders", {A: True, B: True}), within=PERIOD + 1)
        await rig.until(rig.agree("orders", {A: False, B: True}), within=3 * PERIOD + 2)


@virtual_time
async def test_what_no_source_names_stays_until_each_has_reported() -> None:
    rig = Rig()
    rig.up(A, B)
    a_service(rig)
    rig.store.put(Endpoints, endpoints_of(A, B))
    async with rig.running(manifest("orders", feed(), service=None, policy=IF_UNMANAGED)):
        await rig.until(rig.agree("orders", ready(A, B)), within=2)
        await watched(rig, A, B, seconds=120)
        rig.feed().found(A)
        await rig.until(rig.agree("orders", ready(A)), within=2)


@pytest.mark.parametrize("kind", [EndpointSlice, Endpoints])
@virtual_time
async def test_what_cannot_be_published_stays_where_it_is_until_each_source_has_reported(
    kind: type[EndpointSlice] | type[Endpoints], caplog: pytest.LogCaptureFixture
) -> None:
    """At a port that the Service has not; the same holds for addresses that are not allowed."""
    rig = Rig()
    rig.up(A)
    a_service(rig)
    theirs: dict[str, Any] = slice_of(A) if kind is EndpointSlice else endpoints_of(A)
    ports = theirs["ports"] if kind is EndpointSlice else theirs["subsets"][0]["ports"]
    ports[0].update({"name": "old", "port": 81})
    rig.store.put(kind, theirs)
    before = rig.store.raw(kind, NAMESPACE, theirs["metadata"]["name"])
    async with rig.running(manifest("orders", feed(), rack(B), service=None, policy=IF_UNMANAGED)):
        await rig.clock.sleep(120)
        assert rig.store.raw(kind, NAMESPACE, theirs["metadata"]["name"]) == before
        assert list(states(rig, B)), "additions do not wait"
        rig.feed().found(A)
        await rig.until(lambda: managers(rig) == {"extsync.dev"}, within=5)
    assert "they stay until every source has reported" in caplog.text


@virtual_time
async def test_what_cannot_be_read_is_not_taken_for_empty() -> None:
    rig = Rig()
    rig.up(A)
    a_service(rig)
    rig.store.put(Endpoints, endpoints_of(A))
    async with rig.store.running():
        await rig.until(lambda: managers(rig) == {MIRROR}, within=5)
        rig.faults = lambda verb, kind, at: Fault(error=Unavailable("scripted")) if verb == "get" else None
        async with rig.running(adopting(A)):
            await watched(rig, A, seconds=60)
            assert managers(rig) == {MIRROR}
            rig.faults = None
            await rig.until(lambda: managers(rig) == {"extsync.dev"}, within=35)
            await watched(rig, A, seconds=PERIOD)


@virtual_time
async def test_slices_that_somebody_makes_again_under_new_names_are_taken_over_ever_less_often(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()
    rig.up(A)
    a_service(rig)
    made = 0
    async with rig.running(adopting(A)):
        await rig.until(rig.agree("orders", ready(A)), within=PERIOD + 2)
        for _ in range(7200):
            if managers(rig) == {"extsync.dev"}:
                rig.store.put(EndpointSlice, slice_of(A, name=f"orders-{made}"), field_manager="rival")
                made += 1
            await rig.clock.sleep(0.5)
        assert made < 25
        assert caplog.text.count("slices that nobody keeps are made again and again") == 1
        assert [kind for kind, _ in events(rig, "WriteContention")] == ["Service"]
        await rig.until(lambda: managers(rig) == {"extsync.dev"}, within=300)
        await rig.clock.sleep(610)
        assert {text for _, text in events(rig, "WriteContentionOver")} == {
            "nobody makes slices again that extsync takes over"
        }


@virtual_time
async def test_many_hand_written_slices_are_taken_over_at_once() -> None:
    rig = Rig()
    rig.up(A)
    a_service(rig)
    for number in range(12):
        rig.store.put(EndpointSlice, slice_of(A, name=f"orders-{number}"))
    async with rig.running(adopting(A)):
        await rig.until(lambda: managers(rig) == {"extsync.dev"}, within=PERIOD + 2)


@virtual_time
async def test_a_pass_takes_over_as_a_run_does() -> None:
    rig = Rig()
    rig.up(A)
    a_service(rig)
    rig.store.put(EndpointSlice, slice_of(A))
    rig.store.put(Endpoints, endpoints_of(A, labels={SKIP: "true"}))
    async with rig.store.running():
        (result,) = await rig.once(adopting(A))
        assert not result.failed
        outcome(rig, WAYS[0])
        (again,) = await rig.once(adopting(A))
        assert again.steps == []


# ---- what stays -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"app.kubernetes.io/managed-by": "Helm"}},
        {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}},
        {"labels": {"extsync.dev/owner": "other"}},
        {"labels": {"endpoints.kubernetes.io/managed-by": "vendor"}},
        {"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}},
        {"annotations": {"meta.helm.sh/release-name": "orders"}},
    ],
    ids=str,
)
@virtual_time
async def test_endpoints_that_somebody_keeps_are_refused_with_an_event(metadata: dict[str, Any]) -> None:
    rig = Rig()
    a_service(rig)
    rig.store.put(Endpoints, endpoints_of(A, **metadata))
    before = rig.versions([Endpoints])
    async with rig.running(adopting(A)):
        await rig.clock.sleep(60)
        rig.manifests.put(adopting(A, B))
        await rig.clock.sleep(60)
    assert rig.versions([Endpoints]) == before
    assert "extsync.dev" not in managers(rig)
    assert {event["count"] for event in rig.store.dump(Event, NAMESPACE)} == {1}
    told = events(rig, "OwnershipConflict")
    assert [kind for kind, _ in told] == ["Service", "Endpoints"], "once each"
    assert all("are kept by" in message for _, message in told)


@virtual_time
async def test_without_adoption_the_refusal_names_it_as_the_cure() -> None:
    rig = Rig()
    a_service(rig)
    rig.store.put(Endpoints, endpoints_of(A))
    before = rig.versions()
    async with rig.running(adopting(A, policy=None)):
        await rig.clock.sleep(120)
    after = rig.versions()
    assert {name: after[name] for name in before} == before
    assert all("policy.adopt: IfUnmanaged takes them over" in text for _, text in events(rig, "OwnershipConflict"))


@virtual_time
async def test_without_adoption_doubles_are_told_with_the_cure(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    a_service(rig)
    rig.store.put(Endpoints, endpoints_of(A))
    rig.store.put(EndpointSlice, slice_of(B))
    async with rig.running(adopting(A, B, policy=None, publish=["EndpointSlice"], checks=[])):
        await rig.clock.sleep(60)
    assert "policy.adopt: IfUnmanaged takes the Endpoints over of which it is a mirror" in caplog.text
    assert "policy.adopt: IfUnmanaged takes that slice over" in caplog.text


@virtual_time
async def test_slices_beside_a_selector_are_their_controllers() -> None:
    rig = Rig()
    rig.up(A)
    a_service(rig, selector={"app": "orders"})
    rig.store.put(EndpointSlice, slice_of(B, **{MANAGED_BY: CONTROLLER}))
    before = rig.store.raw(EndpointSlice, NAMESPACE, "orders-by-hand")
    async with rig.running(adopting(A, publish=["EndpointSlice"])):
        await rig.clock.sleep(60)
        assert rig.store.raw(EndpointSlice, NAMESPACE, "orders-by-hand") == before
        rig.store.put(Service, flat_service("orders"))  # the selector goes while it runs
        await rig.until(lambda: managers(rig) == {"extsync.dev"}, within=2)


@virtual_time
async def test_endpoints_of_the_api_server_are_never_taken_over() -> None:
    rig = Rig()
    rig.store.create_namespace("default")
    service = {**flat_service("kubernetes"), "metadata": {"name": "kubernetes", "namespace": "default"}}
    rig.store.put(Service, service)
    theirs = endpoints_of(B)
    theirs["metadata"] |= {"name": "kubernetes", "namespace": "default"}
    before = rig.store.put(Endpoints, theirs)
    wanted = manifest("kubernetes", rack(A), service=None, policy=IF_UNMANAGED)
    wanted["metadata"]["namespace"] = "default"
    async with rig.store.running():
        (result,) = await rig.once(wanted)
    assert "kept by the API server" in result.plan_errors[0]
    assert rig.store.raw(Endpoints, "default", "kubernetes") == before
