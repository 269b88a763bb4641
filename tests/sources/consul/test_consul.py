"""The source and a real Consul agent: everything that happens to services, tokens and the agent itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from extsync.config.sources import ConsulSource as ConsulBlock
from extsync.model import Backend, Observation, Outcome
from extsync.sources.consul import ConsulSource
from extsync.sources.consul.pace import Pace
from tests.health.certificates import Authority
from tests.servers.consul import Consul
from tests.sources.consul.support import addresses, part
from tests.sources.support import Reports, context, running

pytestmark = pytest.mark.sockets

RIGHTS = 'service "orders" { policy = "read" } node_prefix "" { policy = "read" }'
QUICK = Pace(burst=10, interval=0.05, first_pause=0.05, last_pause=0.2, doubt_pause=0.2, rights_remembered=0.5)


@asynccontextmanager
async def watching(server: str, base_dir: Path = Path(), **keys: Any) -> AsyncIterator[Reports]:
    config = ConsulBlock.model_validate({"server": server, "services": ["orders"], **keys})
    async with running(ConsulSource(config, context(base_dir), pace=QUICK)) as reports:
        yield reports


def told(outcome: Outcome, words: str = "", service: str = "orders") -> Callable[[Observation], bool]:
    def check(report: Observation) -> bool:
        return part(report, service).outcome is outcome and words in part(report, service).detail

    return check


def has(*wanted: str, service: str = "orders") -> Callable[[Observation], bool]:
    def check(report: Observation) -> bool:
        return sorted(addresses(report, service)) == sorted(wanted)

    return check


def backend(report: Observation, address: str = "192.0.2.1") -> Backend:
    return next(backend for backend in part(report).backends if backend.address == address)


async def test_instances_come_and_go(consul: Consul) -> None:
    async with watching(consul.url) as reports:
        await reports.until(told(Outcome.GONE))
        consul.register("orders", "192.0.2.1", 80, tags=["primary"], Meta={"team": "shop"})
        report = await reports.until(has("192.0.2.1"))
        assert backend(report).port == 80
        labels = dict(backend(report).labels)
        assert labels["__meta_consul_tags"] == ",primary,"
        assert labels["__meta_consul_service_metadata_team"] == "shop"
        assert labels["__meta_consul_health"] == "passing"
        second = consul.register("orders", "192.0.2.2", 80)
        consul.register("orders", "192.0.2.3", 80)
        await reports.until(has("192.0.2.1", "192.0.2.2", "192.0.2.3"))
        consul.deregister(second)
        await reports.until(has("192.0.2.1", "192.0.2.3"))
    assert Outcome.SUSPECT not in [report.outcome for report in reports.seen]


async def test_the_last_instances_that_leave_are_gone(consul: Consul) -> None:
    instances = [consul.register("orders", f"192.0.2.{number}", 80) for number in (1, 2, 3)]
    async with watching(consul.url) as reports:
        await reports.until(has("192.0.2.1", "192.0.2.2", "192.0.2.3"))
        for instance in instances:
            consul.deregister(instance)
        await reports.until(told(Outcome.GONE))


async def test_checks_and_maintenance_become_readiness_and_drain(consul: Consul) -> None:
    first = consul.register("orders", "192.0.2.1", 80)
    consul.register("orders", "192.0.2.2", 80)

    def state(ready: bool, drain: bool) -> Callable[[Observation], bool]:
        return lambda report: (backend(report).ready, backend(report).drain) == (ready, drain)

    async with watching(consul.url) as reports:
        await reports.until(has("192.0.2.1", "192.0.2.2"))
        await reports.until(state(ready=True, drain=False))
        consul.set_status(first, "critical")
        report = await reports.until(state(ready=False, drain=False))
        assert backend(report, "192.0.2.2").ready
        consul.set_status(first, "warning")
        await reports.until(state(ready=True, drain=False))
        consul.set_maintenance(first, enabled=True)
        report = await reports.until(state(ready=True, drain=True))
        assert not backend(report, "192.0.2.2").drain
        consul.set_maintenance(first, enabled=False)
        await reports.until(state(ready=True, drain=False))
        consul.set_maintenance(None, enabled=True)
        report = await reports.until(lambda report: all(backend.drain for backend in part(report).backends))
        assert dict(backend(report).labels)["__meta_consul_health"] == "maintenance"


async def test_a_warning_is_not_ready_where_the_manifest_says_so_and_a_weight_of_zero_drains(consul: Consul) -> None:
    consul.register("orders", "192.0.2.1", 80, status="warning", Weights={"Passing": 10, "Warning": 0})
    async with watching(consul.url, warning="NotReady") as reports:
        report = await reports.until(has("192.0.2.1"))
    assert (backend(report).ready, backend(report).drain) == (False, True)


async def test_tags_node_meta_and_filters_choose_instances(consul: Consul) -> None:
    consul.put_in_catalog(
        "orders", "192.0.2.1", 80, node="a", node_address="198.51.100.1", node_meta={"rack": "7"}, Tags=["x", "y"]
    )
    consul.put_in_catalog(
        "orders", "192.0.2.2", 80, node="b", node_address="198.51.100.2", node_meta={"rack": "8"}, Tags=["x"]
    )
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"tags": ["x"]}, ["192.0.2.1", "192.0.2.2"]),
        ({"tags": ["x", "y"]}, ["192.0.2.1"]),
        ({"nodeMeta": {"rack": "8"}}, ["192.0.2.2"]),
        ({"filter": '"y" not in Service.Tags'}, ["192.0.2.2"]),
        ({"allowStale": False}, ["192.0.2.1", "192.0.2.2"]),
    ]
    for keys, wanted in cases:
        async with watching(consul.url, **keys) as reports:
            await reports.until(has(*wanted))
    async with watching(consul.url, tags=["z"]) as reports:
        await reports.until(told(Outcome.EMPTY))
    async with watching(consul.url, filter="==") as reports:
        await reports.until(told(Outcome.ERROR, "check filter"))


async def test_addresses_of_external_services(consul: Consul) -> None:
    consul.put_in_catalog("orders", "", 0, node="a", node_address="2001:db8::1")
    consul.put_in_catalog("orders", "db.example.com", 80, node="b", node_address="198.51.100.2")
    consul.put_in_catalog("orders", "192.0.2.3", 70000, node="c", node_address="198.51.100.3")
    async with watching(consul.url) as reports:
        report = await reports.until(has("2001:db8::1"))
    assert backend(report, "2001:db8::1").port is None
    assert sorted(entry.entry for entry in part(report).rejected) == ["orders-b on b", "orders-c on c"]


async def test_tagged_addresses_have_ports_of_their_own(consul: Consul) -> None:
    wan = {"wan": {"Address": "203.0.113.1", "Port": 8080}}
    consul.register("orders", "192.0.2.1", 80, TaggedAddresses=wan)
    consul.register("orders", "192.0.2.2", 80)
    async with watching(consul.url, taggedAddress="wan") as reports:
        report = await reports.until(has("203.0.113.1", "192.0.2.2"))
    assert backend(report, "203.0.113.1").port == 8080
    assert backend(report, "192.0.2.2").port == 80, "Consul adds wan_ipv4 by itself"


async def test_two_services_in_two_datacenters(make_consul: Callable[..., Consul]) -> None:
    here, there = make_consul(datacenter="dc1"), make_consul(datacenter="dc2")
    here.register("orders", "192.0.2.1", 80)
    here.register("billing", "192.0.2.2", 81)
    there.register("orders", "192.0.2.3", 80)
    async with watching(here.url, services=["orders", "billing"]) as reports:
        await reports.until(has("192.0.2.1"))
        await reports.until(has("192.0.2.2", service="billing"))
    async with watching(here.url, datacenter="dc2") as reports:
        await reports.until(told(Outcome.ERROR, "(No path to datacenter): check datacenter"))
        here.join(there)
        report = await reports.until(has("192.0.2.3"))
    assert dict(backend(report, "192.0.2.3").labels)["__meta_consul_dc"] == "dc2"


async def test_a_restart_with_empty_state_removes_nothing_until_the_instances_are_back(consul: Consul) -> None:
    numbers = (1, 2, 3)
    for number in numbers:
        consul.register("orders", f"192.0.2.{number}", 80)
    async with watching(consul.url) as reports:
        await reports.until(has("192.0.2.1", "192.0.2.2", "192.0.2.3"))
        await asyncio.to_thread(consul.restart)
        # The reason may be either one: at a slow start, the new state counts as far as the old one had been seen to.
        await reports.until(told(Outcome.SUSPECT, "3 of 3 known instances are missing, and nothing removed them"))
        consul.register("unrelated", "192.0.2.9", 80)
        consul.register("orders", "192.0.2.1", 80)
        await reports.until(told(Outcome.SUSPECT, "2 of 3 known instances are missing"))
        for number in numbers[1:]:
            consul.register("orders", f"192.0.2.{number}", 80)
        await reports.until(has("192.0.2.1", "192.0.2.2", "192.0.2.3"))
        consul.deregister("orders-192.0.2.1-80")
        await reports.until(has("192.0.2.2", "192.0.2.3"))
    assert not {Outcome.GONE, Outcome.EMPTY} & {part(report).outcome for report in reports.seen}


@pytest.mark.parametrize("back", [0, 1, 2])
async def test_a_restart_with_empty_state_is_found_out_although_others_registered_first(
    consul: Consul, back: int
) -> None:
    """The index of a service that nothing happens to is low, and that of the new catalog soon above it."""
    for number in (1, 2, 3):
        consul.register("orders", f"192.0.2.{number}", 80)
    for number in range(30):
        consul.register(f"other-{number}", "192.0.2.9", 80)
    async with watching(consul.url) as reports:
        await reports.until(has("192.0.2.1", "192.0.2.2", "192.0.2.3"))
        consul.kill()
        await reports.until(told(Outcome.ERROR))
        await asyncio.to_thread(consul.start)
        for number in range(60):
            consul.register(f"other-{number}", "192.0.2.9", 80)
        for number in range(1, back + 1):
            consul.register("orders", f"192.0.2.{number}", 80)
        await reports.until(told(Outcome.SUSPECT, f"{3 - back} of 3 known instances are missing"))
        for number in range(back + 1, 4):
            consul.register("orders", f"192.0.2.{number}", 80)
        await reports.until(has("192.0.2.1", "192.0.2.2", "192.0.2.3"))
        consul.deregister("orders-192.0.2.1-80")
        consul.deregister("orders-192.0.2.2-80")
        await reports.until(has("192.0.2.3"))
    assert not {Outcome.GONE, Outcome.EMPTY} & {part(report).outcome for report in reports.seen}


async def test_a_service_that_never_was_is_gone_also_after_a_restart(consul: Consul) -> None:
    async with watching(consul.url) as reports:
        await reports.until(told(Outcome.GONE))
        await asyncio.to_thread(consul.restart)
        consul.register("orders", "192.0.2.1", 80)
        await reports.until(has("192.0.2.1"))


async def test_an_agent_that_is_killed_is_an_error_until_it_is_back(consul: Consul) -> None:
    async with watching(consul.url) as reports:
        await reports.until(told(Outcome.GONE))
        consul.kill()
        await reports.until(told(Outcome.ERROR, "does the server run, and on this port?"))
        await asyncio.to_thread(consul.start)
        await reports.until(told(Outcome.GONE))


async def test_tokens_are_read_anew_and_what_they_may_not_see_is_not_taken_for_gone(
    make_consul: Callable[..., Consul], tmp_path: Path
) -> None:
    consul = make_consul(acls=True)
    consul.register("orders", "192.0.2.1", 80)
    first, second = consul.create_token(RIGHTS), consul.create_token(RIGHTS)
    blind = consul.create_token('service "billing" { policy = "read" }')
    file = tmp_path / "token"
    file.write_text(first + "\n")
    async with watching(consul.url, tmp_path, tokenFile="token", wait="1s") as reports:
        await reports.until(has("192.0.2.1"))
        file.write_text(second)
        consul.delete_token(first)
        consul.register("orders", "192.0.2.2", 80)
        await reports.until(has("192.0.2.1", "192.0.2.2"))
        consul.delete_token(second)
        await reports.until(told(Outcome.ERROR, "(ACL not found): there is no such token, or no longer"))
        file.write_text(blind)
        await reports.until(told(Outcome.SUSPECT, "the token may not see them: it needs service:read on orders"))
        file.unlink()
        await reports.until(told(Outcome.ERROR, "there is no such file"))
        file.write_text(consul.create_token(RIGHTS))
        await reports.until(has("192.0.2.1", "192.0.2.2"))
    assert not {Outcome.GONE, Outcome.EMPTY} & {part(report).outcome for report in reports.seen}
    assert not any(secret in repr(reports.seen) for secret in (first, second, blind, consul.token))


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ('node_prefix "" { policy = "read" }', "it needs service:read on orders"),
        ('service "orders" { policy = "read" }', "it needs node:read on agent-1"),
        ("", "it needs service:read on orders and 1 more"),
    ],
)
async def test_rights_that_are_taken_away_are_not_taken_for_instances_that_left(
    make_consul: Callable[..., Consul], tmp_path: Path, left: str, words: str
) -> None:
    consul = make_consul(acls=True)
    consul.register("orders", "192.0.2.1", 80)
    token = consul.create_token(RIGHTS)
    (tmp_path / "token").write_text(token)
    async with watching(consul.url, tmp_path, tokenFile="token") as reports:
        await reports.until(has("192.0.2.1"))
        consul.change_rights(token, left)
        consul.register("orders", "192.0.2.2", 80)  # which raises the index, as an honest removal would
        await reports.until(told(Outcome.SUSPECT, words))
        consul.change_rights(token, RIGHTS)
        await reports.until(has("192.0.2.1", "192.0.2.2"))
        consul.deregister("orders-192.0.2.1-80")
        consul.deregister("orders-192.0.2.2-80")
        await reports.until(told(Outcome.GONE))
    assert [part(report).outcome for report in reports.seen].count(Outcome.GONE) == 1


async def test_a_token_that_never_had_the_rights_does_not_see_that_a_service_is_gone(
    make_consul: Callable[..., Consul], tmp_path: Path
) -> None:
    consul = make_consul(acls=True)
    token = consul.create_token('service "billing" { policy = "read" }')
    (tmp_path / "token").write_text(token)
    async with watching(consul.url, tmp_path, tokenFile="token") as reports:
        await reports.until(told(Outcome.SUSPECT, "it needs service:read on orders"))
        consul.change_rights(token, RIGHTS)
        await reports.until(told(Outcome.GONE))
        consul.register("orders", "192.0.2.1", 80)
        await reports.until(has("192.0.2.1"))


async def test_rights_are_asked_for_in_the_datacenter_of_the_service(make_consul: Callable[..., Consul]) -> None:
    here, there = make_consul(datacenter="dc1"), make_consul(datacenter="dc2")
    here.join(there)
    instances = [there.register("orders", f"192.0.2.{number}", 80) for number in (1, 2)]
    async with watching(here.url, datacenter="dc2") as reports:
        await reports.until(has("192.0.2.1", "192.0.2.2"))
        for instance in instances:
            there.deregister(instance)
        await reports.until(told(Outcome.GONE))
    assert Outcome.SUSPECT not in [part(report).outcome for report in reports.seen]


async def test_tls_with_a_client_certificate(make_consul: Callable[..., Consul], tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    consul = make_consul(tls=authority.issue("server"), client_ca=authority.certificate)
    authority.issue("client")
    consul.register("orders", "192.0.2.1", 80)
    files = {"caFile": "ca.pem", "certFile": "client.pem", "keyFile": "client.key"}
    async with watching(consul.https_url, tmp_path, tlsConfig=files) as reports:
        await reports.until(has("192.0.2.1"))
    async with watching(consul.https_url, tmp_path, tlsConfig={"caFile": "ca.pem"}) as reports:
        await reports.until(told(Outcome.ERROR, "certificate"))
    async with watching(consul.https_url, tmp_path) as reports:
        await reports.until(told(Outcome.ERROR, "of an authority that is not trusted"))
