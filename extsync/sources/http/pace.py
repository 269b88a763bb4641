"""How long to wait from one read to the next."""

from __future__ import annotations

from typing import Final

from extsync.seams import Random

EARLIEST: Final = 0.9
"""Share of an interval after which a read may come: all jitter makes it earlier, so that the interval is kept."""

FIRST_RETRY: Final = 1.0
"""Seconds until a failed read is tried again; they double with each further failure, up to the refresh interval."""

LEAST_PAUSE: Final = 0.1
"""Seconds between two reads, whatever the interval and however long reads take."""


class Pace:
    """Keeps the refresh interval of ``refresh`` seconds while reads succeed, and tries sooner again while they fail."""

    def __init__(self, refresh: float, *, random: Random) -> None:
        self._refresh = refresh
        self._random = random
        self._retry = FIRST_RETRY

    def after_success(self, took: float) -> float:
        """Seconds to wait after a good read that took ``took`` seconds: intervals are from start to start."""
        self._retry = FIRST_RETRY
        return max(LEAST_PAUSE, self._refresh * self._jitter() - took)

    def after_failure(self, retry_after: float) -> float:
        """Seconds to wait after a failed read, ``retry_after`` at least."""
        wait = min(self._retry, self._refresh)
        self._retry = min(self._retry * 2, self._refresh)
        return max(LEAST_PAUSE, retry_after, wait * self._jitter())

    def _jitter(self) -> float:
        return self._random.uniform(EARLIEST, 1.0)
