"""Where blocking work is done: beside the event loop, or, in simulated time, which has no threads, on it."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol, TypeVar

T = TypeVar("T")

_PARTING: Final = 2.0
"""Seconds for which the end of the process waits for threads: for work nearly done, not for a read that hangs."""

_changed = threading.Condition()
_at_work: set[threading.Thread] = set()


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
        with _changed:
            _at_work.discard(threading.current_thread())
            _changed.notify_all()

    worker = threading.Thread(target=thread, name="extsync-offload", daemon=True)
    with _changed:
        worker.start()
        _at_work.add(worker)
    return await future


@atexit.register
def _let_them_end() -> None:
    """The interpreter ends daemon threads where they are, and within a library in Rust or C++ that is an abort."""
    with _changed:
        _changed.wait_for(lambda: not _at_work, timeout=_PARTING)


async def inline(work: Callable[[], T], /) -> T:
    """Does ``work`` at once, while the loop waits."""
    return work()
