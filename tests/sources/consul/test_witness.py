"""What is asked besides the services themselves, when, and what a source makes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from extsync.errors import ReadFailed
from extsync.model import Outcome
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.sources.consul import ConsulSource
from extsync.sources.consul.pace import Pace
from extsync.sources.consul.witness import INTERVAL
from extsync.sources.offload import inline
from tests.sources.consul.support import Cluster, addresses, block, instance, outcomes, part
from tests.sources.support import Reports, context, running

CLOCK = VirtualClock()
FOUND, GONE, SUSPECT = Outcome.FOUND, Outcome.GONE, Outcome.SUSPECT
ONE, TWO, THREE = (instance(f"192.0.2.{number}") for number in (1, 2, 3))
REMEMBERED = Pace().rights_remembered


@asynccontextmanager
async def told(cluster: Cluster, **keys: Any) -> AsyncIterator[Reports]:
    """A running source that has made its first read."""
    source = ConsulSource(block(**keys), context(clock=CLOCK), client=cluster, offload=inline)
    async with running(source) as reports:
        await CLOCK.sleep(0.01)
        yield reports


def cluster(*instances: Any, index: int = 100) -> Cluster:
    made = Cluster(CLOCK)
    made.put(*instances, index=index)
    return made


# ---- the state of the servers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [50, 5000])
@pytest.mark.parametrize("left", [[], [ONE], [ONE, TWO]])
@virtual_time
async def test_a_state_that_was_lost_is_found_out_however_far_the_new_one_has_counted(
    index: int, left: list[Any]
) -> None:
    consul = cluster(ONE, TWO, THREE)
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.lose(index)
        consul.put(*left)
        await CLOCK.sleep(0.01)
        assert outcomes(reports.seen) == [FOUND, SUSPECT]
        consul.put(ONE, TWO, THREE)
        await CLOCK.sleep(16)
        assert addresses(reports.seen[-1]) == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
        consul.put(THREE)
        await CLOCK.sleep(1)
        assert addresses(reports.seen[-1]) == ["192.0.2.3"], "what leaves the new state, leaves"


@virtual_time
async def test_servers_that_cannot_be_seen_leave_the_index() -> None:
    consul = cluster(ONE, TWO, THREE)
    consul.blocked = {"/v1/health/service/consul"}
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.put(ONE, TWO, THREE, service="another", index=5000)
        await CLOCK.sleep(INTERVAL)
        consul.lose(index=4999)
        await CLOCK.sleep(0.01)
        assert outcomes(reports.seen) == [FOUND, SUSPECT]


@virtual_time
async def test_a_state_that_was_lost_and_counted_on_while_nobody_could_ask_is_found_out() -> None:
    consul = cluster(ONE, TWO, THREE)
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.failure = "refused"
        consul.lose(index=5000)
        await CLOCK.sleep(1000)
        consul.failure = ""
        await CLOCK.sleep(31)
    assert outcomes(reports.seen) == [FOUND, Outcome.ERROR, SUSPECT]


@virtual_time
async def test_a_service_that_was_back_when_it_was_read_again_belongs_to_the_new_state() -> None:
    consul = cluster(ONE, TWO, THREE)
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.failure = "refused"
        consul.lose(index=5000)
        consul.put(ONE, TWO, THREE)
        await CLOCK.sleep(100)
        consul.failure = ""
        await CLOCK.sleep(31)
        consul.put(ONE, TWO)
        await CLOCK.sleep(0.01)
        assert addresses(reports.seen[-1]) == ["192.0.2.1", "192.0.2.2"]


@virtual_time
async def test_what_is_deregistered_leaves_at_once_whatever_the_servers_were_exchanged_for() -> None:
    names = [instance(f"192.0.2.{number}") for number in range(1, 11)]
    consul = cluster(*names)
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.servers = [("s2", "another", consul.index + 1)]
        consul.put(names[0])
        await CLOCK.sleep(0.01)
    assert outcomes(reports.seen) == [FOUND, FOUND]
    assert addresses(reports.seen[-1]) == ["192.0.2.1"]


@virtual_time
async def test_where_the_state_cannot_be_compared_nothing_leaves_until_it_can() -> None:
    consul = cluster(ONE, TWO, THREE)
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.blocked = {"/v1/catalog/services"}
        consul.put(ONE, TWO)
        await CLOCK.sleep(100)
        assert outcomes(reports.seen) == [FOUND, SUSPECT]
        assert "whether the servers lost their state is not known" in part(reports.seen[-1]).detail
        assert "/v1/catalog/services: the answer has status 403" in part(reports.seen[-1]).detail
        consul.blocked = set()
        await CLOCK.sleep(16)
    assert addresses(reports.seen[-1]) == ["192.0.2.1", "192.0.2.2"]


@virtual_time
async def test_what_comes_is_told_although_the_state_cannot_be_compared() -> None:
    consul = cluster(ONE)
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.blocked = {"/v1/catalog/services"}
        consul.put(ONE, TWO)
        await CLOCK.sleep(0.01)
    assert outcomes(reports.seen) == [FOUND, FOUND]


@virtual_time
async def test_after_an_outage_what_is_all_there_is_told_although_the_state_cannot_be_compared() -> None:
    consul = cluster(ONE)
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.failure = "refused"
        consul.put(ONE)
        await CLOCK.sleep(100)
        consul.failure, consul.blocked = "", {"/v1/catalog/services"}
        await CLOCK.sleep(31)
    assert outcomes(reports.seen) == [FOUND, Outcome.ERROR, FOUND]


@virtual_time
async def test_where_the_state_could_never_be_read_the_services_alone_are_believed() -> None:
    consul = cluster(ONE, TWO, THREE)
    consul.blocked = {"/v1/catalog/services"}
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.put(ONE, TWO)
        await CLOCK.sleep(0.01)
    assert outcomes(reports.seen) == [FOUND, FOUND]


@virtual_time
async def test_a_thousand_services_share_a_few_looks() -> None:
    names = [f"service-{number}" for number in range(1000)]
    consul = cluster()
    for name in names:
        consul.put(ONE, TWO, THREE, service=name)
    async with told(consul, services=names, wait="60s"):
        await CLOCK.sleep(600)
        assert len(consul.looks) <= 2 * 600 / INTERVAL + 1
        assert all(INTERVAL / 2 <= later - earlier <= INTERVAL for earlier, later in pairwise(consul.looks))
        before = len(consul.looks)
        consul.takes = 0.2
        for name in names:
            consul.put(ONE, TWO, service=name)
        await CLOCK.sleep(10)
        assert len(consul.looks) - before <= 4


@virtual_time
async def test_a_look_that_was_under_way_before_an_answer_says_nothing_of_it() -> None:
    consul = cluster(ONE, TWO)
    async with told(consul) as reports:
        await CLOCK.sleep(0.5)
        consul.takes = 1.0
        while len(consul.looks) == 1:
            await CLOCK.sleep(0.1)  # the next look is under way, and saw the old state
        consul.lose(index=5000)
        await CLOCK.sleep(20)
    assert outcomes(reports.seen) == [FOUND, SUSPECT]


@virtual_time
async def test_a_state_that_is_lost_right_after_the_first_answer_was_seen_before() -> None:
    consul = cluster(ONE, TWO)
    answer = consul.get

    async def get(url: str, **keywords: Any) -> Any:
        if "orders" not in url:
            await CLOCK.sleep(2)
        return await answer(url, **keywords)

    consul.get = get  # type: ignore[method-assign]
    async with told(consul) as reports:
        while not reports.seen:
            await CLOCK.sleep(0.01)
        consul.lose(index=5000)
        await CLOCK.sleep(20)
    assert outcomes(reports.seen) == [FOUND, SUSPECT]


@virtual_time
async def test_another_datacenter_namespace_and_partition_have_a_state_of_their_own() -> None:
    consul = cluster(ONE)
    answer, urls = consul.get, list[str]()

    async def get(url: str, **keywords: Any) -> Any:
        urls.append(url)
        return await answer(url, **keywords)

    consul.get = get  # type: ignore[method-assign]
    async with told(consul, datacenter="dc2", namespace="shop", partition="east"):
        pass
    looks = [url.partition("/v1")[2] for url in urls if "orders" not in url]
    assert looks == [
        "/catalog/services?dc=dc2&ns=shop&partition=east&node-meta=extsync%3Anone&consistent=",
        "/health/service/consul?dc=dc2&consistent=",
    ]


@virtual_time
async def test_a_token_is_used_for_looks_too() -> None:
    consul = cluster(ONE)
    answer = consul.get

    async def get(url: str, **keywords: Any) -> Any:
        if keywords["headers"] != {"X-Consul-Token": "t"}:
            raise ReadFailed(url)
        return await answer(url, **keywords)

    consul.get = get  # type: ignore[method-assign]
    async with told(consul, token="t") as reports:
        await CLOCK.sleep(1)
    assert outcomes(reports.seen) == [FOUND]
    assert consul.looks


# ---- the rights of the token ---------------------------------------------------------------------------------------


@virtual_time
async def test_instances_that_the_token_may_not_see_any_more_stay() -> None:
    consul = cluster(ONE, instance("192.0.2.2", node={"Node": "n2"}))
    consul.refused = {("service", "orders"), ("node", "n2")}
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.put()
        await CLOCK.sleep(1000)
        assert outcomes(reports.seen) == [FOUND, SUSPECT]
        assert part(reports.seen[-1]).detail.endswith(
            "orders: no instance is listed, and the token may not see them: it needs service:read on orders and 1 more"
        )
    assert consul.authorized[0] == [("service", "orders"), ("node", "n1"), ("node", "n2")]


@virtual_time
async def test_with_acls_the_last_instances_leave_once_the_rights_cannot_be_old_any_more() -> None:
    consul = cluster(ONE, TWO)
    consul.refused = set()
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.put()
        await CLOCK.sleep(REMEMBERED - 1)
        assert outcomes(reports.seen) == [FOUND, SUSPECT]
        await CLOCK.sleep(17)
    assert outcomes(reports.seen) == [FOUND, SUSPECT, GONE]


@virtual_time
async def test_rights_that_come_back_have_to_last_before_they_explain_anything() -> None:
    consul = cluster(ONE, TWO)
    consul.refused = {("service", "orders")}
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.put()
        await CLOCK.sleep(100)
        consul.refused = set()
        await CLOCK.sleep(REMEMBERED - 1)
        assert outcomes(reports.seen)[-1] is SUSPECT
        consul.put(ONE, TWO)
        await CLOCK.sleep(16)
        assert outcomes(reports.seen)[-1] is FOUND


@virtual_time
async def test_rights_that_come_and_go_count_from_when_they_came_last() -> None:
    consul = cluster(ONE, TWO)
    consul.refused = set()
    async with told(consul) as reports:
        consul.put()
        await CLOCK.sleep(REMEMBERED - 5)
        consul.refused = {("service", "orders")}
        await CLOCK.sleep(20)
        consul.refused = set()
        await CLOCK.sleep(REMEMBERED - 5)
        assert outcomes(reports.seen)[-1] is SUSPECT
        await CLOCK.sleep(21)
        assert outcomes(reports.seen)[-1] is GONE


@virtual_time
async def test_rights_that_a_new_source_is_given_have_to_last_too() -> None:
    consul = cluster()
    consul.refused = {("service", "orders")}
    async with told(consul) as reports:
        await CLOCK.sleep(50)
        consul.refused = set()
        await CLOCK.sleep(REMEMBERED - 1)
        assert outcomes(reports.seen)[-1] is SUSPECT
        await CLOCK.sleep(17)
        assert outcomes(reports.seen)[-1] is GONE


@virtual_time
async def test_of_the_rights_of_a_token_that_never_saw_anything_only_their_lack_counts() -> None:
    consul = cluster(index=100)
    consul.refused = {("service", "orders")}
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        assert outcomes(reports.seen) == [SUSPECT]
    consul.refused = set()
    async with told(consul) as reports:
        assert outcomes(reports.seen) == [GONE]


@virtual_time
async def test_rights_are_asked_for_only_where_no_instance_is_left() -> None:
    consul = cluster(ONE, TWO, THREE)
    consul.refused = set()
    async with told(consul) as reports:
        consul.put(ONE)
        await CLOCK.sleep(1)
    assert addresses(reports.seen[-1]) == ["192.0.2.1"]
    assert consul.authorized == []


@pytest.mark.parametrize("status", [(500, b"No cluster leader"), (429, b"rate limit")])
@virtual_time
async def test_rights_that_cannot_be_asked_for_now_leave_the_answer_in_doubt(status: tuple[int, bytes]) -> None:
    consul = cluster(ONE)
    answer = consul.post

    async def post(url: str, **keywords: Any) -> Any:
        consul.status = status
        try:
            return await answer(url, **keywords)
        finally:
            consul.status = (200, b"")

    consul.post = post  # type: ignore[method-assign]
    async with told(consul) as reports:
        consul.put()
        await CLOCK.sleep(100)
        assert outcomes(reports.seen) == [FOUND, SUSPECT]
        assert "whether the token may see them is not known" in part(reports.seen[-1]).detail
        consul.post = answer  # type: ignore[method-assign]
        await CLOCK.sleep(16)
    assert outcomes(reports.seen) == [FOUND, SUSPECT, GONE]


@virtual_time
async def test_more_nodes_than_can_be_asked_for_at_a_time_are_left_out() -> None:
    consul = cluster(*[instance(f"192.0.2.{number}", node={"Node": f"n{number:03}"}) for number in range(1, 200)])
    consul.refused = {("node", "n007")}
    async with told(consul) as reports:
        consul.put()
        await CLOCK.sleep(1)
    assert len(consul.authorized[0]) == 64
    assert "it needs node:read on n007" in part(reports.seen[-1]).detail


@virtual_time
async def test_namespace_and_partition_go_with_the_question() -> None:
    consul = cluster()
    answer, bodies = consul.post, list[tuple[str, bytes]]()

    async def post(url: str, **keywords: Any) -> Any:
        bodies.append((url.partition("/v1")[2], keywords["body"]))
        return await answer(url, **keywords)

    consul.post = post  # type: ignore[method-assign]
    async with told(consul, datacenter="dc2", namespace="shop", partition="east"):
        pass
    question = b'{"Resource":"service","Access":"read","Segment":"orders","Namespace":"shop","Partition":"east"}'
    assert bodies == [("/internal/acl/authorize?dc=dc2", b"[" + question + b"]")]
