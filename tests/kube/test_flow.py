"""Requests go out at their rate, objects are written within their budget, and failures wait longer each time."""

from __future__ import annotations

import asyncio

import pytest

from extsync.errors import Conflict, Forbidden, TooManyRequests, Unavailable
from extsync.kube.flow import WINDOW, Backoff, Gate, TokenBucket, WriteBudget
from extsync.seams.virtual import SeededRandom, VirtualClock, virtual_time


class TestTokenBucket:
    @virtual_time
    async def test_a_burst_goes_at_once_and_the_rest_at_the_rate(self) -> None:
        clock = VirtualClock()
        bucket = TokenBucket(clock=clock, qps=2.0, burst=3)
        times = []
        for _ in range(6):
            await bucket.take()
            times.append(clock.monotonic())
        assert times == [0.0, 0.0, 0.0, 0.5, 1.0, 1.5]

    @virtual_time
    async def test_an_idle_time_fills_the_burst_up_and_no_further(self) -> None:
        clock = VirtualClock()
        bucket = TokenBucket(clock=clock, qps=1.0, burst=2)
        await clock.sleep(100.0)
        waits = [await bucket.take() for _ in range(3)]
        assert waits == [0.0, 0.0, 1.0]

    @virtual_time
    async def test_who_comes_first_goes_first(self) -> None:
        clock = VirtualClock()
        bucket = TokenBucket(clock=clock, qps=1.0, burst=1)
        gone: list[tuple[str, float]] = []

        async def take(name: str) -> None:
            await bucket.take()
            gone.append((name, clock.monotonic()))

        await asyncio.gather(*(take(name) for name in "abc"))
        assert gone == [("a", 0.0), ("b", 1.0), ("c", 2.0)]

    @virtual_time
    async def test_a_caller_that_gives_up_leaves_its_token(self) -> None:
        clock = VirtualClock()
        bucket = TokenBucket(clock=clock, qps=1.0, burst=1)
        await bucket.take()
        waiting = asyncio.create_task(bucket.take())
        await clock.sleep(0.5)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert await bucket.take() == 0.5

    @pytest.mark.parametrize(("qps", "burst"), [(0.0, 1), (-1.0, 1), (1.0, 0)])
    def test_a_rate_at_which_nothing_would_ever_go_is_refused(self, qps: float, burst: int) -> None:
        with pytest.raises(ValueError, match="a rate needs"):
            virtual_time(_make_bucket)(qps, burst)


async def _make_bucket(qps: float, burst: int) -> TokenBucket:
    return TokenBucket(clock=VirtualClock(), qps=qps, burst=burst)


class TestWriteBudget:
    @virtual_time
    async def test_an_object_over_its_budget_waits_until_its_oldest_write_is_a_minute_old(self) -> None:
        clock = VirtualClock()
        budget = WriteBudget(clock=clock)
        for _ in range(3):
            assert budget.wait("a", 3) == 0.0
            budget.spend("a", 3)
            await clock.sleep(10.0)
        assert budget.wait("a", 3) == WINDOW - 30.0
        await clock.sleep(WINDOW - 30.0)
        assert budget.wait("a", 3) == 0.0

    @virtual_time
    async def test_each_object_has_a_budget_of_its_own(self) -> None:
        budget = WriteBudget(clock=VirtualClock())
        budget.spend("a", 1)
        assert budget.wait("a", 1) > 0
        assert budget.wait("b", 1) == 0.0

    @virtual_time
    async def test_a_budget_that_changes_counts_at_once(self) -> None:
        budget = WriteBudget(clock=VirtualClock())
        for _ in range(3):
            budget.spend("a", 5)
        assert budget.wait("a", 2) == WINDOW
        assert budget.wait("a", 4) == 0.0

    @virtual_time
    async def test_objects_that_are_not_written_any_more_are_forgotten(self) -> None:
        clock = VirtualClock()
        budget = WriteBudget(clock=clock)
        for number in range(100):
            budget.spend(number, 5)
        await clock.sleep(WINDOW)
        budget.spend("last", 5)
        assert len(budget) == 1


class TestBackoff:
    def test_waits_double_up_to_the_cap(self) -> None:
        backoff = Backoff(random=_Highest(), base=1.0, cap=30.0)
        assert [backoff.failed("a") for _ in range(7)] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]

    def test_a_quarter_of_each_wait_is_left_to_chance(self) -> None:
        waits = [Backoff(random=SeededRandom(seed)).failed("a") for seed in range(50)]
        assert len(set(waits)) == 50
        assert all(0.75 <= wait <= 1.0 for wait in waits)

    def test_each_key_waits_for_itself_and_starts_afresh_when_forgotten(self) -> None:
        backoff = Backoff(random=_Highest())
        assert [backoff.failed("a"), backoff.failed("a"), backoff.failed("b")] == [1.0, 2.0, 1.0]
        backoff.forget("a")
        backoff.forget("never failed")
        assert backoff.failed("a") == 1.0

    @pytest.mark.parametrize(("base", "cap"), [(0.0, 1.0), (2.0, 1.0)])
    def test_bounds_that_make_no_sense_are_refused(self, base: float, cap: float) -> None:
        with pytest.raises(ValueError, match="a back-off needs"):
            Backoff(random=SeededRandom(), base=base, cap=cap)


REFUSED = Unavailable("write it: refused", connected=False)


class TestGate:
    @virtual_time
    async def test_it_is_open_and_stays_so_whatever_one_object_meets(self) -> None:
        gate = Gate(clock=VirtualClock(), random=_Highest())
        for error in (Unavailable("no answer"), Conflict("changed"), Forbidden("no right")):
            gate.failed(error)
            assert gate.wait == 0.0

    @virtual_time
    async def test_it_closes_ever_longer_while_the_server_cannot_be_connected_to(self) -> None:
        clock = VirtualClock()
        gate = Gate(clock=clock, random=_Highest())
        waits = []
        for _ in range(7):
            gate.failed(REFUSED)
            gate.failed(REFUSED)  # of what was under way
            waits.append(gate.wait)
            await clock.sleep(gate.wait)
        assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
        gate.succeeded()
        gate.failed(REFUSED)
        assert gate.wait == 1.0

    @virtual_time
    async def test_it_opens_when_somebody_got_an_answer_but_for_what_the_server_asked_for(self) -> None:
        clock = VirtualClock()
        gate = Gate(clock=clock, random=_Highest())
        gate.failed(REFUSED)
        gate.answered()
        assert gate.wait == 0.0
        gate.failed(TooManyRequests("busy", 20.0))
        gate.answered()
        gate.succeeded()
        assert gate.wait == 20.0

    @virtual_time
    async def test_a_429_that_does_not_say_for_how_long_closes_nothing(self) -> None:
        gate = Gate(clock=VirtualClock(), random=_Highest())
        gate.failed(TooManyRequests("a rule about one object"))
        assert gate.wait == 0.0


class _Highest(SeededRandom):
    def uniform(self, a: float, b: float) -> float:
        return b


@virtual_time
async def test_what_sums_of_times_leave_over_keeps_no_gate_closed() -> None:
    clock = VirtualClock()
    gate = Gate(clock=clock, random=_Highest())
    gate.failed(Unavailable("away", connected=False))
    await clock.sleep(gate.wait - 1e-12)
    assert gate.wait == 0
