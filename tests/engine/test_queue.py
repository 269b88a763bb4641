"""The work queue: coalescing, one worker a key, delays."""

from __future__ import annotations

import asyncio

import pytest

from extsync.engine.queue import WorkQueue
from extsync.model import ServiceKey
from extsync.seams.virtual import VirtualClock, virtual_time

A, B = ServiceKey("ns", "a"), ServiceKey("ns", "b")


@virtual_time
async def test_a_key_added_twice_is_served_once() -> None:
    queue = WorkQueue(VirtualClock())
    queue.add(A)
    queue.add(A)
    queue.add(B)
    assert [await queue.get(), await queue.get()] == [A, B]
    assert len(queue) == 0


@virtual_time
async def test_a_key_added_while_it_is_served_waits_until_it_is_done_and_is_served_again() -> None:
    clock = VirtualClock()
    queue = WorkQueue(clock)
    queue.add(A)
    assert await queue.get() == A
    queue.add(A)
    with pytest.raises(TimeoutError):
        async with clock.timeout(5):
            await queue.get()
    queue.done(A)
    assert await queue.get() == A


@virtual_time
async def test_of_several_delays_the_earliest_counts() -> None:
    clock = VirtualClock()
    queue = WorkQueue(clock)
    queue.add_after(A, 30)
    queue.add_after(A, 10)
    queue.add_after(A, 20)
    await queue.get()
    assert clock.monotonic() == pytest.approx(10)
    queue.done(A)
    with pytest.raises(TimeoutError):
        async with clock.timeout(60):
            await queue.get()


@virtual_time
async def test_no_delay_is_at_once() -> None:
    queue = WorkQueue(VirtualClock())
    queue.add_after(A, 0)
    assert await queue.get() == A


@virtual_time
async def test_a_forgotten_key_is_not_served_later() -> None:
    clock = VirtualClock()
    queue = WorkQueue(clock)
    queue.add_after(A, 5)
    queue.forget(A)
    with pytest.raises(TimeoutError):
        async with clock.timeout(60):
            await queue.get()


@virtual_time
async def test_a_cancelled_worker_takes_no_key_with_it() -> None:
    queue = WorkQueue(VirtualClock())
    gone = asyncio.create_task(queue.get())
    stays = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(A)
    gone.cancel()
    assert await stays == A


@virtual_time
async def test_idle_means_nothing_waits_and_nothing_is_served() -> None:
    queue = WorkQueue(VirtualClock())
    seen = [queue.idle]
    queue.add(A)
    seen.append(queue.idle)
    await queue.get()
    seen.append(queue.idle)
    queue.done(A)
    seen.append(queue.idle)
    assert seen == [True, False, False, True]
