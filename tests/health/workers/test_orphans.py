"""No worker outlives its parent, whatever becomes of that."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.health.listeners import listening, silent
from tests.health.workers.support import eventually, gone

pytestmark = pytest.mark.sockets

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("state", ["busy", "hanging"])
async def test_workers_end_when_their_parent_is_killed(state: str) -> None:
    async with listening(silent) as port:
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.health.workers.parent", str(port), state,
            cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert parent.stdout is not None
        pids = [int(word) for word in (await parent.stdout.readline()).split()]
        assert len(pids) == 2
        os.kill(parent.pid, signal.SIGKILL)
        await parent.wait()
        await eventually(lambda: all(map(gone, pids)))
