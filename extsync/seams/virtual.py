"""Simulated time and chance: hours pass in seconds, and the same seed gives the same run.

``run`` executes a coroutine on an event loop whose time jumps to the next timer as soon as nothing is ready, so that
code under test waits for nothing. Real sockets and threads do not exist in such a run.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, ParamSpec, TypeVar

from extsync.seams.clock import Timer

T = TypeVar("T")
P = ParamSpec("P")

EPOCH = 1_800_000_000.0
"""The wall clock at the start of a virtual run: 2027-01-15T08:00:00Z."""


class Deadlock(RuntimeError):
    """Every task waits and no timer is left: in virtual time nothing can ever happen again."""


class _JumpingSelector(selectors.SelectSelector):
    """Waits for nothing: instead of blocking it moves the loop's time."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("every task waits and no timer is left")
        self.loop.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a time of its own, which starts at 0."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def stand_still(seconds: float) -> None:
    """Lets time pass in which this process does not run: it is stopped, or the machine is suspended."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.now += seconds


class VirtualClock:
    """The clock of a run on a VirtualLoop; ``skew`` is added to the wall clock."""

    def __init__(self, *, skew: float = 0.0) -> None:
        self.skew = skew

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return EPOCH + self.skew + asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        return asyncio.timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback, *args)


class SeededRandom(random.Random):
    """A generator whose numbers follow from its seed."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs ``main`` to its end in virtual time and returns its result.

    Raises Deadlock where every task waits for something that can no longer happen.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def virtual_time(test: Callable[P, Awaitable[T]]) -> Callable[P, T]:
    """Turns an async test into one that runs in virtual time."""

    @functools.wraps(test)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        async def main() -> T:
            return await test(*args, **kwargs)

        return run(main())

    # pytest finds fixtures by the signature, and would take a function with __wrapped__ for a coroutine function.
    wrapper.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    del wrapper.__wrapped__
    return wrapper
