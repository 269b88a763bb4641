"""How late the event loop is: what everything that shares it has to wait for."""

from __future__ import annotations

from typing import Final

from extsync.histogram import Histogram
from extsync.seams import Clock

EVERY: Final = 0.25
"""Seconds from one measurement to the next."""


def lags() -> Histogram:
    """An empty histogram of such delays in seconds."""
    return Histogram.of(0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


async def measure(lag: Histogram, clock: Clock) -> None:
    """Counts in ``lag`` by how much a timer fires too late, until it is cancelled."""
    while True:
        due = clock.monotonic() + EVERY
        await clock.sleep(EVERY)
        lag.observe(max(0.0, clock.monotonic() - due))
