"""What there is to show of all services, encoded once for all who watch, and in the order in which it changed.

A watcher is no more than the number of the latest change that it knows: whatever it lacks stands on the board, as it is
now. So a slow one misses what was in between and holds nothing up, and nothing is stored for it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec

from extsync.engine.run import Engine
from extsync.model import ServiceKey
from extsync.seams import Clock
from extsync.web.documents import process_document
from extsync.web.rows import EncodedServices, row_of

EVERY: Final = 0.25
"""Seconds from one look at what changed to the next: what changes in between is told once."""

PROCESS_EVERY: Final = 4
"""Looks after which the process is told of anew."""

AT_ONCE: Final = 50
"""Services that are encoded before other work has its turn."""

MOST_TOLD: Final = 100
"""Services of one message."""

MOST_GONE: Final = 1000
"""Services that are gone and still on the board; who did not hear of an older one in time begins anew."""


class Message(msgspec.Struct, frozen=True):
    """One event of the stream; who knows it can go on from ``id``, "" where it does not matter."""

    event: str
    data: bytes
    id: str = ""


class _Line(msgspec.Struct, frozen=True, gc=False):
    """One service as encoded JSON, None where it is gone, and the number of the change that made it so."""

    key: ServiceKey
    row: msgspec.Raw | None
    number: int


class Board:
    """Follows the engine for as long as somebody watches."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._watchers = 0
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._lines: dict[ServiceKey, _Line] = {}  # in the order of their numbers
        self._changed: dict[ServiceKey, None] = {}
        self._number = 0
        self._gone = 0
        self._forgotten = 0
        self._complete = False
        self._process = b""
        self._news = asyncio.Event()
        self._name = f"{self._clock.wall():.3f}"

    def close(self) -> None:
        """Ends the messages of all who watch, for good."""
        self._closed = True
        self._news.set()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Somebody watches; the first begins an empty board, and after the last nothing is left of it."""
        self._watchers += 1
        if self._task is None:
            self._begin()
            self._task = asyncio.create_task(self._run(), name="board")
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers and (task := self._task) is not None:
                self._task, self._lines = None, {}
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def messages(self, after: str = "") -> AsyncIterator[Message]:
        """All that there is to tell, then what changes, until ``close``; only while ``watched``.

        ``after`` is the id of the last message that is known from before: what changed since then is told, or
        everything where that cannot be said any more.
        """
        seen = self._seen(after)
        first, behind = seen is None, True
        known, process = seen or 0, b""
        while not self._closed:
            news, number = self._news, self._number
            if process is not self._process:
                process = self._process
                yield Message("process", process)
            if known < self._forgotten:
                first, known = True, 0
            for batch in _batches(self._since(known)):
                known = batch[-1].number
                yield self._message(batch, first=first, complete=False)
                first, behind = False, True
            known = max(known, number)  # what it did not lack was forgotten meanwhile
            if self._complete and behind and known == self._number:
                yield self._message([], first=first, complete=True)
                first = behind = False
            if known == self._number and process is self._process:
                await news.wait()

    def _message(self, batch: list[_Line], *, first: bool, complete: bool) -> Message:
        lines = [line for line in batch if self._lines.get(line.key) is line]  # of newer ones it will be told, too
        known = batch[-1].number if batch else self._number
        services = EncodedServices(
            first=first,
            items=[line.row for line in lines if line.row is not None],
            gone=[str(line.key) for line in lines if line.row is None],
            complete=complete,
        )
        return Message("services", msgspec.json.encode(services), f"{self._name}/{known}")

    def _seen(self, after: str) -> int | None:
        """The number in an id of this board; None for another one, or none."""
        name, _, number = after.rpartition("/")
        if name != self._name or not re.fullmatch("[0-9]{1,18}", number):
            return None
        seen = int(number)
        return seen if self._forgotten <= seen <= self._number else None

    def _since(self, known: int) -> list[_Line]:
        found = []
        for line in reversed(self._lines.values()):
            if line.number <= known:
                break
            found.append(line)
        found.reverse()
        return found

    # ---- what changes ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        leave = self._engine.follow(self._note)
        try:
            self._changed = dict.fromkeys(self._engine.service_keys())
            looks = 0
            while True:
                if looks % PROCESS_EVERY == 0:
                    self._process = msgspec.json.encode(process_document(self._engine.status()))
                    self._tell()
                looks += 1
                await self._look()
                await self._clock.sleep(EVERY)
        finally:
            leave()

    def _note(self, key: ServiceKey) -> None:
        self._changed[key] = None

    async def _look(self) -> None:
        """Brings the board up to date, some services at a time."""
        changed, self._changed = list(self._changed), {}
        for first in range(0, len(changed), AT_ONCE):
            for key in changed[first : first + AT_ONCE]:
                self._put(key)
            self._forget()
            self._tell()
            await self._clock.sleep(0)
        if not self._complete:
            self._complete = True
            self._tell()

    def _put(self, key: ServiceKey) -> None:
        status = self._engine.service_status(key)
        row = None if status is None else msgspec.Raw(msgspec.json.encode(row_of(status, self._clock.wall())))
        before = self._lines.get(key)
        if row == (None if before is None else before.row):
            return
        self._number += 1
        self._gone += (row is None) - (before is not None and before.row is None)
        self._lines.pop(key, None)
        self._lines[key] = _Line(key, row, self._number)

    def _forget(self) -> None:
        """Of too many services that are gone the first are forgotten."""
        if self._gone > MOST_GONE:
            gone = [line for line in self._lines.values() if line.row is None][: self._gone - MOST_GONE // 2]
            for line in gone:
                del self._lines[line.key]
            self._gone -= len(gone)
            self._forgotten = gone[-1].number

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        if self._closed:
            self._news.set()
        news.set()


def _batches(lines: list[_Line]) -> Iterator[list[_Line]]:
    for first in range(0, len(lines), MOST_TOLD):
        yield lines[first : first + MOST_TOLD]
