"""Trying a connection on real sockets."""

from __future__ import annotations

import pytest

from extsync.seams.reaching import Reach, SystemReacher
from tests.health.listeners import LOOPBACK, black_hole, listening, nobody, silent

pytestmark = pytest.mark.sockets


async def test_a_listener_is_reached() -> None:
    async with listening(silent) as port:
        assert await SystemReacher().reach(LOOPBACK, port, timeout=10.0) == Reach("", True)


async def test_a_refusal_is_an_answer() -> None:
    with nobody() as port:
        assert await SystemReacher().reach(LOOPBACK, port, timeout=10.0) == Reach("connection refused", True)


async def test_silence_is_none() -> None:
    with black_hole() as port:
        assert await SystemReacher().reach(LOOPBACK, port, timeout=0.1) == Reach("no answer within 0.1 s", False)
