"""The queue of services to reconcile.

The rules are those of client-go's workqueue: a key is in the queue at most once, is never served twice at the same
time, and a key that is added while it is served is served once more afterwards. The number of services bounds it.
"""

from __future__ import annotations

import asyncio
from collections import deque

from extsync.model import ServiceKey
from extsync.seams import Clock, Timer


class WorkQueue:
    """Coalesces keys and hands them to workers. Used from one event loop only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ready: deque[tuple[ServiceKey, float]] = deque()
        self._dirty: set[ServiceKey] = set()
        self._served: set[ServiceKey] = set()
        self._timers: dict[ServiceKey, tuple[float, Timer]] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        """How many keys wait, without those that are being served or are due later."""
        return len(self._ready)

    @property
    def age(self) -> float:
        """Seconds for which the first key has been waiting; 0 where none waits."""
        return self._clock.monotonic() - self._ready[0][1] if self._ready else 0.0

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is being served; keys that are due later do not count."""
        return not self._ready and not self._served

    def add(self, key: ServiceKey) -> None:
        """Asks for ``key`` to be served as soon as a worker is free."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._served:
            self._push(key)

    def add_after(self, key: ServiceKey, seconds: float) -> None:
        """Asks for ``key`` to be served in ``seconds``; of several such wishes the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if key in self._timers:
            if self._timers[key][0] <= due:
                return
            self._timers[key][1].cancel()
        self._timers[key] = due, self._clock.call_later(seconds, self._fire, key)

    def is_dirty(self, key: ServiceKey) -> bool:
        """Whether ``key`` was added since it was last handed out."""
        return key in self._dirty

    def forget(self, key: ServiceKey) -> None:
        """Drops what is due later for a key that no longer exists."""
        if timer := self._timers.pop(key, None):
            timer[1].cancel()

    async def get(self) -> ServiceKey:
        """The next key; the caller serves it and then calls ``done``."""
        while not self._ready:
            self._filled.clear()
            await self._filled.wait()
        key, _ = self._ready.popleft()
        self._dirty.discard(key)
        self._served.add(key)
        return key

    def done(self, key: ServiceKey) -> None:
        """Says that ``key`` has been served."""
        self._served.discard(key)
        if key in self._dirty:
            self._push(key)

    def close(self) -> None:
        """Cancels what is due later."""
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _fire(self, key: ServiceKey) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _push(self, key: ServiceKey) -> None:
        self._ready.append((key, self._clock.monotonic()))
        self._filled.set()
