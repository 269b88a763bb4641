"""The manifests as they are on disk: several documents in one file, which people and accidents change."""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import Mapping
from functools import lru_cache

from extsync.config.loader import LoadResult, load
from extsync.seams import Clock

REMOVAL_DELAY = 60.0


class Disk:
    """One file with a document for each service.

    ``absent`` are those without, ``damage`` makes something unreadable of the text. What is removed for good is what
    was absent from a file that could be read, all the while.
    """

    def __init__(self, documents: Mapping[str, str], clock: Clock) -> None:
        self.documents = dict(documents)
        self.absent: set[str] = set()
        self.damage: list[str] = []
        self._clock = clock
        self._missing_since: dict[str, float] = {}
        self._unnamed_since: dict[str, float] = {}
        self._untold_since: dict[str, float] = {}
        self._told_at: dict[str, float] = {}
        self._readers: list[Reader] = []

    @property
    def text(self) -> str:
        """What is in the file."""
        text = "---\n".join(text for name, text in self.documents.items() if name not in self.absent)
        for damage in self.damage:
            text = "" if damage == "emptied" else text.replace("kind: ExternalService", damage, 1)
        return text

    def reader(self) -> Reader:
        """For one process, which has read nothing yet."""
        reader = Reader(self)
        self._readers.append(reader)
        return reader

    def changed(self) -> None:
        """Tells those who watch the file, and notes since when a document has been missing or cannot be read."""
        now, absent = self._clock.monotonic(), sorted(self.absent)
        untold = self.documents if self.damage else absent
        self._missing_since = {} if self.damage else {name: self._missing_since.get(name, now) for name in absent}
        self._unnamed_since = {name: self._unnamed_since.get(name, now) for name in absent}
        self._told_at |= {name: now for name in self._untold_since if name not in untold}
        self._untold_since = {name: self._untold_since.get(name, now) for name in untold}
        for reader in self._readers:
            reader.changed.set()

    def missing_for(self, name: str) -> float:
        """Seconds for which a readable file has not named a service; 0 where it does, or cannot be read."""
        now = self._clock.monotonic()
        return now - self._missing_since.get(name, now)

    def unnamed_for(self, name: str) -> float:
        """Seconds for which no readable file has named a service, since a file that cannot be read for a moment may
        pass unseen; 0 where it is so now."""
        now = self._clock.monotonic()
        return 0.0 if self.damage else now - self._unnamed_since.get(name, now)

    def untold_since(self, name: str) -> float:
        """Since when nobody who starts anew learns of a service; infinite where the file tells of it."""
        return self._untold_since.get(name, math.inf)

    def told_at(self, name: str) -> float:
        """When the file began to tell of a service, for the last time."""
        return self._told_at.get(name, 0.0)


class Reader:
    """Reads the file for one process; ``changed`` is set as a watch would set it."""

    def __init__(self, disk: Disk) -> None:
        self.changed = asyncio.Event()
        self._disk = disk
        self._read: str | None = None

    async def __call__(self) -> LoadResult | None:
        text = self._disk.text
        if text == self._read:
            return None
        self._read = text
        return _load(text)


@lru_cache(maxsize=256)
def _load(text: str) -> LoadResult:
    return load(["-"], stdin=io.BytesIO(text.encode()))
