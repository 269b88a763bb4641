"""The guard: a removal that looks like an accident waits, and nothing else does."""

from __future__ import annotations

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
        result = self.guard.look(answer, at, believed=believed)
        assert len(set(result)) == len(result)
        return set(result)


def test_half_may_leave_and_more_may_not() -> None:
    world = World()
    world.look(some(range(10)), 0.0)
    assert world.look(some(range(5)), 1.0) == set(range(5))
    world = World()
    world.look(some(range(10)), 0.0)
    assert world.look(some(range(4)), 1.0) == set(range(10))
    suppressed = world.guard.suppressed
    assert suppressed is not None
    assert (set(suppressed.entries), suppressed.out_of, suppressed.since) == (set(range(4, 10)), 10, 1.0)
    assert suppressed.confirmed_at == 1.0 + POLICY.confirm_after


def test_few_may_always_leave() -> None:
    world = World()
    world.look((1, 2, 3), 0.0)
    assert world.look((), 1.0) == set()


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
    assert world.guard.suppressed is None


def test_what_is_left_of_an_accident_leaves_when_the_others_are_back() -> None:
    world = World()
    world.look(some(range(10)), 0.0)
    world.look((0,), 1.0)
    assert world.look(some(range(8)), 2.0) == set(range(8))


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
    suppressed = world.guard.suppressed
    assert suppressed is not None
    assert suppressed.confirmed_at is None
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


def test_a_person_lets_exactly_what_is_withheld_through() -> None:
    world = World()
    world.look(some(range(10)), 0.0)
    answer = (0, 1)
    world.look(answer, 1.0)
    suppressed = world.guard.suppressed
    assert suppressed is not None
    world.look((0,), 2.0)
    assert not world.guard.allow(suppressed.hash)
    changed = world.guard.suppressed
    assert changed is not None
    assert changed.hash != suppressed.hash
    assert world.guard.allow(changed.hash)
    assert world.look((0,), 3.0) == {0}


def test_a_share_of_1_turns_it_off() -> None:
    world = World(GuardPolicy(max_removal=1.0))
    world.look(some(range(100)), 0.0)
    assert world.look((), 1.0) == set()


def test_the_same_answer_is_the_same_object() -> None:
    world = World()
    answer = some(range(10))
    guard = world.guard
    assert guard.look(answer, 0.0, believed=True) is answer
    less = (0,)
    result = guard.look(less, 1.0, believed=True)
    assert guard.look(less, 2.0, believed=True) is result


@given(st.lists(st.tuples(st.frozensets(st.integers(0, 30)), st.floats(0, 400), st.booleans()), max_size=30))
def test_whatever_is_answered_the_named_are_there_and_no_window_loses_more_than_the_share(
    answers: list[tuple[frozenset[int], float, bool]],
) -> None:
    policy = GuardPolicy(confirm_after=1e9)
    guard: Guard[int] = Guard(policy, lambda number: number)
    now, known, gone = 0.0, set[int](), dict[int, float]()
    for answer, seconds, believed in answers:
        now += seconds
        result = set(guard.look(tuple(sorted(answer)), now, believed=believed))
        assert answer <= result
        assert result <= answer | known
        for number in known - result:
            gone[number] = now
        for number in result:
            gone.pop(number, None)
        recent = [number for number, at in gone.items() if at > now - policy.window]
        assert len(recent) <= max(policy.min_removals, policy.max_removal * (len(result) + len(recent)) + 0.001) or (
            known <= result
        )
        known = result
