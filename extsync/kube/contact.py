"""How who follows a server stands with it: when it was last heard from, what failed since, how long to wait."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from extsync.errors import StoreError, TooManyRequests, Unavailable, cure
from extsync.kube.flow import Backoff
from extsync.kube.status import MAX_RETRY_AFTER
from extsync.kube.trouble import Trouble
from extsync.seams import Clock, Random

BACKOFF_BASE = 0.8 / 0.75
"""Seconds; the back-off takes up to a quarter off, so that the first pause is at least client-go's 0.8 s."""
BACKOFF_CAP = 30.0
BACKOFF_RESET = 120.0
"""Seconds without a failure after which the back-off starts afresh."""
DOUBT_AFTER = 300.0
"""Seconds without a word after which all objects are read again instead of what changed since the last one."""
AWAY = 2
"""After so many failures in a row the server was away, and may be back with the data of a backup. So all objects are
read again: the version to go on from would mean nothing there, or something else."""


class Contact:
    """The contact of ``who`` with one server. ``on_change`` is called after each change of ``error``."""

    def __init__(
        self, who: Hashable, *, clock: Clock, random: Random, trouble: Trouble | None, on_change: Callable[[], object]
    ) -> None:
        self._who = who
        self._clock = clock
        self._trouble = trouble
        self._on_change = on_change
        self._backoff = Backoff(random=random, base=BACKOFF_BASE, cap=BACKOFF_CAP)
        self._failed_at = clock.monotonic()
        self._heard_at: float | None = None
        self._in_a_row = 0
        self.error: StoreError | None = None
        """Why there is no contact now; None where there is."""

    def age(self) -> float | None:
        """Seconds since the server was last heard from; None: never yet."""
        return None if self._heard_at is None else self._clock.monotonic() - self._heard_at

    @property
    def was_away(self) -> bool:
        """Whether the server was gone for so long that nothing can be gone on from."""
        age = self.age()
        return self._in_a_row >= AWAY or age is None or age >= DOUBT_AFTER

    def heard(self) -> None:
        """The server said something."""
        self._heard_at = self._clock.monotonic()
        self._in_a_row = 0
        if self._trouble is not None:
            self._trouble.over(self._who)
        self._set(None)

    def failed(self, error: StoreError) -> float:
        """Takes note of a failure; returns the seconds to wait before the next attempt.

        A single failure is no news, once there has been contact: the next watch may go on where this one broke.
        """
        if self._trouble is not None and (self.error is not None or self._heard_at is None):
            text = f"{error}{cure(error)}; extsync goes on with what it has, and tries again"
            self._trouble.met(self._who, error, text)
        if isinstance(error, Unavailable):
            self._in_a_row += 1
        self._set(error)
        return max(self.pause(), _retry_after(error))

    def pause(self) -> float:
        """Seconds to wait, ever more of them, before doing again what did not do."""
        now = self._clock.monotonic()
        if now - self._failed_at >= BACKOFF_RESET:
            self._backoff.forget(self._who)
        self._failed_at = now
        return self._backoff.failed(self._who)

    def _set(self, error: StoreError | None) -> None:
        before, self.error = self.error, error
        if before is not error:
            self._on_change()


def _retry_after(error: StoreError) -> float:
    if isinstance(error, TooManyRequests | Unavailable) and error.retry_after is not None:
        return min(error.retry_after, MAX_RETRY_AFTER)
    return 0.0
