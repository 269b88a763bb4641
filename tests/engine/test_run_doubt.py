"""``run``: where its own network fails nothing is demoted, and where one service fails that service is."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from extsync.engine.run import Options
from extsync.objects import Event
from extsync.plan.doubt import DoubtPolicy
from extsync.seams.virtual import virtual_time
from extsync.seams.virtual_net import Behaviour, BlackHole, Failing
from tests.engine.support import (
    CHECK,
    NAMESPACE,
    PERIOD,
    PORT,
    THRESHOLD,
    TIMEOUT,
    UP,
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


def cut(rig: Rig, how: Behaviour) -> None:
    for address in ALL:
        rig.io.script(address, PORT, how)


@pytest.mark.parametrize("how", [UNREACHABLE, BlackHole()], ids=["unreachable", "silent"])
@virtual_time
async def test_an_outage_of_its_own_link_demotes_nothing(how: Behaviour, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.up(*ALL)
    async with rig.running(*services()):
        await rig.until(lambda: all_ready(rig), within=PERIOD + 1)
        with rig.recorded() as writes:
            cut(rig, how)
            await rig.clock.sleep(300)
            rig.up(*ALL)
            await rig.clock.sleep(60)
        assert [write for write in writes if write.kind is not Event] == []
        events = {(obj["involvedObject"]["name"], obj["reason"]) for obj in rig.store.dump(Event, NAMESPACE)}
    assert events == {(name, reason) for name in NAMES for reason in ("ProberIsolated", "ProberConnected")}
    said = [record.getMessage() for record in caplog.records]
    assert any(line.startswith(DOUBTED) for line in said)
    assert any("what fails is kept as it was" in line for line in said)
    assert any("failures are believed again" in line for line in said)


@virtual_time
async def test_the_same_failure_of_one_service_alone_shows_in_time() -> None:
    rig = Rig()
    rig.up(*ALL)
    async with rig.running(*services()):
        await rig.until(lambda: all_ready(rig), within=PERIOD + 1)
        rig.down(*ADDRESSES["s0"])
        await rig.until(rig.agree("s0", not_ready(*ADDRESSES["s0"])), within=SHOWN_WITHIN)
        assert all(rig.published(name) == ready(*ADDRESSES[name]) for name in NAMES[1:])


@virtual_time
async def test_what_really_died_during_an_outage_shows_after_it() -> None:
    rig = Rig()
    rig.up(*ALL)
    dead, alive = ADDRESSES["s0"]
    async with rig.running(*services()):
        await rig.until(lambda: all_ready(rig), within=PERIOD + 1)
        cut(rig, UNREACHABLE)
        await rig.clock.sleep(100)
        rig.up(*(address for address in ALL if address != dead))
        await rig.until(rig.agree("s0", {dead: False, alive: True}), within=2 * PERIOD + TIMEOUT + 3)
        assert all(rig.published(name) == ready(*ADDRESSES[name]) for name in NAMES[1:])


@virtual_time
async def test_a_freeze_ends_by_itself() -> None:
    rig = Rig(options=Options(namespaces=(NAMESPACE,), doubt=DoubtPolicy(max_freeze=120.0)))
    rig.up(*ALL)
    async with rig.running(*services()):
        await rig.until(lambda: all_ready(rig), within=PERIOD + 1)
        cut(rig, UNREACHABLE)
        await rig.clock.sleep(118)
        assert all_ready(rig)
        nothing = {name: not_ready(*ADDRESSES[name]) for name in NAMES}
        await rig.until(lambda: all(rig.published(name) == nothing[name] for name in NAMES), within=PERIOD + 10)


@virtual_time
async def test_where_one_failure_is_enough_the_first_ones_come_back_once_it_is_known() -> None:
    rig = Rig()
    rig.up(*ALL)
    async with rig.running(*services(failureThreshold=1)):
        await rig.until(lambda: all_ready(rig), within=PERIOD + 1)
        cut(rig, UNREACHABLE)
        await rig.until(lambda: not all_ready(rig), within=PERIOD)
        await rig.until(lambda: all_ready(rig), within=PERIOD)
        await rig.clock.sleep(300)
        assert all_ready(rig)


@virtual_time
async def test_a_start_without_a_network_demotes_nothing_that_is_published() -> None:
    rig = Rig()
    rig.up(*ALL)
    async with rig.running(*services()):
        await rig.until(lambda: all_ready(rig), within=PERIOD + 1)
        cut(rig, UNREACHABLE)
        await rig.restart(*services())
        with rig.recorded() as writes:
            await rig.clock.sleep(120)
        assert [write for write in writes if write.kind is not Event] == []
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
