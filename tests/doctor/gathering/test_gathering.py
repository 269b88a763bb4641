"""Facts as an API server gives them, refuses them, or keeps silent about them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from extsync.address_policy import AddressPolicy, AddressRules, Lists
from extsync.doctor.facts import AccountFacts, Attempt, DnsFacts, ProxyFacts, ServiceFacts, Unread
from extsync.doctor.gathering import reach as reaching
from extsync.doctor.gathering.cluster import read_dns, read_nodes, read_proxy
from extsync.doctor.gathering.gather import Gathered, Gatherer, Told, Wanted
from extsync.doctor.gathering.reach import reach
from extsync.doctor.gathering.rights import read_account, read_rights
from extsync.doctor.gathering.services import find_services, read_service, read_space
from extsync.limits import USUAL
from extsync.model import ServiceKey
from extsync.objects import OWNER_LABEL, SERVICE_NAME_LABEL
from extsync.seams.reaching import Reach
from tests.doctor.gathering.fake_cluster import FakeCluster
from tests.doctor.making import KEY, A, B, endpoint, facts, slice_of

pytestmark = pytest.mark.sockets

SYSTEM = "/api/v1/namespaces/kube-system"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
SERVICES = "/api/v1/namespaces/shop/services"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {key.replace("_", "."): text for key, text in data.items()}}


def object_of(name: str, *, labels: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "shop", "uid": f"u-{name}", "labels": labels or {}}, **fields}


def slice_named(name: str, label: str | None, *, owner: str = "") -> dict[str, Any]:
    made = object_of(name, labels={} if label is None else {SERVICE_NAME_LABEL: label}, addressType="IPv4")
    if owner:
        reference = {"apiVersion": "v1", "kind": "Service", "name": owner, "uid": f"u-{owner}"}
        made["metadata"]["ownerReferences"] = [reference]
    return made


class Answering:
    """Answers at once, and remembers whom it was asked to reach."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def reach(self, address: str, port: int, *, timeout: float) -> Reach:
        self.asked.append(address)
        return Reach("", answered=True)


# ---- the cluster -----------------------------------------------------------------------------------------------------


async def test_the_configuration_of_kube_proxy_is_read() -> None:
    fake = FakeCluster()
    fake.add(
        f"{SYSTEM}/configmaps", config_map("kube-proxy", config_conf="mode: nftables\niptables: {minSyncPeriod: 1s}")
    )
    async with fake.running():
        found = await read_proxy(fake.asking)
    assert found == ProxyFacts(daemon=None, configuration={"mode": "nftables", "iptables": {"minSyncPeriod": "1s"}})


@pytest.mark.parametrize("text", ["mode: [", "just words", "[" * 60_000], ids=["broken", "words", "deep"])
async def test_a_configuration_that_is_none_is_a_fact(text: str) -> None:
    fake = FakeCluster()
    fake.add(f"{SYSTEM}/configmaps", config_map("kube-proxy", config_conf=text))
    async with fake.running():
        found = await read_proxy(fake.asking)
    assert found.configuration == Unread("its ConfigMap is no KubeProxyConfiguration")


async def test_the_domain_is_that_of_the_corefile() -> None:
    fake = FakeCluster()
    corefile = ".:53 {\n    errors\n    kubernetes prod.example in-addr.arpa {\n      ttl 30\n    }\n}\n"
    fake.add(f"{SYSTEM}/configmaps", config_map("coredns", Corefile=corefile))
    fake.add(f"{SYSTEM}/services", {"metadata": {"name": "kube-dns"}, "spec": {"clusterIP": "10.96.0.10"}})
    ready = {"metadata": {"name": "d"}, "addressType": "IPv4", "endpoints": [{"addresses": [A]}, {"addresses": [B]}]}
    fake.add("/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices", ready)
    async with fake.running():
        assert await read_dns(fake.asking) == DnsFacts(service="10.96.0.10", ready=2, domain="prod.example")


async def test_what_may_not_be_read_is_a_fact_with_the_reason() -> None:
    fake = FakeCluster(denied={"list nodes"})
    async with fake.running():
        found = await read_nodes(fake.asking)
    assert found == Unread("list nodes: you may not list nodes", forbidden=True)


async def test_no_question_is_asked_when_the_time_is_over() -> None:
    fake = FakeCluster()
    async with fake.running(seconds=0.0):
        found = await read_nodes(fake.asking)
    assert isinstance(found, Unread)
    assert "--timeout" in found.why


# ---- rights ----------------------------------------------------------------------------------------------------------


async def test_rights_are_asked_for_in_the_namespace_of_the_service() -> None:
    fake = FakeCluster(denied={"create pods/exec"})
    async with fake.running():
        found = await read_rights(fake.asking, fake.enquiries, "shop")
    refused = [right for right, answer in found if not isinstance(answer, Unread) and not answer.allowed]
    assert [str(right) for right in refused] == ["create pods/exec in shop"]
    asked = [review["spec"]["resourceAttributes"] for review in fake.reviewed]
    assert {"verb": "list", "group": "discovery.k8s.io", "resource": "endpointslices", "namespace": "shop"} in asked
    assert {"verb": "list", "resource": "nodes"} in asked


async def test_the_account_is_asked_about_with_the_groups_of_all_accounts() -> None:
    fake = FakeCluster()
    fake.add("/api/v1/namespaces/ext/serviceaccounts", object_of("keeper"))
    async with fake.running():
        found = await read_account(fake.asking, fake.enquiries, ("ext", "keeper"), space="shop", leases="")
    assert found.exists is True
    assert all(not isinstance(answer, Unread) and answer.allowed for _, answer in found.rights)
    spec = fake.reviewed[0]["spec"]
    assert spec["user"] == "system:serviceaccount:ext:keeper"
    assert "system:serviceaccounts:ext" in spec["groups"]
    leases = [
        one["spec"]["resourceAttributes"]
        for one in fake.reviewed
        if one["spec"]["resourceAttributes"]["resource"] == "leases"
    ]
    assert {one["namespace"] for one in leases} == {"ext"}


async def test_where_one_review_is_refused_the_others_are_not_asked() -> None:
    fake = FakeCluster(denied={"SubjectAccessReview"})
    fake.add("/api/v1/namespaces/ext/serviceaccounts", object_of("keeper"))
    async with fake.running():
        found = await read_account(fake.asking, fake.enquiries, ("ext", "keeper"), space="", leases="")
    assert len(fake.reviewed) == 1
    [(_, answer)] = found.rights
    assert isinstance(answer, Unread)


async def test_an_account_that_is_not_there_is_not_asked_about() -> None:
    fake = FakeCluster()
    async with fake.running():
        found = await read_account(fake.asking, fake.enquiries, ("ext", "keeper"), space="", leases="")
    assert found == AccountFacts(namespace="ext", name="keeper", exists=False)
    assert fake.reviewed == []


# ---- Services --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "is_stray"),
    [
        (slice_named("orders-1", None), True),
        (slice_named("orders-1", "order"), True),
        (slice_named("orders-1", "web"), False),
        (slice_named("web-1", None), False),
        (slice_named("orders-eu-1", None), False),
        (slice_named("anything", "web", owner="orders"), True),
        (slice_named("orders", None), True),
    ],
)
async def test_a_slice_that_seems_to_be_meant_for_the_service(one: dict[str, Any], is_stray: bool) -> None:
    fake = FakeCluster()
    fake.add(SERVICES, object_of("orders"), object_of("web"), object_of("orders-eu"))
    fake.add(SLICES, one, slice_named("orders-ours", "orders"))
    async with fake.running():
        found = await read_service(fake.asking, KEY, await read_space(fake.asking, "shop"))
    assert isinstance(found.slices, tuple)
    assert [one.metadata.name for one in found.slices] == ["orders-ours"]
    assert [stray.metadata.name for stray in found.strays] == ([one["metadata"]["name"]] if is_stray else [])


async def test_services_are_found_by_the_owner_on_any_of_their_objects() -> None:
    fake = FakeCluster()
    label = {OWNER_LABEL: "default"}
    fake.add(SERVICES, object_of("orders", labels=label))
    fake.add(SLICES, object_of("web-1", labels={**label, SERVICE_NAME_LABEL: "web"}, addressType="IPv4"))
    fake.add("/api/v1/namespaces/shop/endpoints", object_of("db", labels=label))
    async with fake.running():
        found = await find_services(fake.asking, "default", ["shop"])
    assert found == (ServiceKey("shop", "db"), ServiceKey("shop", "orders"), ServiceKey("shop", "web"))


# ---- from here -------------------------------------------------------------------------------------------------------


async def test_what_the_settings_deny_to_contact_is_not_connected_to() -> None:
    policy = AddressPolicy(AddressRules(contacted=Lists(denied=(f"{A}/32",))))
    reacher = Answering()
    (denied, reached), untried = await reach(facts(), policy, reacher, seconds=10.0)
    assert (denied.address, "denies" in denied.skipped) == (A, True)
    assert reached == Attempt(B, 3306)
    assert (reacher.asked, untried) == ([B], 0)


async def test_of_very_many_endpoints_the_first_ready_ones_are_tried() -> None:
    many = [endpoint(f"10.0.0.{number}", ready=number > 100) for number in range(1, 200)]
    reacher = Answering()
    tried, untried = await reach(facts(slice_of(*many)), AddressPolicy(), reacher, seconds=10.0)
    assert (len(tried), untried) == (reaching.MOST, 199 - reaching.MOST)
    assert {one.address for one in tried} <= {f"10.0.0.{number}" for number in range(101, 200)}


# ---- all of it -------------------------------------------------------------------------------------------------------


async def gathered(fake: FakeCluster, *, key: ServiceKey | None = KEY, seconds: float = 30.0) -> Gathered:
    async def kept(key: ServiceKey) -> None:
        return None

    wanted = Wanted(
        key=key,
        namespaces=("shop",),
        owner="default",
        limits=USUAL,
        reads_ranges=True,
        account=("extsync", "extsync"),
        lease_namespace="",
        from_pod=None,
        reaches=True,
    )
    async with fake.running(seconds=seconds):
        told = Told(None, kept)
        gatherer = Gatherer(fake.asking, fake.enquiries, reacher=Answering(), told=told, server="here")
        return await gatherer.gather(wanted)


async def test_facts_of_a_cluster_that_has_next_to_nothing() -> None:
    fake = FakeCluster(objects={"/version": {"gitVersion": "v1.36.3"}})
    found = await gathered(fake)
    assert found.cluster.version == "v1.36.3"
    [service] = found.services
    assert (service.service, service.slices, service.endpoints) == (None, (), None)


async def test_an_api_server_that_refuses_everything_is_told_of_in_facts() -> None:
    kinds = ("nodes", "services", "endpointslices", "endpoints/orders", "services/orders", "servicecidrs")
    fake = FakeCluster(objects={"/version": {"gitVersion": "v1.36.3"}}, denied={f"get {kind}" for kind in kinds})
    found = await gathered(fake)
    [service] = found.services
    for fact in (found.cluster.nodes, service.service, service.slices, service.endpoints):
        assert isinstance(fact, Unread)
        assert fact.forbidden
    assert len(found.cluster.unknown_ranges) == 2


async def test_an_api_server_that_hangs_costs_the_time_that_was_given_and_no_more() -> None:
    fake = FakeCluster(objects={"/version": {"gitVersion": "v1.36.3"}}, hangs=True)
    found = await gathered(fake, seconds=0.5)
    [service] = found.services
    for fact in (found.cluster.nodes, found.cluster.user, found.cluster.rules, service.service, service.slices):
        assert isinstance(fact, Unread)
    assert found.cluster.unknown_ranges


async def test_a_lease_that_is_renewed_meanwhile_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    lease = {
        "metadata": {"name": "extsync-default", "namespace": "ext"},
        "spec": {"renewTime": "2027-01-15T08:00:00.0Z"},
    }
    path = "/apis/coordination.k8s.io/v1/namespaces/ext/leases/extsync-default"
    fake = FakeCluster(objects={"/version": {"gitVersion": "v1.36.3"}, path: lease})
    stamped = slice_named("orders-1", "orders")
    stamped["metadata"]["labels"][OWNER_LABEL] = "default"
    stamped["metadata"]["annotations"] = {"extsync.dev/written-by": "ext/extsync-default.shard-1-of-4/3/pod-1"}
    fake.add(SLICES, stamped)
    monkeypatch.setattr("extsync.doctor.gathering.gather.RENEWAL", 0.0)
    assert [is_held(one) for one in (await gathered(fake)).services] == [False]
    renewals = asyncio.create_task(renew(fake, path))
    try:
        assert [is_held(one) for one in (await gathered(fake)).services] == [True]
    finally:
        renewals.cancel()


def is_held(found: ServiceFacts) -> bool:
    assert found.keeper is not None
    assert not isinstance(found.keeper, Unread)
    return found.keeper.renewed


async def renew(fake: FakeCluster, path: str) -> None:
    """Renews the Lease with each turn of the loop."""
    number = 0
    while True:
        number += 1
        fake.objects[path] = {**fake.objects[path], "spec": {"renewTime": f"2027-01-15T08:00:00.{number:06}Z"}}
        await asyncio.sleep(0)
