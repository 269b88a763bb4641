"""Addresses that the settings do not allow, in a run: set aside and told of, while all others are published."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from extsync.address_policy import NO_RULES, AddressRules, ClusterRanges, Lists
from extsync.engine.options import Options
from extsync.errors import Forbidden, NotFound
from extsync.kube.memory import Fault
from extsync.limits import Limits
from extsync.model import Backend, Observation, Outcome, ProbeOverride, TargetRef
from extsync.objects import Event, KubeObject, Node, Pod, ServiceCIDR
from extsync.seams.virtual import virtual_time
from tests.engine.support import NAMESPACE, PERIOD, A, B, C, Rig, feed, key, manifest, rack, ready

SERVICE_ADDRESS, POD_ADDRESS = "10.96.0.10", "10.244.3.4"
RANGES = ClusterRanges(pods=("10.244.0.0/16",), services=("10.96.0.0/12",), nodes=("192.0.2.2/32",))
UNCHECKED: dict[str, Any] = {"checks": []}


def options(
    *, reads_ranges: bool = False, ranges: ClusterRanges = RANGES, contacted: Lists = NO_RULES.contacted
) -> Options:
    limits = Limits(rules=AddressRules(contacted=contacted), ranges=ranges)
    return Options(namespaces=(NAMESPACE,), limits=limits, reads_ranges=reads_ranges)


def events(rig: Rig) -> list[str]:
    return [message for _, message in rig.events("AddressDenied")]


def put_node(rig: Rig, name: str, *, address: str, pods: str) -> None:
    rig.store.put(
        Node,
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name},
            "spec": {"podCIDR": pods, "podCIDRs": [pods]},
            "status": {
                "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]
            },
        },
    )


def pod(name: str, address: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": "web"}},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "podIP": address,
            "podIPs": [{"ip": address}],
        },
    }


def put_services(rig: Rig, *networks: str) -> None:
    rig.store.put(
        ServiceCIDR,
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "ServiceCIDR",
            "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": list(networks)},
        },
    )


@virtual_time
async def test_one_denied_backend_is_set_aside_with_an_event_and_the_others_are_published(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig(options=options())
    with caplog.at_level(logging.WARNING):
        async with rig.running(manifest("orders", rack(A, SERVICE_ADDRESS, C), **UNCHECKED)):
            await rig.until(rig.agree("orders", ready(A, C)), within=2)
            await rig.clock.sleep(3600)
            assert rig.published("orders") == ready(A, C)
    (told,) = [record.message for record in caplog.records if SERVICE_ADDRESS in record.message]
    assert told.startswith(f"{NAMESPACE}/orders: source 'rack': {SERVICE_ADDRESS} is set aside: ")
    assert "put 10.96.0.10/32 beside 0.0.0.0/0 and ::/0 into allowedCidrs" in told
    (event,) = events(rig)
    assert event.startswith(f"source 'rack': {SERVICE_ADDRESS}: 10.96.0.10 is in 10.96.0.0/12, a Service network")


@virtual_time
async def test_what_is_allowed_for_its_namespace_is_published() -> None:
    own = (("0.0.0.0/0", f"{SERVICE_ADDRESS}/32"), ())
    rules = AddressRules(published_in=((NAMESPACE, Lists(*own)),))
    rig = Rig(options=Options(namespaces=(NAMESPACE,), limits=Limits(rules=rules, ranges=RANGES)))
    async with rig.running(manifest("orders", rack(A, SERVICE_ADDRESS), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A, SERVICE_ADDRESS)), within=2)
    assert events(rig) == []


@virtual_time
async def test_a_target_ref_to_a_pod_opens_nothing() -> None:
    rig = Rig(options=options())
    reference = TargetRef(kind="Pod", namespace=NAMESPACE, name="web-0", uid="1")
    found = (Backend(A), Backend(POD_ADDRESS, target_ref=reference))
    rig.feed().say(Observation(Outcome.FOUND, found))
    async with rig.running(manifest("orders", feed(), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A)), within=2)


@virtual_time
async def test_a_source_of_pods_may_report_pods_also_across_a_restart() -> None:
    rig = Rig(options=options())
    rig.store.put(Pod, pod("web-0", POD_ADDRESS))
    pods = manifest("orders", {"name": "web", "pods": {"selector": {"matchLabels": {"app": "web"}}}}, **UNCHECKED)
    async with rig.running(pods):
        await rig.until(rig.agree("orders", ready(POD_ADDRESS)), within=10)
        with rig.recorded() as writes:
            await rig.restart(pods)
            await rig.clock.sleep(60)
        assert [write for write in writes if write.kind is not Event] == []


@virtual_time
async def test_what_is_published_and_denied_from_now_on_leaves() -> None:
    rig = Rig()
    orders = manifest("orders", rack(A, SERVICE_ADDRESS), **UNCHECKED)
    async with rig.running(orders):
        await rig.until(rig.agree("orders", ready(A, SERVICE_ADDRESS)), within=2)
        rig.options = options()
        await rig.restart(orders)
        await rig.until(rig.agree("orders", ready(A)), within=2)


@virtual_time
async def test_what_is_published_and_denied_leaves_also_where_its_source_never_reports() -> None:
    rig = Rig()
    rig.feed().found(A, SERVICE_ADDRESS)
    orders = manifest("orders", feed(), **UNCHECKED)
    async with rig.running(orders):
        await rig.until(rig.agree("orders", ready(A, SERVICE_ADDRESS)), within=2)
        rig.feeds.clear()
        rig.options = options()
        await rig.restart(orders)
        await rig.until(rig.agree("orders", ready(A)), within=2)
        assert [told.partition(": 10.96.0.10 is in")[0] for told in events(rig)] == [
            f"published before: {SERVICE_ADDRESS}"
        ]


@virtual_time
async def test_a_source_of_which_all_is_denied_has_none_and_one_that_makes_no_sense_keeps_what_it_had(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig(options=options())
    rig.feed("denied").found(A)
    rig.feed("faulty").found(C)
    async with rig.running(manifest("orders", feed("denied"), feed("faulty"), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A, C)), within=2)
        rig.feed("denied").found(SERVICE_ADDRESS)
        rig.feed("faulty").say(Observation(Outcome.FOUND, (Backend("db.example.org"),)))
        await rig.until(rig.agree("orders", ready(C)), within=2)
        await rig.clock.sleep(3600)
        assert rig.published("orders") == ready(C)
    assert "source 'denied': none of its backends is allowed" in caplog.text


@virtual_time
async def test_a_source_that_suddenly_names_only_what_is_denied_is_guarded_and_believed_in_the_end() -> None:
    rig = Rig(options=options())
    before = tuple(f"192.0.2.{last}" for last in range(11, 21))
    rig.feed().found(*before)
    async with rig.running(manifest("orders", feed(), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(*before)), within=2)
        rig.feed().found(*(f"10.96.0.{last}" for last in range(11, 21)))
        await rig.clock.sleep(300)
        assert rig.published("orders") == ready(*before)
        await rig.until(rig.agree("orders", {}), within=600)


@virtual_time
async def test_a_backend_whose_probe_would_go_to_a_denied_address_is_neither_probed_nor_published() -> None:
    rig = Rig(options=options(contacted=Lists(denied=("198.51.100.0/24",))))
    rig.up(A, "198.51.100.1")
    elsewhere = Backend("192.0.2.9", probe=ProbeOverride(host="198.51.100.1"))
    rig.feed().say(Observation(Outcome.FOUND, (Backend(A), elsewhere, Backend("198.51.100.2"))))
    async with rig.running(manifest("orders", feed())):
        await rig.until(rig.agree("orders", ready(A)), within=PERIOD + 1)
        await rig.clock.sleep(60)
        assert rig.published("orders") == ready(A)
        assert {address for address, _ in rig.io.connections} == {A}
    (event,) = events(rig)
    assert "it is not probed: 198.51.100.1 is in 198.51.100.0/24, which contactDeniedCidrs" in event
    assert "it is not probed: 198.51.100.2" in event


@virtual_time
async def test_what_is_not_probed_needs_no_leave_to_be_contacted() -> None:
    rig = Rig(options=options(contacted=Lists(denied=("198.51.100.0/24",))))
    switched_off = Backend("198.51.100.1", probe=ProbeOverride(enabled=False))
    rig.feed().say(Observation(Outcome.FOUND, (switched_off,)))
    async with rig.running(
        manifest("orders", feed()),
        manifest("stock", rack("198.51.100.2"), **UNCHECKED),
        manifest("users", rack("198.51.100.3", health="source")),
    ):
        await rig.until(rig.agree("orders", ready("198.51.100.1")), within=2)
        await rig.until(rig.agree("stock", ready("198.51.100.2")), within=2)
        await rig.until(rig.agree("users", ready("198.51.100.3")), within=2)


@virtual_time
async def test_a_check_whose_host_is_denied_is_refused_and_what_was_in_force_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig(options=options(contacted=Lists(denied=("198.51.100.0/24",))))
    rig.up(A)
    check = {"tcpSocket": {"port": 80, "host": "198.51.100.1"}}
    async with rig.running(manifest("orders", rack(A))):
        await rig.until(rig.agree("orders", ready(A)), within=PERIOD + 1)
        rig.manifests.put(manifest("orders", rack(A, C), checks=[check]))
        await rig.clock.sleep(60)
        assert rig.published("orders") == ready(A)
    assert "the host of a check: 198.51.100.1 is in 198.51.100.0/24" in caplog.text
    assert "what was in force goes on" in caplog.text


# ---- what the cluster says of itself ---------------------------------------------------------------------------------


def reading() -> Options:
    return options(reads_ranges=True, ranges=ClusterRanges())


@virtual_time
async def test_what_the_cluster_has_is_read_before_anything_is_published() -> None:
    rig = Rig(options=reading())
    put_services(rig, "10.96.0.0/12")
    put_node(rig, "edge-1", address=B, pods="10.244.0.0/16")
    everything: list[dict[str, bool]] = []
    async with rig.running(manifest("orders", rack(A, B, SERVICE_ADDRESS, POD_ADDRESS), **UNCHECKED)):
        for _ in range(200):
            await rig.clock.sleep(0.05)
            everything.append(rig.slices("orders"))
    assert [one for one in everything if one not in ({}, ready(A))] == []
    assert everything[-1] == ready(A)


@virtual_time
async def test_nodes_that_come_and_go_are_followed() -> None:
    rig = Rig(options=reading())
    put_services(rig, "10.96.0.0/12")
    async with rig.running(manifest("orders", rack(A, B), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A, B)), within=12)
        put_node(rig, "edge-1", address=B, pods="10.244.0.0/24")
        await rig.until(rig.agree("orders", ready(A)), within=12)
        await rig.store.delete(Node, "", "edge-1", uid=rig.store.dump(Node)[0]["metadata"]["uid"])
        await rig.until(rig.agree("orders", ready(A, B)), within=12)
    assert len(events(rig)) == 1


@virtual_time
async def test_a_node_that_claims_half_the_internet_is_not_believed() -> None:
    rig = Rig(options=reading())
    put_services(rig, "10.96.0.0/12")
    put_node(rig, "liar", address="no address", pods="128.0.0.0/1")
    async with rig.running(manifest("orders", rack(A), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A)), within=12)
        await rig.clock.sleep(60)
        assert rig.published("orders") == ready(A)


@virtual_time
async def test_an_older_server_without_service_networks_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(options=reading())
    rig.faults = lambda verb, kind, at: Fault(error=NotFound("no such resource")) if kind is ServiceCIDR else None
    put_node(rig, "edge-1", address=B, pods="10.244.0.0/16")
    with caplog.at_level(logging.WARNING):
        async with rig.running(manifest("orders", rack(A, SERVICE_ADDRESS), **UNCHECKED)):
            await rig.until(rig.agree("orders", ready(A, SERVICE_ADDRESS)), within=2)
            await rig.clock.sleep(3600)
    assert caplog.text == ""


@virtual_time
async def test_what_may_not_be_read_is_said_once_and_read_as_soon_as_it_may_be(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig(options=reading())
    put_services(rig, "10.96.0.0/12")
    put_node(rig, "edge-1", address=B, pods="10.244.0.0/16")
    forbidden: list[type[KubeObject]] = [Node]
    rig.faults = lambda verb, kind, at: Fault(error=Forbidden("not for you")) if kind in forbidden else None
    async with rig.running(manifest("orders", rack(A, B, SERVICE_ADDRESS), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A, B)), within=2)
        await rig.clock.sleep(3600)
        told = [record.message for record in caplog.records if "not for you" in record.message]
        forbidden.clear()
        await rig.until(rig.agree("orders", ready(A)), within=310)
    (line,) = told
    assert line.startswith(
        "addresses of pods and nodes are not denied but for those that podCidrs and nodeCidrs of the"
    )


@virtual_time
async def test_a_node_that_is_none_of_its_backends_changes_nothing_of_a_service() -> None:
    rig = Rig(options=reading())
    put_services(rig, "10.96.0.0/12")
    async with rig.running(manifest("orders", rack(A), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A)), within=12)
        state, _ = rig.engine.services()[key("orders")]
        candidates, policy = state.merged.candidates, state.gathering.policy
        with rig.recorded() as writes:
            put_node(rig, "edge-1", address=B, pods="10.244.0.0/16")
            await rig.until(lambda: state.gathering.policy is not policy, within=12)
            assert state.merged.candidates is candidates
        assert writes == []


@virtual_time
async def test_services_are_not_looked_at_again_where_a_node_says_nothing_new() -> None:
    rig = Rig(options=reading())
    put_services(rig, "10.96.0.0/12")
    put_node(rig, "edge-1", address=B, pods="10.244.0.0/16")
    async with rig.running(manifest("orders", rack(A), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A)), within=12)
        policy = rig.engine._reconciler.policy
        for _ in range(5):
            put_node(rig, "edge-1", address=B, pods="10.244.0.0/16")
            await rig.clock.sleep(10)
        assert rig.engine._reconciler.policy is policy
        assert rig.engine.services()[key("orders")]


# ---- once ------------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_single_pass_reads_the_ranges_and_says_what_is_set_aside() -> None:
    rig = Rig()
    put_services(rig, "10.96.0.0/12")
    async with rig.store.running():
        (result,) = await rig.once(manifest("orders", rack(A, SERVICE_ADDRESS), **UNCHECKED), reads_ranges=True)
        assert rig.published("orders") == ready(A)
    assert not result.failed
    (remark,) = result.plan_remarks
    assert f"{SERVICE_ADDRESS} is set aside" in remark


@virtual_time
async def test_a_single_pass_keeps_what_is_allowed_where_every_backend_of_a_source_is_denied() -> None:
    rig = Rig()
    put_services(rig, "10.96.0.0/12")
    async with rig.store.running():
        await rig.once(manifest("orders", rack(A, SERVICE_ADDRESS), **UNCHECKED))
        assert rig.published("orders") == ready(A, SERVICE_ADDRESS)
        denied = manifest("orders", rack(SERVICE_ADDRESS), **UNCHECKED)
        (result,) = await rig.once(denied, reads_ranges=True)
        assert rig.published("orders") == ready(A)
        assert result.failed
        assert result.plan_errors == ["source 'rack': none of its backends is allowed"]
        (result,) = await rig.once(denied, reads_ranges=True, allow_empty=True)
        assert rig.published("orders") == {}


@virtual_time
async def test_of_a_source_of_pods_an_address_that_a_rule_made_is_judged_like_any_other() -> None:
    rig = Rig(options=options())
    for name, address in (("web-0", POD_ADDRESS), ("web-1", "10.244.3.5")):
        rig.store.put(Pod, pod(name, address))
    node = {"sourceLabels": ["__meta_kubernetes_pod_name"], "regex": "web-1", "targetLabel": "address"}
    same = {"sourceLabels": ["__meta_kubernetes_pod_ip"], "regex": "(.+)", "targetLabel": "address"}
    source = {
        "name": "web",
        "pods": {"selector": {"matchLabels": {"app": "web"}}},
        "relabel": [same, {**node, "replacement": "192.0.2.2"}],
    }
    async with rig.running(manifest("orders", source, **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(POD_ADDRESS)), within=10)
        [event] = events(rig)
    assert "192.0.2.2 is in 192.0.2.2/32, an address of a node of the cluster" in event
