"""What probing costs: CPU per check and memory per endpoint. ``python -m benchmarks.probes``.

The goals, at 10,000 endpoints: a TCP check at most 0.35 of ``asyncio.open_connection`` with a time-out, an HTTP check
at most 0.3 of aiohttp with a new connection, both within 1.5 of the raw floor: the same sockets with nothing around
them, neither deadlines nor thresholds. All of them run at the same pace, since a check costs the more the fewer of them
share a wake-up. CPU is that of this process; the listeners run in another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import resource
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import aiohttp

from benchmarks.figures import Row, all_good, cells
from extsync.config.checks import HttpGet, TcpSocket
from extsync.health.base import Check, CheckContext
from extsync.health.http import HttpCheck
from extsync.health.prober import Prober
from extsync.health.target import Probe, Target, Timing
from extsync.health.tcp import TcpCheck
from extsync.seams import SystemClock, SystemProbeIO

PART = "probes"
TIMEOUT = 10.0  # generous, so that a busy machine makes nothing fail
WARM_UP = 0.5
MEMORY_ENDPOINTS = 100_000
MEMORY_LIMIT = 400 * 1024 * 1024 / MEMORY_ENDPOINTS
FLOOR_GOAL = 1.5

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
CONTEXT = CheckContext(Path(), {})


@dataclass(frozen=True)
class Load:
    """How much is measured: ``endpoints`` once each in ``period`` seconds, for ``window`` seconds, ``rounds`` times."""

    endpoints: int = 10_000
    period: float = 5.0
    window: float = 1.2
    rounds: int = 5

    @property
    def per_tick(self) -> int:
        """How many checks belong in 10 ms."""
        return int(self.endpoints / self.period / 100)

    def __str__(self) -> str:
        return f"{self.endpoints:,} endpoints, {self.per_tick * 100:,} a second"


LOAD = Load()
SHORT_LOAD = Load(endpoints=200, period=1.0, window=0.5, rounds=1)
TCP = TcpCheck(TcpSocket.model_validate({"port": 80}), CONTEXT)
HTTP = HttpCheck(HttpGet.model_validate({"port": 80, "path": "/healthz"}), CONTEXT)


def hosts(count: int) -> list[str]:
    """Addresses of this machine, many enough that no (address, port) runs out of local ports."""
    return [f"127.{1 + number // 62_500}.{number // 250 % 250}.{number % 250 + 1}" for number in range(count)]


def serve() -> None:
    """Accepts on all addresses, answers each request and closes with the client."""
    listener = socket.create_server(("0.0.0.0", 0), backlog=4096)
    listener.setblocking(False)
    print(listener.getsockname()[1], flush=True)
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        for fd, _ in poller.poll():
            if fd != listener.fileno():
                _answer(connections, fd)
                continue
            with contextlib.suppress(BlockingIOError):
                while True:
                    connection, _ = listener.accept()
                    connection.setblocking(False)
                    connections[connection.fileno()] = connection
                    poller.register(connection, select.EPOLLIN)


def _answer(connections: dict[int, socket.socket], fd: int) -> None:
    connection = connections[fd]
    try:
        if connection.recv(4096):
            connection.send(ANSWER)
            return
    except OSError:
        pass  # reset
    del connections[fd]
    connection.close()


@contextlib.contextmanager
def listeners() -> Iterator[int]:
    """Runs ``serve`` in a process of its own; yields the port."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.probes", "serve"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def targets(check: Check, addresses: list[str], port: int, timing: Timing, *, immediate: bool = False) -> list[Target]:
    return [Target(address, (Probe(check, timing, address, port),), immediate) for address in addresses]


async def prober(check: Check, port: int, load: Load = LOAD, *, close: Literal["fin", "rst"] = "fin") -> float:
    """CPU seconds per check of the prober in its stride: each endpoint has been probed and has a verdict."""
    running = Prober(clock=SystemClock(), io=SystemProbeIO(), wake=lambda: None)
    await running.start()
    timing = Timing(period=load.period, timeout=TIMEOUT, close=close)
    running.upsert(targets(check, hosts(load.endpoints), port, timing))
    await asyncio.sleep(load.period + WARM_UP)
    before, started = running.stats, cpu()
    await asyncio.sleep(load.window)
    after, ended = running.stats, cpu()
    await running.close()
    if after.failed or after.skipped:
        print(f"busy machine: {after.failed} checks failed, {after.skipped} were skipped", file=sys.stderr)
    return (ended - started) / (after.passed - before.passed)


async def floor(check: Check, port: int, load: Load = LOAD) -> float:
    """CPU seconds per check of a bare loop over epoll."""
    poller = select.epoll()
    flying: dict[int, socket.socket] = {}
    request = check.request("127.0.0.1", port)
    first = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET if request.data else select.EPOLLOUT
    addresses = itertools.cycle(hosts(load.endpoints))
    done, started, begin = 0, cpu(), time.monotonic()
    for tick in range(int(load.window * 100)):
        for _ in range(load.per_tick):
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            sock.connect_ex((next(addresses), port))
            flying[sock.fileno()] = sock
            poller.register(sock.fileno(), first)
        left = 1.0
        while left > 0:
            left = max(0.0, begin + (tick + 1) / 100 - time.monotonic())
            for fd, events in poller.poll(left, 256):
                sock = flying[fd]
                if request.data and not events & select.EPOLLIN:
                    sock.send(request.data)
                    continue
                if request.data:
                    sock.recv(4096)
                del flying[fd]
                sock.close()
                done += 1
    ended = cpu()
    for sock in flying.values():
        sock.close()
    poller.close()
    return (ended - started) / done


async def streams(port: int) -> float:
    """CPU seconds per check with asyncio's streams and a time-out."""

    async def one(address: str) -> None:
        async with asyncio.timeout(TIMEOUT):
            _, writer = await asyncio.open_connection(address, port)
        writer.close()
        await writer.wait_closed()

    return await _many(one)


async def client(port: int) -> float:
    """CPU seconds per check with aiohttp, a new connection each."""
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def one(address: str) -> None:
            async with session.get(f"http://{address}:{port}/healthz", allow_redirects=False) as response:
                if response.status != 200:
                    raise AssertionError(response.status)

        return await _many(one)


async def _many(one: Callable[[str], Coroutine[None, None, None]]) -> float:
    """Runs ``one`` for many addresses, as many every 10 ms as the prober starts."""
    addresses = iter(hosts(LOAD.endpoints))
    tasks = []
    started, begin = cpu(), time.monotonic()
    for tick in range(int(LOAD.window * 100)):
        tasks += [asyncio.create_task(one(next(addresses))) for _ in range(LOAD.per_tick)]
        await asyncio.sleep(max(0.0, begin + (tick + 1) / 100 - time.monotonic()))
    await asyncio.gather(*tasks)
    return (cpu() - started) / len(tasks)


async def compare(check: Check, usual: Callable[[int], Awaitable[float]], port: int) -> list[float]:
    """Median microseconds of CPU per check: the prober, the usual way, the floor; rounds interleaved."""
    rounds = []
    for _ in range(LOAD.rounds):
        rounds.append([await prober(check, port), await usual(port), await floor(check, port)])
        gc.collect()
    return [statistics.median(column) * 1e6 for column in zip(*rounds, strict=True)]


async def memory() -> None:
    """Prints the bytes of resident memory per endpoint, once each has been probed and has a verdict."""
    changed = asyncio.Event()
    running = Prober(clock=SystemClock(), io=SystemProbeIO(), wake=changed.set)
    await running.start()
    addresses = hosts(MEMORY_ENDPOINTS)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listening: every connection is refused
        gc.collect()
        before = _resident()
        timing = Timing(period=600.0, timeout=30.0, failure_threshold=1)
        running.upsert(targets(TCP, addresses, taken.getsockname()[1], timing, immediate=True))
        while running.stats.failed < MEMORY_ENDPOINTS:
            await changed.wait()
            changed.clear()
            running.drain()
        gc.collect()
        print((_resident() - before) // MEMORY_ENDPOINTS)
    await running.close()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def rows() -> list[Row]:
    """All figures of this part."""
    found = []
    with listeners() as port:
        for kind, check, usual, name, goal in (
            ("tcpSocket", TCP, streams, "asyncio.open_connection", 0.35),
            ("httpGet", HTTP, client, "aiohttp, new connection", 0.3),
        ):
            ours, theirs, bare = asyncio.run(compare(check, usual, port))
            what = f"CPU of a {kind} check, {LOAD}"
            for reference, reference_is, limit in ((theirs, name, goal), (bare, "raw epoll", FLOOR_GOAL)):
                found.append(
                    Row(
                        part=PART,
                        what=what,
                        figure=ours,
                        unit="us",
                        reference=reference,
                        reference_is=reference_is,
                        goal=limit,
                    )
                )
    measured = subprocess.run([sys.executable, "-m", "benchmarks.probes", "memory"], check=True, capture_output=True)
    found.append(
        Row(
            part=PART,
            what=f"memory of an endpoint with a verdict, {MEMORY_ENDPOINTS:,} endpoints",
            figure=int(measured.stdout),
            unit="B",
            reference=MEMORY_LIMIT,
            reference_is="what the whole engine may take",
        )
    )
    return found


def main() -> int:
    found = rows()
    for row in found:
        print("  ".join(cells(row)))
    return 0 if all_good(found) else 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            serve()
        case ["memory"]:
            asyncio.run(memory())
        case _:
            sys.exit(main())
