"""Addresses, topology, balance, delay, names and what was tried from inside: a row for each way to be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from extsync.address_policy import AddressPolicy, AddressRules, ClusterRanges, Lists
from extsync.doctor.checks import addresses, balance, delay, dns, inside, keeping, publication, topology
from extsync.doctor.facts import Attempt, ClusterFacts, DnsFacts, Inside, Keeper, Kept, Running, ServiceFacts, Unread
from extsync.doctor.findings import Severity
from extsync.model import TargetRef
from extsync.objects import (
    SLICE_CONTROLLER,
    TRIGGER_TIME_ANNOTATION,
    EndpointConditions,
    Lease,
    LeaseSpec,
    ObjectMeta,
    SliceEndpoint,
    SlicePort,
)
from tests.doctor.making import KEY, NOW, A, B, C, cluster, codes, endpoint, facts, node, service, slice_of

DENYING = cluster(
    policy=AddressPolicy(
        AddressRules(published=Lists(denied=("192.0.2.0/25",))), ClusterRanges(pods=("10.244.0.0/16",))
    )
)
NO = Unread("you may not", forbidden=True)


def tried(*attempts: tuple[str, str, bool]) -> tuple[Attempt, ...]:
    return tuple(Attempt(address, 3306, failure=failure, answered=answered) for address, failure, answered in attempts)


@pytest.mark.parametrize(
    ("about", "around", "found"),
    [
        (facts(), cluster(), set()),
        (facts(), DENYING, {"AddressDenied"}),
        (facts(slice_of("10.244.1.2")), DENYING, {"AddressDenied"}),
        (facts(slice_of("10.244.1.2", by=SLICE_CONTROLLER)), DENYING, set()),
        (facts(slice_of(endpoint("10.244.1.2", target_ref=TargetRef(kind="Pod", name="p")))), DENYING, set()),
        (facts(slice_of("10.244.1.2", by="cilium.example", owners=None)), DENYING, set()),
        (facts(slice_of("10.244.1.2", by="staff", owners=None)), DENYING, {"AddressDenied"}),
        (facts(slice_of("224.1.2.3")), cluster(), {"AddressDenied"}),
        (facts(slice_of("10.96.0.10")), cluster(), {"PointsAtItself"}),
        (facts(slice_of("2001:db8::1")), cluster(), {"AddressInvalid"}),
        (facts(slice_of("2001:db8::1", family="IPv6")), cluster(), {"FamilyIgnored"}),
        (facts(attempts=tried((A, "", True), (B, "", True))), cluster(), set()),
        (facts(attempts=tried((A, "refused", True), (B, "", True))), cluster(), {"ReadyAndUnreachable"}),
        (facts(attempts=tried((A, "no answer", False), (B, "", True))), cluster(), {"ReadyAndUnreachable"}),
        (facts(attempts=tried((A, "refused", True), (B, "no answer", False))), cluster(), {"ReadyAndUnreachable"}),
        (facts(attempts=tried((A, "no answer", False), (B, "no answer", False))), cluster(), set()),
    ],
)
def test_addresses(about: ServiceFacts, around: ClusterFacts, found: set[str]) -> None:
    assert codes([*addresses.check(about, around)]) == found


def test_silence_of_all_may_be_for_want_of_a_route() -> None:
    about = facts(attempts=tried((A, "no answer", False), (B, "no answer", False)))
    assert "NoRouteFromHere" in {one.code for one in addresses.check(about, cluster())}


def test_what_is_not_ready_and_answers_is_told_of() -> None:
    about = facts(slice_of(endpoint(A, ready=False), B), attempts=tried((A, "", True), (B, "", True)))
    found = {one.code: one for one in addresses.check(about, cluster())}
    assert found["NotReadyAndReachable"].evidence == (f"{A}:3306: connected",)


ZONED = service(traffic_distribution="PreferSameZone")
NODES = (node("n1", "a"), node("n2", "b"))


@pytest.mark.parametrize(
    ("about", "around", "found"),
    [
        (facts(), cluster(nodes=NODES), set()),
        (facts(service=ZONED), cluster(nodes=NODES), {"HintsMissing"}),
        (facts(slice_of(endpoint(A, hint="a"), B), service=ZONED), cluster(nodes=NODES), {"HintsIncomplete"}),
        (
            facts(slice_of(endpoint(A, hint="a"), endpoint(B, ready=False)), service=ZONED),
            cluster(nodes=NODES),
            set(),
        ),
        (facts(slice_of(endpoint(A, hint="z"))), cluster(nodes=NODES), {"HintsOfNoZone"}),
        (facts(slice_of(endpoint(A, hint="a"), endpoint(B, hint="b"))), cluster(nodes=NODES), set()),
        (facts(slice_of(endpoint(A, hint="a"))), cluster(nodes=NO), set()),
        (facts(service=service(internal_traffic_policy="Local")), cluster(nodes=NODES), {"LocalWithoutNode"}),
        (
            facts(slice_of(endpoint(A, node_name="n1")), service=service(internal_traffic_policy="Local")),
            cluster(nodes=NODES),
            set(),
        ),
        (
            facts(slice_of(endpoint(A, node_name="n9")), service=service(internal_traffic_policy="Local")),
            cluster(nodes=NODES),
            {"NodeUnknown"},
        ),
        (facts(service=service(external_traffic_policy="Local")), cluster(nodes=NODES), set()),
        (
            facts(service=service(external_traffic_policy="Local", type="NodePort")),
            cluster(nodes=NODES),
            {"LocalWithoutNode"},
        ),
    ],
)
def test_topology(about: ServiceFacts, around: ClusterFacts, found: set[str]) -> None:
    assert codes([*topology.check(about, around)]) == found


def test_local_is_an_error_only_where_no_endpoint_has_a_node() -> None:
    local = service(internal_traffic_policy="Local")
    for slices, severity in ((slice_of(A, B), "error"), (slice_of(A, endpoint(B, node_name="n1")), "warning")):
        found = [
            one for one in topology.check(facts(slices, service=local), cluster()) if one.code == "LocalWithoutNode"
        ]
        assert [one.severity.value for one in found] == [severity]


MANY = (*(node(f"a{number}", "a") for number in range(8)), node("b0", "b"))


@pytest.mark.parametrize(
    ("about", "around", "found"),
    [
        (facts(), cluster(), {"Balanced"}),
        (facts(service=service(session_affinity="ClientIP")), cluster(), {"SessionAffinity"}),
        (facts(slice_of(A)), cluster(), {"SingleEndpoint"}),
        (
            facts(slice_of(A, B), slice_of(A, name="s2", ports=[SlicePort(name="sql", port=3307)])),
            cluster(),
            {"SeveralPorts"},
        ),
        (facts(*(slice_of(one, name=f"s-{one}") for one in (A, B, C))), cluster(), {"OneAddressSlices"}),
        (
            facts(slice_of(endpoint(A, hint="a"), *(endpoint(f"192.0.2.{n}", hint="b") for n in range(10, 15)))),
            cluster(nodes=MANY),
            {"HintsOverload"},
        ),
    ],
)
def test_balance(about: ServiceFacts, around: ClusterFacts, found: set[str]) -> None:
    assert {one.code for one in balance.check(about, around)} == found


def written(changed: float, written: float | None) -> ServiceFacts:
    at = [datetime.fromtimestamp(one, UTC).isoformat() for one in (changed, written or 0)]
    fields = ({"manager": "extsync", "time": at[1]},) if written is not None else ()
    return facts(slice_of(A, annotations={TRIGGER_TIME_ANNOTATION: at[0]}, managed_fields=fields))


@pytest.mark.parametrize(
    ("about", "found"),
    [
        (facts(), set()),
        (written(NOW - 60, NOW - 59.5), {"LastChange"}),
        (written(NOW - 60, None), {"LastChange"}),
        (written(NOW - 60, NOW - 20), {"SlowWrites"}),
        (written(NOW + 60, NOW + 60), {"ClocksDiffer"}),
    ],
)
def test_delay_of_writes(about: ServiceFacts, found: set[str]) -> None:
    assert {one.code for one in delay.check(about, cluster())} == found


def running(**changed: Any) -> Running:
    given: dict[str, Any] = {
        "place": "http://here",
        "version": "1.0",
        "owner": "default",
        "synced": True,
        "isolated": "",
        "queued": 0,
        "queue_age": 0.0,
        "cache_age": 3.0,
        "leads": False,
        "holders": (),
    }
    return Running(**{**given, **changed})


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (running(), set()),
        (running(queue_age=60.0, queued=40), {"QueueSlow"}),
        (running(cache_age=None), {"CacheEmpty"}),
        (running(cache_age=200.0), {"CacheSilent"}),
        (running(owner="lab"), {"RunningOtherOwner"}),
        (running(synced=False), {"NotSynced"}),
        (running(isolated="all sentinels fail"), {"ProberIsolated"}),
        (running(holders=("",)), {"NobodyLeads"}),
        (running(holders=("other-1",)), set()),
        (Unread("nobody answers"), set()),
        (None, set()),
    ],
)
def test_a_running_extsync(told: Running | Unread | None, found: set[str]) -> None:
    around = cluster(running=told)
    assert codes([*delay.check_running(around), *keeping.check_running(around)]) == found


def keeper(*, renewed: bool = False, ago: float = 600.0, holder: str = "pod-1", gone: bool = False) -> Keeper:
    spec = LeaseSpec(
        holder_identity=holder,
        lease_duration_seconds=15,
        renew_time=datetime.fromtimestamp(NOW - ago, UTC).isoformat(),
    )
    lease = None if gone else Lease(metadata=ObjectMeta(name="extsync-default", namespace="ext"), spec=spec)
    return Keeper(place="ext/extsync-default", wrote="pod-1", lease=lease, renewed=renewed)


def kept(**changed: Any) -> Kept:
    given: dict[str, Any] = {"ready": 2, "not_ready": 0, "draining": 0, "leads": True, "isolated": False}
    given |= {"suppressed": "", "stale_sources": (), "set_aside": (), "notices": ()}
    return Kept(**{**given, **changed})


@pytest.mark.parametrize(
    ("about", "found"),
    [
        (facts(keeper=keeper(renewed=True)), set()),
        (facts(keeper=keeper()), {"NobodyKeeps"}),
        (facts(keeper=keeper(gone=True)), {"NobodyKeeps"}),
        (facts(keeper=keeper(holder="", ago=1.0)), {"NobodyKeeps"}),
        (facts(keeper=keeper(ago=5.0)), set()),
        (facts(keeper=NO), set()),
        (facts(), set()),
        (facts(kept=kept()), set()),
        (facts(kept=kept(stale_sources=("rack: away",))), {"SourceStale"}),
        (facts(kept=kept(suppressed="8 of 10")), {"RemovalWithheld"}),
        (facts(kept=kept(isolated=True)), {"ProberIsolated"}),
        (facts(kept=kept(set_aside=("169.254.169.254: denied",))), {"SetAside"}),
    ],
)
def test_who_keeps_it(about: ServiceFacts, found: set[str]) -> None:
    assert codes([*keeping.check(about, cluster())]) == found


def test_slices_that_the_running_extsync_does_not_keep_are_told_of() -> None:
    assert codes([*keeping.check(facts(), cluster(running=running()))]) == {"NotKept"}
    assert codes([*keeping.check(facts(slice_of(A, by="staff")), cluster(running=running()))]) == set()


@pytest.mark.parametrize(
    ("about", "found"),
    [
        (facts(), set()),
        (facts(service=service(cluster_ip="None")), set()),
        (facts(slice_of(endpoint(A, ready=False)), service=service(cluster_ip="None")), {"HeadlessNameless"}),
    ],
)
def test_names(about: ServiceFacts, found: set[str]) -> None:
    assert codes([*dns.check(about, cluster())]) == found


def test_a_headless_service_names_its_endpoints() -> None:
    about = facts(slice_of(endpoint(A, hostname="db-1")), service=service(cluster_ip="None"))
    [found] = dns.check(about, cluster())
    assert found.evidence == (f"db-1.orders.shop.svc.cluster.local is {A}",)


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (DnsFacts(service="10.96.0.2", ready=2, domain=""), set()),
        (DnsFacts(service="10.96.0.2", ready=0, domain=""), {"DnsDown"}),
        (DnsFacts(service="", ready=0, domain=""), set()),
        (DnsFacts(service=NO, ready=0, domain=""), set()),
    ],
)
def test_the_dns_of_the_cluster(told: DnsFacts, found: set[str]) -> None:
    assert codes([*dns.check_cluster(cluster(dns=told))]) == found


VIP = "10.96.0.10"


@dataclass
class Pod:
    """What was seen in a pod."""

    through: str = ""
    direct: tuple[str, ...] = ("", "")
    resolved: tuple[str, ...] | None = (VIP,)
    tool: str = "bash"

    def seen(self) -> Inside:
        return Inside(
            pod="web-0",
            container="app",
            tool=self.tool,
            domain="prod.example",
            resolved=self.resolved,
            through=(Attempt(VIP, 3306, failure=self.through),) if self.tool else (),
            direct=tuple(Attempt(A, 3306, failure=one) for one in self.direct) if self.tool else (),
        )


@pytest.mark.parametrize(
    ("pod", "found"),
    [
        (Pod(), set()),
        (Pod(through="timed out"), {"InsideServiceFails"}),
        (Pod(through="timed out", direct=("timed out", "timed out")), {"InsideFails"}),
        (Pod(direct=("refused", "")), {"InsideEndpointFails"}),
        (Pod(resolved=()), {"NameUnresolved"}),
        (Pod(resolved=("192.0.2.99",)), {"NameElsewhere"}),
        (Pod(resolved=None), set()),
        (Pod(tool=""), set()),
    ],
)
def test_what_a_pod_sees(pod: Pod, found: set[str]) -> None:
    assert codes([*inside.check(facts(inside=pod.seen()), cluster())]) == found


def test_that_nothing_could_be_tried_from_inside_is_a_note() -> None:
    [found] = inside.check(facts(inside=NO), cluster())
    assert (found.severity, found.code) == (Severity.INFO, "InsideUntried")


def test_the_name_has_the_domain_that_the_pod_knows() -> None:
    assert dns.dns_name(facts(inside=Pod().seen()), cluster()) == f"{KEY.name}.{KEY.namespace}.svc.prod.example"


def test_only_draining_endpoints_are_no_ready_ones() -> None:
    ending = SliceEndpoint(addresses=(A,), conditions=EndpointConditions(False, True, True))
    assert codes([*publication.check(facts(slice_of(ending)), cluster())]) == {"OnlyDraining"}
