"""A histogram counts each value once, in the first bucket that takes it."""

from __future__ import annotations

from extsync.histogram import Histogram


def test_a_value_belongs_to_the_first_bound_that_it_does_not_exceed() -> None:
    histogram = Histogram.of(1.0, 2.0)
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert (histogram.counts, histogram.sum) == ([2, 2, 1], 7.5)


def test_a_copy_stays_as_it_was() -> None:
    histogram = Histogram.of(1.0)
    before = histogram.copy()
    histogram.observe(0.5)
    assert (before.counts, histogram.counts) == ([0, 0], [1, 0])
