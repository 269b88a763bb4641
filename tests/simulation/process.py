"""A process that can end or be halted at any moment: each step of its tasks, from one await to the next, is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any

from extsync.seams import Timer
from extsync.seams.virtual import VirtualLoop
from tests.kube.replicas import SkewedClock

OWNER = "default"
SHORTEST = 1e-6
"""Seconds that a timer takes at least."""
MOST_STEPS = 50_000
"""Steps of a process at one moment, as far as that can be meant."""


class Process:
    """One run of a program. ``name`` says whose; ``main`` is its only task that others know of; ``owner`` is the owner
    id of its installation.

    It can end as by SIGTERM (``stop``) or as by SIGKILL: ``die`` ends it between two steps, and ``crash_in`` at the
    beginning of a step to come. What it has sent by then is on its way; nothing more will be sent.
    """

    def __init__(self, name: str, *, owner: str = OWNER) -> None:
        self.name = name
        self.owner = owner
        self.alive = False
        self.steps = 0
        self._crash_at = 0
        self._moment, self._steps_before = -1.0, 0
        self._is_halted = False
        self._held: list[Callable[[], object]] = []
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

    @property
    def is_halted(self) -> bool:
        """Whether nothing of it runs now."""
        return self._is_halted and self.alive

    def halt(self) -> None:
        """Nothing of it runs from now on, as when its machine sleeps, while time passes for it as for the others."""
        self._is_halted = True

    def go_on(self) -> None:
        """It is halted no more: what became due meanwhile is done now."""
        self._is_halted = False
        held, self._held = self._held, []
        for action in held:
            asyncio.get_running_loop().call_soon(action, context=self._context)

    def hold(self, action: Callable[[], object]) -> None:
        """Has ``action`` done once it is halted no more."""
        self._held.append(action)

    def die(self) -> None:
        """Ends at once."""
        self.alive = False
        self.go_on()
        if self.main is not None:
            self.main.cancel()

    async def ended(self) -> None:
        """Waits until every task of a process that was told to end has ended."""
        if self.main is not None:
            with suppress(asyncio.CancelledError):
                await self.main

    def count(self) -> None:
        """A task of this process is about to go on; raises RuntimeError where that never ends, and no time passes."""
        self.steps += 1
        now = asyncio.get_running_loop().time()
        if now > self._moment:
            self._moment, self._steps_before = now, self.steps
        elif self.steps - self._steps_before > MOST_STEPS:
            raise RuntimeError(f"{self.name} makes steps, and no time passes")
        if self.steps == self._crash_at and self.alive:
            self.die()


_CURRENT: ContextVar[Process | None] = ContextVar("process", default=None)


def current() -> Process | None:
    """The process that this code runs in; None in the script and in the store."""
    return _CURRENT.get()


class _Counted(Coroutine[Any, Any, Any]):
    """A coroutine of a process, which is told of each step, and holds it back while it is halted."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], process: Process) -> None:
        self._coroutine = coroutine
        self._process = process
        self._thrown: tuple[Any, ...] = ()

    def send(self, value: Any, /) -> Any:
        if self._process.is_halted:
            return self._wait()
        if self._thrown:
            return self.throw(*self._thrown)
        self._process.count()
        return self._coroutine.send(value)

    def throw(self, *args: Any) -> Any:
        if self._process.is_halted:
            self._thrown = args
            return self._wait()
        self._thrown = ()
        self._process.count()
        return self._coroutine.throw(*args)

    def _wait(self) -> asyncio.Future[None]:
        """What the task waits for instead of its step; it may be cancelled meanwhile, as by a time-out."""
        resumed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        resumed._asyncio_future_blocking = True  # as a coroutine that awaits it would hand it to the task

        def resume() -> None:
            if not resumed.done():
                resumed.set_result(None)

        self._process.hold(resume)
        return resumed

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


class ProcessClock(SkewedClock):
    """The clock of processes: what is due while the process that asked for it is halted is done when that goes on.

    It is asked more often than anything else in a run, so it asks the loop itself.
    """

    def __init__(self, *, rate: float) -> None:
        super().__init__(rate=rate)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._loop = loop

    def monotonic(self) -> float:
        return self._loop.now * self.rate

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        at, process = self._loop.now + _some(seconds) / self.rate, _CURRENT.get()
        if process is None:
            return self._loop.call_at(at, callback, *args)
        call = _Call(process, callback, args)
        call.timer = self._loop.call_at(at, call)
        return call

    async def sleep(self, seconds: float) -> None:
        await super().sleep(_some(seconds))

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        return super().timeout(None if seconds is None else _some(seconds))


def _some(seconds: float) -> float:
    """No less than a real timer can wait: what sums of times leave over would be nothing at all, again and again."""
    return max(seconds, SHORTEST) if seconds > 0 else seconds


class _Call:
    """A call that is due later, see ``ProcessClock``."""

    __slots__ = ("_args", "_callback", "_is_cancelled", "_process", "timer")

    timer: Timer

    def __init__(self, process: Process, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._process = process
        self._callback = callback
        self._args = args
        self._is_cancelled = False

    def __call__(self) -> None:
        if self._process.is_halted:
            self._process.hold(self)
        elif not self._is_cancelled:
            self._callback(*self._args)

    def cancel(self) -> None:
        self._is_cancelled = True
        self.timer.cancel()
