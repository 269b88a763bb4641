"""How many look-ups are under way at a time."""

from __future__ import annotations

import asyncio

from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.sources.dns.admission import PATIENCE, Admission

CLOCK = VirtualClock()


async def starts(admission: Admission, count: int, seconds: float) -> list[float]:
    """When each of ``count`` look-ups begins that take so many seconds each."""
    times = []

    async def one() -> None:
        async with admission.room():
            times.append(CLOCK.monotonic())
            await CLOCK.sleep(seconds)

    await asyncio.gather(*(one() for _ in range(count)))
    return times


@virtual_time
async def test_quick_look_ups_follow_one_another() -> None:
    assert await starts(Admission(CLOCK, young=2), 6, 0.125) == [0, 0, 0.125, 0.125, 0.25, 0.25]


@virtual_time
async def test_those_that_wait_keep_the_others_waiting_for_a_moment_only() -> None:
    assert await starts(Admission(CLOCK, young=2), 4, 100) == [0, 0, PATIENCE, PATIENCE]


@virtual_time
async def test_there_is_an_end_to_it() -> None:
    assert await starts(Admission(CLOCK, young=2, everything=3), 4, 100) == [0, 0, PATIENCE, 100]


@virtual_time
async def test_a_look_up_that_is_cancelled_makes_room() -> None:
    admission = Admission(CLOCK, young=1, everything=1)
    first = asyncio.create_task(starts(admission, 1, 100))
    await CLOCK.sleep(0.1)
    first.cancel()
    await asyncio.wait({first})
    assert await starts(admission, 1, 1) == [0.1]
