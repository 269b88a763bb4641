"""What the prober is told and what it tells: plain values, so that it can run in another process."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal

import msgspec

from extsync.health.base import Check
from extsync.histogram import Histogram
from extsync.model import Health


class Timing(msgspec.Struct, frozen=True, gc=False):
    """When to probe and when to conclude, in Kubernetes's words and with its defaults. Durations are seconds.

    ``transition_period`` replaces ``period`` while the latest results disagree with the verdict or there is none yet.
    ``close`` is how a probe's connection ends: ``fin`` in order, which leaves a socket in TIME_WAIT here; ``rst`` at
    once, which leaves none but, where something was said, shows in the logs of some backends.
    """

    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3
    transition_period: float | None = None
    close: Literal["fin", "rst"] = "fin"


class Probe(msgspec.Struct, frozen=True, gc=False):
    """One check of one endpoint: ``host`` is the IP address to connect to."""

    check: Check
    timing: Timing
    host: str
    port: int


class Target(msgspec.Struct, frozen=True, gc=False):
    """One endpoint and its probes, all of which must pass; at least one.

    ``id`` is the caller's; its text (``str(id)``) decides the endpoint's place in the period and must be the same in
    every process. ``immediate``: the first probes start at once instead of after the initial delay and spread over a
    period.
    """

    id: Hashable
    probes: tuple[Probe, ...]
    immediate: bool = False


class Sign(msgspec.Struct, frozen=True, gc=False):
    """The latest results of a target have changed from passes to a failure, or to passes again (``failing`` False).

    ``was_healthy`` is whether its verdict was healthy at that moment.
    """

    failing: bool
    was_healthy: bool


class Probed(msgspec.Struct, frozen=True, gc=False):
    """One result: when (wall clock), how many seconds it took, and why it failed, None where it passed."""

    at: float
    latency: float
    failure: str | None


class Change(msgspec.Struct, frozen=True, gc=False):
    """A probe's health became ``health`` at ``at`` (wall clock), and what the result was that made it so."""

    at: float
    health: Health
    reason: str


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """What is known of one probe of a target.

    ``run`` is the number of equal results in a row, at most the threshold: positive for passes, negative for failures.
    ``reason`` is what happened last, in words; ``latency`` is how many seconds the last result took and ``at`` its time
    (wall clock), both None before the first. ``note`` is what a person should know although the last result was a pass,
    such as "certificate expires 2026-12-01 (in 8 days)", or "". Counts start with the probe; skipped attempts are no
    results. ``stale`` is whether the latest result is too old to say much (see staleness). ``results`` are the latest
    eight and ``changes`` the latest five changes of ``health``, both oldest first.
    """

    check: str
    health: Health
    run: int
    reason: str
    latency: float | None
    at: float | None
    passed: int
    failed: int
    skipped: int
    note: str = ""
    stale: bool = False
    results: tuple[Probed, ...] = ()
    changes: tuple[Change, ...] = ()


def latencies() -> Histogram:
    """An empty histogram of the seconds that probes take."""
    return Histogram.of(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Stats(msgspec.Struct, frozen=True, gc=False):
    """Counts of a prober since its start, and how it is now.

    ``skipped`` counts probes that did not start when they were due (too many in flight, no descriptor or port left, the
    process or the machine was stopped): no evidence. ``waiting`` ones start as soon as there is room. ``stale`` is how
    many targets have a stale verdict; it is brought up to date in the course of ten seconds.
    ``kept`` is how many connections wait for the next attempt of their probe.
    ``workers`` is how many worker processes are ready and ``replaced`` how many had to be replaced; both are 0 where
    there are none. ``latency`` has the seconds that each result took, passed and failed ones.
    """

    attempts: int
    passed: int
    failed: int
    skipped: int
    in_flight: int
    waiting: int
    targets: int
    stale: int = 0
    kept: int = 0
    workers: int = 0
    replaced: int = 0
    latency: Histogram = msgspec.field(default_factory=latencies)
