"""Flow control: how fast requests may go out, how often one object may be written, and how long a failure waits.

They are independent. The bucket protects the API server from this process, the budget protects everybody who
watches one object from a backend that flaps, the back-off spaces the attempts at what fails, and the gate keeps all
from trying where one has found that nobody gets through.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from extsync.errors import ExtsyncError, TooManyRequests, Unavailable
from extsync.seams import Clock, Random

WINDOW = 60.0
"""Seconds over which a write budget counts."""

MOMENT = 0.001
"""Seconds that the gate does not wait for: to a timer what sums of times leave over is no time at all."""


class TokenBucket:
    """Lets ``burst`` requests through at once and ``qps`` a second in the long run.

    The rule is client-go's (``flowcontrol.NewTokenBucketRateLimiter``): who comes first goes first, and each caller
    reserves its token before it waits for it.
    """

    def __init__(self, *, clock: Clock, qps: float, burst: int) -> None:
        if qps <= 0 or burst < 1:
            raise ValueError(f"a rate needs a positive qps and a burst of at least 1, not {qps} and {burst}")
        self._clock = clock
        self._qps = qps
        self._burst = float(burst)
        self._tokens = float(burst)
        self._updated = clock.monotonic()

    async def take(self) -> float:
        """Waits for a token and returns how many seconds that took."""
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._qps)
        self._updated = now
        self._tokens -= 1.0
        wait = max(0.0, -self._tokens / self._qps)
        if wait:
            try:
                await self._clock.sleep(wait)
            except BaseException:
                self._tokens += 1.0  # cancelled: the token was not used
                raise
        return wait


class WriteBudget:
    """How many writes each object may still have within a minute: a sliding window per object."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._writes: dict[Hashable, deque[float]] = {}
        self._swept = clock.monotonic()

    def __len__(self) -> int:
        """How many objects are remembered."""
        return len(self._writes)

    def wait(self, key: Hashable, per_minute: int) -> float:
        """Seconds until the object may be written again; 0 where it may be now."""
        writes = self._writes.get(key)
        if writes is None or len(writes) < per_minute:
            return 0.0
        return max(0.0, writes[-per_minute] + WINDOW - self._clock.monotonic())

    def spend(self, key: Hashable, per_minute: int) -> None:
        """Counts one write of the object; no more than ``per_minute`` of them are remembered."""
        now = self._clock.monotonic()
        if now - self._swept >= WINDOW:
            self._sweep(now)
        writes = self._writes.setdefault(key, deque())
        writes.append(now)
        while len(writes) > per_minute:
            writes.popleft()

    def _sweep(self, now: float) -> None:
        """Forgets the objects whose last write left the window, so that memory follows what is being written."""
        self._swept = now
        self._writes = {key: writes for key, writes in self._writes.items() if writes[-1] + WINDOW > now}


class Backoff:
    """Per key, how long to wait after each failure in a row: ``base`` seconds, doubling up to ``cap``.

    A quarter of each wait is left to chance, so that what failed together does not come back together.
    """

    def __init__(self, *, random: Random, base: float = 1.0, cap: float = 30.0) -> None:
        if not 0 < base <= cap:
            raise ValueError(f"a back-off needs 0 < base <= cap, not {base} and {cap}")
        self._random = random
        self._base = base
        self._cap = cap
        self._failures: dict[Hashable, int] = {}

    def failed(self, key: Hashable) -> float:
        """Counts one more failure of ``key`` and returns the seconds to wait before it is tried again."""
        failures = self._failures.get(key, 0)
        wait = self._base
        for _ in range(failures):
            wait = min(self._cap, wait * 2)
        if wait < self._cap:  # further failures change nothing
            self._failures[key] = failures + 1
        return wait * self._random.uniform(0.75, 1.0)

    def forget(self, key: Hashable) -> None:
        """Starts ``key`` afresh, after a success or because it is gone."""
        self._failures.pop(key, None)


class Gate:
    """Closed for a while after the server has asked for time or could not be connected to, for whoever would write.

    Without it, each of a thousand services whose backends keep changing would find that out for itself, time and again.
    A request that is merely not answered closes nothing, nor does a 429 that does not say for how long to wait: that
    may be due to one object. Priority and fairness, and a server at its limit of requests in flight, always say it
    (``tooManyRequests`` in k8s.io/apiserver).
    """

    def __init__(self, *, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._backoff = Backoff(random=random)
        self._back_at = self._asked_until = clock.monotonic()

    @property
    def wait(self) -> float:
        """Seconds until something may be sent; 0 where it may be now."""
        left = max(self._back_at, self._asked_until) - self._clock.monotonic()
        return left if left > MOMENT else 0.0

    def failed(self, error: ExtsyncError) -> None:
        """A request failed."""
        if self.wait:
            return  # what was under way when the gate closed tells nothing new
        now = self._clock.monotonic()
        if isinstance(error, TooManyRequests):
            if error.retry_after is not None:
                self._asked_until = now + max(error.retry_after, self._backoff.failed(Gate))
        elif isinstance(error, Unavailable) and not error.connected:
            self._back_at = now + self._backoff.failed(Gate)

    def succeeded(self) -> None:
        """A request got through."""
        self._backoff.forget(Gate)

    def answered(self) -> None:
        """The server answers somebody: it can be connected to. What it asked for holds all the same."""
        self._back_at = self._clock.monotonic()
