"""What a replica keeps of one shard: its Lease, the writes under way for its services, and how it came and went."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

from extsync.kube.lease import Elector


class Shard:
    """One shard.

    Attributes:
        idle: Set while no write is under way.
        got_at: When this replica began to lead for it (monotonic); -inf: never.
        handed_over: This replica left it to another one, and nobody has been seen to take it since.
        in_vain: How many times in a row that ended with this replica getting it back.
        leaves: The task that hands it over, while one does.
    """

    def __init__(self, number: int, name: str, elector: Elector) -> None:
        self.number = number
        self.name = name
        self.elector = elector
        self.idle = asyncio.Event()
        self.idle.set()
        self.got_at = -inf
        self.in_vain = 0
        self.handed_over = False
        self.leaves: asyncio.Task[None] | None = None
        self._writes = 0

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Encloses writes."""
        self._writes += 1
        self.idle.clear()
        try:
            yield
        finally:
            self._writes -= 1
            if not self._writes:
                self.idle.set()
