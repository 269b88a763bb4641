"""Doing several things at once, but not too many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from extsync.errors import StoreError


async def in_parallel(works: Iterable[Callable[[], Coroutine[Any, Any, None]]], most: int) -> None:
    """Calls and awaits all of ``works``, at most ``most`` at a time; the first StoreError ends them and is raised."""
    limit = asyncio.Semaphore(most)

    async def one(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with limit:
            await work()

    try:
        async with asyncio.TaskGroup() as tasks:
            for work in works:
                tasks.create_task(one(work))
    except ExceptionGroup as group:
        errors = group.subgroup(StoreError)
        if errors is None:
            raise
        raise errors.exceptions[0] from None
