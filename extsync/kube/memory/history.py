"""The recent changes of a store, in order, from which watches are served."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from extsync.errors import Expired, Unavailable
from extsync.kube.store import WatchType
from extsync.objects import KubeObject


class State(NamedTuple):
    """An object as it is stored: its JSON and its labels, which watches select by."""

    data: bytes
    labels: dict[str, str]


class Change(NamedTuple):
    """One change: ``new`` is the object after it (of a deletion: at it), ``old`` before it."""

    kind: type[KubeObject]
    type: WatchType
    version: int
    namespace: str
    new: State
    old: State | None


class History:
    """Keeps the last ``limit`` changes, as far as they fit into ``size_limit`` bytes, and wakes who waits for more."""

    def __init__(self, *, start: int, limit: int, size_limit: int) -> None:
        self._changes: deque[Change] = deque()
        self._floor = start
        """The version up to which changes are forgotten."""
        self._dropped = 0
        self._limit = limit
        self._size_limit = size_limit
        self._size = 0
        self._more = asyncio.Event()
        self._begun = 0
        """The position before which nobody reads on."""

    def restart(self, start: int) -> None:
        """Begins anew from the version ``start``, be it before or behind the present; who reads now is cut off."""
        self._dropped = self._begun = self._dropped + len(self._changes) + 1
        self._changes.clear()
        self._size = 0
        self._floor = start
        self.wake()

    def append(self, change: Change) -> None:
        self._changes.append(change)
        self._size += len(change.new.data)
        while len(self._changes) > self._limit or self._size > self._size_limit:
            oldest = self._changes.popleft()
            self._size -= len(oldest.new.data)
            self._floor = oldest.version
            self._dropped += 1
        self.wake()

    def wake(self) -> None:
        """Whoever waits for more looks again."""
        self._more.set()
        self._more = asyncio.Event()

    def position(self, version: int) -> int:
        """Where a watch from ``version`` starts reading; raises Expired where that is forgotten."""
        if version < self._floor:
            raise Expired(f"too old resource version: {version} (oldest: {self._floor})")
        older = sum(change.version <= version for change in self._changes)
        return self._dropped + older

    def read(self, position: int) -> tuple[list[Change], int]:
        """The changes from ``position`` on and the position after them.

        Raises Expired for too slow a reader, Unavailable where the history began anew since.
        """
        if position < self._begun:
            raise Unavailable("watch: the connection broke")
        if position < self._dropped:
            raise Expired("too old resource version: the watch was too slow")
        skip = position - self._dropped
        return [self._changes[index] for index in range(skip, len(self._changes))], self._dropped + len(self._changes)

    async def more(self) -> None:
        """Returns after the next change."""
        await self._more.wait()
