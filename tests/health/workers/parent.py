"""A process with two workers, which says what their ids are and waits to be killed: ``parent.py PORT [hanging]``."""

from __future__ import annotations

import asyncio
import sys

from tests.health.workers.checks import Hanging
from tests.health.workers.support import eventually, running, target


async def main(port: int, *, hanging: bool) -> None:
    async with running(workers=2) as pool:
        pool.pool.upsert([target(f"t{number}", port) for number in range(20)])
        await eventually(lambda: pool.pool.stats.passed >= 20)
        if hanging:
            pool.pool.upsert([target(f"hanging {number}", port, check=Hanging()) for number in range(20)])
            await eventually(lambda: not any(shard._outbox for shard in pool.pool._shards))
        print(*pool.pids, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), hanging="hanging" in sys.argv))
