"""What answering costs whoever probes in the same process. ``python -m benchmarks.status``.

The goals: a scrape of 1,000 services takes at most a tenth of what it takes with a series for each of their endpoints,
and never holds the loop for over 20 ms; questions to the status port do not slow probing.

Blocks of the loop are CPU between two of its turns, so that other work on the machine does not count. Whoever asks is a
process of its own.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks import engine, probes
from benchmarks.figures import SHORT, Row, all_good, print_table
from extsync.cli.run import collect_seldom
from extsync.engine.status import ServiceStatus
from extsync.model import Endpoint, PortValue, ServiceKey, State, Why
from extsync.seams import SystemClock
from extsync.web.server import serving
from tests.web.crowd import Crowd

PART = "status"
SCRAPE_GOAL = 0.1
BLOCK_LIMIT = 20.0
LAG_LIMIT = 20.0
"""Milliseconds by which questions may make the loop later."""

RATE_GOAL = 1.05
SETTLING = 1.0
"""Seconds for which the asking process has been asking before it counts."""

TICK = 0.005
"""Seconds between two looks at how late the loop is."""


@dataclass(frozen=True)
class Size:
    """``services`` with ``each`` so many endpoints are scraped, ``layout`` are services and endpoints that are probed.

    ``watchers`` follow the stream while others ask for everything else, each every ``pause`` seconds.
    """

    services: int = 1_000
    each: int = 100
    scrapes: int = 5
    layout: tuple[int, int] = (200, 50)
    watchers: int = 4
    pause: float = 1.0
    window: float = 4.0
    rounds: int = 3


SIZE = Size()
SHORT_SIZE = Size(services=20, each=5, scrapes=1, layout=(4, 5), watchers=1, pause=0.2, window=1.0, rounds=1)


def rows(size: Size | None = None) -> list[Row]:
    """The scrape, then the questions."""
    size = size or (SHORT_SIZE if SHORT else SIZE)
    with _garbage_as_in_a_run():
        return [*scrape_rows(size), *lag_rows(size)]


@contextmanager
def _garbage_as_in_a_run() -> Iterator[None]:
    thresholds = gc.get_threshold()
    collect_seldom()
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


# ---- the scrape ------------------------------------------------------------------------------------------------------


class Published(Crowd):
    """Services with endpoints that a scrape can tell one by one."""

    def __init__(self, size: Size) -> None:
        super().__init__(size.services)
        ports = (PortValue("main", 8080),)
        self._endpoints = [
            Endpoint(f"10.0.{place >> 8}.{place & 255}", ports, "", State.READY, Why.HEALTHY)
            for place in range(size.each)
        ]

    def endpoints(self, key: ServiceKey) -> list[tuple[str, Endpoint]]:
        """With the work that it is to an engine."""
        sources = {one.identity: "inventory" for one in self._endpoints}
        return [(sources[one.identity], one) for one in self._endpoints]

    def service_status(self, key: ServiceKey) -> ServiceStatus | None:
        status = super().service_status(key)
        return status and msgspec.structs.replace(status, ready=len(self._endpoints))


def scrape_rows(size: Size) -> list[Row]:
    """A scrape without and with a series for each endpoint: CPU, size and the longest block of the loop."""
    crowd = Published(size)
    short, block, length = asyncio.run(_scraped(crowd, size, each_endpoint=False))
    long, _, whole = asyncio.run(_scraped(crowd, size, each_endpoint=True))
    what = f"scrape of {size.services:,} services"
    beside = f"with a series for each of {size.services * size.each:,} endpoints"
    return [
        Row(
            part=PART,
            what=f"{what}, CPU",
            figure=short,
            unit="ms",
            reference=long,
            reference_is=beside,
            goal=SCRAPE_GOAL,
        ),
        Row(
            part=PART, what=f"{what}, text", figure=length, unit="KiB", reference=whole, reference_is=beside, goal=None
        ),
        Row(
            part=PART,
            what=f"{what}, longest block of the loop",
            figure=block,
            unit="ms",
            reference=BLOCK_LIMIT,
            reference_is="limit",
        ),
    ]


async def _scraped(crowd: Published, size: Size, *, each_endpoint: bool) -> tuple[float, float, float]:
    """Milliseconds of CPU of a scrape, those of the longest block, and the size of the text in KiB."""
    clock = SystemClock()
    async with serving(crowd, host="127.0.0.1", port=0, clock=clock, endpoint_metrics=each_endpoint) as port:
        url = f"http://127.0.0.1:{port}/metrics"
        await _scrape(url, 1)
        before = probes.cpu()
        length = await _scrape(url, size.scrapes)
        used = probes.cpu() - before
        with longest_turn() as turn:
            await _scrape(url, size.scrapes)
    return used / size.scrapes * 1000, turn[0] * 1000, length / 1024


async def _scrape(url: str, times: int) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.asking", "scrape", url, str(times), stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    return int(out)


@contextmanager
def longest_turn() -> Iterator[list[float]]:
    """Yields the longest CPU, in seconds, between two turns of the loop in the block."""
    loop, longest = asyncio.get_running_loop(), [0.0]
    last, running = time.thread_time(), True

    def turn() -> None:
        nonlocal last
        now = time.thread_time()
        longest[0] = max(longest[0], now - last)
        last = now
        if running:
            loop.call_soon(turn)

    turn()
    try:
        yield longest
    finally:
        running = False


# ---- questions while probing -----------------------------------------------------------------------------------------


def lag_rows(size: Size) -> list[Row]:
    """How late the loop is, and how many probes it makes, without anybody who asks and with many."""
    with probes.listeners() as port:
        before, after = asyncio.run(_lags(size, port))
    services, each = size.layout
    what = f"{services} x {each} endpoints probed every {engine.PERIOD} s, status port asked all the time"
    return [
        Row(
            part=PART,
            what=f"{what}: lag of the loop, p99",
            figure=after.lag,
            unit="ms",
            reference=before.lag + LAG_LIMIT,
            reference_is=f"nobody asks ({before.lag:.2f}), and {LAG_LIMIT:.0f}",
        ),
        Row(
            part=PART,
            what="... from one probe to the next, all together",
            figure=1e6 / after.rate,
            unit="us",
            reference=1e6 / before.rate,
            reference_is="nobody asks",
            goal=RATE_GOAL,
        ),
    ]


@dataclass(frozen=True)
class Pace:
    """Milliseconds by which 99 of 100 timers are late at most, and probes a second."""

    lag: float
    rate: float


async def _lags(size: Size, port: int) -> tuple[Pace, Pace]:
    services, each = size.layout
    endpoints = services * each
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hosts = ((host, port) for host in probes.hosts(endpoints))
        engine.write_inputs(folder, services, each, hosts, periodSeconds=engine.PERIOD, failureThreshold=5)
        bench = engine.Bench(folder)
        async with bench.running(), serving(bench.engine, host="127.0.0.1", port=0, clock=SystemClock()) as number:
            await bench.settled(services=services, up=endpoints)
            before, after = [], []
            for _ in range(size.rounds):  # in turn, as other work on the machine comes and goes
                before.append(await _pace(bench, size.window))
                with asking(number, size):
                    await asyncio.sleep(SETTLING)
                    after.append(await _pace(bench, size.window))
    return _median(before), _median(after)


def _median(paces: list[Pace]) -> Pace:
    return Pace(statistics.median(one.lag for one in paces), statistics.median(one.rate for one in paces))


async def _pace(bench: engine.Bench, window: float) -> Pace:
    late, began, probed = [], time.monotonic(), bench.io.sockets
    while (now := time.monotonic()) - began < window:
        await asyncio.sleep(TICK)
        late.append(max(0.0, time.monotonic() - now - TICK))
    late.sort()
    return Pace(late[int(len(late) * 0.99)] * 1000, (bench.io.sockets - probed) / (time.monotonic() - began))


@contextmanager
def asking(port: int, size: Size) -> Iterator[None]:
    """A process asks for everything there is, again and again."""
    command = [sys.executable, "-m", "benchmarks.asking", "ask", str(port), str(size.watchers), str(size.pause)]
    process = subprocess.Popen(command)
    try:
        yield
        if process.poll() is not None:
            raise RuntimeError("whoever asked the status port ended before its time")
    finally:
        process.kill()
        process.wait()


def main() -> int:
    found = rows()
    print_table(found)
    return 0 if all_good(found) else 1


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    sys.exit(main())
