"""What keeping DNS names up to date costs. ``python -m benchmarks.dns``.

The goal: 1,000 names with A and AAAA records of 30 s TTL in less than 10 % of a core, be they names of one source or a
source each. CPU is that of this process, with everything up to the last good sets; the name server runs in another one.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dns.message import Message, QueryMessage

from benchmarks.figures import Row, all_good, cells
from extsync.config.sources import DnsSource as Block
from extsync.model import Observation
from extsync.seams import SystemClock, SystemDialer, SystemRandom
from extsync.sources.base import SourceContext
from extsync.sources.dns import DnsSource
from extsync.sources.dns.exchange import Server, SystemExchange, Transport
from extsync.sources.holds import LastGood
from extsync.sources.part import HoldTimes
from extsync.sources.supervise import supervise

PART = "dns"
NAMES = 1000
TTL = 30
WARM_UP = 4.0
"""Seconds of the first look-ups, which come all at once and then never again."""
WINDOW = 30.0
LIMIT = 10.0
"""Percent of a core."""

_HEADER = b"\x84\x80\0\1\0\1\0\0\0\0"
_ADDRESSES = {1: b"\xc0\0\2\1", 28: b"\x20\x01\x0d\xb8" + bytes(11) + b"\1"}


def serve() -> None:
    """Answers every A and AAAA question over UDP with one address."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        query, client = listener.recvfrom(4096)
        end = 12
        while query[end]:
            end += query[end] + 1
        kind = query[end + 1 : end + 5]
        address = _ADDRESSES[kind[1]]
        record = b"\xc0\x0c" + kind + TTL.to_bytes(4, "big") + len(address).to_bytes(2, "big") + address
        listener.sendto(query[:2] + _HEADER + query[12 : end + 5] + record, client)


def rows() -> list[Row]:
    """One row for a source with all names, one for a source each."""
    found = []
    for what, groups in (("one source", [_names()]), ("a source each", [[name] for name in _names()])):
        with _server() as server:
            share, looked = asyncio.run(_measure(server, groups))
        found.append(
            Row(
                part=PART,
                what=f"{NAMES:,} names (A and AAAA, {TTL} s TTL), {what}, {looked:.0f} look-ups/s, CPU",
                figure=share * 100,
                unit="% of a core",
                reference=LIMIT,
                reference_is="limit",
            )
        )
    return found


class _Counting:
    """The real exchange, and how often it was used."""

    def __init__(self) -> None:
        self.count = 0
        self._exchange = SystemExchange()

    async def __call__(self, query: QueryMessage, server: Server, transport: Transport, /) -> Message:
        self.count += 1
        return await self._exchange(query, server, transport)


async def _measure(server: str, groups: list[list[str]]) -> tuple[float, float]:
    """The share of a core and the look-ups per second, after the first burst."""
    exchange = _Counting()
    good = [LastGood(HoldTimes()) for _ in groups]
    tasks = [
        asyncio.create_task(_keep(_source(names, server, exchange), held))
        for names, held in zip(groups, good, strict=True)
    ]
    await asyncio.sleep(WARM_UP)
    gc.collect()
    before, asked, began = time.process_time(), exchange.count, time.monotonic()
    await asyncio.sleep(WINDOW)
    share = (time.process_time() - before) / (time.monotonic() - began)
    looked = (exchange.count - asked) / WINDOW
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(len(held.backends) for held in good) == 2 * NAMES, "not every name was found"
    assert looked >= 2 * NAMES / TTL, "not every name was asked in time"
    return share, looked


async def _keep(source: DnsSource, held: LastGood) -> None:
    clock = SystemClock()

    def emit(observation: Observation) -> None:
        held.observe(observation, clock.monotonic())

    await supervise(source, emit, clock=clock, random=SystemRandom())


def _source(names: list[str], server: str, exchange: _Counting) -> DnsSource:
    context = SourceContext(
        name="names",
        namespace="default",
        base_dir=Path(),
        clock=SystemClock(),
        random=SystemRandom(),
        dialer=SystemDialer(),
    )
    return DnsSource(Block.model_validate({"names": names, "nameservers": [server]}), context, exchange=exchange)


def _names() -> list[str]:
    return [f"db-{number}.example.com" for number in range(NAMES)]


@contextmanager
def _server() -> Iterator[str]:
    """A name server in a process of its own."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.dns", "serve"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def main() -> int:
    """Prints the figures; 1 where a goal was missed."""
    found = rows()
    for row in found:
        print("  ".join(cells(row)), flush=True)
    return 0 if all_good(found) else 1


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    sys.exit(main())
