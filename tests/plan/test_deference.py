"""Who takes over leaves as it is what the one before it may have known better, and no longer than it has to."""

from __future__ import annotations

import pytest

from extsync.model import UNKNOWN, Health, State, Verdict
from extsync.plan.deference import Deference
from extsync.plan.judge import judge
from tests.plan.test_judge import HEALTHY, UNHEALTHY, candidate

ONE = candidate()
PATIENCE = 31.0


class Replica:
    """One endpoint, looked at beside another replica and then alone."""

    def __init__(self) -> None:
        self.deference = Deference()

    def look(self, verdict: Verdict | None, shown: State | None, *, at: float, in_doubt: bool = False) -> None:
        states = {} if shown is None else {ONE.identity: shown}
        self.deference.note((ONE,), judge((ONE,), [verdict], states), [verdict], states, at, in_doubt=in_doubt)

    def takes_over(self, at: float) -> bool:
        """Whether the endpoint stays as it is published."""
        return ONE.identity in self.deference.take_over(at, PATIENCE)

    def goes_by(self, verdict: Verdict, *, at: float, in_doubt: bool = False) -> Verdict | None:
        [result] = self.deference.apply((ONE,), (verdict,), at, in_doubt=in_doubt)
        return result


@pytest.fixture
def replica() -> Replica:
    """It has found the endpoint healthy, as it is published."""
    replica = Replica()
    replica.look(HEALTHY, State.READY, at=0.0)
    return replica


def test_what_was_published_after_its_verdict_stays(replica: Replica) -> None:
    replica.look(HEALTHY, State.NOT_READY, at=5.0)
    assert replica.takes_over(6.0)
    assert replica.goes_by(HEALTHY, at=6.0) is UNKNOWN
    assert replica.deference.look_again == 5.0 + PATIENCE


def test_its_own_newer_verdict_counts_at_once(replica: Replica) -> None:
    replica.look(UNHEALTHY, State.READY, at=5.0)
    replica.look(UNHEALTHY, State.READY, at=6.0)
    assert not replica.takes_over(7.0)
    assert replica.goes_by(UNHEALTHY, at=7.0) is UNHEALTHY


def test_it_stays_until_the_verdict_changes(replica: Replica) -> None:
    replica.look(HEALTHY, State.NOT_READY, at=5.0)
    assert replica.takes_over(6.0)
    assert replica.goes_by(UNHEALTHY, at=9.0) is UNHEALTHY
    assert replica.goes_by(HEALTHY, at=10.0) is HEALTHY
    assert replica.deference.look_again is None


def test_it_stays_until_the_verdict_has_had_the_time_to_change(replica: Replica) -> None:
    replica.look(HEALTHY, State.NOT_READY, at=5.0)
    assert replica.takes_over(6.0)
    assert replica.goes_by(HEALTHY, at=5.0 + PATIENCE - 0.1) is UNKNOWN
    assert replica.goes_by(HEALTHY, at=5.0 + PATIENCE) is HEALTHY


def test_the_time_counts_from_the_first_look_that_differs(replica: Replica) -> None:
    replica.look(HEALTHY, State.NOT_READY, at=5.0)
    replica.look(HEALTHY, State.NOT_READY, at=30.0)
    assert not replica.takes_over(5.0 + PATIENCE)


def test_what_agrees_again_is_forgotten(replica: Replica) -> None:
    replica.look(HEALTHY, State.NOT_READY, at=5.0)
    replica.look(HEALTHY, State.READY, at=6.0)
    assert not replica.takes_over(7.0)


@pytest.mark.parametrize(("verdict", "shown"), [(None, State.NOT_READY), (HEALTHY, None)])
def test_what_nothing_checks_or_is_not_published_needs_none(
    verdict: Verdict | None, shown: State | None, replica: Replica
) -> None:
    replica.look(verdict, shown, at=5.0)
    assert not replica.takes_over(6.0)


def test_without_any_the_verdicts_are_the_same_object(replica: Replica) -> None:
    verdicts = (Verdict(Health.HEALTHY),)
    assert replica.deference.apply((ONE,), verdicts, 1.0) is verdicts


DOUBTED = Verdict(Health.HEALTHY, doubted=True)


def test_a_verdict_that_is_doubted_undoes_nothing_for_as_long_as_it_is(replica: Replica) -> None:
    """It turned to what it was before because this replica seems to be cut off, and not because it knows better."""
    replica.look(UNHEALTHY, State.NOT_READY, at=5.0)
    replica.look(DOUBTED, State.NOT_READY, at=6.0)
    assert replica.takes_over(500.0)
    assert replica.goes_by(DOUBTED, at=900.0) is UNKNOWN
    assert replica.deference.look_again is None
    assert replica.goes_by(HEALTHY, at=901.0) is HEALTHY


def test_a_verdict_that_is_doubted_no_more_counts_as_any_other(replica: Replica) -> None:
    replica.look(DOUBTED, State.NOT_READY, at=5.0)
    replica.look(HEALTHY, State.NOT_READY, at=8.0)
    assert replica.takes_over(9.0)
    assert replica.deference.look_again == 8.0 + PATIENCE


def test_a_failure_from_before_the_doubt_undoes_nothing_that_another_one_saw_since(replica: Replica) -> None:
    """While extsync seems to be cut off nothing confirms that verdict, however old it is."""
    replica.look(UNHEALTHY, State.NOT_READY, at=5.0)
    replica.look(UNHEALTHY, State.READY, at=20.0, in_doubt=True)
    assert replica.takes_over(500.0)
    assert replica.goes_by(UNHEALTHY, at=900.0, in_doubt=True) is UNKNOWN
    assert replica.goes_by(UNHEALTHY, at=901.0) is UNHEALTHY


def test_what_passes_in_spite_of_the_doubt_counts_as_ever(replica: Replica) -> None:
    replica.look(UNHEALTHY, State.NOT_READY, at=5.0, in_doubt=True)
    replica.look(HEALTHY, State.NOT_READY, at=6.0, in_doubt=True)
    assert not replica.takes_over(7.0)
    assert replica.goes_by(HEALTHY, at=7.0, in_doubt=True) is HEALTHY
