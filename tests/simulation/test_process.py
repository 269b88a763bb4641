"""Processes of the simulation can be halted: the world goes on without them."""

from __future__ import annotations

import asyncio

from extsync.seams.virtual import VirtualClock, virtual_time
from tests.simulation.process import Process, ProcessClock, count_steps


@virtual_time
async def test_a_process_that_is_halted_goes_on_where_it_was() -> None:
    count_steps(asyncio.get_running_loop())
    process, clock, times = Process("one"), ProcessClock(rate=1.0), []

    async def main() -> None:
        clock.call_later(4.0, lambda: times.append(-clock.monotonic()))
        while True:
            await clock.sleep(1.0)
            times.append(clock.monotonic())

    process.start(main())
    await VirtualClock().sleep(2.5)
    process.halt()
    await VirtualClock().sleep(5.0)
    assert times == [1.0, 2.0]
    process.go_on()
    await VirtualClock().sleep(1.2)
    assert sorted(times) == [-7.5, 1.0, 2.0, 7.5, 8.5]
    process.die()
    await process.ended()


@virtual_time
async def test_time_is_over_for_what_a_halted_process_waited_for() -> None:
    count_steps(asyncio.get_running_loop())
    process, clock, answer = Process("one"), ProcessClock(rate=1.0), asyncio.Event()
    outcomes = []

    async def main() -> None:
        try:
            async with clock.timeout(2.0):
                await answer.wait()
        except TimeoutError:
            outcomes.append(clock.monotonic())

    process.start(main())
    await VirtualClock().sleep(1.0)
    process.halt()
    answer.set()
    await VirtualClock().sleep(5.0)
    process.go_on()
    await process.ended()
    assert outcomes == [6.0]


@virtual_time
async def test_a_halted_process_can_be_killed() -> None:
    count_steps(asyncio.get_running_loop())
    process = Process("one")
    process.start(VirtualClock().sleep(10.0))
    await VirtualClock().sleep(1.0)
    process.halt()
    await VirtualClock().sleep(1.0)
    process.die()
    await process.ended()
    assert process.main is not None
    assert process.main.cancelled()
