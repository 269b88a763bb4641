"""When a question is asked again: as DNS says, within bounds, and sooner after a failure. Pure but for its chance."""

from __future__ import annotations

from collections import deque
from typing import Final

from extsync.seams import Random

EARLIER: Final = 0.1
"""The share of an interval by which a look-up may come earlier, so that names do not move in step."""

FIRST_EARLIER: Final = 0.9
"""The same after the first answer: what starts together is spread from then on."""

MIN_NEGATIVE: Final = 1.0
"""The shortest interval after "there is none", in seconds: zones with a negative TTL of 0 exist."""

FIRST_RETRY: Final = 1.0
"""Seconds from a failure to the next look-up, for the first time; it doubles from then on."""

LAST_RETRY: Final = 30.0
"""The longest time from a failure to the next look-up, in seconds."""

TICK: Final = 0.25
"""Seconds: what is due between two ticks is asked at the first. Ten look-ups at once cost less than half of what they
cost one by one, as each finds the processor's caches cold then (benchmarks/dns.py)."""

REMEMBERED: Final = 4
"""Answers with records whose intervals ``longest`` looks back on."""


class Refresh:
    """The intervals of one question, in seconds. All jitter is earlier, never later.

    ``longest`` is the longest of the latest intervals after answers with records: that of the zone, also where a cache
    between it and us counts the TTL down.
    """

    def __init__(self, *, min_ttl: float, max_ttl: float, random: Random) -> None:
        self._min_ttl = min_ttl
        self._max_ttl = max_ttl
        self._random = random
        self._recent: deque[float] = deque(maxlen=REMEMBERED)
        self._retry = FIRST_RETRY
        self._earlier = FIRST_EARLIER

    @property
    def longest(self) -> float:
        return max(self._recent, default=0.0)

    def after_answer(self, ttl: float, *, negative: bool, failed: bool = False) -> float:
        """How long to wait after an answer that holds for ``ttl`` seconds; ``failed``: something it led to failed."""
        shortest = max(self._min_ttl, MIN_NEGATIVE) if negative else self._min_ttl
        interval = float(min(max(ttl, shortest), self._max_ttl))
        if not negative:
            self._recent.append(interval)
        earlier, self._earlier = self._earlier, EARLIER
        wait = interval * self._random.uniform(1.0 - earlier, 1.0)
        if failed:
            return min(wait, self.after_failure())
        self._retry = FIRST_RETRY
        return wait

    def after_failure(self) -> float:
        """How long to wait after a failure."""
        pause, self._retry = self._retry, min(self._retry * 2, LAST_RETRY)
        return min(pause, self._max_ttl) * self._random.uniform(0.5, 1.0)


def together(now: float, seconds: float) -> float:
    """The time to wait from ``now`` for what is due in ``seconds``: until the tick before, never later."""
    if seconds < 8 * TICK:
        return seconds  # where a tick would be much of it
    return (now + seconds) // TICK * TICK - now
