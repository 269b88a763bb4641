"""Real listeners on loopback that behave well or badly, and a prober on real sockets and time."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TypeAlias

from extsync.health.base import Check
from extsync.health.prober import Prober
from extsync.health.target import Probe, Target, Timing
from extsync.model import Health, Verdict
from extsync.seams import Clock, ProbeIO, SystemClock, SystemProbeIO

LOOPBACK = "127.0.0.1"

LONG = Timing(period=60.0, timeout=30.0, failure_threshold=1)
"""For what is decided by what the listener does: the deadline plays no part."""

SHORT = Timing(period=10.0, timeout=0.2, failure_threshold=1)
"""For listeners that leave the prober waiting: nothing but the deadline can end it. The period is for a machine that
stands still just then, which is no evidence."""

HALFWAY = Timing(period=10.0, timeout=1.0, failure_threshold=1)
"""The same for listeners that have something to do first."""

Handler: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handler: Handler, *, host: str = LOOPBACK, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A listener that gives each connection to ``handler`` and closes it afterwards; yields its port."""
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections[task] = writer
        try:
            await handler(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the prober has gone, as it may at any time
        finally:
            del connections[task]
            writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=tls, backlog=1000)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        tasks = list(connections)
        for writer in connections.values():
            writer.transport.abort()
        await asyncio.gather(*tasks)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts, listens and says nothing."""
    await reader.read()


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Waits for the first bytes and closes."""
    await reader.read(1000)


def answering(*answers: bytes) -> Handler:
    """Reads one request and gives one answer, the n-th connection the n-th, the last one over and over."""
    waiting = list(answers)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(waiting.pop(0) if len(waiting) > 1 else waiting[0])
        await writer.drain()

    return handle


def greeting(text: bytes) -> Handler:
    """Speaks first, then listens."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await reader.read()

    return handle


def endless(start: bytes, piece: bytes, *, pause: float = 0.0) -> Handler:
    """Answers with ``start`` and then ``piece`` for ever, with a pause after each."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(start)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return handle


def resetting(*, after_request: bool, start: bytes = b"") -> Handler:
    """Resets the connection: at once or once the request has come, and after sending ``start``."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if after_request:
            await reader.readuntil(b"\r\n\r\n")
        if start:
            writer.write(start)
            await writer.drain()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return handle


@contextmanager
def black_hole() -> Iterator[int]:
    """A port whose queue of connections is full, so that the system drops every further SYN; yields the port."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((LOOPBACK, 0))
        listener.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextmanager
def nobody() -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, and does not listen; yields the port."""
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        yield sock.getsockname()[1]


async def until(condition: Callable[[], bool]) -> None:
    """Lets the event loop run until ``condition`` holds."""
    while not condition():  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0)


class Elsewhere(SystemProbeIO):
    """Connects from an address of loopback that is not the usual one, as another host would."""

    ADDRESS = "127.0.0.2"

    def __init__(self) -> None:
        super().__init__(source_addresses=[self.ADDRESS])


class Live:
    """A prober on real sockets."""

    def __init__(self, io: ProbeIO, clock: Clock) -> None:
        self._changed = asyncio.Event()
        self.prober = Prober(clock=clock, io=io, wake=self._changed.set)

    async def verdicts(self, targets: list[Target]) -> dict[str, Verdict]:
        """Probes until each of the targets has a verdict, and forgets them."""
        self.prober.upsert(targets)
        ids = [str(target.id) for target in targets]
        while any(self.prober.verdict(target).health is Health.UNKNOWN for target in ids):
            await self._changed.wait()
            self._changed.clear()
            self.prober.drain()
        verdicts = {target: self.prober.verdict(target) for target in ids}
        self.prober.remove(ids)
        return verdicts

    async def verdict(self, check: Check, port: int, *, timing: Timing = LONG, host: str = LOOPBACK) -> Verdict:
        """The verdict on one port after one attempt."""
        return (await self.verdicts([Target("it", (Probe(check, timing, host, port),), immediate=True)]))["it"]

    async def failure(self, check: Check, port: int, *, timing: Timing = LONG, host: str = LOOPBACK) -> str:
        """Why one attempt at a port fails, without the check's description."""
        verdict = await self.verdict(check, port, timing=timing, host=host)
        assert verdict.health is Health.UNHEALTHY
        description = check.describe(host, port)
        assert verdict.reason.startswith(f"{description}: ")
        return verdict.reason.removeprefix(f"{description}: ")

    async def passes(self, check: Check, port: int, *, timing: Timing = LONG, host: str = LOOPBACK) -> bool:
        """Whether one attempt at a port passes."""
        return (await self.verdict(check, port, timing=timing, host=host)).health is Health.HEALTHY


@asynccontextmanager
async def live(io: ProbeIO | None = None, clock: Clock | None = None) -> AsyncIterator[Live]:
    """A prober that is running, and must not leave a descriptor open, at either end of a connection."""
    before = sockets_open()
    running = Live(io or SystemProbeIO(), clock or SystemClock())
    await running.prober.start()
    try:
        yield running
    finally:
        await running.prober.close()
    async with asyncio.timeout(20):
        await until(lambda: sockets_open() <= before)  # listeners close their ends a little later


def sockets_open() -> int:
    """How many sockets and pollers this process has open."""
    return sum(_is_socket(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd"))


def _is_socket(path: str) -> bool:
    try:
        return os.readlink(path).startswith(("socket:", "anon_inode:[eventpoll]"))
    except OSError:
        return False  # the one that was open to list them
