"""Active shards: every service has one writer at most, few of them move, and replicas in doubt leave them to others."""

from __future__ import annotations

import errno
import logging
from typing import Any

import pytest

from extsync.engine.options import Options
from extsync.errors import Forbidden, NotFound, StoreError
from extsync.kube.lease_timing import CLIENT_GO
from extsync.kube.memory import Fault
from extsync.objects import Event, Lease
from extsync.plan.shards import USUAL
from extsync.seams.virtual import virtual_time
from extsync.seams.virtual_net import Failing
from tests.engine.replicas import Replica, Replicas, assert_in_order
from tests.engine.support import NAMESPACE, PERIOD, PORT, THRESHOLD, Rig, manifest, not_ready, rack, ready

SHARDS = 8
NAMES = tuple(f"s{number}" for number in range(12))
ADDRESSES = {name: (f"192.0.2.{number}", f"198.51.100.{number}") for number, name in enumerate(NAMES, 1)}
ALL = tuple(address for pair in ADDRESSES.values() for address in pair)
UNREACHABLE = Failing(errno.ENETUNREACH, latency=None)
FIRST = CLIENT_GO.lease_duration + 5.0
SETTLED = USUAL.join + USUAL.keep + 2 * CLIENT_GO.lease_duration
BY_EXPIRY = CLIENT_GO.lease_duration + 2 * CLIENT_GO.retry_period + 2.0
SHOWN = PERIOD * THRESHOLD + 3.0


def services() -> list[dict[str, Any]]:
    return [manifest(name, rack(*ADDRESSES[name])) for name in NAMES]


def writers(stage: Replicas) -> dict[str, str]:
    """Who leads for each service; fails where several do."""
    return {name: leader.name for name in NAMES if (leader := stage.leader(name)) is not None}


def all_led(stage: Replicas) -> bool:
    return len(writers(stage)) == len(NAMES)


async def started(stage: Replicas, count: int, **election: Any) -> list[Replica]:
    """So many replicas, once each shard is where it belongs."""
    election = {"shards": SHARDS, **election}
    replicas = [stage.start(*services(), **election) for _ in range(count)]
    await stage.rig.until(lambda: all_led(stage), within=FIRST + 10.0)
    await stage.rig.clock.sleep(SETTLED)
    return replicas


@virtual_time
async def test_every_service_is_written_by_one_replica_and_all_have_some() -> None:
    stage = Replicas()
    stage.up(*ALL)
    async with stage.running():
        replicas = await started(stage, 3)
        assert all_led(stage)
        assert set(writers(stage).values()) == {replica.name for replica in replicas}
        began = stage.rig.clock.monotonic()
        stage.down(*ALL[::2])
        await stage.rig.clock.sleep(SHOWN)
        assert all(
            stage.rig.published(name) == {**not_ready(pair[0]), **ready(pair[1])} for name, pair in ADDRESSES.items()
        )
        assert len(stage.since(began)) == 2 * len(NAMES)
        assert_in_order(stage.writes)


@virtual_time
async def test_after_a_kill_only_its_services_move_and_in_time() -> None:
    stage = Replicas()
    stage.up(*ALL)
    async with stage.running():
        replicas = await started(stage, 3)
        before = writers(stage)
        gone = replicas[0]
        await gone.kill()
        await stage.rig.until(lambda: all_led(stage), within=BY_EXPIRY)
        await stage.rig.clock.sleep(SETTLED)
        after = writers(stage)
        assert [name for name in NAMES if before[name] != gone.name and after[name] != before[name]] == []
        assert set(after.values()) == {replica.name for replica in replicas[1:]}
        assert_in_order(stage.writes)


@virtual_time
async def test_a_stop_hands_every_shard_over() -> None:
    stage = Replicas()
    stage.up(*ALL)
    async with stage.running():
        replicas = await started(stage, 3)
        began = stage.rig.clock.monotonic()
        await replicas[1].stop()
        await stage.rig.until(lambda: all_led(stage), within=5.0)
        assert stage.rig.clock.monotonic() - began < 5.0


@virtual_time
async def test_a_replica_that_comes_gets_what_prefers_it_and_nothing_else_moves() -> None:
    stage = Replicas()
    stage.up(*ALL)
    async with stage.running():
        await started(stage, 2)
        before = writers(stage)
        new = stage.start(*services(), shards=SHARDS)
        await stage.rig.clock.sleep(SETTLED)
        after = writers(stage)
        moved = [name for name in NAMES if after[name] != before[name]]
        assert all_led(stage)
        assert 0 < len(moved) < len(NAMES) / 2
        assert {after[name] for name in moved} == {new.name}
        assert_in_order(stage.writes)


@virtual_time
async def test_replicas_with_another_number_of_shards_wait_until_the_others_are_gone() -> None:
    stage = Replicas()
    stage.up(*ALL)
    async with stage.running():
        old = await started(stage, 2)
        new = [stage.start(*services(), shards=4) for _ in range(2)]
        await stage.rig.clock.sleep(SETTLED)
        assert set(writers(stage).values()) == {replica.name for replica in old}
        await old[0].stop()
        await stage.rig.clock.sleep(SETTLED)
        assert set(writers(stage).values()) == {old[1].name}
        stage.down(*ALL[::2])
        await stage.rig.clock.sleep(5)
        await old[1].stop()
        began = stage.rig.clock.monotonic()
        await stage.rig.until(lambda: all_led(stage), within=BY_EXPIRY + 10.0)
        assert stage.rig.clock.monotonic() - began > CLIENT_GO.renew_deadline
        await stage.rig.clock.sleep(SHOWN)
        assert set(writers(stage).values()) <= {replica.name for replica in new}
        assert all(stage.rig.published(name)[pair[0]] is False for name, pair in ADDRESSES.items())
        assert_in_order(stage.writes)


@virtual_time
async def test_from_one_shard_to_several_and_back() -> None:
    stage = Replicas()
    stage.up(*ALL)
    async with stage.running():
        single = stage.start(*services())
        await stage.rig.until(lambda: all_led(stage), within=FIRST)
        several = [stage.start(*services(), shards=SHARDS) for _ in range(2)]
        await stage.rig.clock.sleep(SETTLED)
        assert set(writers(stage).values()) == {single.name}
        await single.stop()
        await stage.rig.until(lambda: all_led(stage), within=5.0)
        back = stage.start(*services())
        await stage.rig.clock.sleep(SETTLED)
        assert back.name not in writers(stage).values()
        for replica in several:
            await replica.stop()
        await stage.rig.until(lambda: all_led(stage), within=BY_EXPIRY)
        assert set(writers(stage).values()) == {back.name}


@virtual_time
async def test_one_that_comes_before_the_shared_lease_is_held_joins_as_soon_as_it_is() -> None:
    """It hears of renewals by one or another all the time, and so has no need to look for itself."""
    stage = Replicas()
    stage.up(*ALL)
    async with stage.running():
        for wait in (0.0, 1.0, 5.0, 0.0):
            await stage.rig.clock.sleep(wait)
            stage.start(*services(), shards=SHARDS)
        await stage.rig.until(lambda: all_led(stage), within=FIRST)
        assert [replica.name for replica in stage.all if not replica.shares_the_lease] == []


@virtual_time
async def test_a_replica_that_was_without_the_api_server_joins_the_others_again() -> None:
    """Although the Lease that they share is renewed by one or another of them all the time."""
    stage = Replicas()
    stage.up(*ALL)
    async with stage.running():
        replicas = await started(stage, 4)
        before = writers(stage)
        replicas[0].cut()
        await stage.rig.clock.sleep(60)
        assert replicas[0].name not in writers(stage).values()
        replicas[0].faults = lambda verb, kind, at: None
        await stage.rig.clock.sleep(SETTLED + 30.0)
        assert writers(stage) == before


def cut(replica: Replica, *addresses: str) -> None:
    """The replica alone has no route to the backends any more."""
    for address in addresses or ALL:
        replica.io.script(address, PORT, UNREACHABLE)


@virtual_time
async def test_a_replica_that_takes_itself_to_be_cut_off_leaves_its_lease_to_another() -> None:
    stage = Replicas()
    stage.up(*ALL)
    async with stage.running():
        first = stage.start(*services())
        await stage.rig.until(lambda: all_led(stage), within=FIRST)
        second = stage.start(*services())
        await stage.rig.clock.sleep(60)
        began = stage.rig.clock.monotonic()
        cut(first)
        await stage.moved("s0", first, within=SHOWN + USUAL.join)
        assert set(writers(stage).values()) == {second.name}
        assert stage.leases()[f"extsync-default.member-{first.name}"] == ""
        await stage.rig.clock.sleep(120)
        assert stage.since(began) == []
        assert set(writers(stage).values()) == {second.name}  # and it stays there
        stage.up(*ALL)
        await stage.rig.clock.sleep(120)
        assert stage.leases()[f"extsync-default.member-{first.name}"] == first.name
        assert set(writers(stage).values()) == {second.name}


@virtual_time
async def test_with_shards_too_and_it_gets_them_back() -> None:
    stage = Replicas()
    stage.up(*ALL)
    async with stage.running():
        first, second = await started(stage, 2)
        before = writers(stage)
        cut(first)
        await stage.rig.until(lambda: set(writers(stage).values()) == {second.name}, within=SHOWN + USUAL.join + 10.0)
        stage.up(*ALL)
        await stage.rig.clock.sleep(300)
        assert writers(stage) == before
        assert_in_order(stage.writes)


@virtual_time
async def test_where_all_are_cut_off_nothing_moves() -> None:
    stage = Replicas()
    stage.up(*ALL)
    async with stage.running():
        first = stage.start(*services())
        await stage.rig.until(lambda: all_led(stage), within=FIRST)
        second = stage.start(*services())
        await stage.rig.clock.sleep(60)
        cut(first)
        cut(second)
        await stage.rig.clock.sleep(300)
        assert set(writers(stage).values()) == {first.name}
        assert stage.leases()["extsync-default"] == first.name


@virtual_time
async def test_only_the_one_that_leads_tells_of_it() -> None:
    stage = Replicas(Rig(options=Options(namespaces=(NAMESPACE,))))
    stage.up(*ALL)
    async with stage.running():
        first = stage.start(*services())
        await stage.rig.until(lambda: all_led(stage), within=FIRST)
        second = stage.start(*services())
        await stage.rig.clock.sleep(60)
        cut(second)
        await stage.rig.clock.sleep(120)
        assert stage.rig.store.dump(Event, NAMESPACE) == ()
        assert set(writers(stage).values()) == {first.name}


# ---- what is told ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("running", "late"), [(SHARDS, 4), (1, SHARDS), (SHARDS, 1)])
@virtual_time
async def test_who_waits_for_replicas_with_another_number_of_shards_says_so_once(
    running: int, late: int, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Replicas()
    async with stage.running():
        old = stage.start(shards=running)
        await stage.rig.clock.sleep(FIRST)
        caplog.clear()
        stage.start(shards=late)
        await stage.rig.clock.sleep(SETTLED)
        told = [record.getMessage() for record in caplog.records if "another number of shards" in record.message]
        holder = old.name if running == 1 else f"{running}-shards"
        assert told == [
            f"test/extsync-default: is held by {holder}, by another number of shards than this replica's, which is "
            f"{late}: it writes nothing until all of those have ended"
        ]


@pytest.mark.parametrize(
    ("verbs", "error", "words"),
    [
        (
            ("list", "watch"),
            Forbidden('list leases: User cannot list resource "leases"'),
            "deploy/kustomize/base/role.yaml has",
        ),
        (("create",), NotFound('create it: namespaces "nope" not found'), "make that namespace"),
        (
            ("get",),
            Forbidden('get it: User cannot get resource "leases"'),
            "deploy/kustomize/base/role.yaml has the rights",
        ),
    ],
    ids=["list", "namespace", "get"],
)
@virtual_time
async def test_what_keeps_an_election_from_its_leases_is_told_once_for_all_shards(
    verbs: tuple[str, ...], error: StoreError, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    stage = Replicas()
    async with stage.running():
        replica = stage.start(shards=SHARDS)
        replica.faults = lambda verb, kind, at: Fault(error=error) if kind is Lease and verb in verbs else None
        await stage.rig.clock.sleep(120)
        told = [record.getMessage() for record in caplog.records if error.cause in record.message]
        assert len(told) == 1
        assert words in told[0]
