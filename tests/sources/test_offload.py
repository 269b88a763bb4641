from __future__ import annotations

import asyncio
import threading

import pytest

from extsync.sources.offload import in_thread
from tests.sources.support import GENEROUS


async def test_blocking_work_leaves_the_event_loop_free() -> None:
    release = threading.Event()

    def work() -> int:
        assert release.wait(GENEROUS)
        return threading.get_ident()

    task = asyncio.create_task(in_thread(work))
    await asyncio.sleep(0)
    release.set()
    assert await task != threading.get_ident()


async def test_what_blocking_work_raises_is_raised() -> None:
    def work() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await in_thread(work)


async def test_blocking_work_that_is_no_longer_waited_for_ends_quietly() -> None:
    begun, release = threading.Event(), threading.Event()
    workers: list[threading.Thread] = []
    noise: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, problem: noise.append(problem))

    def work() -> None:
        workers.append(threading.current_thread())
        begun.set()
        release.wait(GENEROUS)
        raise OSError("too late")

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait, GENEROUS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    await asyncio.to_thread(workers[0].join, GENEROUS)
    await asyncio.sleep(0)
    assert not noise
