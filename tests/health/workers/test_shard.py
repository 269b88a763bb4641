"""How long a worker that cannot be started is waited for, in virtual time."""

from __future__ import annotations

import errno
from itertools import pairwise

import pytest

from extsync.health.target import Probe, Target, Timing
from extsync.health.workers.pool import ProberPool
from extsync.model import UNKNOWN
from extsync.seams.child import Child
from extsync.seams.virtual import VirtualClock, virtual_time
from tests.health.support import HOST, TCP


@virtual_time
async def test_the_wait_doubles_up_to_half_a_minute_and_is_logged_each_time(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    starts: list[float] = []

    def refuse(module: str, /) -> Child:
        starts.append(clock.monotonic())
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    pool = ProberPool(clock=clock, workers=1, wake=lambda: None, launcher=refuse)
    await pool.start()
    pool.upsert([Target("a", (Probe(TCP, Timing(), HOST, 80),))])
    await clock.sleep(200.0)
    waits = [round(later - start, 3) for start, later in pairwise(starts)]
    assert waits[:9] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6]
    assert set(waits[9:]) == {30.0}
    assert pool.stats.replaced == len(waits)
    assert pool.stats.workers == 0
    assert pool.verdict("a") == UNKNOWN
    assert len(caplog.records) == len(starts)
    assert caplog.records[0].getMessage() == (
        "probe worker 1 cannot be started: [Errno 11] Resource temporarily unavailable;"
        " its targets (1) keep their verdicts, and it is replaced in 0.1 s"
    )
    with pytest.raises(TimeoutError, match="probe worker 1 is being replaced"):
        await pool.evidence("a")
    await pool.close()
