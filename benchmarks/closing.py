"""What the end of a probe's connection leaves behind, on both sides. ``python -m benchmarks.closing``.

10,000 checks a second go to 10,000 addresses of loopback for some seconds, each connection ended in one way: in order
(``close: fin``), with a reset (``close: rst``), and in order with a linger of one second, as kubelet's probes have it.
Then the sockets in TIME_WAIT are counted, on this side and on that of the listeners, which tell how each connection
ended for them. Linux ends TIME_WAIT after a minute; together the runs stay below ``tcp_max_tw_buckets``, above which it
would forget some of them early.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.figures import Row, all_good, cells
from benchmarks.probes import ANSWER, HTTP, TCP, cpu, hosts, targets
from extsync.cli.output import table
from extsync.health.base import Check
from extsync.health.prober import Prober
from extsync.health.target import Timing
from extsync.seams import ProbeSocket, SystemClock, SystemProbeIO

PART = "closing"
ENDPOINTS = 10_000
PERIOD = 1.0
SECONDS = 4.0
SETTLING = 1.0
LINGER_ONE_SECOND = struct.pack("ii", 1, 1)
TIME_WAIT = "06"


class Lingering(SystemProbeIO):
    """Sockets with a linger of one second."""

    def socket(self, family: int) -> ProbeSocket:
        sock = super().socket(family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ONE_SECOND)
        return sock


class Case(msgspec.Struct, frozen=True):
    """One way to end a connection."""

    name: str
    check: Check
    close: Literal["fin", "rst"] = "fin"
    linger: bool = False
    server_first: bool = False
    seconds: float = SECONDS


CASES = (
    Case("rst", TCP, close="rst"),
    Case("fin", TCP),
    Case("fin, linger 1 s", TCP, linger=True),
    Case("fin, server first", HTTP, server_first=True, seconds=SECONDS / 2),
)


class Found(msgspec.Struct, frozen=True):
    """What one case left behind: ``here`` and ``there`` are sockets in TIME_WAIT, ``in_order`` and ``reset`` how many
    connections ended so for the listeners. ``cpu`` and ``slowest_turn``, of the event loop, are seconds.
    """

    checks: int
    attempts: int
    seconds: float
    cpu: float
    slowest_turn: float
    here: int
    there: int
    in_order: int = 0
    reset: int = 0


# ---- the listeners ---------------------------------------------------------------------------------------------------


def serve(*, closes_first: bool) -> None:
    """Accepts on all addresses until it is told to stop; then prints how many connections ended in order and reset."""
    stopped = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    listener = socket.create_server(("0.0.0.0", 0), backlog=4096)
    listener.setblocking(False)
    print(listener.getsockname()[1], flush=True)
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    ends = [0, 0]
    while not stopped:
        for fd, _ in poller.poll(0.1):
            if fd != listener.fileno():
                _converse(connections, fd, ends, closes_first=closes_first)
                continue
            with contextlib.suppress(BlockingIOError):
                while True:
                    connection, _ = listener.accept()
                    connection.setblocking(False)
                    connections[connection.fileno()] = connection
                    poller.register(connection, select.EPOLLIN)
    print(*ends, flush=True)


def _converse(connections: dict[int, socket.socket], fd: int, ends: list[int], *, closes_first: bool) -> None:
    connection = connections[fd]
    try:
        if connection.recv(4096):
            connection.send(ANSWER)
            if not closes_first:
                return
        ends[0] += 1
    except ConnectionResetError:
        ends[1] += 1
    del connections[fd]
    connection.close()


@contextlib.contextmanager
def listeners(*, closes_first: bool) -> Iterator[subprocess.Popen[str]]:
    """Runs ``serve`` in a process of its own, whose first line is its port."""
    command = [sys.executable, "-m", "benchmarks.closing", "serve", *(["first"] if closes_first else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


# ---- the measurement -------------------------------------------------------------------------------------------------


def time_waits(port: int) -> tuple[int, int]:
    """How many sockets are in TIME_WAIT on the side that connected to ``port``, and on the side that listens there."""
    here = there = 0
    mark = f":{port:04X}"
    with Path("/proc/net/tcp").open() as lines:
        for line in lines:
            _, local, remote, state, *_ = line.split(maxsplit=4)
            if state == TIME_WAIT:
                here += remote.endswith(mark)
                there += local.endswith(mark)
    return here, there


def is_full() -> bool:
    """Whether there are so many sockets in TIME_WAIT that Linux forgets some before their time."""
    line = next(line for line in Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:"))
    words = line.split()
    return int(words[words.index("tw") + 1]) > 0.95 * int(Path("/proc/sys/net/ipv4/tcp_max_tw_buckets").read_text())


async def probe(case: Case, port: int) -> Found:
    """Probes for as long as the case says and counts what is left."""
    io = Lingering() if case.linger else SystemProbeIO()
    running = Prober(clock=SystemClock(), io=io, wake=lambda: None)
    await running.start()
    timing = Timing(period=PERIOD, timeout=30.0, close=case.close)
    running.upsert(targets(case.check, hosts(ENDPOINTS), port, timing))
    started, began = cpu(), time.monotonic()
    slowest = 0.0
    while (turn := time.monotonic()) < began + case.seconds:
        await asyncio.sleep(0.01)
        slowest = max(slowest, time.monotonic() - turn - 0.01)
    stats, used, lasted = running.stats, cpu() - started, time.monotonic() - began
    await running.close()
    if stats.failed:
        print(f"{case.name}: {stats.failed} checks failed", file=sys.stderr)
    await asyncio.sleep(SETTLING)
    here, there = time_waits(port)
    if is_full():
        print(f"{case.name}: tcp_max_tw_buckets is reached: there were more than are counted", file=sys.stderr)
    return Found(stats.passed, stats.attempts, lasted, used, slowest, here, there)


def measure(case: Case) -> Found:
    """Runs one case."""
    with listeners(closes_first=case.server_first) as server:
        assert server.stdout is not None
        found = asyncio.run(probe(case, int(server.stdout.readline())))
        server.terminate()
        in_order, reset = map(int, server.stdout.readline().split())
    return msgspec.structs.replace(found, in_order=in_order, reset=reset)


def rows() -> list[Row]:
    """What each way to end leaves in TIME_WAIT here, against the number of checks."""
    return [_row(case, measure(case)) for case in CASES]


def _row(case: Case, found: Found) -> Row:
    leaves_none = case.close == "rst"
    return Row(
        part=PART,
        what=f"TIME_WAIT after checks that end with {case.name}, {found.checks / found.seconds:,.0f} a second",
        figure=found.here,
        unit="sockets",
        reference=0 if leaves_none else found.attempts,
        reference_is="none" if leaves_none else "connections",
    )


def main() -> int:
    found = [(case, measure(case)) for case in CASES]
    headings = (
        "close",
        "checks/s",
        "CPU/check",
        "slowest turn",
        "TIME_WAIT here",
        "there",
        "in order there",
        "reset there",
    )
    print(
        table(
            headings,
            [
                (
                    case.name,
                    f"{one.checks / one.seconds:,.0f}",
                    f"{one.cpu / max(1, one.checks) * 1e6:.0f} us",
                    f"{one.slowest_turn * 1000:.0f} ms",
                    f"{one.here / max(1, one.attempts):.2f} a check",
                    f"{one.there / max(1, one.attempts):.2f} a check",
                    f"{one.in_order:,}",
                    f"{one.reset:,}",
                )
                for case, one in found
            ],
        )
    )
    results = [_row(case, one) for case, one in found]
    for row in results:
        print("  ".join(cells(row)))
    return 0 if all_good(results) else 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", *options]:
            serve(closes_first=bool(options))
        case _:
            sys.exit(main())
