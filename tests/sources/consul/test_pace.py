"""Consul's rules for blocking queries: the index, patience, the rate of reads and the pauses after failures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.sources.consul.pace import MARGIN, Backoff, Index, TokenBucket, blocking_timeout


def test_a_query_begins_without_an_index_and_follows_the_answers() -> None:
    index = Index()
    assert index.value is None
    for answered in (7, 9, 9):
        index.advance(answered)
        assert index.value == answered


def test_an_index_that_goes_down_begins_anew() -> None:
    index = Index()
    index.advance(9)
    index.advance(8)
    assert index.value is None
    index.advance(8)
    assert index.value == 8


def test_an_index_is_never_below_one() -> None:
    """With 0 the query would not wait, and the loop would be a busy one."""
    index = Index()
    index.advance(0)
    assert index.value == 1
    index.advance(0)
    assert index.value == 1


@pytest.mark.parametrize("wait", [0.5, 300.0, 600.0])
def test_the_client_is_more_patient_than_consul(wait: float) -> None:
    assert blocking_timeout(wait) == wait + wait / 16 + MARGIN


def test_two_reads_follow_at_once_and_then_one_an_interval() -> None:
    bucket = TokenBucket(burst=2, interval=15.0, now=100.0)
    assert [bucket.take(100.0), bucket.take(100.0)] == [0.0, 0.0]
    assert bucket.take(100.0) == 15.0
    assert bucket.take(115.0) == 15.0
    assert bucket.take(150.0) == 0.0


def test_a_long_quiet_time_saves_up_no_more_than_the_burst() -> None:
    bucket = TokenBucket(burst=2, interval=15.0, now=0.0)
    assert [bucket.take(10_000.0) for _ in range(3)] == [0.0, 0.0, 15.0]


@given(st.lists(st.floats(0, 40), max_size=40), st.integers(1, 5))
def test_no_window_of_time_has_more_reads_than_the_burst_and_its_share(quiet: list[float], burst: int) -> None:
    now, reads = 0.0, []
    bucket = TokenBucket(burst=burst, interval=15.0, now=now)
    for seconds in quiet:
        now += seconds
        now += bucket.take(now)
        reads.append(now)
    for first in range(len(reads)):
        for last in range(first, len(reads)):
            assert last - first + 1 <= burst + (reads[last] - reads[first]) / 15.0 + 1e-6


def test_pauses_double_up_to_a_bound_until_something_succeeds() -> None:
    backoff = Backoff(first=1.0, last=5.0)
    assert [backoff.failed() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.succeeded()
    assert backoff.failed() == 1.0
