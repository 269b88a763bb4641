"""Several replicas: one writes, the others know what it would, and take over in time."""

from __future__ import annotations

from typing import Any

from extsync.kube.lease_timing import CLIENT_GO, Timing
from extsync.seams.virtual import virtual_time
from tests.engine.replicas import Replicas, assert_in_order
from tests.engine.support import PERIOD, THRESHOLD, A, B, manifest, not_ready, rack, ready

FIRST = CLIENT_GO.lease_duration + 5.0
"""Seconds until a new Lease is held for the first time: it may be one that somebody deleted."""
BY_EXPIRY = CLIENT_GO.lease_duration + 2 * CLIENT_GO.retry_period
HANDED_OVER = 5.0
LONG = Timing(lease_duration=60.0, renew_deadline=40.0, retry_period=2.0)
SHOWN = PERIOD * THRESHOLD + 3.0


def orders(*addresses: str, **spec: Any) -> dict[str, Any]:
    return manifest("orders", rack(*addresses), **spec)


async def pair(stage: Replicas, *manifests: dict[str, Any], **election: Any) -> tuple[Any, Any]:
    """The replica that leads, with everything published, and one that stands by and has its verdicts."""
    first = stage.start(*manifests, **election)
    assert await stage.led("orders", within=70.0) is first
    second = stage.start(*manifests, **election)
    await stage.rig.clock.sleep(2 * PERIOD)
    return first, second


@virtual_time
async def test_one_writes_and_its_stamp_is_on_what_it_wrote() -> None:
    stage = Replicas()
    stage.up(A, B)
    async with stage.running():
        first, _ = await pair(stage, orders(A, B))
        await stage.rig.until(stage.rig.agree("orders", ready(A, B)), within=PERIOD)
        assert {write.replica for write in stage.writes} == {first.name}
        assert all(str(write.stamp) == f"test/extsync-default/1/{first.name}" for write in stage.writes)


@virtual_time
async def test_a_flip_with_a_standby_beside_is_one_slice_and_one_endpoints_object() -> None:
    stage = Replicas()
    stage.up(A, B)
    async with stage.running():
        await pair(stage, orders(A, B))
        await stage.rig.until(stage.rig.agree("orders", ready(A, B)), within=PERIOD)
        began = stage.rig.clock.monotonic()
        stage.down(A)
        await stage.rig.until(stage.rig.agree("orders", {**not_ready(A), **ready(B)}), within=SHOWN)
        await stage.rig.clock.sleep(60)
        assert [write.verb for write in stage.since(began)] == ["update", "update"]


@virtual_time
async def test_a_standby_takes_over_after_a_kill_and_publishes_at_once() -> None:
    """What fell down while nobody led is published as soon as somebody does: the standby has its verdict by then."""
    stage = Replicas()
    stage.up(A, B)
    async with stage.running():
        first, _ = await pair(stage, orders(A, B), timing=LONG)
        await first.kill()
        stage.down(A)
        await stage.moved("orders", first, within=LONG.lease_duration + 2 * LONG.retry_period)
        await stage.rig.until(stage.rig.agree("orders", {**not_ready(A), **ready(B)}), within=0.5)
        assert_in_order(stage.writes)


@virtual_time
async def test_take_over_after_a_kill_takes_about_the_lease() -> None:
    stage = Replicas()
    stage.up(A)
    async with stage.running():
        first, _ = await pair(stage, orders(A))
        await first.kill()
        took = await stage.moved("orders", first, within=BY_EXPIRY)
        assert took > CLIENT_GO.renew_deadline
