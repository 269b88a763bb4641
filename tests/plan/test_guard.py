"""The guard: a removal that looks like an accident waits, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.plan.guard import Guard, GuardPolicy

POLICY = GuardPolicy()
Numbers = tuple[int, ...]


def some(*ranges: range) -> Numbers:
    return tuple(number for one in ranges for number in one)


class World:
    """A source of numbers and its guard."""

    def __init__(self, policy: GuardPolicy = POLICY) -> None:
        self.guard: Guard[int] = Guard(policy, lambda number: number)

    def look(self, answer: Numbers, at: float, *, believed: bool = True) -> set[int]:
        kept = self.guard.look(answer, at, believed=believed)
        assert len(set(kept)) == len(kept)
        assert not set(kept) & set(answer)
        return {*answer, *kept}

    @property
    def withheld(self) -> set[int]:
        return {one.entry for one in self.guard.withheld}


def test_half_may_leave_and_more_may_not() -> None:
    world = World()
    world.look(some(range(10)), 0.0)
    assert world.look(some(range(5)), 1.0) == set(range(5))
    world = World()
    world.look(some(range(10)), 0.0)
    assert world.look(some(range(4)), 1.0) == set(range(10))
    assert (world.withheld, world.guard.out_of) == (set(range(4, 10)), 10)
    assert {one.since for one in world.guard.withheld} == {1.0}
    assert {one.leaves_at(POLICY.confirm_after) for one in world.guard.withheld} == {1.0 + POLICY.confirm_after}


def test_few_may_always_leave() -> None:
    world = World()
    world.look((1, 2, 3, 4), 0.0)
    assert world.look((1, 2), 1.0) == {1, 2}
    world = World()
    world.look((1, 2), 0.0)
    assert world.look((), 1.0) == set()


@pytest.mark.parametrize("number", [3, 4])
def test_the_smallest_set_that_is_guarded_does_not_leave_at_once(number: int) -> None:
    world = World()
    world.look(some(range(number)), 0.0)
    assert world.look((), 1.0) == set(range(number))


def test_two_steps_count_together() -> None:
    world = World()
    world.look(some(range(100)), 0.0)
    assert world.look(some(range(55)), 1.0) == set(range(55))
    assert world.look(some(range(30)), 100.0) == set(range(55))
    world = World()
    world.look(some(range(100)), 0.0)
    world.look(some(range(55)), 1.0)
    assert world.look(some(range(30)), 2.0 + POLICY.window) == set(range(30))


def test_additions_and_changes_of_the_same_answer_count() -> None:
    world = World()
    world.look(some(range(10)), 0.0)
    assert world.look((0, 77, 78), 1.0) == {*range(10), 77, 78}


def test_what_comes_back_is_no_longer_withheld() -> None:
    world = World()
    world.look(some(range(10)), 0.0)
    world.look((0,), 1.0)
    assert world.look(some(range(10)), 2.0) == set(range(10))
    assert not world.withheld


def test_what_is_left_of_an_accident_leaves_when_the_others_are_back() -> None:
    world = World()
    world.look(some(range(10)), 0.0)
    world.look((0,), 1.0)
    assert world.look(some(range(8)), 2.0) == set(range(10))
    assert world.guard.due() == 2.0 + POLICY.settle
    assert world.look(some(range(8)), 2.0 + POLICY.settle) == set(range(8))
    assert world.guard.due() is None


@pytest.mark.parametrize("number", [4, 5, 10, 100])
def test_what_was_wiped_and_comes_back_one_by_one_loses_nothing(number: int) -> None:
    world = World()
    world.look(some(range(number)), 0.0)
    world.look((), 1.0)
    for back in range(1, number + 1):
        assert world.look(some(range(back)), 1.0 + back * 5.0) == set(range(number))
    assert world.guard.due() is None


def test_what_is_left_of_an_accident_stays_while_the_source_is_not_believed() -> None:
    world = World()
    world.look(some(range(100)), 0.0)
    world.look(some(range(55)), 1.0)
    answer = some(range(45))
    world.look(answer, 500.0)
    assert world.look(answer, 2.0 + POLICY.window, believed=False) == set(range(55))
    assert world.look(answer, 3.0 + POLICY.window) == set(range(45))


def test_it_leaves_once_it_was_left_out_for_long_enough() -> None:
    world = World()
    world.look(some(range(10)), 0.0)
    answer = (0, 1)
    world.look(answer, 1.0)
    assert world.guard.due() == 1.0 + POLICY.confirm_after
    assert world.look(answer, POLICY.confirm_after) == set(range(10))
    assert world.look(answer, 1.0 + POLICY.confirm_after) == {0, 1}
    assert world.guard.due() is None
    # After that the comparison starts anew: one of two is no accident.
    assert world.look((0,), 2.0 + POLICY.confirm_after) == {0}


def test_time_in_which_the_source_cannot_be_believed_confirms_nothing() -> None:
    world = World()
    world.look(some(range(10)), 0.0)
    answer = (0, 1)
    world.look(answer, 0.0)
    world.look(answer, 100.0, believed=False)
    assert world.guard.due() is None
    assert {one.leaves_at(POLICY.confirm_after) for one in world.guard.withheld} == {None}
    assert {one.confirmed(5_000.0) for one in world.guard.withheld} == {100.0}
    world.look(answer, 10_000.0, believed=True)
    assert world.guard.due() == 10_000.0 + POLICY.confirm_after - 100.0


def test_each_waits_for_its_own_time() -> None:
    world = World()
    world.look(some(range(40)), 0.0)
    world.look(some(range(15)), 0.0)
    answer = some(range(5))
    world.look(answer, 300.0)
    assert world.look(answer, POLICY.confirm_after) == set(range(15))
    assert world.look(answer, 300.0 + POLICY.confirm_after) == set(range(5))


def test_a_person_lets_go_what_is_withheld_and_the_comparison_starts_anew() -> None:
    world = World()
    world.look(some(range(40)), 0.0)
    answer = some(range(10))
    world.look(answer, 1.0)
    world.guard.allow(2.0)
    assert world.look(answer, 2.0) == set(range(10))
    assert world.look(some(range(5)), 3.0) == set(range(5))


def test_other_machines_in_the_place_of_all_come_in_and_those_before_stay_for_a_while() -> None:
    world = World()
    world.look(some(range(10)), 0.0)
    answer = some(range(50, 60))
    assert world.look(answer, 1.0) == {*range(10), *range(50, 60)}
    assert world.look(answer, 2.0) == {*range(10), *range(50, 60)}
    assert world.look(answer, 1.0 + POLICY.confirm_after) == set(range(50, 60))


def test_machines_that_are_replaced_one_after_the_other_leave_as_they_are_replaced() -> None:
    world = World()
    world.look(some(range(10)), 0.0)
    for number in range(9):
        answer = some(range(number + 1, 11 + number))
        assert world.look(answer, 30.0 * number) == set(answer)


def test_a_small_set_may_change_as_often_as_it_likes() -> None:
    world = World()
    for number in range(20):
        assert world.look((number, number + 1), float(number)) == {number, number + 1}


def test_what_left_before_somebody_looked_counts_until_the_window_is_over() -> None:
    world = World()
    world.guard.remember_left(0.0, 45)
    world.look(some(range(55)), 10.0)
    assert world.look(some(range(30)), 20.0) == set(range(55))
    assert list(world.guard.left(20.0)) == [(0.0, 45)]
    assert world.guard.due() == POLICY.window
    assert world.look(some(range(30)), POLICY.window) == set(range(30))


def test_what_was_withheld_before_waits_for_the_rest_of_its_time_only() -> None:
    world = World()
    world.look(some(range(10)), 0.0)
    world.look((0,), 1.0)
    world.guard.credit(lambda number: 500.0)
    assert world.guard.due() == 1.0 + POLICY.confirm_after - 500.0


def test_entries_that_no_answer_names_are_part_of_the_whole() -> None:
    guard: Guard[int] = Guard(POLICY, lambda number: number, besides=5)
    guard.look(some(range(5)), 0.0, believed=True)
    assert guard.look((), 1.0, believed=True) == ()


def test_another_policy_counts_from_now_on_for_what_was_seen_before() -> None:
    world = World(GuardPolicy(max_removal=1.0))
    world.look(some(range(100)), 0.0)
    world.look(some(range(60)), 1.0)
    world.guard.policy = POLICY
    assert world.look(some(range(40)), 2.0) == set(range(60))


def test_a_share_of_1_turns_it_off() -> None:
    world = World(GuardPolicy(max_removal=1.0))
    world.look(some(range(100)), 0.0)
    assert world.look((), 1.0) == set()


def test_as_long_as_nothing_changes_the_result_is_the_same_object() -> None:
    world = World()
    answer = some(range(10))
    guard = world.guard
    assert guard.look(answer, 0.0, believed=True) == ()
    less = (0,)
    kept = guard.look(less, 1.0, believed=True)
    assert guard.look(less, 2.0, believed=True) is kept


@given(st.lists(st.tuples(st.frozensets(st.integers(0, 30)), st.floats(0, 400), st.booleans()), max_size=30))
def test_whatever_is_answered_the_named_are_there_and_no_window_loses_more_than_the_share(
    answers: list[tuple[frozenset[int], float, bool]],
) -> None:
    policy = GuardPolicy(confirm_after=1e9)
    guard: Guard[int] = Guard(policy, lambda number: number)
    now, known, gone, sizes = 0.0, set[int](), dict[int, float](), list[tuple[float, int]]()
    for answer, seconds, believed in answers:
        now += seconds
        sizes.append((now, len(known)))
        result = {*answer, *guard.look(tuple(sorted(answer)), now, believed=believed)}
        assert result <= answer | known
        for number in known - result:
            gone[number] = now
        for number in result:
            gone.pop(number, None)
        recent = [number for number, at in gone.items() if at > now - policy.window]
        largest = max(size for until, size in sizes if until > now - policy.window)
        assert (
            largest < policy.min_removals
            or len(recent) <= max(policy.min_removals - 1, policy.max_removal * (len(result) + len(recent)) + 0.001)
            or (known <= result)
        )
        known = result
