"""A process that can end at any moment: every step of its tasks, from one await to the next, is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any


class Process:
    """One run of a program. ``name`` says whose; ``main`` is its only task that others know of.

    It can end as by SIGTERM (``stop``) or as by SIGKILL: ``die`` ends it between two steps, and ``crash_in`` at the
    beginning of a step to come. What it has sent by then is on its way; nothing more will be sent.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = False
        self.steps = 0
        self._crash_at = 0
        self._context = copy_context()
        self._context.run(_CURRENT.set, self)
        self.main: asyncio.Task[None] | None = None

    def start(self, main: Coroutine[Any, Any, None]) -> None:
        """Runs ``main``, and whatever tasks it makes, as this process's."""
        self.alive = True
        self.main = self.task(main)

    def task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """One more task of this process."""
        return asyncio.get_running_loop().create_task(coroutine, name=self.name, context=self._context)

    def crash_in(self, steps: int) -> None:
        """Ends when that many more steps are done."""
        self._crash_at = self.steps + steps

    def die(self) -> None:
        """Ends at once."""
        self.alive = False
        if self.main is not None:
            self.main.cancel()

    async def ended(self) -> None:
        """Waits until every task of a process that was told to end has ended."""
        if self.main is not None:
            with suppress(asyncio.CancelledError):
                await self.main

    def count(self) -> None:
        """A task of this process is about to go on."""
        self.steps += 1
        if self.steps == self._crash_at and self.alive:
            self.die()


_CURRENT: ContextVar[Process | None] = ContextVar("process", default=None)


def current() -> Process | None:
    """The process that this code runs in; None in the script and in the store."""
    return _CURRENT.get()


class _Counted(Coroutine[Any, Any, Any]):
    """A coroutine of a process, which is told of each step."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], process: Process) -> None:
        self._coroutine = coroutine
        self._process = process

    def send(self, value: Any, /) -> Any:
        self._process.count()
        return self._coroutine.send(value)

    def throw(self, *args: Any) -> Any:
        self._process.count()
        return self._coroutine.throw(*args)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()


def count_steps(loop: asyncio.AbstractEventLoop) -> None:
    """From now on the tasks of processes on this loop are counted."""

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, *, context: Context | None = None) -> asyncio.Task[Any]:
        process = context.get(_CURRENT) if context is not None else _CURRENT.get()
        if process is not None:
            coroutine = _Counted(coroutine, process)
        return asyncio.Task(coroutine, loop=loop, context=context)

    loop.set_task_factory(make)
