"""``run``: where its own network fails nothing is demoted, and where one service fails that service is."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from extsync.engine.options import Options
from extsync.objects import Event
from extsync.plan.doubt import DoubtPolicy
from extsync.seams.virtual import stand_still, virtual_time
from extsync.seams.virtual_net import Behaviour, BlackHole, Failing
from tests.engine.support import (
    CHECK,
    NAMESPACE,
    PERIOD,
    PORT,
    THRESHOLD,
    TIMEOUT,
    UP,
    A,
    B,
    C,
    Rig,
    manifest,
    not_ready,
    rack,
    ready,
)

NAMES = tuple(f"s{number}" for number in range(5))
ADDRESSES = {name: (f"192.0.2.{number}", f"198.51.100.{number}") for number, name in enumerate(NAMES, 1)}
ALL = tuple(address for pair in ADDRESSES.values() for address in pair)
UNREACHABLE = Failing(errno.ENETUNREACH, latency=None)
SHOWN_WITHIN = PERIOD * THRESHOLD + TIMEOUT + 1.0
DOUBTED = "extsync itself seems to be cut off"


def services(**check: Any) -> list[dict[str, Any]]:
    return [manifest(name, rack(*ADDRESSES[name]), checks=[{**CHECK, **check}]) for name in NAMES]


def all_ready(rig: Rig) -> bool:
    return all(rig.published(name) == ready(*ADDRESSES[name]) for name in NAMES)


@asynccontextmanager
async def all_up(*, options: Options | None = None, **check: Any) -> AsyncIterator[Rig]:
    """A rig that runs the services, each checked as ``check`` says and published as ready."""
    rig = Rig(options=options)
    rig.up(*ALL)
    async with rig.running(*services(**check)):
        await rig.until(lambda: all_ready(rig), within=PERIOD + 1)
        yield rig


@contextmanager
def nothing_written(rig: Rig) -> Iterator[None]:
    """Nothing is written within the block but events."""
    with rig.recorded() as writes:
        yield
    assert writes == []


def cut(rig: Rig, how: Behaviour) -> None:
    for address in ALL:
        rig.io.script(address, PORT, how)


@pytest.mark.parametrize("how", [UNREACHABLE, BlackHole()], ids=["unreachable", "silent"])
@virtual_time
async def test_an_outage_of_its_own_link_demotes_nothing(how: Behaviour, caplog: pytest.LogCaptureFixture) -> None:
    async with all_up() as rig:
        with nothing_written(rig):
            cut(rig, how)
            await rig.clock.sleep(300)
            rig.up(*ALL)
            await rig.clock.sleep(60)
        events = {
            (obj["involvedObject"]["name"], obj["reason"])
            for obj in rig.store.dump(Event, NAMESPACE)
            if "Prober" in obj["reason"]
        }
    assert events == {(name, reason) for name in NAMES for reason in ("ProberIsolated", "ProberConnected")}
    said = [record.getMessage() for record in caplog.records]
    assert any(line.startswith(DOUBTED) for line in said)
    assert any("what fails is kept as it was" in line for line in said)
    assert any("failures are believed again" in line for line in said)


@virtual_time
async def test_the_same_failure_of_one_service_alone_shows_in_time() -> None:
    async with all_up() as rig:
        rig.down(*ADDRESSES["s0"])
        await rig.until(rig.agree("s0", not_ready(*ADDRESSES["s0"])), within=SHOWN_WITHIN)
        assert all(rig.published(name) == ready(*ADDRESSES[name]) for name in NAMES[1:])


@virtual_time
async def test_endpoints_that_were_taken_out_and_fail_once_more_are_no_reason_for_doubt() -> None:
    """They passed once of the two times that it takes, all at once: nothing that was up began to fail."""
    rig = Rig()
    rig.up(*ALL)
    *weak, strong = NAMES
    async with rig.running(*services(successThreshold=2)):
        await rig.until(lambda: all_ready(rig), within=2 * PERIOD + 1)
        for name in weak:
            rig.down(*ADDRESSES[name])
            await rig.until(rig.agree(name, not_ready(*ADDRESSES[name])), within=SHOWN_WITHIN)
            await rig.clock.sleep(200)
        addresses = [address for name in weak for address in ADDRESSES[name]]
        rig.up(*addresses)
        await rig.clock.sleep(PERIOD)
        rig.down(*addresses)
        await rig.clock.sleep(2 * PERIOD)
        assert rig.engine.status().isolated == ""
        dead, alive = ADDRESSES[strong]
        rig.down(dead)
        await rig.until(rig.agree(strong, {dead: False, alive: True}), within=SHOWN_WITHIN)


@virtual_time
async def test_what_really_died_during_an_outage_shows_after_it() -> None:
    dead, alive = ADDRESSES["s0"]
    async with all_up() as rig:
        cut(rig, UNREACHABLE)
        await rig.clock.sleep(100)
        rig.up(*(address for address in ALL if address != dead))
        await rig.until(rig.agree("s0", {dead: False, alive: True}), within=2 * PERIOD + TIMEOUT + 3)
        assert all(rig.published(name) == ready(*ADDRESSES[name]) for name in NAMES[1:])


@virtual_time
async def test_a_freeze_ends_by_itself() -> None:
    async with all_up(options=Options(namespaces=(NAMESPACE,), doubt=DoubtPolicy(max_freeze=120.0))) as rig:
        cut(rig, UNREACHABLE)
        await rig.clock.sleep(118)
        assert all_ready(rig)
        nothing = {name: not_ready(*ADDRESSES[name]) for name in NAMES}
        await rig.until(lambda: all(rig.published(name) == nothing[name] for name in NAMES), within=PERIOD + 10)


@virtual_time
async def test_a_machine_that_is_suspended_without_its_network_and_resumed_with_it_demotes_nothing() -> None:
    async with all_up() as rig:
        with nothing_written(rig):
            cut(rig, UNREACHABLE)
            await rig.clock.sleep(100)
            stand_still(3600.0)
            rig.up(*ALL)
            await rig.clock.sleep(600)
        dead, alive = ADDRESSES["s0"]
        rig.down(dead)
        await rig.until(rig.agree("s0", {dead: False, alive: True}), within=SHOWN_WITHIN)


@pytest.mark.parametrize("share", [0.4, 0.5, 0.6, 0.7, 0.8])
@pytest.mark.parametrize("stopped", [0.5 * PERIOD, PERIOD + TIMEOUT + 3.0])
@virtual_time
async def test_a_process_that_stands_still_while_a_freeze_ends_demotes_nothing_that_it_has_not_probed_since(
    share: float, stopped: float
) -> None:
    async with all_up() as rig:
        with nothing_written(rig):
            cut(rig, UNREACHABLE)
            await rig.clock.sleep(100)
            rig.up(*ALL)
            await rig.clock.sleep(share * PERIOD)
            stand_still(stopped)
            await rig.clock.sleep(100)


@virtual_time
async def test_a_verdict_that_waits_comes_also_where_nothing_else_changes() -> None:
    """It comes early, and too little has been heard since to know that it is not extsync's own network."""
    rig = Rig()
    rig.up(A, B, C)
    check = {**CHECK, "transitionPeriodSeconds": 1}
    few = [manifest(name, rack(address), checks=[check]) for name, address in zip(NAMES, (A, B, C), strict=False)]
    async with rig.running(*few):
        await rig.until(lambda: rig.published("s2") == ready(C), within=PERIOD + 1)
        await rig.clock.sleep(60)
        for name, address in zip(NAMES, (A, B, C), strict=False):
            rig.down(address)
            await rig.until(rig.agree(name, not_ready(address)), within=SHOWN_WITHIN)
            rig.up(address)
            await rig.clock.sleep(60)


@virtual_time
async def test_where_one_failure_is_enough_the_first_ones_come_back_once_it_is_known() -> None:
    async with all_up(failureThreshold=1) as rig:
        cut(rig, UNREACHABLE)
        await rig.until(lambda: not all_ready(rig), within=PERIOD)
        await rig.until(lambda: all_ready(rig), within=PERIOD)
        await rig.clock.sleep(300)
        assert all_ready(rig)


@virtual_time
async def test_a_start_without_a_network_demotes_nothing_that_is_published() -> None:
    async with all_up() as rig:
        cut(rig, UNREACHABLE)
        await rig.restart(*services())
        with nothing_written(rig):
            await rig.clock.sleep(120)
        assert all_ready(rig)


@virtual_time
async def test_a_sentinel_that_fails_as_well_is_enough() -> None:
    sentinel = ("203.0.113.1", 53)
    rig = Rig(options=Options(namespaces=(NAMESPACE,), sentinels=(sentinel,)))
    rig.up(*ALL)
    rig.io.script(*sentinel, UP)
    async with rig.running(*services()[:1]):
        name = NAMES[0]
        await rig.until(lambda: rig.published(name) == ready(*ADDRESSES[name]), within=PERIOD + 1)
        cut(rig, UNREACHABLE)
        rig.io.script(*sentinel, UNREACHABLE)
        await rig.clock.sleep(300)
        assert rig.published(name) == ready(*ADDRESSES[name])
        rig.io.script(*sentinel, UP)
        await rig.until(rig.agree(name, not_ready(*ADDRESSES[name])), within=2 * PERIOD + TIMEOUT + 3)


@virtual_time
async def test_checks_that_were_wrong_and_are_put_right_blind_it_not() -> None:
    rig = Rig()
    rig.up(*ALL)
    async with rig.running(*services(tcpSocket={"port": PORT + 1})):
        await rig.clock.sleep(60)
        rig.manifests.put(*services())
        await rig.until(lambda: all_ready(rig), within=2 * PERIOD + 10)
        cut(rig, UNREACHABLE)
        await rig.clock.sleep(120)
        assert all_ready(rig)


@virtual_time
async def test_with_a_faster_period_in_transition_nothing_is_demoted_either() -> None:
    async with all_up(transitionPeriodSeconds=1) as rig:
        await rig.clock.sleep(30)
        with nothing_written(rig):
            cut(rig, UNREACHABLE)
            await rig.clock.sleep(120)
        rig.up(*ALL)
        await rig.clock.sleep(60)
        rig.down(*ADDRESSES["s0"])  # and one alone is quick as ever, once others have passed
        await rig.until(rig.agree("s0", not_ready(*ADDRESSES["s0"])), within=2 * PERIOD)


@pytest.mark.parametrize("period", [60, 300])
@virtual_time
async def test_long_periods_are_protected_as_well(period: int) -> None:
    rig = Rig()
    rig.up(*ALL)
    async with rig.running(*services(periodSeconds=period)):
        await rig.until(lambda: all_ready(rig), within=period + 1)
        cut(rig, UNREACHABLE)
        await rig.clock.sleep(9 * 60)
        assert all_ready(rig)


@virtual_time
async def test_services_that_never_came_up_freeze_nothing() -> None:
    rig = Rig()
    good, new = services()[:2], services()[2:]
    rig.up(*ADDRESSES["s0"], *ADDRESSES["s1"])
    async with rig.running(*good):
        await rig.until(lambda: rig.published("s1") == ready(*ADDRESSES["s1"]), within=PERIOD + 1)
        rig.manifests.put(*good, *new)
        await rig.clock.sleep(60)
        rig.down(*ADDRESSES["s0"])
        await rig.until(rig.agree("s0", not_ready(*ADDRESSES["s0"])), within=SHOWN_WITHIN)
        for _ in range(2):  # nor does a restart, which finds them published as not ready
            await rig.restart(*good, *new)
            rig.up(*ADDRESSES["s0"])
            await rig.until(rig.agree("s0", ready(*ADDRESSES["s0"])), within=SHOWN_WITHIN + 60)
            await rig.clock.sleep(30)
            rig.down(*ADDRESSES["s0"])
            await rig.until(rig.agree("s0", not_ready(*ADDRESSES["s0"])), within=SHOWN_WITHIN)


@virtual_time
async def test_a_host_that_answers_for_many_is_one_host() -> None:
    gateway = "203.0.113.9"
    rig = Rig()
    rig.up(gateway)
    async with rig.running(*services(tcpSocket={"port": PORT, "host": gateway})):
        await rig.until(lambda: all_ready(rig), within=PERIOD + 1)
        rig.down(gateway)
        nothing = {name: not_ready(*ADDRESSES[name]) for name in NAMES}
        await rig.until(lambda: all(rig.published(name) == nothing[name] for name in NAMES), within=SHOWN_WITHIN + 2)


@virtual_time
async def test_a_dead_sentinel_is_told_of_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    async with all_up(options=Options(namespaces=(NAMESPACE,), sentinels=(("203.0.113.1", 53),))) as rig:
        await rig.clock.sleep(60)
        cut(rig, UNREACHABLE)
        await rig.clock.sleep(120)
        assert all_ready(rig)
    said = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith("sentinel/203.0.113.1:53 fails") for line in said) == 1
