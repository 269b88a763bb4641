"""Connections that are kept from one attempt to the next, while they wait for it.

A new connection is the truer check: it shows that the server still accepts some, and which certificate it has now. So a
kept one serves a bounded number of attempts for a bounded time, each a little different for each endpoint, so that not
all are renewed at once; nor does it outlast what it was made with, neither the server's certificate nor a file of the
check. It is dropped after every attempt that did not pass.

They are a convenience. Each takes a descriptor and, with TLS, some tens of kilobytes, so their number is bounded, and
they give way where an attempt needs the descriptor. The latest goes first: its next attempt is the farthest away.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

from extsync.health import tls_words
from extsync.health.base import Passed
from extsync.health.conversation import Conversation
from extsync.health.record import Record
from extsync.health.wheel import TICKS_PER_SECOND
from extsync.seams import stable_fraction

ATTEMPTS: Final = 30
"""How many attempts a connection serves at most, and at least two thirds of that."""

LIFETIME: Final = 300.0
"""Seconds that a connection lives at most, and at least two thirds of that."""

IDLE: Final = 30.0
"""Seconds for which a connection may wait: firewalls forget those that are silent for longer, without a word, and an
attempt on one would be lost."""

LIMIT: Final = 10_000
"""How many connections wait at a time."""

_JITTER: Final = 1 / 3


class Parking:
    """Keeps connections that rest, each as the ``talk`` of its record, whose ``sock`` is None meanwhile.

    ``records`` are theirs by descriptor, for others to look at: it is on the way of every attempt.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.records: dict[int, Record] = {}

    def park(self, record: Record, talk: Conversation, result: Passed, mask: int, now: float) -> bool:
        """Keeps the connection of an attempt after ``result`` from the events ``mask``; returns False if it must go."""
        if len(self.records) >= LIMIT or record.pace.period > IDLE * TICKS_PER_SECOND:
            return False
        if not self._has_time(record, talk, now):
            return False
        try:
            rests = talk.rests(result, mask)
        except Exception:  # whatever a plugin raises: the attempt has passed
            return False
        if rests:
            record.sock = None
            self.records[talk.sock.fileno()] = record
        return rests

    def take(self, record: Record, talk: Conversation, now: float) -> bool:
        """Gives the connection back for another attempt, which has begun; returns False where it was closed instead."""
        if now < talk.until and self._is_timely(talk):
            try:
                resumed = talk.resume()
            except Exception:  # OSError, ssl.SSLError, or whatever a plugin raises: a new connection will tell
                resumed = False
            if resumed:
                del self.records[talk.sock.fileno()]
                record.sock = talk.sock
                return True
        self.release(record)
        return False

    def notice(self, fd: int, mask: int) -> None:
        """Something has happened on a socket that may be one of these."""
        record = self.records.get(fd)
        if record is None or record.talk is None:
            return
        try:
            good = record.talk.listen(mask)
        except Exception:  # OSError, ssl.SSLError, or whatever a plugin raises: nobody waits for this connection
            good = False
        if not good:
            self.release(record)

    def release(self, record: Record) -> None:
        """Closes the connection of a record; nothing where none is kept."""
        talk = record.talk
        if talk is not None and record.sock is None:
            record.talk = None
            del self.records[talk.sock.fileno()]
            talk.farewell()
            talk.sock.close()

    def give_up(self, count: int) -> int:
        """Closes up to ``count`` connections and returns how many."""
        given = list(islice(reversed(self.records.values()), count))
        for record in given:
            self.release(record)
        return len(given)

    def _has_time(self, record: Record, talk: Conversation, now: float) -> bool:
        """Whether the connection may serve the next attempt, which is counted."""
        if talk.left == 0:
            fraction = 1 - _JITTER * stable_fraction(str(record.target))
            talk.left = int(ATTEMPTS * fraction)
            talk.until = now + LIFETIME * fraction
        talk.left -= 1
        return talk.left > 0 and now + record.pace.period / TICKS_PER_SECOND < talk.until and self._is_timely(talk)

    def _is_timely(self, talk: Conversation) -> bool:
        return not talk.certificate or tls_words.is_timely(talk.certificate, self._wall())
