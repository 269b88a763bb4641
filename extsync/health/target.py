"""What the prober is told and what it tells: plain values, so that it can run in another process."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal

import msgspec

from extsync.health.base import Check
from extsync.model import Health


class Timing(msgspec.Struct, frozen=True, gc=False):
    """When to probe and when to conclude, in Kubernetes's words and with its defaults. Durations are seconds.

    ``transition_period`` replaces ``period`` while the latest results disagree with the verdict or there is none yet.
    ``close`` is how a probe's connection ends: ``fin`` in order, which leaves a socket in TIME_WAIT here; ``rst`` at
    once, which leaves none but shows in the logs of some backends.
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


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """What is known of one probe of a target.

    ``run`` is the number of equal results in a row, at most the threshold: positive for passes, negative for failures.
    ``reason`` is what happened last, in words; ``latency`` is how many seconds the last result took and ``at`` its time
    (wall clock), both None before the first. ``note`` is what a person should know although the last result was a pass,
    such as "certificate expires 2026-12-01 (in 8 days)", or "". Counts start with the probe; skipped attempts are no
    results.
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


class Stats(msgspec.Struct, frozen=True, gc=False):
    """Counts of a prober since its start, and how it is now.

    ``skipped`` counts probes that did not start when they were due (too many in flight, no descriptor or port left, the
    process or the machine was stopped): no evidence. ``waiting`` ones start as soon as there is room.
    """

    attempts: int
    passed: int
    failed: int
    skipped: int
    in_flight: int
    waiting: int
    targets: int
