from __future__ import annotations

import asyncio
import subprocess
import sys
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


@pytest.mark.parametrize(("takes", "ended"), [(0.3, "ended\n"), (60, "")])
def test_the_end_of_the_process_waits_for_work_that_is_nearly_done_and_not_for_what_hangs(
    takes: float, ended: str
) -> None:
    program = f"""
import asyncio, time
from extsync.sources.offload import in_thread

def work():
    time.sleep({takes})
    print("ended", flush=True)

async def main():
    asyncio.create_task(in_thread(work))
    await asyncio.sleep(0)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, ended, "")
