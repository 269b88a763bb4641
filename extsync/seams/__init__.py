"""The world outside the core: time, chance and the network, each behind a small interface.

The core receives these through constructors and never calls the standard library for them, so that the same code runs
in production and, with ``extsync.seams.virtual``, under simulated time, chance and networks.
"""

from extsync.seams.clock import Clock, SystemClock, Timer
from extsync.seams.dialer import Dialer, SystemDialer
from extsync.seams.probe_io import Poller, ProbeIO, ProbeSocket, SystemProbeIO
from extsync.seams.random import Random, SystemRandom, stable_fraction

__all__ = [
    "Clock",
    "Dialer",
    "Poller",
    "ProbeIO",
    "ProbeSocket",
    "Random",
    "SystemClock",
    "SystemDialer",
    "SystemProbeIO",
    "SystemRandom",
    "Timer",
    "stable_fraction",
]
