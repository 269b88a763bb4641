"""Lanes: who may be tried while writes have no answer, and who is next."""

from __future__ import annotations

from extsync.engine.lanes import Lanes
from extsync.model import ServiceKey

BAD = [ServiceKey("bad", f"s{number}") for number in range(4)]
GOOD = ServiceKey("good", "s")


def failing(lanes: Lanes, key: ServiceKey) -> list[ServiceKey]:
    """A round of ``key`` that has no answer; returns who is next."""
    assert lanes.enter(key)
    called = lanes.leave(key)
    lanes.unanswered(key)
    return called


def test_as_long_as_everything_is_answered_all_may_be_tried() -> None:
    lanes = Lanes(1)
    assert all(lanes.enter(key) for key in (*BAD, GOOD))
    assert not any(lanes.leave(key) or lanes.answered(key, written=True) for key in (*BAD, GOOD))


def test_after_a_write_without_an_answer_its_namespace_has_one_lane_and_others_are_free() -> None:
    lanes = Lanes(1)
    failing(lanes, BAD[0])
    assert lanes.enter(BAD[1])
    assert not lanes.enter(BAD[2])
    assert lanes.waits(BAD[2])
    assert lanes.enter(GOOD)


def test_what_failed_itself_keeps_to_a_lane_of_its_own() -> None:
    lanes = Lanes(1)
    failing(lanes, BAD[0])
    failing(lanes, BAD[1])
    assert lanes.enter(BAD[0])
    assert not lanes.enter(BAD[1])
    assert lanes.enter(BAD[2])


def test_what_failed_itself_comes_in_turn() -> None:
    lanes = Lanes(1)
    for key in BAD:
        lanes.enter(key)
    for key in BAD:
        assert lanes.leave(key) == []
        lanes.unanswered(key)
    assert lanes.enter(BAD[1])
    assert not lanes.enter(BAD[2])
    assert not lanes.enter(BAD[3])
    assert not lanes.enter(BAD[2])  # to ask again costs no place
    assert lanes.leave(BAD[1]) == [BAD[2]]
    assert not lanes.waits(BAD[2])


def test_of_what_has_not_failed_itself_the_last_to_come_is_the_first() -> None:
    lanes = Lanes(1)
    failing(lanes, BAD[0])
    assert lanes.enter(BAD[1])
    assert not lanes.enter(BAD[2])
    assert not lanes.enter(BAD[3])
    assert not lanes.enter(BAD[2])
    assert lanes.leave(BAD[1]) == [BAD[3]]


def test_one_that_was_called_and_has_nothing_to_write_any_more_lets_the_next_one_in() -> None:
    lanes = Lanes(1)
    failing(lanes, BAD[0])
    assert lanes.enter(BAD[1])
    assert not lanes.enter(BAD[2])
    assert not lanes.enter(BAD[3])
    assert lanes.leave(BAD[1]) == [BAD[3]]
    assert lanes.leave(BAD[3]) == [BAD[2]]


def test_a_write_that_succeeds_frees_its_namespace() -> None:
    lanes = Lanes(1)
    failing(lanes, BAD[0])
    assert lanes.enter(BAD[1])
    assert not lanes.enter(BAD[2])
    assert not lanes.enter(BAD[3])
    assert lanes.answered(BAD[1], written=True) == [BAD[2], BAD[3]]
    assert lanes.enter(BAD[2])
    assert lanes.enter(BAD[3])


def test_what_fails_again_after_others_were_written_holds_up_nobody() -> None:
    lanes = Lanes(1)
    failing(lanes, BAD[0])
    assert lanes.enter(BAD[1])
    lanes.answered(BAD[1], written=True)
    lanes.leave(BAD[1])
    failing(lanes, BAD[0])
    assert all(lanes.enter(key) for key in BAD[1:])


def test_an_answer_that_is_a_refusal_frees_nobody_else() -> None:
    lanes = Lanes(1)
    failing(lanes, BAD[0])
    assert lanes.enter(BAD[1])
    assert not lanes.enter(BAD[2])
    assert lanes.answered(BAD[1], written=False) == []
    assert not lanes.enter(BAD[2])


def test_what_is_forgotten_waits_no_longer() -> None:
    lanes = Lanes(1)
    failing(lanes, BAD[0])
    assert lanes.enter(BAD[1])
    assert not lanes.enter(BAD[2])
    lanes.forget(BAD[2])
    assert lanes.leave(BAD[1]) == []
