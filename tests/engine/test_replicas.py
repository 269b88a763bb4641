"""Several replicas: one writes, the others know what it would, and take over in time."""

from __future__ import annotations

import asyncio
from typing import Any

from extsync.engine.options import Options
from extsync.errors import TooManyRequests
from extsync.kube.lease_timing import CLIENT_GO, Timing
from extsync.kube.memory import Fault
from extsync.objects import Endpoints, EndpointSlice, Service
from extsync.seams.virtual import virtual_time
from extsync.sources.base import Emit
from tests.engine.replicas import Replicas, assert_in_order
from tests.engine.support import (
    NAMESPACE,
    PERIOD,
    PORT,
    THRESHOLD,
    A,
    B,
    C,
    Rig,
    feed,
    key,
    manifest,
    not_ready,
    rack,
    ready,
)

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


@virtual_time
async def test_a_stop_hands_over_at_once() -> None:
    stage = Replicas()
    stage.up(A)
    async with stage.running():
        first, second = await pair(stage, orders(A))
        began = stage.rig.clock.monotonic()
        await first.stop()
        await stage.moved("orders", first, within=1.0)
        assert stage.rig.clock.monotonic() - began < HANDED_OVER
        assert second.leads("orders")
        assert f"extsync-default.member-{first.name}" not in stage.leases()


@virtual_time
async def test_a_flip_during_a_hand_over_is_not_lost() -> None:
    """Whatever the moment at which the first replica stops, the flip is shown in time, and written once: who takes over
    may have noticed less so far than what is published."""
    for tenths in range(0, 50, 7):
        stage = Replicas()
        stage.up(A, B)
        async with stage.running():
            first, _ = await pair(stage, orders(A, B))
            await stage.rig.until(stage.rig.agree("orders", ready(A, B)), within=PERIOD)
            began = stage.rig.clock.monotonic()
            stage.down(A)
            await stage.rig.clock.sleep(PERIOD * (THRESHOLD - 1) + tenths / 5)
            await first.stop()
            await stage.rig.until(stage.rig.agree("orders", {**not_ready(A), **ready(B)}), within=SHOWN)
            assert stage.rig.clock.monotonic() - began <= SHOWN + HANDED_OVER
            await stage.rig.clock.sleep(60)
            assert [write.verb for write in stage.since(began)] == ["update", "update"]
            assert_in_order(stage.writes)


@virtual_time
async def test_a_write_under_way_ends_before_the_lease_is_released() -> None:
    stage = Replicas()
    stage.up(A)
    async with stage.running():
        first, _ = await pair(stage, orders(A))
        began = stage.rig.clock.monotonic()
        first.faults = lambda verb, kind, at: Fault(before=2.0) if kind is EndpointSlice and verb == "update" else None
        stage.down(A)
        await stage.rig.until(lambda: not first.leadership._shards[0].idle.is_set(), within=SHOWN)
        await first.stop()
        [write] = [write for write in stage.since(began) if write.replica == first.name]
        await stage.moved("orders", first, within=1.0)
        assert write.at <= stage.rig.clock.monotonic()
        assert_in_order(stage.writes)


@virtual_time
async def test_a_lease_is_not_released_while_a_write_may_still_arrive() -> None:
    stage = Replicas()
    stage.up(A)
    async with stage.running():
        first, _ = await pair(stage, orders(A))
        stage.down(A)
        first.faults = lambda verb, kind, at: (
            Fault(before=30.0, late=True) if kind is EndpointSlice and verb == "update" else None
        )
        await stage.rig.until(lambda: not first.leadership._shards[0].idle.is_set(), within=SHOWN)
        await first.stop()
        took = await stage.moved("orders", first, within=BY_EXPIRY)
        assert took > CLIENT_GO.renew_deadline - 3.0
        await stage.rig.clock.sleep(60)  # by then the late write has met a version that is gone
        assert {write.replica for write in stage.writes[-2:]} != {first.name}
        assert_in_order(stage.writes)


@virtual_time
async def test_a_stop_without_the_api_server_takes_seconds_at_most() -> None:
    stage = Replicas()
    stage.up(A)
    async with stage.running():
        first, _ = await pair(stage, orders(A))
        first.cut()
        began = stage.rig.clock.monotonic()
        await first.stop()
        assert stage.rig.clock.monotonic() - began <= HANDED_OVER
        await stage.moved("orders", first, within=BY_EXPIRY)


@virtual_time
async def test_a_leader_without_the_api_server_stops_in_time_and_goes_on_as_a_standby() -> None:
    stage = Replicas()
    stage.up(A, B)
    async with stage.running():
        first, second = await pair(stage, orders(A, B))
        began = stage.rig.clock.monotonic()
        first.cut()
        stage.down(A)
        await stage.rig.until(lambda: not first.leads("orders"), within=CLIENT_GO.renew_deadline + 0.1)
        assert stage.leader("orders") is None
        await stage.moved("orders", first, within=BY_EXPIRY)
        await stage.rig.until(stage.rig.agree("orders", {**not_ready(A), **ready(B)}), within=SHOWN)
        first.faults = lambda verb, kind, at: None
        stage.up(A)
        await stage.rig.until(stage.rig.agree("orders", ready(A, B)), within=SHOWN)
        await stage.rig.clock.sleep(60)
        assert {write.replica for write in stage.since(began)} == {second.name}
        assert first.is_alive


@virtual_time
async def test_a_standby_does_not_take_back_what_it_has_not_probed_itself() -> None:
    """It has no verdict of its own yet, and the one that led has published another state since it came."""
    stage = Replicas()
    stage.up(A, B)
    async with stage.running():
        first = stage.start(orders(A, B))
        await stage.rig.until(stage.rig.agree("orders", ready(A, B)), within=FIRST + PERIOD)
        stage.down(A)
        await stage.rig.clock.sleep(PERIOD * THRESHOLD - 12.0)  # so far the standby finds A published as ready
        second = stage.start(orders(A, B))
        await stage.rig.until(stage.rig.agree("orders", {**not_ready(A), **ready(B)}), within=SHOWN)
        began = stage.rig.clock.monotonic()
        await first.stop()
        await stage.moved("orders", first, within=1.0)
        assert second.leads("orders")
        await stage.rig.clock.sleep(60)
        assert stage.since(began) == []


class TestStandbysThatDoNotProbe:
    OPTIONS = Options(namespaces=(NAMESPACE,), standby_probes=False)

    @virtual_time
    async def test_only_the_leader_probes(self) -> None:
        stage = Replicas(Rig(options=self.OPTIONS))
        stage.up(A)
        async with stage.running():
            first, second = await pair(stage, orders(A), yields_in_doubt=False)
            assert first.io.connections[A, PORT] > 0
            assert second.io.connections[A, PORT] == 0
            await first.stop()
            await stage.rig.until(lambda: second.io.connections[A, PORT] > 0, within=PERIOD + 1.0)

    @virtual_time
    async def test_what_is_published_stays_until_its_own_thresholds_are_met(self) -> None:
        stage = Replicas(Rig(options=self.OPTIONS))
        stage.up(A, B)
        stage.down(A)
        async with stage.running():
            first, second = await pair(stage, orders(A, B), yields_in_doubt=False)
            await stage.rig.until(stage.rig.agree("orders", {**not_ready(A), **ready(B)}), within=SHOWN)
            stage.down(B)
            began = stage.rig.clock.monotonic()
            await first.stop()
            await stage.moved("orders", first, within=1.0)
            await stage.rig.clock.sleep(PERIOD * (THRESHOLD - 1))
            assert stage.since(began) == []
            await stage.rig.until(stage.rig.agree("orders", not_ready(A, B)), within=SHOWN)
            assert {write.replica for write in stage.since(began)} == {second.name}

    @virtual_time
    async def test_who_led_before_starts_afresh_when_it_leads_again(self) -> None:
        """Between its two terms the other one has published another state."""
        stage = Replicas(Rig(options=self.OPTIONS))
        stage.up(A, B)
        async with stage.running():
            first, second = await pair(stage, orders(A, B), yields_in_doubt=False)
            await stage.rig.until(stage.rig.agree("orders", ready(A, B)), within=SHOWN)
            first.cut()
            await stage.moved("orders", first, within=BY_EXPIRY)
            stage.down(A)
            await stage.rig.until(stage.rig.agree("orders", {**not_ready(A), **ready(B)}), within=SHOWN)
            first.faults = lambda verb, kind, at: None
            await stage.rig.clock.sleep(60)
            began = stage.rig.clock.monotonic()
            await second.stop()
            await stage.moved("orders", second, within=1.0)
            await stage.rig.clock.sleep(60)
            assert stage.since(began) == []


@virtual_time
async def test_a_manifest_that_goes_is_removed_by_the_leader_and_forgotten_by_the_others() -> None:
    stage = Replicas()
    stage.up(A)
    async with stage.running():
        first, second = await pair(stage, orders(A), manifest("web", rack(B)))
        began = stage.rig.clock.monotonic()
        for replica in (second, first):
            replica.manifests.put(manifest("web", rack(B)))
        await stage.rig.until(lambda: not stage.rig.has_service("orders"), within=75)
        await stage.rig.until(lambda: [str(key) for key in second.engine.services()] == ["test/web"], within=5)
        assert {write.replica for write in stage.since(began)} == {first.name}


@virtual_time
async def test_what_the_leader_could_not_remove_the_next_one_does() -> None:
    stage = Replicas()
    stage.up(A)
    async with stage.running():
        first, second = await pair(stage, orders(A), manifest("web", rack(B)))
        second.manifests.put(manifest("web", rack(B)))
        await stage.rig.clock.sleep(120)
        assert stage.rig.has_service("orders")  # the one that writes has another manifest
        await first.stop()
        await stage.rig.until(lambda: not stage.rig.has_service("orders"), within=5)


@virtual_time
async def test_what_the_guard_withholds_is_told_by_the_one_that_leads_and_not_again_after_a_take_over() -> None:
    many = tuple(f"192.0.2.{number}" for number in range(1, 11))
    stage = Replicas()
    stage.rig.feed().found(*many)
    unchecked = manifest("orders", feed(hold={"nodata": "0s"}), checks=[])
    async with stage.running():
        first, second = await pair(stage, unchecked)
        await stage.rig.until(stage.rig.agree("orders", ready(*many)), within=PERIOD)
        stage.rig.feed().found(many[0])
        await stage.rig.clock.sleep(5)
        await first.stop()
        await stage.moved("orders", first, within=HANDED_OVER)
        await stage.rig.clock.sleep(30)
        assert len(told(stage.rig, "RemovalSuppressed")) == 1
        stage.rig.feed().found(*many)
        await stage.rig.clock.sleep(5)
        assert second.leads("orders")
        assert len(told(stage.rig, "RemovalReleased")) == 1


# ---- writers that no Lease keeps apart -------------------------------------------------------------------------------


ELSEWHERE = "elsewhere"
"""A namespace for Leases."""


def with_elsewhere() -> Replicas:
    stage = Replicas()
    stage.up(A, B)
    stage.rig.store.create_namespace(ELSEWHERE)
    return stage


def told(rig: Rig, reason: str) -> list[str]:
    return [message for _, message in rig.events(reason)]


async def flapping(stage: Replicas, times: int) -> None:
    """Gives both of two writers something to write, again and again."""
    for number in range(times):
        (stage.down if number % 2 == 0 else stage.up)(B)
        await stage.rig.clock.sleep(SHOWN)


@virtual_time
async def test_a_replica_with_another_namespace_for_its_leases_is_told_of_by_both() -> None:
    stage = with_elsewhere()
    async with stage.running():
        first = stage.start(orders(A, B))
        await stage.led("orders", within=70.0)
        other = stage.start(orders(A, B), namespace=ELSEWHERE)
        await stage.rig.until(lambda: other.leads("orders"), within=70.0)
        await flapping(stage, 12)
        await stage.rig.clock.sleep(FIRST)
        texts = told(stage.rig, "AnotherWriter")
        cure = "run all replicas with leaderElection and one leaseNamespace, or give each installation an owner id"
        assert all(cure in text for text in texts)
        holders = {
            f"{other.name} holds Lease elsewhere/extsync-default",
            f"{first.name} holds Lease test/extsync-default",
        }
        assert {holder for holder in holders if any(holder in text for text in texts)} == holders
        for replica in (first, other):
            status = replica.engine.service_status(key("orders"))
            assert status is not None
            assert status.another_writer
        await other.stop()
        await stage.rig.clock.sleep(700)
        status = first.engine.service_status(key("orders"))
        assert status is not None
        assert not status.another_writer
        assert set(told(stage.rig, "AnotherWriterGone")) == {"no other extsync has written it for 10 min"}


@virtual_time
async def test_a_replica_without_election_tells_of_the_elected_one_that_writes_as_well() -> None:
    stage = Replicas()
    stage.up(A, B)
    async with stage.running():
        elected = stage.start(orders(A, B))
        await stage.led("orders", within=70.0)
        rig = stage.rig
        rig.up(A, B)
        rig.start_anew(orders(A, B))  # the engine of the rig asks no Lease
        for number in range(12):
            (stage.down if number % 2 == 0 else stage.up)(B)
            (rig.down if number % 2 == 0 else rig.up)(B)
            await rig.clock.sleep(SHOWN)
        await rig.clock.sleep(FIRST)
        assert any(f"{elected.name} holds Lease test/extsync-default" in text for text in told(rig, "AnotherWriter"))
        status = rig.engine.service_status(key("orders"))
        assert status is not None
        assert status.another_writer
        await rig.stop()


@virtual_time
async def test_marks_that_are_left_from_another_lease_are_no_writer() -> None:
    """A new namespace for the Leases, with all replicas of the old one ended."""
    stage = with_elsewhere()
    async with stage.running():
        before = stage.start(orders(A, B), namespace=ELSEWHERE)
        await stage.led("orders", within=70.0)
        await stage.rig.until(stage.rig.agree("orders", ready(A, B)), within=PERIOD)
        await before.stop()
        stage.start(orders(A, B))
        await stage.led("orders", within=70.0)
        await flapping(stage, 6)
        old = slice_marked(stage, "elsewhere/extsync-default/1/gone")  # somebody applies an old copy of a slice
        await stage.rig.clock.sleep(FIRST)
        assert old
        assert told(stage.rig, "AnotherWriter") == []


def slice_marked(stage: Replicas, mark: str) -> dict[str, Any]:
    [slice_] = stage.rig.slice_objects("orders")
    slice_["metadata"]["annotations"]["extsync.dev/written-by"] = mark
    return stage.rig.store.put(EndpointSlice, slice_)


@virtual_time
async def test_older_data_show_in_a_renewal_although_watches_go_on_too_late_to_see_it() -> None:
    """Whoever leads renews its Lease all the time; so what else it has read is read anew, too."""
    stage = Replicas()
    stage.up(A)
    async with stage.running():
        first = stage.start(orders(A))
        await stage.led("orders", within=70.0)
        rig = stage.rig
        await rig.until(rig.agree("orders", ready(A)), within=PERIOD)
        rig.store.remove(Endpoints, NAMESPACE, "orders")
        backup = rig.store.backup()
        await rig.until(rig.agree("orders", ready(A)), within=2)
        await rig.clock.sleep(10)
        busy = Fault(error=TooManyRequests("busy", retry_after=1.0))
        first.faults = lambda verb, kind, at: busy if verb in ("list", "watch") else None
        rig.store.restore(backup)
        await rig.clock.sleep(10)
        for number in range(100):
            body = {"metadata": {"name": f"o{number}", "namespace": NAMESPACE}, "spec": {"ports": [{"port": 1}]}}
            rig.store.put(Service, body)
        first.faults = lambda verb, kind, at: None
        await rig.until(rig.agree("orders", ready(A)), within=2 * 61.0)


@virtual_time
async def test_what_the_one_before_let_go_is_not_brought_back_by_a_guard_that_has_seen_less() -> None:
    """One that starts has only been told how many left lately, and not that some of them are back."""
    stage = Replicas()
    rig = stage.rig
    names = [f"192.0.2.{number}" for number in range(101, 106)]
    spec = manifest("orders", feed("shop"), checks=[])
    async with stage.running():
        rig.feed("shop").found(*names)
        first = stage.start(spec)
        await stage.led("orders", within=70.0)
        await rig.until(rig.agree("orders", ready(*names)), within=2)
        rig.feed("shop").found(*names[:4])
        await rig.until(rig.agree("orders", ready(*names[:4])), within=2)
        second = stage.start(spec)
        rig.feed("shop").found(names[0], names[1], names[4])
        await rig.until(rig.agree("orders", ready(names[0], names[1], names[4])), within=2)
        await first.kill()
        assert await stage.moved("orders", first, within=BY_EXPIRY)
        assert stage.leader("orders") is second
        await rig.clock.sleep(60.0)
        assert rig.published("orders") == ready(names[0], names[1], names[4])


class Silent:
    """A source that never answers, as where a replica has no route to it."""

    async def run(self, emit: Emit) -> None:
        await asyncio.Event().wait()


@virtual_time
async def test_one_whose_source_never_answered_takes_over_what_is_published_then() -> None:
    """And not what was published when it began: what came since stays, and what left since is not brought back."""
    stage = Replicas()
    rig = stage.rig
    spec = manifest("orders", feed("shop"), checks=[])
    async with stage.running():
        rig.feed("shop").found(A, B)
        first = stage.start(spec)
        await stage.led("orders", within=70.0)
        await rig.until(rig.agree("orders", ready(A, B)), within=2)
        rig.sources["shop"] = Silent()
        second = stage.start(spec)
        await rig.clock.sleep(2.0)
        rig.feed("shop").found(A, C)
        await rig.until(rig.agree("orders", ready(A, C)), within=2)
        await first.kill()
        assert await stage.moved("orders", first, within=BY_EXPIRY)
        assert stage.leader("orders") is second
        await rig.clock.sleep(60.0)
        assert rig.published("orders") == ready(A, C)
