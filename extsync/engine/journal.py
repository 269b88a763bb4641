"""What was said of a service lately, for ``explain``: the lines of the log, kept with their times."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from extsync.seams import Clock

MOST_KEPT: Final = 50
"""Entries of one service; an older one goes when a new one comes."""


class Topic(enum.Enum):
    """What an entry is about."""

    MANIFEST = "manifest"
    SOURCE = "source"
    ENDPOINT = "endpoint"
    NOTICE = "notice"
    WRITE = "write"


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line, and when (wall clock) it was said."""

    at: float
    topic: Topic
    text: str


class Journal:
    """The latest entries of one service."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque(maxlen=MOST_KEPT)

    def add(self, topic: Topic, text: str) -> None:
        """Keeps one line, with the present time."""
        self._entries.append(Entry(self._clock.wall(), topic, text))

    @property
    def entries(self) -> Sequence[Entry]:
        """Oldest first."""
        return tuple(self._entries)
