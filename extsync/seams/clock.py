"""Time: a monotonic clock that counts suspend, the wall clock, sleeping, deadlines and timers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """What the core knows of time. All durations are seconds."""

    def monotonic(self) -> float:
        """Seconds since some start; never goes back and goes on while the machine is suspended."""
        ...

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC, to show and to write into objects; it may step in either direction."""
        ...

    async def sleep(self, seconds: float) -> None: ...

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        """A block that is cancelled after ``seconds`` and then raises TimeoutError; None sets no limit."""
        ...

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Calls ``callback(*args)`` from the event loop after ``seconds``."""
        ...


_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's own time. CLOCK_BOOTTIME goes on while Linux is suspended; Python's monotonic clock does not."""

    def monotonic(self) -> float:
        return time.clock_gettime(_MONOTONIC)

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        return asyncio.timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback, *args)
