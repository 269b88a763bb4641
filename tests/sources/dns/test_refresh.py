"""When a question is asked again."""

from __future__ import annotations

import pytest

from extsync.seams.virtual import SeededRandom
from extsync.sources.dns.refresh import (
    EARLIER,
    FIRST_EARLIER,
    LAST_RETRY,
    MIN_NEGATIVE,
    REMEMBERED,
    TICK,
    Refresh,
    together,
)


class Latest(SeededRandom):
    """Chance that never comes earlier."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Earliest(SeededRandom):
    def uniform(self, a: float, b: float) -> float:
        return a


def refresh(random: SeededRandom | None = None, *, min_ttl: float = 2.0, max_ttl: float = 300.0) -> Refresh:
    return Refresh(min_ttl=min_ttl, max_ttl=max_ttl, random=random or Latest())


@pytest.mark.parametrize(("ttl", "wait"), [(30, 30), (0, 2), (1, 2), (86400, 300)])
def test_the_ttl_counts_within_its_bounds(ttl: float, wait: float) -> None:
    assert refresh().after_answer(ttl, negative=False) == wait


def test_jitter_is_only_ever_earlier_and_never_much() -> None:
    one = refresh(SeededRandom(3))
    one.after_answer(30, negative=False)
    waits = [one.after_answer(30, negative=False) for _ in range(200)]
    assert max(waits) <= 30
    assert min(waits) >= 30 * (1 - EARLIER)
    assert len(set(waits)) > 100


def test_after_the_first_answer_names_are_spread_widely() -> None:
    waits = [refresh(SeededRandom(seed)).after_answer(30, negative=False) for seed in range(200)]
    assert max(waits) <= 30
    assert 30 * (1 - FIRST_EARLIER) <= min(waits) < 30 * (1 - 0.8 * FIRST_EARLIER)


def test_a_negative_answer_of_no_time_at_all_does_not_make_it_spin() -> None:
    assert refresh(min_ttl=0.01).after_answer(0, negative=True) == MIN_NEGATIVE
    assert refresh(min_ttl=0.01).after_answer(0, negative=False) == 0.01
    assert refresh(min_ttl=0.01, max_ttl=0.5).after_answer(0, negative=True) == 0.5


def test_failures_are_retried_soon_and_then_more_slowly() -> None:
    one = refresh()
    assert [one.after_failure() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_retries_come_earlier_by_chance_and_never_later() -> None:
    assert refresh(Earliest()).after_failure() == 0.5


def test_an_answer_ends_the_slow_retries() -> None:
    one = refresh()
    for _ in range(6):
        one.after_failure()
    one.after_answer(30, negative=True)
    assert one.after_failure() == 1


def test_retries_are_never_slower_than_the_longest_refresh() -> None:
    one = refresh(min_ttl=1, max_ttl=5)
    assert max(one.after_failure() for _ in range(9)) == 5 < LAST_RETRY


def test_the_longest_of_the_latest_intervals_outlasts_the_countdown_of_a_cache() -> None:
    one = refresh()
    for ttl in (60, 6, 2):
        one.after_answer(ttl, negative=False)
    assert one.longest == 60


def test_a_shorter_ttl_of_the_zone_counts_after_a_few_answers() -> None:
    one = refresh()
    one.after_answer(300, negative=False)
    for _ in range(REMEMBERED):
        one.after_answer(10, negative=False)
    assert one.longest == 10


def test_how_long_a_name_stayed_away_says_nothing_of_its_refreshes() -> None:
    one = refresh()
    one.after_answer(300, negative=True)
    one.after_answer(10, negative=False)
    assert one.longest == 10


@pytest.mark.parametrize("now", [0.0, 17.3, 1e6 + 0.1])
@pytest.mark.parametrize("seconds", [0.05, 1.0, 2.0, 29.9])
def test_what_is_due_at_about_the_same_time_is_asked_together_and_never_later(now: float, seconds: float) -> None:
    wait = together(now, seconds)
    assert seconds - TICK - 1e-6 < wait <= seconds + 1e-6
    assert wait > 0
    if seconds < 2:
        assert wait == seconds
    else:
        ticks = (now + wait) / TICK
        assert ticks == pytest.approx(round(ticks), abs=1e-6)


def test_the_longest_interval_counts_where_the_shortest_is_longer() -> None:
    made = refresh(min_ttl=1.0, max_ttl=0.5)
    assert made.after_answer(30, negative=False) == 0.5
    assert made.after_answer(30, negative=True) == 0.5


def test_where_something_failed_it_is_asked_again_as_after_a_failure_or_sooner() -> None:
    made = refresh()
    assert [made.after_answer(10, negative=False, failed=True) for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert made.longest == 10
    assert made.after_answer(10, negative=False) == 10
    assert made.after_failure() == 1
