"""Counts of values by size, as Prometheus's histograms have them."""

from __future__ import annotations

from bisect import bisect_left

import msgspec


class Histogram(msgspec.Struct):
    """How many values were at most as large as each of ``bounds`` (ascending) and larger than the one before.

    ``counts`` has one number more than there are bounds: that of the values above all of them.
    """

    bounds: tuple[float, ...]
    counts: list[int]
    sum: float = 0.0

    @classmethod
    def of(cls, *bounds: float) -> Histogram:
        """An empty one."""
        return cls(bounds, [0] * (len(bounds) + 1))

    def observe(self, value: float) -> None:
        """Counts one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def copy(self) -> Histogram:
        """As it is now."""
        return Histogram(self.bounds, self.counts.copy(), self.sum)

    def __add__(self, other: Histogram) -> Histogram:
        """Both together; their bounds are the same."""
        counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        return Histogram(self.bounds, counts, self.sum + other.sum)
