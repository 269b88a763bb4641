"""What the source asks and reports, and when: in virtual time, with a cluster that tests script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from extsync.errors import ReadFailed
from extsync.model import Outcome
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.sources.consul import ConsulSource
from extsync.sources.consul.gate import SETTLE
from extsync.sources.consul.pace import Pace, blocking_timeout
from extsync.sources.offload import inline
from extsync.sources.supervise import first_report
from tests.sources.consul.support import SERVER, Cluster, addresses, block, check, instance, outcomes, part
from tests.sources.support import Reports, context, running

T = TypeVar("T")
CLOCK = VirtualClock()
FOUND, EMPTY, GONE, ERROR, SUSPECT = Outcome.FOUND, Outcome.EMPTY, Outcome.GONE, Outcome.ERROR, Outcome.SUSPECT
ONE, TWO, THREE = (instance(f"192.0.2.{number}") for number in (1, 2, 3))


def source(
    cluster: Cluster, base_dir: Path = Path(), *, environ: Mapping[str, str] | None = None, **keys: Any
) -> ConsulSource:
    surroundings = msgspec.structs.replace(context(base_dir, clock=CLOCK), environ=environ or {})
    return ConsulSource(block(**keys), surroundings, client=cluster, offload=inline)


@asynccontextmanager
async def told(cluster: Cluster, **keys: Any) -> AsyncIterator[Reports]:
    """A running source that has made its first read."""
    async with running(source(cluster, **keys)) as reports:
        await CLOCK.sleep(0.01)
        yield reports


def cluster(*instances: Any) -> Cluster:
    made = Cluster(CLOCK)
    if instances:
        made.put(*instances)
    return made


# ---- what is reported ----------------------------------------------------------------------------------------------


@virtual_time
async def test_each_change_is_reported_when_it_happens() -> None:
    consul = cluster(ONE)
    async with told(consul) as reports:
        assert addresses(reports.seen[-1]) == ["192.0.2.1"]
        await CLOCK.sleep(1000)
        consul.put(ONE, TWO)
        await CLOCK.sleep(0.01)
        assert addresses(reports.seen[-1]) == ["192.0.2.1", "192.0.2.2"]
        consul.put(ONE, instance("192.0.2.2", checks=[check("critical")]))
        await CLOCK.sleep(0.01)
        assert [backend.ready for backend in part(reports.seen[-1]).backends] == [True, False]
    assert outcomes(reports.seen) == [FOUND, FOUND, FOUND]


@virtual_time
async def test_the_manifest_s_rules_for_instances_are_followed() -> None:
    consul = cluster(
        instance(checks=[check("warning")], Tags=["a"], TaggedAddresses={"wan": {"Address": "203.0.113.1", "Port": 9}}),
        instance("192.0.2.2"),
    )
    async with told(consul, warning="NotReady", taggedAddress="wan", tagSeparator=";") as reports:
        found = part(reports.seen[-1])
    [backend] = found.backends
    assert (backend.address, backend.port, backend.ready) == ("203.0.113.1", 9, False)
    assert dict(backend.labels)["__meta_consul_tags"] == ";a;"
    assert [entry.reason for entry in found.rejected] == ["it has no tagged address 'wan'"]


@virtual_time
async def test_a_read_that_finds_nothing_new_reports_the_same_object() -> None:
    consul = cluster(ONE)
    async with told(consul, wait="60s") as reports:
        await CLOCK.sleep(1)
        consul.put(ONE, service="another")  # which lets the query return, and changes nothing
        await CLOCK.sleep(1)
        consul.put(instance(checks=[check("passing", "another check")]))
        await CLOCK.sleep(200)
    assert reports.reads > 4
    assert len(reports.seen) == 1


@virtual_time
async def test_each_service_is_watched_and_told_by_itself() -> None:
    consul = cluster(ONE)
    consul.put(TWO, service="billing")
    async with told(consul, services=["orders", "billing", "orders"]) as reports:
        [first] = reports.seen
        assert [name for name, _ in first.parts] == ["orders", "billing"]
        assert (addresses(first, "orders"), addresses(first, "billing")) == (["192.0.2.1"], ["192.0.2.2"])
        await CLOCK.sleep(100)
        consul.put(TWO, THREE, service="billing")
        await CLOCK.sleep(0.01)
    assert part(reports.seen[-1], "orders") is part(first, "orders")
    assert addresses(reports.seen[-1], "billing") == ["192.0.2.2", "192.0.2.3"]


@virtual_time
async def test_a_service_that_does_not_answer_holds_up_the_first_report_for_its_own_deadline_only() -> None:
    consul = cluster(ONE)
    slow = consul.get

    async def get(url: str, **keywords: Any) -> Any:
        if "billing" in url:
            await CLOCK.sleep(keywords["timeout"] - 0.01)
            consul.status = (500, b"No cluster leader")
        return await slow(url, **keywords)

    consul.get = get  # type: ignore[method-assign]
    report = await first_report(source(consul, services=["orders", "billing"]), CLOCK, 10.0)
    assert (part(report, "orders").outcome, part(report, "billing").outcome) == (FOUND, ERROR)


@virtual_time
async def test_a_service_that_is_not_in_the_catalog_is_gone() -> None:
    async with told(cluster()) as reports:
        pass
    [report] = reports.seen
    assert (part(report).outcome, part(report).detail) == (GONE, "the catalog has no instance of it")


@virtual_time
async def test_a_service_of_which_no_instance_fits_is_empty() -> None:
    async with told(cluster(), tags=["primary"]) as reports:
        pass
    [report] = reports.seen
    assert part(report).outcome is EMPTY
    assert "fits tags, nodeMeta and filter" in part(report).detail


@virtual_time
async def test_instances_of_which_none_can_be_used_are_told_and_say_nothing_of_who_is_there() -> None:
    consul = cluster(ONE, TWO)
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.put(instance("db.example.com"))
        await CLOCK.sleep(0.01)
        found = part(reports.seen[-1])
        assert (found.outcome, found.backends, len(found.rejected)) == (FOUND, (), 1)
        await CLOCK.sleep(100)
        consul.strays = []
        consul.put(ONE, TWO)
        await CLOCK.sleep(0.01)
        assert consul.asked[-2].consistent, "one and two are still known, so that an empty answer surprises"
    assert outcomes(reports.seen) == [FOUND, FOUND, FOUND]


# ---- how it asks ---------------------------------------------------------------------------------------------------


@virtual_time
async def test_the_first_read_answers_at_once_and_the_others_wait_for_a_change() -> None:
    consul = cluster(ONE)
    async with told(consul, wait="5m"):
        await CLOCK.sleep(700)
    assert [asked["index"] for asked in consul.asked] == [None, "11", "11", "11"]
    assert [asked.at for asked in consul.asked] == pytest.approx([0, 0, 300, 600])
    assert consul.asked[1].timeout == blocking_timeout(300)
    assert consul.asked[0].timeout < 10, "the time that commands give a source that they ask once"


@virtual_time
async def test_an_index_of_zero_does_not_make_a_busy_loop() -> None:
    consul = cluster()
    consul.put(ONE, index=0)
    async with told(consul, wait="60s"):
        await CLOCK.sleep(60)
    assert [asked["index"] for asked in consul.asked][1:] == ["1"] * (len(consul.asked) - 1)
    assert len(consul.asked) < 10


@virtual_time
async def test_a_burst_of_changes_costs_a_few_reads() -> None:
    consul = cluster(ONE)
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        before = len(consul.asked)
        for number in range(100):
            consul.put(ONE, instance(f"192.0.2.{number + 2}"))
            await CLOCK.sleep(0.01)
        assert len(consul.asked) - before <= 3
        assert len(reports.seen) <= 4
        await CLOCK.sleep(15)
        assert addresses(reports.seen[-1]) == ["192.0.2.1", "192.0.2.101"], "the last change is not lost"


@virtual_time
async def test_a_server_that_never_waits_is_polled_at_the_slow_rate() -> None:
    consul = cluster(ONE)

    async def churn() -> None:
        while True:
            consul.put(ONE)
            await CLOCK.sleep(0.001)

    async with told(consul):
        churning = asyncio.create_task(churn())
        await CLOCK.sleep(150)
        churning.cancel()
    assert len(consul.asked) <= 2 + 1 + 150 / 15


@virtual_time
async def test_every_request_has_the_token_as_it_is_now(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    consul = cluster(ONE)
    async with running(source(consul, tmp_path, tokenFile="token", wait="60s")):
        await CLOCK.sleep(70)
        file.write_text("second")
        await CLOCK.sleep(6)  # and not only when the query that waits has ended
        tokens = [asked.headers["X-Consul-Token"] for asked in consul.asked]
    assert tokens == ["first", "first", "first", "second", "second"]
    assert [asked.waits for asked in consul.asked] == [False, True, True, False, True]


@virtual_time
async def test_a_token_from_the_environment_is_sent() -> None:
    consul = cluster(ONE)
    async with running(source(consul, environ={"CONSUL": "t"}, token="${CONSUL}")):
        await CLOCK.sleep(1)
    assert {asked.headers["X-Consul-Token"] for asked in consul.asked} == {"t"}


@virtual_time
async def test_without_a_token_none_is_sent() -> None:
    consul = cluster(ONE)
    async with told(consul):
        pass
    assert not consul.asked[0].headers


# ---- what is doubted -----------------------------------------------------------------------------------------------


@virtual_time
async def test_a_cache_that_was_not_filled_is_read_past() -> None:
    consul = cluster(ONE, TWO)
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.strays = []
        consul.put(ONE, TWO, THREE)
        await CLOCK.sleep(0.01)
    assert outcomes(reports.seen) == [FOUND, FOUND]
    assert addresses(reports.seen[-1]) == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert [(asked.consistent, asked.waits) for asked in consul.asked[-3:]] == [
        (False, True),
        (True, False),
        (False, True),
    ]


@virtual_time
async def test_a_first_answer_comes_from_the_leader() -> None:
    consul = cluster(ONE, TWO, THREE)
    consul.strays = [ONE]
    async with told(consul) as reports:
        assert [asked.consistent for asked in consul.asked] == [True, False]
    assert addresses(reports.seen[0]) == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]


@virtual_time
async def test_a_first_answer_that_is_empty_is_believed() -> None:
    consul = cluster()
    consul.strays = []
    async with told(consul) as reports:
        assert [asked.consistent for asked in consul.asked] == [True, False]
        await CLOCK.sleep(100)
        consul.put(ONE)
        consul.strays = None
        await CLOCK.sleep(0.01)
    assert outcomes(reports.seen) == [GONE, FOUND]


@virtual_time
async def test_all_that_is_deregistered_is_confirmed_and_gone() -> None:
    consul = cluster(ONE, TWO)
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.put()
        await CLOCK.sleep(0.01)
    assert outcomes(reports.seen) == [FOUND, GONE]


@virtual_time
async def test_a_cluster_that_lost_its_state_is_suspect_until_its_instances_are_back() -> None:
    consul = cluster()
    consul.put(ONE, TWO, THREE, index=500)
    async with told(consul) as reports:
        await CLOCK.sleep(1)
        consul.lose()
        await CLOCK.sleep(1000)
        assert outcomes(reports.seen) == [FOUND, SUSPECT]
        suspect = part(reports.seen[-1])
        assert suspect.detail.startswith(f"{SERVER}/v1/health/service/orders: 3 of 3 known instances are missing, and")
        consul.put(ONE)
        await CLOCK.sleep(1000)
        consul.put(service="another", index=9000)
        await CLOCK.sleep(1000)
        assert outcomes(reports.seen)[-1] is SUSPECT
        consul.put(ONE, TWO, THREE)
        await CLOCK.sleep(16)
        assert outcomes(reports.seen)[-1] is FOUND
        consul.put(THREE)
        await CLOCK.sleep(16)
    assert addresses(reports.seen[-1]) == ["192.0.2.3"]


@virtual_time
async def test_of_a_cluster_that_lost_its_state_a_part_may_come_back_for_good() -> None:
    consul = cluster()
    consul.put(ONE, TWO, THREE, index=500)
    async with told(consul) as reports:
        consul.lose()
        consul.put(ONE, TWO)
        await CLOCK.sleep(SETTLE - 10)
        assert outcomes(reports.seen)[-1] is SUSPECT
        await CLOCK.sleep(30)
        assert addresses(reports.seen[-1]) == ["192.0.2.1", "192.0.2.2"]


@virtual_time
async def test_while_in_doubt_it_asks_less_and_less_and_never_waits() -> None:
    consul = cluster()
    consul.put(ONE, index=500)
    async with told(consul):
        before = len(consul.asked)
        consul.lose()
        await CLOCK.sleep(300)
        asked = consul.asked[before + 1 :]
    assert all(request.consistent and not request.waits for request in asked)
    pauses = [later.at - earlier.at for earlier, later in pairwise([consul.asked[before], *asked])]
    bounds = [1, 2, 4, 8, *[15] * len(pauses)]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=False))


@virtual_time
async def test_each_doubt_begins_with_a_short_pause() -> None:
    consul = cluster(ONE)
    async with told(consul) as reports:
        for _ in range(2):
            consul.headers = {"X-Consul-KnownLeader": "false"}
            consul.put(ONE)
            await CLOCK.sleep(60)
            consul.headers = {}
            await CLOCK.sleep(100)
            assert outcomes(reports.seen)[-1] is FOUND
        consul.headers = {"X-Consul-KnownLeader": "false"}
        consul.put(ONE)
        await CLOCK.sleep(0.01)
        consul.headers = {}
        await CLOCK.sleep(1)
        assert outcomes(reports.seen)[-1] is FOUND


@virtual_time
async def test_after_an_answer_even_a_doubtful_one_failures_begin_with_a_short_pause_too() -> None:
    consul = cluster(ONE)
    async with told(consul) as reports:
        consul.headers = {"X-Consul-KnownLeader": "false"}
        consul.failure = "refused"
        consul.put(ONE)
        await CLOCK.sleep(100)
        consul.failure = ""
        await CLOCK.sleep(31)
        assert outcomes(reports.seen)[-1] is SUSPECT
        consul.failure = "refused again"
        while outcomes(reports.seen)[-1] is SUSPECT:
            await CLOCK.sleep(0.1)
        consul.failure, consul.headers = "", {}
        await CLOCK.sleep(1)
        assert outcomes(reports.seen)[-1] is FOUND


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"X-Consul-KnownLeader": "false"}, "knows of no leader"),
        ({"X-Consul-LastContact": "60000"}, "has not heard from its leader"),
        ({"X-Consul-Results-Filtered-By-ACLs": "true"}, "the token needs service:read and node:read"),
    ],
)
@virtual_time
async def test_what_the_server_says_against_itself_changes_nothing_until_it_says_so_no_more(
    headers: dict[str, str], words: str
) -> None:
    consul = cluster(ONE, TWO)
    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.headers = headers
        consul.put(ONE)
        await CLOCK.sleep(1)
        assert words in part(reports.seen[-1]).detail
        consul.headers = {}
        await CLOCK.sleep(16)
    assert outcomes(reports.seen) == [FOUND, SUSPECT, FOUND]


@virtual_time
async def test_a_doubt_that_cannot_be_settled_is_told_with_both_reasons() -> None:
    consul = cluster(ONE)
    answer = consul.get

    async def get(url: str, **keywords: Any) -> Any:
        consul.status = (500, b"No cluster leader") if "consistent" in url else (200, b"")
        return await answer(url, **keywords)

    async with told(consul) as reports:
        await CLOCK.sleep(100)
        consul.get = get  # type: ignore[method-assign]
        consul.headers = {"X-Consul-KnownLeader": "false"}
        consul.put()
        await CLOCK.sleep(0.01)
        detail = part(reports.seen[-1]).detail
        assert "knows of no leader" in detail
        assert "No cluster leader" in detail
        await CLOCK.sleep(60)
    assert outcomes(reports.seen) == [FOUND, SUSPECT, ERROR]


@virtual_time
async def test_a_first_answer_in_doubt_is_decided_within_the_time_of_a_command() -> None:
    consul = cluster()
    consul.takes = 4.9
    report = await first_report(source(consul), CLOCK, 10.0)
    assert (part(report).outcome, CLOCK.monotonic() < 10) == (SUSPECT, False)
    consul = cluster()
    consul.takes = 3.9
    started = CLOCK.monotonic()
    report = await first_report(source(consul), CLOCK, 10.0)
    assert part(report).outcome is GONE
    assert CLOCK.monotonic() - started < 10


@virtual_time
async def test_a_doubt_that_passes_within_the_time_of_a_command_does_not_fail_it() -> None:
    consul = cluster(ONE)
    consul.headers = {"X-Consul-KnownLeader": "false"}
    CLOCK.call_later(3.0, consul.headers.clear)
    report = await first_report(source(consul), CLOCK, 10.0)
    assert addresses(report) == ["192.0.2.1"]


@virtual_time
async def test_the_supervisor_s_restart_forgets_nothing() -> None:
    consul = cluster()
    consul.put(ONE, TWO, index=500)
    made = source(consul)
    async with running(made):
        await CLOCK.sleep(1)
    consul.lose()
    async with running(made) as reports:
        await CLOCK.sleep(100)
    assert outcomes(reports.seen) == [SUSPECT]
    assert consul.closed == 2


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({"wait": "60s", "token": "t", "warning": "NotReady", "allowStale": False}, True),
        ({"services": ["billing", "orders"]}, True),
        ({"tags": ["primary"]}, False),
        ({"filter": "a == b"}, False),
        ({"nodeMeta": {"a": "b"}}, False),
        ({"datacenter": "dc2"}, False),
        ({"taggedAddress": "lan"}, False),
        ({"server": "http://elsewhere.example.com"}, False),
    ],
)
@virtual_time
async def test_a_block_that_asks_the_same_inherits_what_was_known(changed: dict[str, Any], kept: bool) -> None:
    consul = cluster()
    consul.put(ONE, TWO, index=500)
    before = source(consul)
    async with running(before):
        await CLOCK.sleep(1)
    consul.lose(5000)
    after = source(consul, **changed)
    after.inherit(before)
    async with running(after) as reports:
        await CLOCK.sleep(100)
    told_of = part(reports.seen[-1]).outcome
    assert told_of is SUSPECT if kept else told_of in (EMPTY, GONE)


# ---- failures ------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_failure_is_told_once_and_tried_again_with_longer_and_longer_pauses() -> None:
    consul = cluster(ONE)
    async with told(consul) as reports:
        consul.failure = "http://consul.example.com:8500/: connection refused"
        consul.put()
        await CLOCK.sleep(300)
        times = [asked.at for asked in consul.asked[2:]]
        assert outcomes(reports.seen) == [FOUND, ERROR]
        assert part(reports.seen[-1]).detail == consul.failure
        pauses = [later - earlier for earlier, later in pairwise(times)]
        bounds = [1, 2, 4, 8, 16, *[30] * len(pauses)]
        assert all(bound / 2 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=False))
        assert len(set(pauses)) == len(pauses), "they have jitter"
        consul.failure = ""
        consul.put(ONE)
        await CLOCK.sleep(31)
    assert outcomes(reports.seen) == [FOUND, ERROR, FOUND]


@virtual_time
async def test_after_a_failure_the_next_read_answers_at_once() -> None:
    consul = cluster(ONE)
    async with told(consul) as reports:
        consul.failure = "refused"
        consul.put(ONE)
        await CLOCK.sleep(0.1)
        consul.failure = ""
        await CLOCK.sleep(2)
        assert outcomes(reports.seen) == [FOUND, ERROR, FOUND]
    assert [asked.waits for asked in consul.asked] == [False, True, False, False, True]


@virtual_time
async def test_a_wait_that_is_cut_off_is_no_failure_where_the_next_read_succeeds() -> None:
    consul = cluster(ONE)
    answer = consul.get

    async def get(url: str, **keywords: Any) -> Any:
        reply = await answer(url, **keywords)
        if "index" in url:
            raise ReadFailed("cut off")
        return reply

    consul.get = get  # type: ignore[method-assign]
    async with told(consul, wait="60s") as reports:
        await CLOCK.sleep(600)
    assert len(reports.seen) == 1
    assert [asked.waits for asked in consul.asked[:5]] == [False, True, False, True, False]
    assert all(asked.resend is not asked.waits for asked in consul.asked)


@virtual_time
async def test_a_server_that_fails_every_other_time_is_not_flooded() -> None:
    consul = cluster(ONE)
    answer = consul.get

    async def get(url: str, **keywords: Any) -> Any:
        consul.failure = "" if len(consul.asked) % 2 else "refused"
        return await answer(url, **keywords)

    consul.get = get  # type: ignore[method-assign]
    async with told(consul):
        await CLOCK.sleep(150)
    assert len(consul.asked) <= 2 * (2 + 150 / 15)


@virtual_time
async def test_a_read_that_waits_too_long_is_a_failure() -> None:
    consul = cluster(ONE)
    async with told(consul, wait="60s") as reports:
        consul.takes = 1000
        await CLOCK.sleep(300)
    assert set(outcomes(reports.seen)[1:]) == {ERROR}
    assert consul.asked[2].at + blocking_timeout(60) <= consul.asked[3].at


@pytest.mark.parametrize(
    ("status", "text", "told_of"),
    [
        (403, b"Permission denied", "the answer has status 403 (Permission denied): the token needs service:read"),
        (500, b"No cluster leader", "the answer has status 500 (No cluster leader): the servers have to elect"),
        (404, b"<html>nginx</html>", "the answer has status 404: is this Consul's API?"),
    ],
)
@virtual_time
async def test_a_refusal_names_what_was_asked_what_was_answered_and_what_helps(
    status: int, text: bytes, told_of: str
) -> None:
    consul = cluster()
    consul.status = (status, text)
    async with told(consul, datacenter="dc2") as reports:
        pass
    [report] = reports.seen
    assert part(report).outcome is ERROR
    assert part(report).detail.startswith(f"{SERVER}/v1/health/service/orders?dc=dc2: {told_of}")


@virtual_time
async def test_a_token_that_cannot_be_had_is_a_failure_and_nothing_is_asked(tmp_path: Path) -> None:
    consul = cluster(ONE)
    async with running(source(consul, tmp_path, tokenFile="token")) as reports:
        await CLOCK.sleep(1)
        assert part(reports.seen[-1]).detail == f"{tmp_path / 'token'}: there is no such file or directory"
        assert not consul.asked
        (tmp_path / "token").write_text("t")
        await CLOCK.sleep(30)
    assert outcomes(reports.seen) == [ERROR, FOUND]


@virtual_time
async def test_a_token_that_was_away_for_a_moment_is_used_at_once(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("t")
    consul = cluster(ONE)
    async with running(source(consul, tmp_path, tokenFile="token", wait="60s")) as reports:
        await CLOCK.sleep(50)
        file.unlink()
        await CLOCK.sleep(11)
        file.write_text("t")
        await CLOCK.sleep(10)
    assert outcomes(reports.seen) == [FOUND, ERROR, FOUND]


@virtual_time
async def test_a_file_that_is_still_being_read_does_not_outlive_the_source(tmp_path: Path) -> None:
    ended: list[bool] = []

    async def hanging(work: Callable[[], T], /) -> T:
        try:
            return await asyncio.Future[T]()
        except asyncio.CancelledError:
            ended.append(True)
            raise

    surroundings = context(tmp_path, clock=CLOCK)
    async with running(ConsulSource(block(tokenFile="token"), surroundings, client=cluster(), offload=hanging)):
        await CLOCK.sleep(1)
    await CLOCK.sleep(0)
    assert ended == [True]


@virtual_time
async def test_a_variable_that_is_not_set_is_named() -> None:
    async with running(source(cluster(), token="${CONSUL}")) as reports:
        await CLOCK.sleep(1)
    assert "the environment variable CONSUL is not set" in part(reports.seen[-1]).detail


@virtual_time
async def test_no_secret_is_in_what_is_told() -> None:
    consul = cluster()
    consul.status = (403, b"Permission denied")
    made = source(consul, environ={"CONSUL": "hunter2"}, token="${CONSUL}")
    async with running(made) as reports:
        await CLOCK.sleep(1)
    assert "hunter2" not in repr(reports.seen) + repr(vars(made))


@virtual_time
async def test_the_pace_can_be_another_one() -> None:
    consul = cluster()
    consul.failure = "refused"
    surroundings = context(clock=CLOCK)
    pace = Pace(first_pause=100.0, last_pause=100.0)
    async with running(ConsulSource(block(), surroundings, client=consul, offload=inline, pace=pace)):
        await CLOCK.sleep(49)
    assert len(consul.asked) == 1
