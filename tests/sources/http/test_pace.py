from __future__ import annotations

import pytest

from extsync.seams.virtual import SeededRandom
from extsync.sources.http.pace import EARLIEST, FIRST_RETRY, LEAST_PAUSE, Pace


class Latest:
    """Chance that makes nothing earlier."""

    def random(self) -> float:
        return 0.0

    def uniform(self, a: float, b: float) -> float:
        return b


def test_the_interval_is_kept_from_start_to_start_and_chance_makes_it_only_shorter() -> None:
    pace = Pace(60.0, random=SeededRandom(1))
    waits = [pace.after_success(took=2.0) + 2.0 for _ in range(100)]
    assert all(60.0 * EARLIEST <= wait <= 60.0 for wait in waits)
    assert len(set(waits)) > 90


def test_reads_that_take_longer_than_the_interval_do_not_follow_at_once() -> None:
    assert Pace(1.0, random=Latest()).after_success(took=8.0) == LEAST_PAUSE


def test_failures_are_tried_again_ever_more_slowly_up_to_the_interval_and_afresh_after_a_success() -> None:
    pace = Pace(30.0, random=Latest())
    assert [pace.after_failure(0.0) for _ in range(7)] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    pace.after_success(0.0)
    assert pace.after_failure(0.0) == FIRST_RETRY


def test_no_failure_waits_longer_than_the_interval() -> None:
    assert Pace(0.5, random=Latest()).after_failure(0.0) == 0.5


@pytest.mark.parametrize(("asked", "waits"), [(5.0, 5.0), (300.0, 300.0), (0.5, 1.0)])
def test_what_the_server_asks_for_is_the_least(asked: float, waits: float) -> None:
    assert Pace(30.0, random=Latest()).after_failure(asked) == waits
