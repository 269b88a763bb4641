from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from extsync.health.thresholds import advance, in_transition
from extsync.model import Health

RESULTS = st.lists(st.booleans(), max_size=60)
THRESHOLD = st.integers(1, 5)


def history(results: list[bool], rise: int, fall: int) -> list[tuple[Health, int]]:
    health, run = Health.UNKNOWN, 0
    states = [(health, run)]
    for passed in results:
        health, run = advance(health, run, passed, rise, fall)
        states.append((health, run))
    return states


@given(RESULTS, THRESHOLD, THRESHOLD)
def test_a_verdict_is_what_the_latest_full_run_of_equal_results_says(results: list[bool], rise: int, fall: int) -> None:
    expected = Health.UNKNOWN
    for end in range(1, len(results) + 1):
        if end >= rise and all(results[end - rise : end]):
            expected = Health.HEALTHY
        if end >= fall and not any(results[end - fall : end]):
            expected = Health.UNHEALTHY
    assert history(results, rise, fall)[-1][0] is expected


@given(RESULTS, THRESHOLD, THRESHOLD)
def test_a_run_never_grows_beyond_its_threshold(results: list[bool], rise: int, fall: int) -> None:
    assert all(-fall <= run <= rise for _, run in history(results, rise, fall))


@given(RESULTS.filter(bool), THRESHOLD, THRESHOLD)
def test_it_is_in_transition_unless_the_last_result_agrees_with_the_verdict(
    results: list[bool], rise: int, fall: int
) -> None:
    health, run = history(results, rise, fall)[-1]
    agrees = health is (Health.HEALTHY if results[-1] else Health.UNHEALTHY)
    assert in_transition(health, run) is not agrees


@given(RESULTS, THRESHOLD, THRESHOLD)
def test_a_verdict_changes_only_together_with_a_result_that_agrees(results: list[bool], rise: int, fall: int) -> None:
    states = history(results, rise, fall)
    for passed, ((before, _), (after, _)) in zip(results, pairwise(states), strict=True):
        if before is not after:
            assert after is (Health.HEALTHY if passed else Health.UNHEALTHY)


def test_nothing_is_concluded_from_a_start_without_results() -> None:
    assert in_transition(Health.UNKNOWN, 0)
