"""What a source counts for, report by report. Times are seconds from the start."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.model import Backend, Observation, Outcome, Rejected, several
from extsync.sources.holds import HoldTimes, LastGood

A, B, C = Backend("10.0.0.1"), Backend("10.0.0.2"), Backend("10.0.0.3")
EMPTY = Observation(Outcome.EMPTY)
GONE = Observation(Outcome.GONE)
ERROR = Observation(Outcome.ERROR, detail="connection refused")
SUSPECT = Observation(Outcome.SUSPECT, detail="no leader")
FAILURES = pytest.mark.parametrize("failure", [ERROR, SUSPECT], ids=["error", "suspect"])


def found(*backends: Backend) -> Observation:
    return Observation(Outcome.FOUND, backends)


def last_good(*, nx: float = 30, nodata: float = 30, obsolete: float = 0) -> LastGood:
    return LastGood(HoldTimes(nx=nx, nodata=nodata, obsolete=obsolete))


def counts(held: LastGood) -> tuple[Backend, ...]:
    return held.backends


def test_nothing_counts_and_nothing_is_due_before_the_first_report() -> None:
    held = last_good()
    assert (held.backends, held.reported, held.due()) == ((), False, None)
    assert held.standing().outcome is None
    assert held.standing().age(5) is None


def test_an_answer_replaces_the_set_at_once() -> None:
    held = last_good()
    held.observe(found(A, B), 1)
    held.observe(found(B, C), 2)
    assert counts(held) == (B, C)
    assert held.reported


@FAILURES
def test_a_failure_keeps_the_set_for_ever_and_marks_it_stale(failure: Observation) -> None:
    held = last_good()
    held.observe(found(A), 1)
    held.observe(failure, 2)
    held.observe(failure, 500)
    held.advance(10**9)
    assert counts(held) == (A,)
    assert held.due() is None
    standing = held.standing()
    assert standing.stale
    assert standing.stale_since == 2
    assert standing.last_error == failure.detail
    assert standing.last_error_at == 500
    assert standing.age(1001) == 1000


def test_a_good_answer_ends_staleness_and_the_last_error_is_remembered() -> None:
    held = last_good()
    held.observe(ERROR, 1)
    held.observe(found(A), 2)
    assert not held.standing().stale
    assert held.standing().last_error == "connection refused"


@FAILURES
def test_a_source_that_only_ever_failed_has_not_reported(failure: Observation) -> None:
    held = last_good()
    held.observe(failure, 1)
    held.advance(10**9)
    assert not held.reported


@pytest.mark.parametrize(("answer", "hold"), [(EMPTY, 40), (GONE, 20)], ids=["empty", "gone"])
def test_an_empty_answer_takes_effect_when_its_hold_has_passed(answer: Observation, hold: float) -> None:
    held = last_good(nodata=40, nx=20)
    held.observe(found(A), 0)
    held.observe(answer, 100)
    assert held.due() == 100 + hold
    assert held.standing().empty_at == 100 + hold
    held.advance(100 + hold - 0.001)
    assert counts(held) == (A,)
    held.advance(100 + hold)
    assert counts(held) == ()
    assert held.due() is None
    assert held.standing().empty_at is None


def test_without_a_hold_an_empty_answer_takes_effect_at_once() -> None:
    held = last_good(nodata=0)
    held.observe(found(A), 0)
    held.observe(EMPTY, 1)
    assert counts(held) == ()


def test_a_source_that_starts_empty_has_reported_only_after_the_hold() -> None:
    held = last_good(nodata=30)
    held.observe(EMPTY, 5)
    assert not held.reported
    assert held.due() == 35
    held.advance(35)
    assert held.reported


def test_the_hold_runs_from_the_first_empty_answer_and_is_that_of_the_latest() -> None:
    held = last_good(nodata=60, nx=20)
    held.observe(found(A), 0)
    held.observe(EMPTY, 10)
    held.observe(EMPTY, 25)
    assert held.due() == 70
    held.observe(GONE, 28)
    assert held.due() == 30


def test_an_answer_during_the_hold_ends_it() -> None:
    held = last_good()
    held.observe(found(A), 0)
    held.observe(EMPTY, 10)
    held.observe(found(A), 20)
    held.advance(1000)
    assert counts(held) == (A,)
    held.observe(EMPTY, 2000)
    assert held.due() == 2030


@FAILURES
def test_a_failure_during_the_hold_suspends_it_until_the_next_empty_answer(failure: Observation) -> None:
    held = last_good()
    held.observe(found(A), 0)
    held.observe(EMPTY, 10)
    held.observe(failure, 20)
    held.advance(1000)
    assert counts(held) == (A,)
    held.observe(EMPTY, 1001)
    assert counts(held) == ()


def test_a_backend_that_the_answer_no_longer_names_stays_until_obsolete_has_passed() -> None:
    held = last_good(obsolete=60)
    held.observe(found(A, B), 0)
    held.observe(found(B), 10)
    assert counts(held) == (B, A)
    assert held.standing().leaving == ((A, 70),)
    held.observe(found(B), 50)
    assert held.due() == 70, "a further answer without it does not prolong its stay"
    held.advance(70)
    assert counts(held) == (B,)
    assert held.due() is None


def test_a_backend_that_is_named_again_stays_for_good() -> None:
    held = last_good(obsolete=60)
    held.observe(found(A, B), 0)
    held.observe(found(B), 10)
    held.observe(found(A, B), 20)
    held.advance(1000)
    assert counts(held) == (A, B)


def test_rotating_answers_add_up() -> None:
    held = last_good(obsolete=60)
    for time, backend in enumerate((A, B, C, A, B, C)):
        held.observe(found(backend), time * 10)
    assert set(held.backends) == {A, B, C}


@FAILURES
def test_nothing_leaves_while_the_source_fails_even_what_was_on_its_way_out(failure: Observation) -> None:
    held = last_good(obsolete=60)
    held.observe(found(A, B), 0)
    held.observe(found(B), 10)
    held.observe(failure, 20)
    held.advance(1000)
    assert counts(held) == (B, A)
    assert held.due() is None
    held.observe(found(B), 1001)
    assert counts(held) == (B,)


def test_emptying_takes_what_is_on_its_way_out_as_well() -> None:
    held = last_good(nodata=30, obsolete=600)
    held.observe(found(A, B), 0)
    held.observe(found(B), 10)
    held.observe(EMPTY, 20)
    held.advance(50)
    assert counts(held) == ()
    assert held.due() is None


def test_what_is_told_of_a_backend_is_replaced_in_place() -> None:
    held = last_good(obsolete=60)
    held.observe(found(Backend("10.0.0.1", port=80, zone="a")), 0)
    moved = Backend("10.0.0.1", port=80, zone="b", drain=True)
    held.observe(found(moved), 1)
    assert counts(held) == (moved,)


def test_another_port_is_another_backend() -> None:
    held = last_good(obsolete=60)
    before, after = Backend("10.0.0.1", port=80), Backend("10.0.0.1", port=81)
    held.observe(found(before), 0)
    held.observe(found(after), 1)
    assert counts(held) == (after, before)


def test_the_set_is_the_same_object_as_long_as_nothing_changes() -> None:
    held = last_good()
    held.observe(found(A, B), 0)
    before = held.backends
    held.observe(ERROR, 1)
    held.observe(found(Backend("10.0.0.1"), Backend("10.0.0.2")), 2)
    held.advance(3)
    assert held.backends is before


def test_an_answer_without_backends_is_held_like_an_empty_one() -> None:
    held = last_good()
    held.observe(found(A), 0)
    held.observe(found(), 10)
    assert counts(held) == (A,)
    assert held.standing().outcome is Outcome.EMPTY


def test_an_answer_of_which_nothing_can_be_used_is_an_error() -> None:
    held = last_good()
    held.observe(found(A), 0)
    held.observe(Observation(Outcome.FOUND, (), (Rejected("10.0.0.256", "is no address"),)), 1)
    held.advance(1000)
    assert counts(held) == (A,)
    assert held.standing().outcome is Outcome.ERROR
    assert "10.0.0.256: is no address" in held.standing().detail


def test_entries_that_were_set_aside_are_told() -> None:
    held = last_good()
    rejected = (Rejected("10.0.0.256", "is no address"),)
    held.observe(Observation(Outcome.FOUND, (A,), rejected), 0)
    assert held.standing().rejected == rejected
    assert counts(held) == (A,)


# ---- parts -----------------------------------------------------------------------------------------------------------


@FAILURES
def test_a_part_that_fails_keeps_what_it_had_and_the_others_go_on(failure: Observation) -> None:
    held = last_good()
    held.observe(several([("a", found(A)), ("b", found(B))]), 0)
    held.observe(several([("a", found(C)), ("b", failure)]), 1)
    held.advance(10**9)
    assert counts(held) == (C, B)
    standing = held.standing()
    assert (standing.outcome, standing.detail) == (failure.outcome, f"b: {failure.detail}")
    assert (standing.stale_since, standing.good_at, standing.observed_at) == (1, 0, 1)


def test_each_part_that_says_none_has_its_own_hold() -> None:
    held = last_good(nx=20, nodata=40)
    held.observe(several([("a", found(A)), ("b", found(B)), ("c", found(C))]), 0)
    held.observe(several([("a", found(A)), ("b", GONE), ("c", EMPTY)]), 10)
    assert (counts(held), held.due()) == ((A, B, C), 30)
    held.advance(30)
    assert (counts(held), held.due()) == ((A, C), 50)
    held.advance(50)
    assert (counts(held), held.due()) == ((A,), None)


def test_a_source_has_reported_when_each_of_its_parts_has() -> None:
    held = last_good(nodata=5)
    held.observe(several([("a", found(A)), ("b", ERROR)]), 0)
    assert not held.reported
    held.observe(several([("a", found(A)), ("b", EMPTY)]), 1)
    assert not held.reported
    held.advance(6)
    assert held.reported


@FAILURES
def test_a_failure_of_the_source_as_a_whole_is_one_of_each_part(failure: Observation) -> None:
    held = last_good()
    held.observe(several([("a", found(A)), ("b", GONE)]), 0)
    held.observe(failure, 1)
    held.advance(10**9)
    assert counts(held) == (A,)
    assert [standing.outcome for _, standing in held.standing().parts] == [failure.outcome] * 2


def test_an_empty_answer_for_the_source_as_a_whole_waits_for_the_hold_of_each_part() -> None:
    held = last_good(nodata=30)
    held.observe(several([("a", found(A)), ("b", found(B))]), 0)
    held.observe(EMPTY, 1)
    assert counts(held) == (A, B)
    held.advance(31)
    assert counts(held) == ()


def test_a_part_that_is_no_longer_asked_for_goes() -> None:
    held = last_good()
    held.observe(several([("a", found(A)), ("b", found(B))]), 0)
    held.observe(several([("b", ERROR)]), 1)
    assert counts(held) == (B,)


def test_the_backends_of_parts_are_the_same_object_as_long_as_nothing_changes() -> None:
    held = last_good()
    held.observe(several([("a", found(A)), ("b", found(B))]), 0)
    before = held.backends
    held.observe(several([("a", found(A)), ("b", ERROR)]), 1)
    held.observe(several([("a", found(A)), ("b", found(B))]), 2)
    assert held.backends is before


def test_which_parts_say_none_is_told_and_can_be_taken_back() -> None:
    held = last_good(nx=0, nodata=0)
    held.observe(several([("a", found(A)), ("b", GONE), ("c", EMPTY)]), 0)
    assert (held.negative(), held.standing().reported) == (("b",), True)
    held.doubt(["b"], "no", 0)
    assert (held.standing().outcome, held.standing().reported) == (Outcome.SUSPECT, False)


def test_without_an_answer_every_part_that_says_none_is_told() -> None:
    held = last_good()
    held.observe(several([("a", EMPTY), ("b", GONE)]), 0)
    assert held.negative() == ("a", "b")


@pytest.mark.parametrize(("again", "changed"), [(found(A), False), (found(A, B), True), (ERROR, True), (EMPTY, True)])
def test_a_report_tells_whether_it_makes_a_difference(again: Observation, changed: bool) -> None:
    held = last_good()
    assert held.observe(found(A), 0)
    assert held.observe(again, 1) is changed


def test_rotating_answers_are_held_for_two_refreshes_unless_the_hold_says_otherwise() -> None:
    rotating = [Observation(Outcome.FOUND, (one,), refresh=10) for one in (A, B)]
    by_default, by_hold = LastGood(HoldTimes()), last_good(obsolete=5)
    for held in (by_default, by_hold):
        held.observe(rotating[0], 0)
        held.observe(rotating[1], 10)
        assert set(counts(held)) == {A, B}
    assert (by_default.due(), by_hold.due()) == (30, 15)
    by_default.advance(30)
    assert counts(by_default) == (B,)


# ---- whatever comes --------------------------------------------------------------------------------------------------

OBSERVATIONS = st.one_of(
    st.sampled_from([EMPTY, GONE, ERROR, SUSPECT]),
    st.lists(st.sampled_from([A, B, C]), min_size=1, unique=True).map(lambda backends: found(*backends)),
)


@given(
    st.lists(st.tuples(OBSERVATIONS, st.floats(0, 100)), max_size=20),
    st.floats(0, 60),
    st.floats(0, 60),
    st.floats(0, 60),
)
def test_only_good_answers_ever_take_a_backend_away(
    reports: list[tuple[Observation, float]], nx: float, nodata: float, obsolete: float
) -> None:
    held = last_good(nx=nx, nodata=nodata, obsolete=obsolete)
    now = 0.0
    for observation, pause in reports:
        before, reported = held.backends, held.reported
        held.observe(observation, now)
        failed = observation.outcome in (Outcome.ERROR, Outcome.SUSPECT)
        if failed:
            assert held.backends is before
        if observation.outcome is Outcome.FOUND:
            assert set(observation.backends) <= set(held.backends)
        assert held.reported or not reported
        before = held.backends
        now += pause
        due = held.due()
        held.advance(now)
        assert held.backends is before or (due is not None and due <= now and not failed)
        assert (again := held.due()) is None or again > now
