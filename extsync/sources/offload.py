"""Where blocking work is done: beside the event loop, or, in simulated time, which has no threads, on it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

T = TypeVar("T")


class Offload(Protocol):
    """Does ``work`` and returns what it returns, or raises what it raises."""

    async def __call__(self, work: Callable[[], T], /) -> T: ...


async def in_thread(work: Callable[[], T], /) -> T:
    """Does ``work`` in a thread of its own.

    Not in a pool: a read that hangs on a dead network file system would keep a place of it for good, and the end of the
    process waiting.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(outcome: Callable[[], None]) -> None:
        if not future.done():
            outcome()

    def thread() -> None:
        outcome: Callable[[], None]
        try:
            outcome = partial(future.set_result, work())
        except Exception as error:
            outcome = partial(future.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=thread, name="extsync-offload", daemon=True).start()
    return await future


async def inline(work: Callable[[], T], /) -> T:
    """Does ``work`` at once, while the loop waits."""
    return work()
