"""How many look-ups of a source are under way at a time.

What is bounded is the burst that a name server and this process see. A look-up that waits for a server that does not
answer is a burden to neither, and must not keep the others waiting: after a moment it counts no longer among the few.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from extsync.seams import Clock

YOUNG: Final = 32
"""Look-ups at a time that began less than ``PATIENCE`` ago."""

PATIENCE: Final = 0.25
"""Seconds after which a look-up waits rather than works."""

ALL: Final = 1024
"""Look-ups at a time, which bounds the sockets."""


class Admission:
    """Lets look-ups begin in the order in which they come."""

    def __init__(self, clock: Clock, *, young: int = YOUNG, everything: int = ALL) -> None:
        self._clock = clock
        self._young = asyncio.Semaphore(young)
        self._all = asyncio.Semaphore(everything)

    @asynccontextmanager
    async def room(self) -> AsyncIterator[None]:
        """A block that is entered when there is room."""
        async with self._all:
            await self._young.acquire()
            is_young = True

            def age() -> None:
                nonlocal is_young
                if is_young:
                    is_young = False
                    self._young.release()

            timer = self._clock.call_later(PATIENCE, age)
            try:
                yield
            finally:
                timer.cancel()
                age()
