"""Probing at full size: 100,000 endpoints at 10 s in one process, two minutes long. ``python -m benchmarks.scale``.

The goals: the event loop's lag stays under 20 ms (p99), no period is missed, memory stays within 450 MiB at its peak,
and a verdict comes less than 0.1 s (p99) after the probe that decides it should have been.

Most endpoints are one nginx on loopback addresses. The others, each on one of some listeners here, begin to fail at
known times, when their listener closes. The probe that ideally decides is the third of those planned after that:
planned means by the rhythm that the endpoint's id and the time of its upsert give, without the prober's own delays.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Hashable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import probes, servers
from benchmarks.figures import SHORT, Row, all_good, print_table
from extsync.health.prober import Prober
from extsync.health.target import Probe, Target, Timing
from extsync.model import Health
from extsync.seams import SystemClock, SystemProbeIO, stable_fraction

PART = "scale"
FAILURES = 3
EVERY = 0.01
"""Seconds between two looks at the event loop's lag."""

PORTION = 1_000
"""How many targets are put in at once."""
START_SECONDS = 60.0
_FROM, _UNTIL = 0.3, 0.5
"""Between which parts of the run the listeners close."""

LAG_GOAL = 20.0
DELAY_GOAL = 100.0
MEMORY_GOAL = 450.0


@dataclass(frozen=True)
class Size:
    """``failing`` of ``endpoints`` share ``listeners`` that close, one after another, in a run of ``seconds``."""

    endpoints: int = 100_000
    failing: int = 2_000
    listeners: int = 40
    period: float = 10.0
    seconds: float = 120.0
    timeout: float = 1.0


SIZE = Size()
SHORT_SIZE = Size(endpoints=1_000, failing=100, listeners=4, period=1.0, seconds=8.0)


def rows(size: Size | None = None) -> list[Row]:
    """The figures of one run."""
    size = size or (SHORT_SIZE if SHORT else SIZE)
    with tempfile.TemporaryDirectory() as name, servers.nginx(Path(name)) as target:
        measured = asyncio.run(observe(size, target.port))
    load = f"{size.endpoints:,} endpoints at {size.period:g} s, {size.seconds:g} s long"

    def row(what: str, figure: float, unit: str, limit: float) -> Row:
        return Row(part=PART, what=f"{load}: {what}", figure=figure, unit=unit, reference=limit, reference_is="limit")

    late = delays(size, measured)
    share = measured["cpu"] / measured["seconds"] * 100
    return [
        row(f"event loop's lag, p99 (median {quantile(measured['lags'], 50) * 1e3:.1f})",
            quantile(measured["lags"], 99) * 1e3, "ms", LAG_GOAL),
        row("periods missed: skipped", measured["skipped"], "probes", 0),
        row("periods missed: over one period late", measured["missing"], "probes", 0),
        row(f"healthy endpoints found down, of {size.endpoints - size.failing:,}", measured["wrong"], "endpoints", 0),
        row("memory, most ever resident", measured["memory"], "MiB", MEMORY_GOAL),
        row(f"failing endpoints not found down, of {size.failing:,}", size.failing - len(late), "endpoints", 0),
        row(f"delay of a verdict, p99 (median {quantile(late, 50) * 1e3:.0f})",
            quantile(late, 99) * 1e3, "ms", DELAY_GOAL),
        row("CPU", share, "% of a core", 100),
    ]  # fmt: skip


def quantile(values: list[float], percent: int) -> float:
    """A percentile; infinite where there are no values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else math.inf


# ---- this process: the failing endpoints -----------------------------------------------------------------------------


async def observe(size: Size, port: int) -> dict[str, Any]:
    """Runs the prober in a process of its own, closes listeners meanwhile, and returns what it measured and when."""
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=512) for _ in range(size.listeners)]
    task = {"size": asdict(size), "port": port, "ports": [listener.getsockname()[1] for listener in listeners]}
    accepting = [asyncio.create_task(_accept(listener)) for listener in listeners]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.scale", "run", json.dumps(task)), stdout=subprocess.PIPE, limit=1 << 26
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            await process.stdout.readline()  # it begins
        result = asyncio.create_task(process.communicate())
        closed = await _close(size, listeners, accepting)
        async with asyncio.timeout(size.seconds + START_SECONDS):
            out, _ = await result
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if process.returncode:
        raise RuntimeError("the prober's process failed; what it said is on standard error")
    return {**json.loads(out), "closed": closed}


async def _close(size: Size, listeners: list[socket.socket], accepting: list[asyncio.Task[None]]) -> list[float]:
    """Closes one listener after another; returns when each was closed."""
    clock, closed = SystemClock(), []
    await asyncio.sleep(size.seconds * _FROM)
    for listener, task in zip(listeners, accepting, strict=True):
        task.cancel()
        await asyncio.wait([task])
        listener.close()
        closed.append(clock.monotonic())
        await asyncio.sleep(size.seconds * (_UNTIL - _FROM) / size.listeners)
    return closed


async def _accept(listener: socket.socket) -> None:
    listener.setblocking(False)
    while True:
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        connection.close()


def delays(size: Size, measured: dict[str, Any]) -> list[float]:
    """Seconds from when the deciding probe should have been to the verdict, of each failing endpoint that has one."""
    found = []
    for number, when in measured["down"].items():
        closed, first = measured["closed"][int(number) % size.listeners], measured["firsts"][number]
        failing = math.ceil((closed - first) / size.period)
        found.append(when - (first + (failing + FAILURES - 1) * size.period))
    return found


# ---- the process of the prober ---------------------------------------------------------------------------------------


class Run:
    """The prober at work, and what can be seen of it from outside."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.clock = SystemClock()
        self.lags: list[float] = []
        self.firsts: dict[int, float] = {}
        self.down: dict[int, float] = {}
        self.wrong = 0
        self._changed = asyncio.Event()
        self._prober = Prober(clock=self.clock, io=SystemProbeIO(), wake=self._changed.set)
        self._upserted: list[float] = []

    async def measure(self, port: int, ports: list[int]) -> dict[str, Any]:
        await self._prober.start()
        tasks = [asyncio.create_task(work) for work in (self._feel(), self._follow())]
        print("begins", flush=True)
        began = self.clock.monotonic()
        await self._fill(port, ports)
        await asyncio.sleep(began + self.size.seconds - self.clock.monotonic())
        now, cpu, stats = self.clock.monotonic(), probes.cpu(), self._prober.stats
        for task in tasks:
            task.cancel()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        missing = self._missing(now)
        await self._prober.close()
        return {
            "lags": self.lags,
            "skipped": stats.skipped,
            "missing": missing,
            "wrong": self.wrong,
            "memory": peak,
            "firsts": self.firsts,
            "down": self.down,
            "cpu": cpu,
            "seconds": now - began,
        }

    async def _fill(self, port: int, ports: list[int]) -> None:
        """Puts all targets in, in portions as services would; those that will fail one by one, to know their times."""
        size, timing = self.size, Timing(period=self.size.period, timeout=self.size.timeout, failure_threshold=FAILURES)
        for number in range(size.failing):
            self.firsts[number] = self.clock.monotonic() + _phase(number) * size.period
            probe = Probe(probes.TCP, timing, "127.0.0.1", ports[number % size.listeners])
            self._prober.upsert([Target(number, (probe,))])
            self._upserted.append(self.clock.monotonic())
            if number % PORTION == 0:
                await asyncio.sleep(0)
        hosts = probes.hosts(size.endpoints)
        for start in range(size.failing, size.endpoints, PORTION):
            numbers = range(start, min(start + PORTION, size.endpoints))
            self._prober.upsert(
                [Target(number, (Probe(probes.TCP, timing, hosts[number], port),)) for number in numbers]
            )
            self._upserted += [self.clock.monotonic()] * len(numbers)
            await asyncio.sleep(0)

    async def _feel(self) -> None:
        """Notes by how much the event loop is late, each 10 ms."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + EVERY
            await asyncio.sleep(EVERY)
            self.lags.append(loop.time() - due)

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            changes, now = self._prober.drain(), self.clock.monotonic()
            for target, verdict in changes:
                if verdict.health is Health.UNHEALTHY:
                    self._note_down(target, now)

    def _note_down(self, target: Hashable, now: float) -> None:
        if isinstance(target, int) and target < self.size.failing:
            self.down[target] = now
        else:
            self.wrong += 1

    def _missing(self, now: float) -> int:
        """How many probes have no result although a period has passed since they should have been."""
        found = 0
        for number, upserted in enumerate(self._upserted):
            (evidence,) = self._prober.evidence(number)
            first = upserted + _phase(number) * self.size.period
            wanted = max(0, math.floor((now - self.size.period - first) / self.size.period) + 1)
            found += max(0, wanted - evidence.passed - evidence.failed)
        return found


def _phase(number: int) -> float:
    """Where in the period a target's probe belongs, from 0 to 1: what Target says of its id."""
    return stable_fraction(f"{number}/0")


def run(task: str) -> None:
    """What the process of the prober does; prints what it measured."""
    asked = json.loads(task)
    print(json.dumps(asyncio.run(Run(Size(**asked["size"])).measure(asked["port"], asked["ports"]))))


def main() -> int:
    found = rows()
    print_table(found)
    return 0 if all_good(found) else 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", task]:
            run(task)
        case _:
            sys.exit(main())
