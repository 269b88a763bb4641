"""What is published and whose source is not known: how long it stays, and that it keeps nothing else back. No loop."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from extsync.engine.service import FIRST_ANSWER
from extsync.model import Backend, Observation, Outcome, several
from extsync.plan.plan import Current
from tests.engine.support import A, B, C, feed, rack
from tests.engine.test_service import (
    A_AND_B,
    HEALTHY,
    NOTHING,
    UNHEALTHY,
    Looks,
    found,
    shown,
    states,
)

ERROR = Observation(Outcome.ERROR, detail="status 500")
EMPTY = Observation(Outcome.EMPTY)
D = "192.0.2.4"
NO_HOLD = {"nodata": "0s", "nx": "0s"}
UNUSABLE = Observation(Outcome.FOUND, (Backend(D, ports=(("gone", 1),)),))


def at_a() -> Current:
    return shown(a192_0_2_1=True)


@pytest.mark.parametrize("never", [None, ERROR, Observation(Outcome.SUSPECT, detail="odd"), UNUSABLE])
def test_a_source_that_never_answers_keeps_no_other_from_removing_its_own(never: Observation | None) -> None:
    service = Looks(feed("one", hold=NO_HOLD), feed("dead"), checks=[])
    service.state.observe("one", found(A, B), 0.0)
    if never is not None:
        service.state.observe("dead", never, 0.0)
    assert states(service.look()) == {A: True, B: True}
    service.state.observe("one", found(B), 1.0)
    assert states(service.look(A_AND_B, now=1.0)) == {B: True}
    service.state.observe("one", EMPTY, 2.0)
    assert states(service.look(shown(a192_0_2_2=True), now=2.0)) == {}


def test_whoever_begins_to_lead_carries_what_is_published_by_then() -> None:
    """B left and C came while another replica led: its sources are known to that one alone."""
    service = Looks(feed("one"), feed("dead"), checks=[])
    service.state.observe("one", found(A), 0.0)
    assert states(service.look(A_AND_B)) == {A: True, B: True}
    service.state.take_over()
    assert states(service.look(shown(a192_0_2_1=True, a192_0_2_3=True), now=1.0)) == {A: True, C: True}


def test_whoever_begins_to_lead_carries_nothing_that_its_own_sources_have_named() -> None:
    """The one that led before ended before it had taken A away."""
    service = Looks(feed("one", hold=NO_HOLD), feed("dead"), checks=[])
    service.state.observe("one", found(A), 0.0)
    assert states(service.look(A_AND_B)) == {A: True, B: True}
    service.state.observe("one", EMPTY, 1.0)
    assert states(service.look(A_AND_B, now=1.0)) == {B: True}
    service.state.take_over()
    assert states(service.look(A_AND_B, now=2.0)) == {B: True}


@pytest.mark.parametrize("never", [None, ERROR, UNUSABLE])
def test_a_source_that_never_answers_keeps_no_standby_out(never: Observation | None) -> None:
    """The first site takes itself off honestly, the last has never answered: the second comes in."""
    service = Looks(feed("a", hold=NO_HOLD), feed("b", priority=1), feed("c", priority=2), checks=[])
    service.state.observe("a", found(A), 0.0)
    service.state.observe("b", found(B), 0.0)
    if never is not None:
        service.state.observe("c", never, 0.0)
    assert states(service.look()) == {A: True}
    service.state.observe("a", EMPTY, 20.0)
    assert states(service.look(at_a(), now=20.0)) == {B: True}


def test_rotating_answers_beside_a_source_that_never_answers_do_not_pile_up() -> None:
    service = Looks(feed("rotating", hold={"obsolete": "1s"}), feed("dead"), checks=[])
    service.state.observe("dead", ERROR, 0.0)
    current, now = NOTHING, 0.0
    for number in range(1, 40):
        now = 4.0 * number
        service.state.observe("rotating", found(f"198.51.100.{number}"), now)
        service.look(current, now=now)
        decision = service.look(current, now=now + 1.0)
        assert list(states(decision)) == [f"198.51.100.{number}"]
        current = shown(**{f"a198_51_100_{number}": True})


def test_after_a_restart_only_what_nobody_has_named_since_waits_for_a_silent_source() -> None:
    service = Looks(feed("one"), feed("dead"), checks=[])
    three = shown(a192_0_2_1=True, a192_0_2_2=True, a192_0_2_3=True)
    service.state.observe("dead", ERROR, 0.0)
    assert states(service.look(three)) == {A: True, B: True, C: True}
    service.state.observe("one", found(A, B), 1.0)
    assert states(service.look(three, now=1.0)) == {A: True, B: True, C: True}
    service.state.observe("one", found(A, D), 2.0)
    assert set(states(service.look(three, now=2.0))) == {A, C, D}
    service.state.observe("dead", found(B), 3.0)
    assert set(states(service.look(three, now=3.0))) == {A, B, D}


def test_what_was_named_once_is_not_carried_again_over_another_manifest() -> None:
    service = Looks(feed("one"), feed("dead"), checks=[])
    service.state.observe("one", found(A, B), 0.0)
    service.look(A_AND_B)
    service.take(feed("one"), feed("dead"), checks=[], policy={"minReady": 2})
    service.state.observe("one", found(B), 1.0)
    assert states(service.look(A_AND_B, now=1.0)) == {B: True}


def test_what_may_only_be_a_standbys_is_of_its_tier() -> None:
    """All of the first tiers have spoken, so what nobody named can only be the silent standby's."""
    service = Looks(feed("a", hold=NO_HOLD), feed("b", priority=1), feed("c", priority=2), checks=[])
    service.state.observe("a", EMPTY, 0.0)
    service.state.observe("b", found(B), 0.0)
    service.state.observe("c", ERROR, 0.0)
    decision = service.look(at_a())
    assert states(decision) == {B: True, A: True}
    assert {c.identity.address: c.tier.priority for c in decision.candidates} == {B: 1, A: 2}


def test_what_is_carried_is_of_the_first_tier_while_a_source_of_it_is_silent() -> None:
    service = Looks(feed("a"), feed("b", priority=1), checks=[])
    service.state.observe("a", ERROR, 0.0)
    service.state.observe("b", found(B), 0.0)
    assert states(service.look(at_a())) == {A: True}


def test_what_is_carried_stays_wanted_when_somebody_empties_the_objects() -> None:
    service = Looks(feed())
    service.verdicts = {A: HEALTHY}
    assert states(service.look(at_a())) == {A: True}
    assert states(service.look(NOTHING, now=1.0)) == {A: True}


# ---- sources that take the place of others ---------------------------------------------------------------------------


def test_what_a_source_had_that_left_the_manifest_waits_for_the_one_in_its_place() -> None:
    service = Looks(feed("old"), checks=[])
    service.state.observe("old", found(A, B), 0.0)
    service.look(A_AND_B)
    service.take(feed("new"), checks=[])
    service.state.observe("new", ERROR, 1.0)
    assert states(service.look(A_AND_B, now=1.0)) == {A: True, B: True}
    service.state.observe("new", found(B), 2.0)
    assert states(service.look(A_AND_B, now=2.0)) == {B: True}


def test_a_source_in_the_place_of_another_keeps_nothing_of_those_that_stay() -> None:
    service = Looks(rack(A), feed("stays"), checks=[])
    service.state.observe("rack", found(A), 0.0)
    service.state.observe("stays", found(B, C), 0.0)
    published = shown(a192_0_2_1=True, a192_0_2_2=True, a192_0_2_3=True)
    service.look(published)
    service.take(feed("new"), feed("stays"), checks=[])
    assert set(states(service.look(published, now=1.0))) == {A, B, C}
    service.state.observe("stays", found(B), 2.0)
    assert set(states(service.look(published, now=2.0))) == {A, B}


def test_two_manifests_in_a_row_lose_nothing() -> None:
    service = Looks(feed("first"), checks=[])
    service.state.observe("first", found(A), 0.0)
    service.look(at_a())
    service.take(feed("second"), checks=[])
    service.take(feed("third"), checks=[])
    assert states(service.look(at_a(), now=1.0)) == {A: True}
    service.take(feed("fourth"), checks=[])
    assert states(service.look(at_a(), now=2.0)) == {A: True}
    service.state.observe("fourth", found(B), 3.0)
    assert states(service.look(at_a(), now=3.0)) == {B: True}


def test_other_questions_under_the_same_name_take_nothing_away_before_they_are_answered() -> None:
    service = Looks(feed(), checks=[])
    service.state.observe("feed", several([("a", found(A))]), 0.0)
    service.look(at_a())
    service.state.observe("feed", several([("b", ERROR)]), 1.0)
    assert states(service.look(at_a(), now=1.0)) == {A: True}
    service.state.observe("feed", several([("b", found(B))]), 2.0)
    assert states(service.look(at_a(), now=2.0)) == {B: True}


def test_a_question_that_was_never_answered_keeps_nothing_that_another_of_its_source_named() -> None:
    service = Looks(feed(), checks=[])
    service.state.observe("feed", several([("a", found(A, B)), ("b", ERROR)]), 0.0)
    service.look()
    service.state.observe("feed", several([("a", found(B)), ("b", ERROR)]), 1.0)
    assert states(service.look(A_AND_B, now=1.0)) == {B: True}


# ---- sources that become useless -------------------------------------------------------------------------------------


def test_a_source_that_becomes_useless_keeps_what_it_had_in_its_own_tier_and_no_more() -> None:
    service = Looks(feed("a"), feed("b", priority=1), checks=[])
    service.state.observe("a", found(A), 0.0)
    service.state.observe("b", found(B, C), 0.0)
    service.look()
    service.state.observe("b", UNUSABLE, 1.0)
    service.state.observe("a", Observation(Outcome.FOUND, (Backend(D),)), 1.0)
    decision = service.look(at_a(), now=1.0)
    assert states(decision) == {D: True}
    assert [(c.source, c.tier.priority) for c in decision.candidates] == [("a", 0), ("b", 1), ("b", 1)]
    assert any(D in line and "set aside" in line for line in service.state.remarks(decision))
    service.state.observe("b", found(C), 2.0)
    assert [c.identity.address for c in service.look(at_a(), now=2.0).candidates] == [D, C]


def test_a_service_whose_ports_make_all_useless_keeps_what_is_published() -> None:
    """A second port, and nobody said with portName whose the discovered one is."""
    service = Looks(feed(), checks=[], ports=[{"name": "http", "port": 80}])
    service.state.observe("feed", Observation(Outcome.FOUND, (Backend(A, 80),)), 0.0)
    assert states(service.look()) == {A: True}
    service.take(feed(), checks=[], ports=[{"name": "http", "port": 80}, {"name": "https", "port": 443}])
    decision = service.look(_with_port(at_a(), "http"), now=1.0)
    assert states(decision) == {A: True}
    assert any("none of its backends can be used" in line for line in service.state.remarks(decision))


def _with_port(current: Current, name: str) -> Current:
    assert current.endpoints is not None
    assert current.endpoints.subsets is not None
    (subset,) = current.endpoints.subsets
    ports = tuple(replace(port, name=name) for port in subset.ports or ())
    return replace(current, endpoints=replace(current.endpoints, subsets=(replace(subset, ports=ports),)))


# ---- what is said of it ----------------------------------------------------------------------------------------------


def waits(service: Looks, current: Current, now: float) -> list[str]:
    service.look(current, now=now)
    return list(service.state.waits)


def test_it_is_said_for_which_source_removals_wait_as_long_as_they_do() -> None:
    service = Looks(feed("one"), feed("dead"), checks=[])
    service.state.observe("one", found(A), 0.0)
    service.state.observe("dead", ERROR, 0.0)
    line = "removals wait for source 'dead', which has not reported since the start"
    assert waits(service, A_AND_B, 0.0) == [line]
    service.state.observe("dead", Observation(Outcome.ERROR, detail="another reason"), 1.0)
    assert waits(service, A_AND_B, 1.0) == [line]
    service.state.observe("one", found(A, B), 2.0)
    assert waits(service, A_AND_B, 2.0) == []


def test_nothing_is_said_of_a_source_that_has_only_just_been_asked() -> None:
    service = Looks(feed(), checks=[])
    assert waits(service, at_a(), 5.0) == []
    assert service.look(at_a(), now=6.0).look_again == 5.0 + FIRST_ANSWER
    assert len(waits(service, at_a(), 5.0 + FIRST_ANSWER)) == 1


def test_a_source_that_is_new_in_the_manifest_is_given_time_too() -> None:
    service = Looks(feed("old"), checks=[])
    service.state.observe("old", found(A), 0.0)
    service.look(at_a())
    service.take(feed("new"), checks=[])
    assert waits(service, at_a(), 1000.0) == []
    assert service.look(at_a(), now=1001.0).look_again == 1000.0 + FIRST_ANSWER
    assert len(waits(service, at_a(), 1000.0 + FIRST_ANSWER)) == 1


def test_nothing_waits_where_nothing_is_carried() -> None:
    service = Looks(feed("one"), feed("dead"), checks=[])
    service.state.observe("one", found(A), 0.0)
    service.state.observe("dead", ERROR, 0.0)
    assert waits(service, at_a(), 0.0) == []


def test_a_carried_endpoint_that_dies_lets_the_standby_in() -> None:
    service = Looks(feed("a"), feed("b", priority=1))
    service.state.observe("b", found(B), 0.0)
    service.state.observe("a", ERROR, 0.0)
    service.verdicts = {A: HEALTHY, B: HEALTHY}
    assert states(service.look(at_a())) == {A: True}
    service.verdicts[A] = UNHEALTHY
    assert states(service.look(at_a(), now=1.0)) == {A: False, B: True}
