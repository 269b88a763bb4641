"""What a source counts for, report by report. Times are seconds from the start."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.model import Backend, Observation, Outcome, Rejected, several
from extsync.sources.holds import LastGood
from extsync.sources.part import HoldTimes

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


# ---- parts that another part named -----------------------------------------------------------------------------------

NAMES_THEM = Observation(Outcome.FOUND)


def named(observation: Observation) -> Observation:
    return msgspec.structs.replace(observation, named_by="set")


def report(said: Observation = NAMES_THEM, **parts: Observation) -> Observation:
    return several([("set", said), *((name, named(part)) for name, part in parts.items())])


def test_a_part_that_is_no_longer_named_stays_until_obsolete_has_passed() -> None:
    held = last_good(nx=300, nodata=300, obsolete=20)
    held.observe(report(a=found(A), b=found(B)), 0)
    assert held.observe(report(a=found(A)), 5)
    assert (counts(held), held.due(), held.standing().leaving) == ((A, B), 25, ((B, 25),))
    assert [name for name, _ in held.standing().parts] == ["set", "a"]
    assert not held.observe(report(a=found(A)), 6)
    held.advance(25)
    assert (counts(held), held.due(), held.standing().leaving) == ((A,), None, ())


def test_without_a_hold_it_goes_at_once_and_by_default_after_two_refreshes_of_what_named_it() -> None:
    held = last_good(obsolete=0)
    held.observe(report(a=found(A), b=found(B)), 0)
    held.observe(report(a=found(A)), 5)
    assert counts(held) == (A,)
    held = LastGood(HoldTimes())
    held.observe(report(a=found(A), b=found(B)), 0)
    held.observe(report(Observation(Outcome.FOUND, refresh=10), a=found(A)), 5)
    assert held.due() == 25


def test_a_part_that_is_named_again_stays_for_good() -> None:
    held = last_good(obsolete=20)
    held.observe(report(a=found(A), b=found(B)), 0)
    held.observe(report(a=found(A)), 5)
    held.observe(report(a=found(A), b=ERROR), 10)
    held.advance(10**9)
    assert counts(held) == (A, B)


@pytest.mark.parametrize(("answer", "hold"), [(GONE, 300), (EMPTY, 100)])
def test_a_named_part_without_backends_is_held_by_its_own_outcome(answer: Observation, hold: float) -> None:
    held = last_good(nx=300, nodata=100, obsolete=0)
    held.observe(report(a=found(A), b=found(B)), 0)
    held.observe(report(a=found(A), b=answer), 5)
    assert (counts(held), held.due()) == ((A, B), 5 + hold)
    held.observe(report(a=answer, b=answer), 6)
    held.advance(5 + hold)
    assert counts(held) == (A,)
    held.advance(6 + hold)
    assert counts(held) == ()


@pytest.mark.parametrize(("answer", "hold"), [(GONE, 300), (EMPTY, 100)])
def test_where_what_names_the_parts_is_gone_they_are_too(answer: Observation, hold: float) -> None:
    held = last_good(nx=300, nodata=100, obsolete=0)
    held.observe(report(a=found(A), b=found(B)), 0)
    held.observe(report(answer), 5)
    assert (counts(held), held.due()) == ((A, B), 5 + hold)
    held.advance(5 + hold)
    assert (counts(held), held.due()) == ((), None)
    assert [name for name, _ in held.standing().parts] == ["set"]


def test_a_part_that_is_not_named_when_what_names_it_is_back_is_held_as_obsolete() -> None:
    held = last_good(nx=30, obsolete=300)
    held.observe(report(a=found(A), b=found(B)), 0)
    held.observe(report(GONE), 10)
    held.observe(report(a=found(A)), 20)
    assert held.due() == 320
    held.advance(319)
    assert counts(held) == (A, B)


def test_what_is_on_its_way_out_leaves_in_time_where_what_named_it_is_gone_meanwhile() -> None:
    held = last_good(nx=300, obsolete=20)
    held.observe(report(a=found(A), b=found(B)), 0)
    held.observe(report(a=found(A)), 5)
    held.observe(report(GONE), 10)
    assert held.due() == 25
    held.advance(25)
    assert (counts(held), held.due()) == ((A,), 310)


def test_to_let_everything_due_take_effect_leaves_what_is_named() -> None:
    held = last_good(obsolete=20)
    held.observe(report(a=found(A), b=found(B), c=found(C)), 0)
    held.observe(report(a=found(A), b=GONE), 1)
    held.advance(float("inf"))
    assert counts(held) == (A,)


@FAILURES
def test_while_what_names_the_parts_fails_nothing_leaves(failure: Observation) -> None:
    held = last_good(nx=10, obsolete=20)
    held.observe(report(a=found(A), b=found(B), c=found(C)), 0)
    held.observe(report(a=found(A), b=GONE), 5)
    held.observe(report(failure), 6)
    assert held.due() is None
    held.advance(10**9)
    assert set(counts(held)) == {A, B, C}
    held.observe(report(a=found(A), b=found(B)), 10**9)
    assert counts(held) == (A, B)


def test_a_part_that_left_while_it_failed_does_not_make_the_source_stale() -> None:
    held = last_good(obsolete=20)
    held.observe(report(a=found(A), b=found(B)), 0)
    held.observe(report(a=found(A), b=ERROR), 1)
    assert held.standing().stale
    held.observe(report(a=found(A)), 2)
    assert (held.standing().stale, held.standing().outcome) == (False, Outcome.FOUND)
    assert counts(held) == (A, B)
    held.advance(22)
    assert counts(held) == (A,)


def test_what_is_said_of_the_source_is_what_became_of_the_parts_and_not_that_they_were_named() -> None:
    held = last_good()
    for said in (report(a=GONE, b=GONE), report(a=GONE, b=found(B)), report(ERROR)):
        held.observe(said, 0)
        assert held.standing().outcome is said.outcome
    assert [report(a=GONE).outcome, report(a=GONE, b=found(B)).outcome] == [Outcome.GONE, Outcome.FOUND]


def test_a_set_of_which_nothing_can_be_used_is_an_error() -> None:
    held = last_good(obsolete=0)
    held.observe(report(a=found(A)), 0)
    held.observe(report(Observation(Outcome.FOUND, rejected=(Rejected("b:0", "0 is not a port"),))), 1)
    assert counts(held) == (A,)
    assert held.standing().outcome is Outcome.ERROR


def test_a_named_part_that_has_only_failed_leaves_the_source_incomplete() -> None:
    held = last_good(nx=10)
    held.observe(report(ERROR), 0)
    assert (held.reported, held.complete) == (False, False)
    held.observe(report(a=found(A), b=ERROR), 1)
    assert (held.reported, held.complete) == (True, False)
    held.observe(report(a=found(A), b=GONE), 2)
    assert (held.reported, held.complete) == (True, False)
    held.advance(12)
    assert (held.reported, held.complete) == (True, True)
    # What is named from now on has nothing that could be published from before.
    held.observe(report(a=found(A), b=GONE, c=ERROR), 13)
    assert held.complete


def test_a_part_that_fails_while_what_named_it_does_leaves_the_source_incomplete() -> None:
    held = last_good()
    held.observe(report(a=found(A), b=ERROR), 1)
    held.observe(report(ERROR), 2)
    assert not held.complete


def test_which_named_parts_say_none_is_told_and_can_be_taken_back() -> None:
    held = last_good(nx=0, nodata=0)
    held.observe(report(a=GONE, b=EMPTY), 0)
    assert (held.negative(), held.complete) == (("a", "b"), True)
    held.doubt(["a"], "no", 0)
    assert (held.reported, held.complete) == (True, False)
    held.observe(report(a=found(A), b=EMPTY), 1)
    assert held.negative() == ()


def test_a_part_that_says_to_be_named_by_none_of_the_report_is_one_like_others() -> None:
    held = last_good(obsolete=20)
    held.observe(several([("a", named(found(A))), ("b", found(B))]), 0)
    held.observe(several([("b", found(B))]), 1)
    assert counts(held) == (B,)


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


ANSWERS = st.one_of(st.sampled_from([EMPTY, GONE, ERROR, SUSPECT]), st.just(found(A)))
SETS = st.one_of(
    st.sampled_from([EMPTY, GONE, ERROR, SUSPECT]).map(report),
    st.dictionaries(st.sampled_from("abc"), ANSWERS, min_size=1).map(lambda parts: report(**parts)),
)


@given(st.lists(st.tuples(SETS, st.floats(0, 100)), max_size=20), st.floats(0, 60), st.floats(0, 60), st.floats(0, 60))
def test_no_failure_takes_a_backend_of_named_parts_away(
    reports: list[tuple[Observation, float]], nx: float, nodata: float, obsolete: float
) -> None:
    held = last_good(nx=nx, nodata=nodata, obsolete=obsolete)
    now, complete = 0.0, False
    for observation, pause in reports:
        held.observe(observation, now)
        parts = dict(observation.parts)
        fails = parts["set"].outcome in (Outcome.ERROR, Outcome.SUSPECT)
        before = held.backends
        now += pause
        for _ in range(10):  # nothing stays due
            due = held.due()
            if due is None or due > now:
                break
            held.advance(due)
        else:
            pytest.fail("something is due again and again")
        held.advance(now)
        if fails:
            assert held.backends is before
            assert held.due() is None
        assert held.complete or not complete
        complete = held.complete
