from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from extsync.health.wheel import IDLE, Wheel, tick_after, tick_at, ticks
from extsync.seams import Timer
from extsync.seams.virtual import VirtualClock, run, stand_still, virtual_time


@dataclass(eq=False)
class Item:
    name: str
    due: int = IDLE


class CountingClock(VirtualClock):
    """Counts the timers that are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.timers = 0

    def call_later(self, seconds: float, callback: object, *args: object) -> Timer:
        self.timers += 1
        return super().call_later(seconds, callback, *args)  # type: ignore[arg-type]


class Harness:
    """A wheel that notes when each item came due, taking at most ``limit`` of them at a time."""

    def __init__(self, limit: int = 1000) -> None:
        self.clock = CountingClock()
        self.fired: list[tuple[str, int, int]] = []
        self.limit = limit
        self.portions: list[int] = []
        self.wheel: Wheel[Item] = Wheel(self.clock, self._on_due)

    def _on_due(self) -> None:
        now = tick_at(self.clock.monotonic())
        room = self.limit
        while room > 0 and (slot := self.wheel.take(now, room)) is not None:
            tick, items = slot
            room -= len(items)
            self.fired += [(item.name, tick, now) for item in items]
        self.portions.append(self.limit - room)

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.fired]


@virtual_time
async def test_items_come_due_at_their_tick_and_in_order() -> None:
    harness = Harness()
    for name, tick in (("late", 500), ("soon", 3), ("also soon", 3), ("far", 360_000)):
        harness.wheel.schedule(Item(name), tick)
    await harness.clock.sleep(3601)
    assert harness.fired == [("soon", 3, 3), ("also soon", 3, 3), ("late", 500, 500), ("far", 360_000, 360_000)]


@virtual_time
async def test_an_item_that_is_moved_comes_due_once_at_its_last_place() -> None:
    harness = Harness()
    item = Item("a")
    for tick in (100, 700, 100, 400, 100):
        harness.wheel.schedule(item, tick)
    await harness.clock.sleep(10)
    assert harness.fired == [("a", 100, 100)]
    assert len(harness.wheel) == 0


@virtual_time
async def test_a_cancelled_item_does_not_come_due_and_can_be_scheduled_again() -> None:
    harness = Harness()
    item = Item("a")
    harness.wheel.schedule(item, 100)
    harness.wheel.cancel(item)
    harness.wheel.cancel(item)
    assert len(harness.wheel) == 0
    harness.wheel.schedule(item, 200)
    await harness.clock.sleep(5)
    assert harness.fired == [("a", 200, 200)]


@virtual_time
async def test_it_sleeps_until_the_next_occupied_slot() -> None:
    harness = Harness()
    harness.wheel.schedule(Item("far"), 100 * 86_400)
    before = harness.clock.timers
    await harness.clock.sleep(86_399)
    assert harness.clock.timers - before == 0
    await harness.clock.sleep(2)
    assert harness.names == ["far"]


@virtual_time
async def test_what_is_not_taken_in_one_turn_is_taken_in_the_next_with_nothing_lost() -> None:
    harness = Harness(limit=4)
    for number in range(10):
        harness.wheel.schedule(Item(str(number)), 5)
    await harness.clock.sleep(1)
    assert harness.names == [str(number) for number in range(10)]
    assert harness.portions == [4, 4, 2]


@virtual_time
async def test_a_late_turn_takes_everything_that_is_overdue_the_oldest_first() -> None:
    harness = Harness()
    for tick in (30, 10, 20):
        harness.wheel.schedule(Item(str(tick)), tick)
    stand_still(5.0)
    await harness.clock.sleep(0.001)
    assert harness.names == ["10", "20", "30"]


@virtual_time
async def test_what_comes_due_may_be_scheduled_again_for_the_same_tick() -> None:
    clock = VirtualClock()
    seen: list[int] = []
    item = Item("a")

    def on_due() -> None:
        slot = wheel.take(tick_at(clock.monotonic()), 10)
        if slot is not None and slot[1]:
            seen.append(slot[0])
            if len(seen) < 3:
                wheel.schedule(item, slot[0])

    wheel: Wheel[Item] = Wheel(clock, on_due)
    wheel.schedule(item, 7)
    await clock.sleep(1)
    assert seen == [7, 7, 7]


@virtual_time
async def test_stale_entries_are_swept_out_before_they_outweigh_the_others() -> None:
    harness = Harness()
    item, other = Item("a"), Item("b")
    harness.wheel.schedule(other, 50)
    for tick in range(100, 100_100):
        harness.wheel.schedule(item, tick)
    assert sum(map(len, harness.wheel._slots.values())) < 3000
    await harness.clock.sleep(1100)
    assert harness.fired == [("b", 50, 50), ("a", 100_099, 100_099)]


@virtual_time
async def test_a_closed_wheel_stays_silent() -> None:
    harness = Harness()
    harness.wheel.schedule(Item("a"), 10)
    harness.wheel.close()
    await harness.clock.sleep(1)
    assert harness.fired == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 300), st.booleans()), max_size=200), st.integers(1, 7))
def test_any_sequence_of_moves_and_cancellations_ends_as_its_last_word_says(
    steps: list[tuple[int, int, bool]], limit: int
) -> None:
    async def main() -> None:
        harness = Harness(limit)
        items = [Item(str(number)) for number in range(6)]
        expected: dict[str, int] = {}
        for number, tick, cancel in steps:
            if cancel:
                harness.wheel.cancel(items[number])
                expected.pop(str(number), None)
            else:
                harness.wheel.schedule(items[number], tick)
                expected[str(number)] = tick
        await harness.clock.sleep(4)
        assert {name: tick for name, tick, _ in harness.fired} == expected
        assert len(harness.fired) == len(expected)

    run(main())


@given(st.floats(0, 1e8))
def test_ticks_do_not_run_ahead_of_time_beyond_what_floating_point_loses(seconds: float) -> None:
    assert tick_at(seconds) / 100 <= seconds + 2e-6
    assert tick_after(seconds) / 100 >= seconds - 2e-6
    assert 0 <= tick_after(seconds) - tick_at(seconds) <= 1


def test_a_duration_is_at_least_one_tick() -> None:
    assert [ticks(seconds) for seconds in (0.0, 0.001, 0.01, 1.0, 10.5)] == [1, 1, 1, 100, 1050]
