"""What the source reports of answers, and when it asks: in virtual time, with a server that tests script."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import pytest

from extsync.config.secret import HIDDEN
from extsync.errors import ReadFailed
from extsync.model import Backend, Observation, Outcome
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.sources.http import HttpSource
from extsync.sources.http.source import LONGEST_LIMIT, MAX_CONFIRMED, SHORTEST_LIMIT
from extsync.sources.offload import inline
from extsync.sources.payload import builder
from tests.sources.http.support import URL, Server, block, reply, targets
from tests.sources.support import addresses, context, running

T = TypeVar("T")
CLOCK = VirtualClock()
LABELS = (("__meta_url", URL),)


class Offload:
    """Does the work at once, and counts it."""

    def __init__(self) -> None:
        self.works = 0

    async def __call__(self, work: Callable[[], T], /) -> T:
        self.works += 1
        return await inline(work)


def source(server: Server, offload: Offload | None = None, **keys: Any) -> HttpSource:
    return HttpSource(block(**keys), context(clock=CLOCK), client=server, offload=offload or Offload())


async def reports(server: Server, seconds: float, **keys: Any) -> list[Observation]:
    """What is reported in that time, without what is reported again."""
    async with running(source(server, **keys)) as told:
        await CLOCK.sleep(seconds)
    return told.seen


# ---- what is reported ----------------------------------------------------------------------------------------------


@virtual_time
async def test_the_targets_are_reported_with_their_labels_and_the_url() -> None:
    body = [
        {"targets": ["10.0.0.1:80", "[2001:db8::1]:81"], "labels": {"env": "prod", "__meta_rack": "7"}},
        {"targets": ["10.0.0.2:80"]},
    ]
    [report] = await reports(Server(CLOCK, reply(body)), 1)
    labels = (("__meta_rack", "7"), *LABELS, ("env", "prod"))
    assert report == Observation(
        Outcome.FOUND,
        (
            Backend("10.0.0.1", 80, labels=labels),
            Backend("2001:db8::1", 81, labels=labels),
            Backend("10.0.0.2", 80, labels=LABELS),
        ),
    )


@virtual_time
async def test_a_list_of_our_own_backends_is_read_too() -> None:
    body = [{"address": "10.0.0.1", "zone": "dc-1a", "ports": {"mysql": 3307}}]
    [report] = await reports(Server(CLOCK, reply(body)), 1)
    assert report.backends == (Backend("10.0.0.1", zone="dc-1a", ports=(("mysql", 3307),), labels=LABELS),)


@virtual_time
async def test_only_a_literal_empty_list_is_empty() -> None:
    [report] = await reports(Server(CLOCK, reply("[]")), 1)
    assert (report.outcome, report.backends) == (Outcome.EMPTY, ())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", f"{URL}:1:1: is empty: write [] for no backends"),
        ("<html>", f"{URL}:1:1: is not JSON: "),
        ('[{"targets": ["10.0.0.1:80"]}', f"{URL}:1:1: is not JSON: "),
        ('{"targets": []}', f"{URL}:1:1: must be a list of backends or of target groups"),
        ("null", f"{URL}:1:1: must be a list"),
        ("[" * 100_000, f"{URL}:1:1: is "),
        (b'["\xff"]', "is not UTF-8 text"),
        ("- targets: [10.0.0.1:80]", "is not JSON"),
        ('[{"targets": []}]', "its target groups hold no targets: write [] for no backends"),
        ('[{"targets": ["db-1:80"]}]', "none of its entries can be used (1); the first is"),
    ],
)
@virtual_time
async def test_a_body_that_is_no_list_is_an_error_and_never_empty(body: str | bytes, told: str) -> None:
    [report] = await reports(Server(CLOCK, reply(body)), 0.1)
    assert report.outcome is Outcome.ERROR
    assert told in report.detail
    assert report.detail.isprintable()


@virtual_time
async def test_a_target_that_cannot_be_used_is_set_aside_and_the_others_count() -> None:
    body = targets("10.0.0.1:80", "db-1:80", "10.0.0.2:70000", "10.0.0.3:80")
    [report] = await reports(Server(CLOCK, reply(body)), 1)
    assert addresses(report) == ["10.0.0.1", "10.0.0.3"]
    assert [entry.entry for entry in report.rejected] == [f"{URL}:1:2 'db-1:80'", f"{URL}:1:2 '10.0.0.2:70000'"]
    assert "use a dns source" in report.rejected[0].reason
    assert "ports are 1 to 65535" in report.rejected[1].reason


@virtual_time
async def test_more_backends_than_can_be_meant_are_refused() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder, "MAX_BACKENDS", 1)
        [report] = await reports(Server(CLOCK, reply(targets("10.0.0.1", "10.0.0.2"))), 0.1)
    assert report == Observation(Outcome.ERROR, detail=f"{URL}: holds more than 1 backends")


@virtual_time
async def test_a_query_is_in_the_label_without_its_secrets_and_in_no_message() -> None:
    url = URL + "?token=hunter2"
    server = Server(CLOCK, reply(targets("10.0.0.1:80", "x")), reply("!"))
    found, failed = await reports(server, 70, url=url)
    assert found.backends[0].labels == (("__meta_url", url.replace("hunter2", HIDDEN)),)
    assert "hunter2" not in found.rejected[0].entry + failed.detail


@virtual_time
async def test_a_failure_is_an_error_with_its_reason_and_recovery_is_reported() -> None:
    good = reply(targets("10.0.0.1:80"))
    server = Server(CLOCK, good, ReadFailed("no route"), reply(status=500), ReadFailed("no route"), good)
    seen = await reports(server, 300)
    assert [report.outcome for report in seen] == [Outcome.FOUND, *[Outcome.ERROR] * 3, Outcome.FOUND]
    assert seen[1].detail == "no route"
    assert seen[4] is seen[0]


# ---- what is asked -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "seconds"), [("1m", "60"), ("1h", "3600"), ("500ms", "0.5"), ("1s500ms", "1.5"), ("300h", "1080000")]
)
@virtual_time
async def test_the_server_is_told_the_interval_as_prometheus_tells_it(interval: str, seconds: str) -> None:
    server = Server(CLOCK, reply("[]"))
    await reports(server, 0.1, refreshInterval=interval)
    assert server.asked[0][1] == {"Accept": "application/json", "X-Prometheus-Refresh-Interval-Seconds": seconds}


@virtual_time
async def test_an_answer_that_has_not_changed_is_a_fresh_success_that_costs_nothing() -> None:
    offload = Offload()
    server = Server(CLOCK, reply(targets("10.0.0.1:80"), ETag='"1"'), reply(status=304))
    async with running(source(server, offload)) as told:
        await CLOCK.sleep(590)
    assert [headers.get("If-None-Match") for _, headers in server.asked] == [None, *['"1"'] * (told.reads - 1)]
    assert told.reads == len(server.asked) >= 10
    assert len(told.seen) == 1  # the same object every time
    assert offload.works == 1


@virtual_time
async def test_a_validator_that_misses_a_change_is_not_trusted_for_ever() -> None:
    old = [reply(targets("10.0.0.1:80"), ETag='"1"'), *[reply(status=304)] * MAX_CONFIRMED]
    server = Server(CLOCK, *old, reply(targets("10.0.0.2:80"), ETag='"1"'), reply(status=304))
    seen = await reports(server, 800)
    assert [addresses(report) for report in seen] == [["10.0.0.1"], ["10.0.0.2"]]
    assert server.asked[MAX_CONFIRMED + 1][1].get("If-None-Match") is None
    assert server.asked[MAX_CONFIRMED + 2][1].get("If-None-Match") == '"1"'


@virtual_time
async def test_a_body_that_has_not_changed_is_not_parsed_again_without_a_validator_either() -> None:
    offload = Offload()
    body = reply(targets("10.0.0.1:80"))
    server = Server(CLOCK, body, body, reply(targets("10.0.0.2:80")), ReadFailed("no route"), body)
    async with running(source(server, offload)) as told:
        await CLOCK.sleep(600)
    assert offload.works == 3
    assert [addresses(report) for report in told.seen] == [["10.0.0.1"], ["10.0.0.2"], [], ["10.0.0.1"]]


@virtual_time
async def test_another_text_that_says_the_same_is_reported_as_the_same() -> None:
    server = Server(CLOCK, reply('[{"targets":["10.0.0.1"]}]'), reply('[ {"targets": ["10.0.0.1"]} ]'))
    async with running(source(server)) as told:
        await CLOCK.sleep(100)
    assert (told.reads, len(told.seen)) == (2, 1)


@virtual_time
async def test_a_new_validator_takes_the_place_of_the_old_one_and_failures_leave_it() -> None:
    good = targets("10.0.0.1:80")
    server = Server(
        CLOCK,
        reply(good, ETag='"1"'),
        reply(good, ETag='"2"'),
        reply("!", ETag='"3"'),  # a list that cannot be read is not to be confirmed later
        reply(status=500, ETag='"4"'),
        reply(status=304),
        reply(good),
        reply(good),
    )
    seen = await reports(server, 600)
    sent = [headers.get("If-None-Match") for _, headers in server.asked[:8]]
    assert sent == [None, '"1"', '"2"', '"2"', '"2"', '"2"', None, None]
    assert [report.outcome for report in seen] == [Outcome.FOUND, Outcome.ERROR, Outcome.ERROR, Outcome.FOUND]


@virtual_time
async def test_a_304_that_was_not_asked_for_is_an_error() -> None:
    server = Server(CLOCK, reply(targets("10.0.0.1:80")), reply(status=304))
    seen = await reports(server, 100)
    assert [report.outcome for report in seen] == [Outcome.FOUND, Outcome.ERROR]
    [report] = await reports(Server(CLOCK, reply(status=304)), 0.1)
    assert report.outcome is Outcome.ERROR


# ---- when it is asked ----------------------------------------------------------------------------------------------


@virtual_time
async def test_it_is_asked_at_once_and_then_once_an_interval_at_most() -> None:
    server = Server(CLOCK, reply("[]"), takes=1.0)
    await reports(server, 1000, refreshInterval="30s")
    assert server.asked[0][0] == 0
    assert all(27 <= pause <= 30 for pause in server.pauses())


@virtual_time
async def test_a_failure_is_tried_again_sooner_than_the_interval_and_ever_more_slowly() -> None:
    server = Server(CLOCK, ReadFailed("no route"))
    await reports(server, 400)
    pauses = server.pauses()
    assert all(0.9 * most <= pause <= most for pause, most in zip(pauses, [1, 2, 4, 8, 16, 32, 60, 60], strict=False))


@virtual_time
async def test_a_server_that_is_busy_is_left_alone_for_as_long_as_it_says() -> None:
    busy = reply(status=429, Retry_After="45")
    server = Server(CLOCK, busy, reply(status=503, Retry_After="100000"), reply(targets("10.0.0.1:80")))
    seen = await reports(server, 700)
    assert server.pauses() == [45.0, 600.0]
    assert [report.outcome for report in seen] == [Outcome.ERROR, Outcome.ERROR, Outcome.FOUND]


@pytest.mark.parametrize(
    ("interval", "limit"), [("1s", SHORTEST_LIMIT), ("8s", 8), ("30s", 30), ("60s", 60), ("5m", LONGEST_LIMIT)]
)
@virtual_time
async def test_a_read_may_take_as_long_as_the_interval_within_bounds(interval: str, limit: float) -> None:
    server = Server(CLOCK, reply("[]"))
    await reports(server, 1, refreshInterval=interval)
    assert server.limit == limit


@virtual_time
async def test_where_the_first_report_is_waited_for_a_read_ends_before_that() -> None:
    server = Server(CLOCK, reply("[]"))
    patient = msgspec.structs.replace(context(clock=CLOCK), patience=10.0)
    async with running(HttpSource(block(), patient, client=server, offload=Offload())):
        await CLOCK.sleep(1)
    assert server.limit == 9.5


@virtual_time
async def test_a_source_that_is_started_again_remembers_and_the_client_is_closed_each_time() -> None:
    server = Server(CLOCK, reply(targets("10.0.0.1:80"), ETag='"1"'), reply(status=304))
    made = source(server)
    for _ in range(2):
        async with running(made) as told:
            await asyncio.sleep(0.1)
            assert addresses(told.seen[-1]) == ["10.0.0.1"]
    assert server.closed == 2
    assert [headers.get("If-None-Match") for _, headers in server.asked] == [None, '"1"']
