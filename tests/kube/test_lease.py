"""The elector: one replica may write, it stops in time, and another follows in time."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from extsync.changes import Create
from extsync.errors import Conflict, Fenced, Forbidden, StoreError, TooManyRequests, Unavailable
from extsync.kube.flow import TokenBucket
from extsync.kube.lease_timing import Timing
from extsync.kube.memory import Fault, MemoryStore
from extsync.kube.writer import FENCE_MARGIN, Failed, Writer
from extsync.objects import Lease
from extsync.seams.virtual import SeededRandom, VirtualClock, virtual_time
from tests.contract.things import slice_of
from tests.kube.replicas import NAME, NAMESPACE, Replica, SkewedClock, Stage

WATCHES = pytest.mark.parametrize("watches", [True, False], ids=["watching", "polling"])
POLL = 2.0 * 2.2
"""Seconds between two looks of a candidate at most."""
LATENCY = 0.2


@asynccontextmanager
async def stage(**options: bool) -> AsyncIterator[Stage]:
    """A stage whose replicas are ended, and found to have written one at a time."""
    built = Stage(**options)
    try:
        yield built
    finally:
        await built.end()


async def leading(on: Stage, *, clock: VirtualClock | None = None, watches: bool = True) -> Replica:
    """A replica that has become the leader, alone."""
    replica = on.add("a", clock=clock, watches=watches)
    await on.until(lambda: replica.may_write, within=LATENCY)
    return replica


class TestAcquiring:
    @virtual_time
    async def test_a_released_lease_is_taken_at_once(self) -> None:
        async with stage() as on:
            replica = await leading(on)
            spec = on.spec()
            assert spec["holderIdentity"] == "a"
            assert spec["leaseDurationSeconds"] == 15
            assert spec["leaseTransitions"] == 5
            assert spec["acquireTime"] == spec["renewTime"] == "2027-01-15T08:00:00.000000Z"
            assert replica.elector.leads
            assert replica.elector.holder == "a"
            assert replica.told == [(0.0, True)]

    @virtual_time
    async def test_of_several_exactly_one_leads(self) -> None:
        async with stage() as on:
            replicas = [on.add(name) for name in "abc"]
            await on.clock.sleep(60.0)
            assert [replica.may_write for replica in replicas].count(True) == 1
            assert len(on.gains) == 1
            assert on.spec()["leaseTransitions"] == 5

    @virtual_time
    async def test_a_missing_lease_is_made_without_a_holder_and_respected_for_its_duration(self) -> None:
        """Somebody may just have deleted it from under a holder that this replica has never heard of."""
        async with stage(released=False) as on:
            replica = on.add("a")
            await on.clock.sleep(1.0)
            assert on.spec()["holderIdentity"] == ""
            await on.until(lambda: replica.may_write, within=20.0)
            assert on.now == pytest.approx(15.0, abs=0.1)

    @virtual_time
    async def test_a_holder_of_the_same_host_from_an_earlier_life_is_waited_for(self) -> None:
        """Even the very same identity: this process has not written that record."""
        async with stage() as on:
            on.edit(holderIdentity="a", leaseDurationSeconds=15)
            replica = on.add("a")
            await on.until(lambda: replica.may_write, within=20.0)
            assert on.now >= 15.0

    @virtual_time
    async def test_the_times_in_the_record_say_nothing(self) -> None:
        async with stage() as on:
            on.edit(holderIdentity="x", leaseDurationSeconds=15, renewTime="1999-01-01T00:00:00.000000Z")
            replica = on.add("a")
            await on.until(lambda: replica.may_write, within=20.0)
            assert on.now >= 15.0

    @pytest.mark.parametrize(("seconds", "taken"), [(40, 40.0), (3, 15.0)])
    def test_the_longer_of_the_durations_counts(self, seconds: int, taken: float) -> None:
        @virtual_time
        async def check() -> None:
            async with stage() as on:
                on.edit(holderIdentity="x", leaseDurationSeconds=seconds)
                replica = on.add("a")
                await on.until(lambda: replica.may_write, within=60.0)
                assert on.now == pytest.approx(taken, abs=0.1)

        check()

    @virtual_time
    async def test_an_acquisition_whose_answer_was_lost_is_found_and_used(self) -> None:
        async with stage() as on:
            replica = on.add("a")
            replica.faults = lambda verb: Fault(lost=True) if verb == "update" and on.now < 1.0 else None
            await on.until(lambda: replica.may_write, within=5.0 + POLL + LATENCY)
            assert on.now >= 5.0
            assert on.spec()["leaseTransitions"] == 5

    @virtual_time
    async def test_a_late_acquisition_is_found_and_used(self) -> None:
        async with stage() as on:
            replica = on.add("a")
            replica.faults = lambda verb: Fault(before=9.0, late=True) if verb == "update" and on.now < 5.0 else None
            await on.until(lambda: replica.may_write, within=9.0 + 2 * POLL)
            await on.clock.sleep(30.0)
            assert replica.told[1:] == []


class TestHolding:
    @virtual_time
    async def test_it_renews_with_one_request_each_retry_period(self) -> None:
        async with stage() as on:
            replica = await leading(on)
            replica.requests.clear()
            await on.clock.sleep(100.0)
            assert {verb for _, verb in replica.requests} == {"update"}
            assert 50 <= len(replica.requests) <= 56
            spec = on.spec()
            assert spec["acquireTime"] < spec["renewTime"]
            assert spec["leaseTransitions"] == 5

    @virtual_time
    async def test_a_standby_that_watches_sends_hardly_a_request(self) -> None:
        async with stage() as on:
            await leading(on)
            standby = on.add("b")
            await on.clock.sleep(5.0)
            standby.requests.clear()
            await on.clock.sleep(200.0)
            assert len([verb for _, verb in standby.requests if verb != "watch"]) <= 10

    @virtual_time
    async def test_the_fence_counts_from_before_the_renewal_was_sent(self) -> None:
        async with stage() as on:
            replica = on.add("a")
            replica.faults = lambda verb: Fault(before=1.0, after=3.0) if verb == "update" else None
            await on.until(lambda: replica.may_write, within=5.0)
            assert on.now >= 4.0
            assert replica.elector.fence() == pytest.approx(10.0 - on.now)

    @virtual_time
    async def test_the_fence_closes_by_the_clock_alone(self) -> None:
        """Nothing runs any more in this replica: no renewal, no timer."""
        async with stage() as on:
            replica = await leading(on)
            left = replica.elector.fence()
            for task in replica._tasks:
                task.cancel()
            await on.clock.sleep(left - 0.01)
            assert replica.elector.fence() > 0
            await on.clock.sleep(0.02)
            with pytest.raises(Fenced, match="was not renewed in 10 s"):
                replica.elector.fence()

    @virtual_time
    async def test_the_wall_clock_may_stand_still_or_jump(self) -> None:
        class Stuck(SkewedClock):
            def wall(self) -> float:
                return 1_800_000_000.0 - self.monotonic() // 50 * 86400.0

        async with stage() as on:
            replica = on.add("a", clock=Stuck())
            on.add("b", clock=Stuck())
            await on.clock.sleep(200.0)
            assert on.gains == [(0.0, "a")]
            assert replica.told == [(0.0, True)]

    @virtual_time
    async def test_a_renewal_whose_answer_is_lost_does_not_lose_the_lease(self) -> None:
        async with stage() as on:
            replica = await leading(on)
            on.add("b")
            replica.faults = lambda verb: Fault(lost=True) if verb == "update" and on.now < 3.0 else None
            await on.clock.sleep(60.0)
            assert replica.told == [(0.0, True)]

    @pytest.mark.parametrize(
        "error", [Unavailable("away"), TooManyRequests("slow down", 30.0), Unavailable("shedding load", 30.0)]
    )
    def test_it_holds_on_while_the_deadline_lasts(self, error: StoreError) -> None:
        """A server that asks for half a minute is not asked again at once, and not left alone until all is lost."""

        @virtual_time
        async def check() -> None:
            async with stage() as on:
                replica = await leading(on)
                replica.faults = lambda verb: Fault(error=error) if 1.0 < on.now < 7.5 else None
                await on.clock.sleep(60.0)
                assert replica.told == [(0.0, True)]
                assert len([at for at, _ in replica.requests if 1.0 < at < 7.5]) <= 4

        check()

    @virtual_time
    async def test_a_conflict_is_read_and_renewed_at_once(self) -> None:
        async with stage() as on:
            replica = await leading(on)
            body = on.store.raw(Lease, NAMESPACE, NAME)
            body["metadata"]["annotations"] = {"note": "somebody was here"}
            on.store.put(Lease, body)
            before = on.spec()["renewTime"]
            await on.clock.sleep(2.1)
            assert on.spec()["renewTime"] > before
            assert on.store.raw(Lease, NAMESPACE, NAME)["metadata"]["annotations"] == {"note": "somebody was here"}
            assert replica.told == [(0.0, True)]

    @virtual_time
    async def test_conflicts_without_end_wait_for_their_turn(self) -> None:
        async with stage() as on:
            replica = await leading(on)
            replica.faults = lambda verb: Fault(error=Conflict("again")) if verb == "update" else None
            replica.requests.clear()
            await on.clock.sleep(8.0)
            assert len(replica.writes()) <= 20


class TestLosing:
    @virtual_time
    async def test_it_stops_when_the_deadline_has_passed_and_leads_again_later(self) -> None:
        async with stage() as on:
            replica = await leading(on)
            replica.faults = lambda verb: Fault(lost=True, before=0.1) if on.now < 30.0 else None
            await on.clock.sleep(60.0)
            lost, again = replica.told[1:]
            assert lost[0] == pytest.approx(10.0, abs=0.01)
            assert 30.0 < again[0] < 40.0
            assert [leads for _, leads in replica.told] == [True, False, True]

    @WATCHES
    def test_after_a_kill_another_follows_when_the_lease_has_run_out(self, watches: bool) -> None:
        @virtual_time
        async def check() -> None:
            async with stage() as on:
                leader = await leading(on)
                standby = on.add("b", watches=watches)
                await on.clock.sleep(21.0)
                await leader.kill()
                took = await on.until(lambda: standby.may_write, within=15.0 + POLL + LATENCY)
                assert took > 10.0
                assert on.spec()["leaseTransitions"] == 6

        check()

    @virtual_time
    async def test_cut_off_it_stops_before_another_begins(self) -> None:
        async with stage() as on:
            leader = await leading(on)
            standby = on.add("b")
            await on.clock.sleep(5.0)
            leader.faults = lambda verb: Fault(before=999.0)
            await on.until(lambda: standby.may_write, within=15.0 + POLL + LATENCY)
            assert not leader.elector.leads
            assert leader.told[-1][1] is False
            assert on.gains[-1][0] - leader.told[-1][0] >= 4.0
            leader.faults = lambda verb: None
            await on.clock.sleep(30.0)
            assert leader.elector.holder == "b"

    @virtual_time
    async def test_a_loss_that_passed_unnoticed_is_told_before_the_next_gain(self) -> None:
        """The machine was suspended while a renewal was on its way: another may have led meanwhile."""
        async with stage() as on:
            clock = SkewedClock()
            replica = await leading(on, clock=clock, watches=False)
            replica.faults = lambda verb: Fault(error=Unavailable("away"))
            await on.clock.sleep(3.0)
            replica.faults = lambda verb: Fault(after=1.0)
            await on.until(lambda: replica.requests[-1][0] > 3.0, within=2.0)
            await on.clock.sleep(0.9)
            assert replica.elector.fence() > 0
            clock.suspend(6.0)
            with pytest.raises(Fenced):
                replica.elector.fence()
            await on.clock.sleep(1.5)
            assert [leads for _, leads in replica.told] == [True, False, True]


class TestReleasing:
    @WATCHES
    def test_a_clean_stop_hands_over_within_5_s(self, watches: bool) -> None:
        @virtual_time
        async def check() -> None:
            async with stage() as on:
                leader = await leading(on)
                standby = on.add("b", watches=watches)
                await on.clock.sleep(20.0)
                assert await leader.stop()
                await on.until(lambda: standby.may_write, within=0.1 if watches else 5.0)

        check()

    @virtual_time
    async def test_the_record_of_a_release_is_client_gos(self) -> None:
        async with stage() as on:
            leader = await leading(on)
            assert await leader.stop()
            spec = on.spec()
            assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("", 1, 5)

    @virtual_time
    async def test_who_retires_writes_no_more_and_keeps_the_lease_until_its_last_write_has_ended(self) -> None:
        async with stage() as on:
            leader = await leading(on)
            standby = on.add("b")
            leader.elector.retire()
            with pytest.raises(Fenced, match="gives up"):
                leader.elector.fence()
            assert leader.told[-1] == (on.now, False)
            await on.clock.sleep(60.0)
            assert not standby.may_write
            assert on.spec()["holderIdentity"] == "a"
            assert await leader.elector.release(timeout=2.0)
            await on.until(lambda: standby.may_write, within=LATENCY)

    @virtual_time
    async def test_who_gave_up_rests_until_it_stands_again(self) -> None:
        async with stage() as on:
            replica = await leading(on)
            await replica.elector.release(timeout=2.0)
            replica.requests.clear()
            await on.clock.sleep(60.0)
            assert [verb for _, verb in replica.requests if verb != "watch"] == []
            replica.elector.stand()
            await on.until(lambda: replica.may_write, within=LATENCY)
            assert on.spec()["leaseTransitions"] == 6

    @virtual_time
    async def test_a_release_whose_answer_was_lost_is_read_before_it_is_believed(self) -> None:
        async with stage() as on:
            leader = await leading(on)
            leader.faults = lambda verb: Fault(lost=True) if verb == "update" else None
            assert await leader.elector.release(timeout=5.0)
            assert leader.writes()[1:] == ["update"]
            assert on.spec()["holderIdentity"] == ""

    @virtual_time
    async def test_a_release_that_cannot_be_made_ends_all_the_same(self) -> None:
        async with stage() as on:
            leader = await leading(on)
            standby = on.add("b")
            leader.faults = lambda verb: Fault(before=99.0)
            began = on.now
            assert not await leader.stop()
            assert on.now - began == pytest.approx(2.0)
            await on.until(lambda: standby.may_write, within=15.0 + POLL)

    @virtual_time
    async def test_the_lease_of_another_is_not_released(self) -> None:
        async with stage() as on:
            await leading(on)
            standby = on.add("b")
            await on.clock.sleep(3.0)
            assert await standby.stop()
            assert on.spec()["holderIdentity"] == "a"

    @virtual_time
    async def test_an_acquisition_that_arrives_after_giving_up_is_given_up_too(self) -> None:
        async with stage() as on:
            replica = on.add("a")
            replica.faults = lambda verb: Fault(before=9.0, late=True) if verb == "update" and on.now < 1.0 else None
            await on.clock.sleep(0.5)
            assert await replica.elector.release(timeout=8.0)
            await on.clock.sleep(5.0)
            assert on.spec()["holderIdentity"] == ""
            assert on.spec()["leaseTransitions"] == 5


class TestHandsOnTheLease:
    """What a person does to it with kubectl, while ``a`` leads and ``b`` stands by."""

    @WATCHES
    def test_a_deleted_lease_is_made_again_by_its_holder(self, watches: bool) -> None:
        @virtual_time
        async def check() -> None:
            async with stage() as on:
                leader = await leading(on, watches=watches)
                on.add("b", watches=watches)
                await on.clock.sleep(7.0)
                on.delete()
                on.add("c", watches=watches)  # which has never seen the holder
                await on.clock.sleep(40.0)
                assert leader.told == [(0.0, True)]

        check()

    @virtual_time
    async def test_a_deleted_lease_of_a_holder_that_is_cut_off_is_not_free(self) -> None:
        async with stage() as on:
            leader = await leading(on)
            await on.clock.sleep(7.0)
            leader.faults = lambda verb: Fault(before=99.0)
            on.delete()
            standby = on.add("b")
            await on.until(lambda: standby.may_write, within=15.0 + POLL)
            assert on.now >= 20.0

    @pytest.mark.parametrize("fields", [{"holderIdentity": ""}, {"leaseDurationSeconds": 1}, {"holderIdentity": None}])
    def test_an_edited_lease_goes_back_to_its_holder(self, fields: dict[str, object]) -> None:
        @virtual_time
        async def check() -> None:
            async with stage() as on:
                leader = await leading(on)
                on.add("b")
                await on.clock.sleep(7.0)
                on.edit(**fields)
                on.add("c")
                await on.clock.sleep(40.0)
                assert leader.told == [(0.0, True)]
                assert on.spec()["holderIdentity"] == "a"
                assert on.spec()["leaseDurationSeconds"] == 15

        check()

    @virtual_time
    async def test_a_record_of_its_own_that_comes_back_after_anothers_is_not_its_own_any_more(self) -> None:
        """As from a backup, while the other holder cannot know of it."""
        async with stage() as on:
            first = await leading(on)
            own = on.spec()
            await first.elector.release(timeout=2.0)
            second = on.add("b")
            await on.until(lambda: second.may_write, within=LATENCY)
            await on.clock.sleep(1.0)
            second.faults = lambda verb: Fault(before=99.0)
            on.edit(**own)
            first.elector.stand()
            await on.clock.sleep(14.9)
            assert not first.may_write

    @WATCHES
    def test_where_another_is_put_in_the_holder_stops_and_the_other_waits(self, watches: bool) -> None:
        @virtual_time
        async def check() -> None:
            async with stage() as on:
                leader = await leading(on, watches=watches)
                other = on.add("b", watches=watches)
                await on.clock.sleep(7.0)
                on.edit(holderIdentity="b")
                edited = on.now
                await on.until(lambda: not leader.may_write, within=0.1 if watches else 2.1)
                await on.until(lambda: other.may_write or leader.may_write, within=15.0 + POLL)
                assert on.now - edited >= 15.0

        check()


class TestWeather:
    @virtual_time
    async def test_missing_rights_are_told_once_with_the_cure(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        async with stage() as on:
            replica = on.add("a", watches=False)
            replica.faults = lambda verb: (
                Fault(error=Forbidden('get Lease: User cannot get resource "leases"')) if on.now < 60.0 else None
            )
            await on.clock.sleep(59.0)
            assert isinstance(replica.elector.error, Forbidden)
            told = [record.getMessage() for record in caplog.records]
            assert len(told) == 1
            assert "deploy/kustomize/base/role.yaml" in told[0]
            await on.until(lambda: replica.may_write, within=1.0 + POLL)
            assert replica.elector.error is None

    @virtual_time
    async def test_a_candidate_keeps_to_what_the_server_asks_for(self) -> None:
        async with stage() as on:
            replica = on.add("a", watches=False)
            replica.faults = lambda verb: Fault(error=TooManyRequests("slow down", 20.0)) if on.now < 50 else None
            await on.clock.sleep(59.0)
            assert [at for at, _ in replica.requests][:3] == [0.0, 20.0, 40.0]

    @virtual_time
    async def test_without_its_namespace_it_waits_for_it(self) -> None:
        async with stage() as on:
            on.delete()
            async with on.store.running():
                on.store.terminate_namespace(NAMESPACE)
                replica = on.add("a")
                await on.clock.sleep(30.0)
                assert replica.elector.error is not None
                on.store.create_namespace(NAMESPACE)
                await on.until(lambda: replica.may_write, within=15.0 + 2 * POLL)

    @virtual_time
    async def test_a_candidate_without_answers_does_not_ask_all_the_time(self) -> None:
        async with stage() as on:
            replica = on.add("a", watches=False)
            replica.faults = lambda verb: Fault(error=Unavailable("away"))
            await on.clock.sleep(100.0)
            assert len(replica.requests) <= 50

    @virtual_time
    async def test_after_a_long_outage_one_leads_again(self) -> None:
        async with stage() as on:
            replicas = [await leading(on), on.add("b"), on.add("c")]
            for replica in replicas:
                replica.faults = lambda verb: Fault(error=Unavailable("away")) if on.now < 120.0 else None
            await on.clock.sleep(119.0)
            assert on.leader is None
            await on.until(lambda: on.leader is not None, within=1.0 + POLL + LATENCY)


class TestWithTheWriter:
    @virtual_time
    async def test_a_request_ends_before_the_fence_closes(self) -> None:
        async with stage() as on:
            leader = await leading(on)
            store = MemoryStore(
                clock=on.clock, random=SeededRandom(), faults=lambda verb, kind, key: Fault(before=99.0)
            )
            writer = Writer(
                store,
                clock=on.clock,
                limiter=TokenBucket(clock=on.clock, qps=10.0, burst=10),
                written=lambda obj: None,
                deleted=lambda *gone: None,
            )
            closes = on.now + leader.elector.fence()
            leader.faults = lambda verb: Fault(before=99.0)
            await on.clock.sleep(1.0)
            [failed] = (await writer.write([Create(slice_of("default"))], fence=leader.elector.fence)).failed
            assert isinstance(failed, Failed)
            assert on.now == pytest.approx(closes - FENCE_MARGIN)
            [failed] = (await writer.write([Create(slice_of("default"))], fence=leader.elector.fence)).failed
            assert isinstance(failed.error, Fenced)


class TestTiming:
    def test_the_defaults_are_client_gos(self) -> None:
        assert Timing() == Timing(lease_duration=15.0, renew_deadline=10.0, retry_period=2.0)

    @pytest.mark.parametrize(
        ("times", "complaint"),
        [
            ((10.0, 10.0, 2.0), "the lease duration"),
            ((15.0, 2.4, 2.0), "the renew deadline"),
            ((15.0, 1.2, 0.3), "no time to write"),
            ((15.0, 10.0, 0.0), "the retry period"),
        ],
    )
    def test_times_that_do_not_fit_are_refused(self, times: tuple[float, float, float], complaint: str) -> None:
        lease, renew, retry = times
        with pytest.raises(ValueError, match=complaint):
            Timing(lease_duration=lease, renew_deadline=renew, retry_period=retry)
