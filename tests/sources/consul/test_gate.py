"""Which answers are believed: one section for each rule of the gate, and what holds for all sequences of answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.sources.consul.answer import Key
from extsync.sources.consul.gate import MAX_LAST_CONTACT, SETTLE, Evidence, Gate, Judgement, Trust
from extsync.sources.consul.query import Heading

BELIEVE, READ_AGAIN, SUSPECT = Trust.BELIEVE, Trust.READ_AGAIN, Trust.SUSPECT


def heading(
    index: int = 100, *, known_leader: bool = True, last_contact: float = 0.0, filtered: bool = False
) -> Heading:
    return Heading(index, known_leader, last_contact, filtered)


def keys(*numbers: int) -> frozenset[Key]:
    return frozenset((f"192.0.2.{number}", 80) for number in numbers)


class Case:
    """A gate, and short ways to ask it."""

    def __init__(self, *known: int, index: int = 100) -> None:
        self.gate = Gate()
        self.now = 1000.0
        self.evidence = Evidence()
        if known:
            assert self.consistent(*known, index=index).trust is BELIEVE

    def ordinary(self, *numbers: int, index: int = 100) -> Judgement:
        return self.gate.judge(heading(index), keys(*numbers), self.evidence, consistent=False, now=self.now)

    def consistent(self, *numbers: int, index: int = 100) -> Judgement:
        return self.gate.judge(heading(index), keys(*numbers), self.evidence, consistent=True, now=self.now)

    def both(self, *numbers: int, index: int = 100) -> Trust:
        """What becomes of this answer, read again where the gate wants that."""
        trust = self.ordinary(*numbers, index=index).trust
        return self.consistent(*numbers, index=index).trust if trust is READ_AGAIN else trust


# ---- nothing to doubt ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [(1, 2, 3), (1, 2), (1, 2, 3, 4, 5), (1, 2, 7, 8, 9), ()])
def test_growth_and_the_departure_of_up_to_half_are_believed_at_once(left: tuple[int, ...]) -> None:
    case = Case(*range(1, 5)) if left else Case()
    if not left:
        assert case.consistent().trust is BELIEVE
    assert case.ordinary(*left, index=101).trust is BELIEVE


def test_what_is_missing_of_an_answer_is_known_beforehand() -> None:
    case = Case()
    assert (case.gate.is_new, case.gate.misses(keys())) == (True, False)
    case = Case(1, 2)
    assert not case.gate.is_new
    assert [case.gate.misses(keys(*numbers)) for numbers in ((1, 2), (1, 2, 3), (1,), (1, 3))] == [
        False,
        False,
        True,
        True,
    ]


def test_instances_that_leave_one_by_one_are_believed_down_to_the_last() -> None:
    case = Case(1, 2, 3)
    assert case.ordinary(1, 2, index=101).trust is BELIEVE
    assert case.ordinary(1, index=102).trust is BELIEVE
    assert case.ordinary(index=103) == Judgement(READ_AGAIN, "only 0 of 1 known instances are left")
    assert case.consistent(index=103).trust is BELIEVE


# ---- rules 1 to 3: what the server itself says ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("doubtful", "words"),
    [
        (heading(known_leader=False), "knows of no leader"),
        (heading(last_contact=MAX_LAST_CONTACT + 0.1), "has not heard from its leader for over 5 s"),
        (heading(filtered=True), "needs service:read and node:read"),
    ],
)
def test_what_the_server_says_against_itself_is_suspect_in_every_mode(doubtful: Heading, words: str) -> None:
    gate = Gate()
    ordinary = gate.judge(doubtful, keys(1), consistent=False, now=0)
    assert (ordinary.trust, words in ordinary.doubt) == (READ_AGAIN, True)
    consistent = gate.judge(doubtful, keys(1), consistent=True, now=0)
    assert (consistent.trust, words in consistent.doubt) == (SUSPECT, True)
    assert gate.judge(heading(), keys(), consistent=True, now=0).trust is BELIEVE, "nothing of it was remembered"


def test_a_follower_that_heard_from_its_leader_lately_is_believed() -> None:
    case = Case(1)
    lately = heading(101, last_contact=MAX_LAST_CONTACT)
    assert case.gate.judge(lately, keys(1, 2), consistent=False, now=0).trust is BELIEVE


# ---- rule 4: the index went down -----------------------------------------------------------------------------------


def test_after_an_index_that_went_down_the_same_instances_are_confirmed() -> None:
    case = Case(1, 2)
    assert case.ordinary(1, 2, index=50) == Judgement(READ_AGAIN, "the index went down from 100 to 50")
    assert case.consistent(1, 2, index=50).trust is BELIEVE


def test_once_all_are_there_at_a_lower_index_that_one_counts() -> None:
    """It is a new cluster: what leaves it raises its index, and not that of the old one."""
    case = Case(1, 2, 3)
    assert case.both(1, 2, 3, index=20) is BELIEVE
    assert case.both(1, index=21) is BELIEVE


# ---- rule 5: much smaller, or new ------------------------------------------------------------------------------------


def test_fewer_than_half_have_to_be_confirmed() -> None:
    case = Case(1, 2, 3)
    assert case.ordinary(1, index=101).trust is READ_AGAIN
    assert case.consistent(1, index=101).trust is BELIEVE


def test_others_in_their_place_do_not_count_as_those_that_were_known() -> None:
    assert Case(1, 2, 3).ordinary(7, 8, 9, index=101).trust is READ_AGAIN


def test_a_cache_that_was_not_filled_is_found_out() -> None:
    case = Case(1, 2, 3)
    assert case.ordinary(index=101).trust is READ_AGAIN
    assert case.consistent(1, 2, 3, index=101).trust is BELIEVE


@pytest.mark.parametrize("numbers", [(), (1,)])
def test_a_first_answer_has_to_be_confirmed_once(numbers: tuple[int, ...]) -> None:
    case = Case()
    assert case.ordinary(*numbers) == Judgement(READ_AGAIN, "it is the first answer")
    assert case.consistent(*numbers).trust is BELIEVE
    assert case.ordinary(*numbers, index=107).trust is BELIEVE


# ---- rule 6: nothing removed them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [10, 99, 100])
@pytest.mark.parametrize("left", [(), (1,), (7, 8, 9)])
def test_missing_instances_without_a_higher_index_are_suspect(index: int, left: tuple[int, ...]) -> None:
    case = Case(1, 2, 3)
    assert case.ordinary(*left, index=index).trust is READ_AGAIN
    judgement = case.consistent(*left, index=index)
    assert judgement.trust is SUSPECT
    assert "known instances are missing, and nothing removed them: the index had not risen above 100" in judgement.doubt


def test_a_lost_state_stays_suspect_for_ever_whatever_becomes_of_its_index() -> None:
    case = Case(1, 2, 3)
    for index in (10, 11, 100, 101, 5000):
        case.now += 10 * SETTLE
        assert case.both(index=index) is SUSPECT
        assert case.both(1, index=index) is SUSPECT


def test_a_lost_state_is_not_forgotten_in_ordinary_mode() -> None:
    case = Case(1, 2, 3)
    assert case.both(index=10) is SUSPECT
    assert case.ordinary(1, 2, index=5000).trust is READ_AGAIN
    assert case.ordinary(1, 2, 3, index=5000).trust is BELIEVE


def test_a_lost_state_is_believed_once_all_are_back() -> None:
    case = Case(1, 2, 3)
    assert case.both(index=10) is SUSPECT
    assert case.both(1, 2, index=12) is SUSPECT
    assert case.both(1, 2, 3, 4, index=13) is BELIEVE


def test_with_half_of_them_back_the_others_have_time_to_follow() -> None:
    case = Case(1, 2, 3, 4)
    assert case.both(index=10) is SUSPECT
    assert case.both(1, 2, index=12) is SUSPECT
    case.now += SETTLE - 1
    assert case.both(1, 2, 3, index=13) is SUSPECT
    case.now += SETTLE - 1
    assert case.both(1, 2, 3, index=13) is SUSPECT, "one came back since"
    case.now += 1
    assert case.both(1, 2, 3, index=13) is BELIEVE
    assert case.both(1, 2, index=14) is BELIEVE, "that is the new cluster"


def test_a_token_that_lost_its_rights_shows_in_the_index_that_stayed() -> None:
    """Before Consul 1.11 no header says it: the list is empty, at the index of the service as it is."""
    case = Case(1, 2, 3)
    assert case.both() is SUSPECT
    assert case.both(index=140) is SUSPECT, "one that is hidden changed"
    assert case.both(1, 2, 3, index=140) is BELIEVE


def test_one_missing_without_a_higher_index_is_read_again_too() -> None:
    case = Case(1, 2, 3, 4)
    judgement = case.ordinary(1, 2, 3)
    assert judgement == Judgement(READ_AGAIN, "1 of 4 known instances are missing without a change")


def test_missing_instances_are_suspect_where_the_state_is_another_one_whatever_the_index() -> None:
    case = Case(1, 2, 3)
    case.evidence = Evidence(era=1)
    judgement = case.ordinary(1, 2, index=101)
    assert judgement == Judgement(READ_AGAIN, "1 of 3 known instances are missing without a change")
    judgement = case.consistent(1, 2, index=101)
    assert judgement.trust is SUSPECT
    assert judgement.doubt.startswith(
        "1 of 3 known instances are missing, and nothing removed them: the servers have lost"
    )
    assert case.both(1, index=5000) is SUSPECT


def test_with_all_of_them_there_the_other_state_is_the_one_that_counts() -> None:
    case = Case(1, 2, 3)
    case.evidence = Evidence(era=1)
    assert case.both(1, 2, 3, index=101) is BELIEVE
    assert case.both(1, 2, index=102) is BELIEVE


def test_in_another_state_the_others_have_time_to_follow_too() -> None:
    case = Case(1, 2, 3)
    case.evidence = Evidence(era=1)
    assert case.both(1, 2, index=101) is SUSPECT
    case.now += SETTLE
    assert case.both(1, 2, index=102) is BELIEVE
    assert case.both(2, index=103) is BELIEVE


# ---- rule 7: found out besides -------------------------------------------------------------------------------------


def test_a_doubt_that_was_found_out_besides_keeps_an_answer_from_being_believed() -> None:
    case = Case(1, 2)
    case.evidence = Evidence(doubt="hidden")
    assert case.ordinary(index=101).trust is READ_AGAIN
    assert case.consistent(index=101) == Judgement(SUSPECT, "hidden")
    case.evidence = Evidence()
    assert case.both(index=102) is BELIEVE, "nothing of it was remembered"


def test_beside_such_a_doubt_a_lost_state_is_noticed_all_the_same() -> None:
    case = Case(1, 2)
    case.evidence = Evidence(doubt="it cannot be asked")
    assert "the index had not risen above 100" in case.consistent(index=50).doubt
    case.evidence = Evidence()
    assert case.both(index=5000) is SUSPECT


def test_what_is_certainly_hidden_is_no_lost_state() -> None:
    case = Case(1, 2)
    case.evidence = Evidence(doubt="hidden", hidden=True)
    assert case.consistent() == Judgement(SUSPECT, "hidden")
    case.evidence = Evidence()
    assert case.both(index=101) is BELIEVE


# ---- all sequences -------------------------------------------------------------------------------------------------

ANSWERS = st.lists(
    st.tuples(
        st.frozensets(st.integers(1, 6)),
        st.integers(1, 12),
        st.booleans(),
        st.sampled_from([0.0, 1.0, SETTLE / 2, SETTLE]),
    ),
    max_size=25,
)


@given(ANSWERS)
def test_what_is_believed_lost_is_explained_by_a_higher_index_or_a_long_time(
    answers: list[tuple[frozenset[int], int, bool, float]],
) -> None:
    case = Case()
    known: frozenset[int] = frozenset()
    believed_index, quiet_since = 0, 0.0
    for numbers, index, consistent, pause in answers:
        case.now += pause
        ask = case.consistent if consistent else case.ordinary
        if ask(*sorted(numbers), index=index).trust is not BELIEVE:
            continue
        missing = known - numbers
        if missing and index <= believed_index:
            assert consistent
            assert 2 * len(known & numbers) >= len(known)
            assert case.now - quiet_since >= SETTLE
        known, believed_index, quiet_since = numbers, index, case.now


@given(ANSWERS)
def test_an_empty_answer_in_ordinary_mode_never_empties_a_set(
    answers: list[tuple[frozenset[int], int, bool, float]],
) -> None:
    case = Case(1)
    known = frozenset({1})
    for numbers, index, consistent, pause in answers:
        case.now += pause
        ask = case.consistent if consistent else case.ordinary
        if ask(*sorted(numbers), index=index).trust is BELIEVE:
            assert numbers or consistent or not known
            known = numbers


@given(ANSWERS, st.frozensets(st.integers(1, 6), min_size=1))
def test_a_cluster_in_which_all_are_there_is_believed_again_whatever_went_before(
    answers: list[tuple[frozenset[int], int, bool, float]], present: frozenset[int]
) -> None:
    case = Case(*present)
    for numbers, index, consistent, pause in answers:
        case.now += pause
        ask = case.consistent if consistent else case.ordinary
        ask(*sorted(numbers), index=index)
    assert case.both(*range(1, 7), index=3) is BELIEVE
