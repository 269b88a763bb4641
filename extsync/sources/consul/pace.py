"""How often and from which index a service is read: Consul's rules for blocking queries. Pure.

https://developer.hashicorp.com/consul/api-docs/features/blocking#implementation-details
"""

from __future__ import annotations

from typing import Final

import msgspec

LONGEST_WAIT: Final = 600.0
"""Seconds for which Consul lets a query wait at most, whatever it asks for."""

MARGIN: Final = 10.0
"""Seconds that a blocking query may take beyond what Consul itself may wait."""


class Pace(msgspec.Struct, frozen=True):
    """Times in seconds.

    ``burst`` blocking reads may follow each other at once, then one in ``interval``: a service that changes all the
    time is polled. ``read_timeout`` is the time for an answer that need not wait, and for its confirmation. The pause
    after failures in a row doubles from ``first_pause`` to ``last_pause``, after suspect answers to ``doubt_pause``.
    Pauses have jitter, only ever shorter. ``token_look`` is from look to look whether a file has another token, and
    ``rights_remembered`` for how long agents and servers may go by what a token was allowed to before; by Consul's
    defaults it is 30.
    """

    burst: int = 2
    interval: float = 15.0
    read_timeout: float = 8.0
    first_pause: float = 1.0
    last_pause: float = 30.0
    doubt_pause: float = 15.0
    token_look: float = 5.0
    rights_remembered: float = 35.0


def blocking_timeout(wait: float) -> float:
    """How long to be patient with a query that waits ``wait``: Consul adds up to a sixteenth."""
    return wait * 17 / 16 + MARGIN


class Index:
    """Where the next query begins to wait. ``value`` None: it does not wait at all."""

    def __init__(self) -> None:
        self.value: int | None = None

    def advance(self, answered: int) -> None:
        """Takes the index of an answer: never below 1, and None where it went down, which begins anew."""
        answered = max(answered, 1)
        went_down = self.value is not None and answered < self.value
        self.value = None if went_down else answered

    def reset(self) -> None:
        """Begins anew: the next query answers at once."""
        self.value = None


class TokenBucket:
    """Lets ``burst`` reads through at once, and then one every ``interval`` seconds."""

    def __init__(self, *, burst: int, interval: float, now: float) -> None:
        self._interval = interval
        self._spare = interval * (burst - 1)
        self._due = now - self._spare

    def take(self, now: float) -> float:
        """Takes a token and returns the seconds to wait before it may be used."""
        self._due = max(self._due, now - self._spare)
        wait = max(0.0, self._due - now)
        self._due += self._interval
        return wait


class Backoff:
    """The pauses after failures: they double until something succeeds."""

    def __init__(self, *, first: float, last: float) -> None:
        self._first = self._next = first
        self._last = last

    def failed(self) -> float:
        """The pause after one more failure in a row."""
        pause = self._next
        self._next = min(pause * 2, self._last)
        return pause

    def succeeded(self) -> None:
        self._next = self._first
