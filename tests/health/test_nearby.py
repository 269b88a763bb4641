"""Attempts at what is near: they are over before anything would wait for them, and end as any other."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from extsync.health.base import Check, Keep, Passed, Request, Result
from extsync.health.prober import Prober
from extsync.health.target import Timing
from extsync.model import Health
from extsync.seams import Poller, ProbeSocket, SystemClock, SystemProbeIO
from extsync.seams.virtual import virtual_time
from extsync.seams.virtual_net import BlackHole
from tests.health.listeners import LONG, LOOPBACK, black_hole, listening, live, nobody, silent, until
from tests.health.support import http, probing, target, tcp


class Watched:
    """The system's poller, which counts what it is to watch; it has no room for more than ``room`` sockets."""

    def __init__(self, poller: Poller, room: int) -> None:
        self._poller = poller
        self._room = room
        self.registered = 0
        self.unregister = poller.unregister
        self.modify = poller.modify
        self.poll = poller.poll
        self.close = poller.close

    def fileno(self) -> int:
        return self._poller.fileno()  # type: ignore[attr-defined, no-any-return]

    def register(self, fd: int, eventmask: int, /) -> None:
        if self.registered >= self._room:
            raise OSError(errno.ENOSPC, "no room")
        self.registered += 1
        self._poller.register(fd, eventmask)


class WatchedIO(SystemProbeIO):
    def __init__(self, room: int = 1000) -> None:
        super().__init__()
        self._room = room
        self.watched: Watched

    def poller(self) -> Poller:
        self.watched = Watched(super().poller(), self._room)
        return self.watched


async def _settled(prober: Prober, *, results: int) -> None:
    while prober.stats.passed + prober.stats.failed + prober.stats.skipped < results:  # noqa: ASYNC110
        await asyncio.sleep(0)


@pytest.mark.sockets
async def test_what_stands_or_is_refused_at_once_needs_no_poller() -> None:
    io = WatchedIO()
    prober = Prober(clock=SystemClock(), io=io, wake=lambda: None)
    await prober.start()
    with nobody() as refusing:
        async with listening(silent) as port:
            prober.upsert([target("up", host=LOOPBACK, port=port, timing=LONG)])
            prober.upsert([target("down", host=LOOPBACK, port=refusing, timing=LONG)])
            await _settled(prober, results=2)
            assert [prober.verdict(name).health for name in ("up", "down")] == [Health.HEALTHY, Health.UNHEALTHY]
            assert prober.verdict("down").reason.endswith("connection refused")
            assert io.watched.registered == 0
    await prober.close()


@pytest.mark.sockets
async def test_a_connect_that_the_poller_has_no_room_for_is_skipped() -> None:
    io = WatchedIO(room=0)
    prober = Prober(clock=SystemClock(), io=io, wake=lambda: None)
    await prober.start()
    with black_hole() as hole:
        prober.upsert([target("far", host=LOOPBACK, port=hole, timing=LONG)])
        await _settled(prober, results=1)
        assert prober.evidence("far")[0].reason == "skipped: no space left on device"
    await prober.close()


@virtual_time
@pytest.mark.parametrize("check", [tcp(), http()], ids=["tcp", "http"])
async def test_a_far_endpoint_is_watched_and_keeps_its_deadline(check: Check) -> None:
    async with probing() as bench:
        bench.script(BlackHole())
        bench.prober.upsert([target(check=check, timing=LONG)])
        await bench.sleep(LONG.timeout - 0.5)
        assert bench.prober.stats.failed == 0
        await bench.sleep(1.0)
        assert bench.prober.stats.failed == 1


# ---- answers that are there at once ----------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
RESET = struct.pack("ii", 1, 0)


class Patient:
    """A socket on which nothing is said before the connection stands, nor read before there is something."""

    def __init__(self, sock: ProbeSocket) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: bytes) -> int:
        select.select([], [self._sock], [], 20)
        sent = self._sock.send(data)
        select.select([self._sock], [], [], 20)
        return sent


class PatientIO(WatchedIO):
    def socket(self, family: int) -> ProbeSocket:
        return Patient(super().socket(family))


@contextmanager
def serving(serve: Callable[[socket.socket], None], *, host: str = LOOPBACK) -> Iterator[int]:
    """A listener in a thread of its own, which gives one connection after another to ``serve``; yields the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family, backlog=500)

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                serve(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def answering(*pieces: bytes, keeps: bool = False) -> Callable[[socket.socket], None]:
    """Answers a request, with a pause between two pieces, and closes unless it keeps the connection."""

    def serve(connection: socket.socket) -> None:
        while connection.recv(4096):
            for number, piece in enumerate(pieces):
                if number:
                    select.select([connection], [], [], 0.05)
                connection.sendall(piece)
            if not keeps:
                return

    return serve


def resetting(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def closing(connection: socket.socket) -> None:
    connection.recv(4096)


@pytest.mark.sockets
async def test_an_answer_that_is_there_at_once_needs_no_poller() -> None:
    io = PatientIO()
    with serving(answering(OK)) as port:
        async with live(io) as running:
            assert await running.passes(http(), port)
            assert await running.passes(tcp(send="PING\r\n", expect="HTTP"), port)
            assert await running.passes(tcp(send="PING\r\n"), port)
            assert io.watched.registered == 0


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        (answering(b"HTTP/1.1 503 Busy\r\n\r\n"), "503, expected 200-399"),
        (answering(b"HTTP/1.1 20", b"0 OK\r\n\r\n"), None),
        (answering(b"HTTP/1.1 20", b"4 OK", b"\r\nx"), "connection closed in the headers"),
        (answering(b"SSH-2.0-x\r\n"), "not an HTTP/1.1 answer: it begins with 'SSH-2.0-x\\r\\n'"),
        (answering(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n"), "stopped after 10 redirects"),
        (closing, "connection closed without an answer"),
        (resetting, "connection reset by peer (waiting for headers)"),
    ],
    ids=["status", "pieces", "cut", "garbage", "redirect", "closed", "reset"],
)
async def test_whatever_is_there_at_once_is_judged_as_it_would_be_later(
    serve: Callable[[socket.socket], None], reason: str | None
) -> None:
    with serving(serve) as port:
        async with live(PatientIO()) as patient:
            if reason is None:
                assert await patient.passes(http(), port)
            else:
                assert await patient.failure(http(), port) == reason


@dataclass(frozen=True)
class Ask:
    """A plugin's check by plain TCP that keeps its connection, or fails itself."""

    broken: bool = False

    def request(self, host: str, port: int) -> Request:
        return Request(port, b"?", listens=True)

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        if self.broken:
            raise ValueError("no idea")
        return Passed(keep=Keep.YES)

    def awaited(self, request: Request, received: bytes) -> str:
        return "anything"

    def describe(self, host: str, port: int) -> str:
        return "ask"


@pytest.mark.sockets
async def test_a_connection_may_be_kept_after_an_answer_that_was_there_at_once() -> None:
    with serving(answering(b"!", keeps=True)) as port:
        async with live(PatientIO()) as running:
            running.prober.upsert([target(check=Ask(), host=LOOPBACK, port=port, timing=Timing(period=0.05))])
            await until(lambda: running.prober.stats.passed >= 3)
            assert running.prober.stats.kept + running.prober.stats.in_flight == 1


@pytest.mark.sockets
async def test_a_check_that_raises_on_an_answer_that_was_there_at_once_is_skipped() -> None:
    with serving(answering(b"!")) as port:
        async with live(PatientIO()) as running:
            running.prober.upsert([target(check=Ask(broken=True), host=LOOPBACK, port=port, timing=LONG)])
            await until(lambda: running.prober.stats.skipped == 1)
            reason = running.prober.evidence("a")[0].reason
    assert reason == "skipped: the check itself failed: ValueError: no idea"


@pytest.mark.sockets
@pytest.mark.parametrize("pieces", [(OK,), (OK[:20], OK[20:])], ids=["whole", "pieces"])
async def test_many_that_are_not_answered_at_once_all_pass(pieces: tuple[bytes, ...]) -> None:
    with serving(answering(*pieces)) as port:
        async with live() as running:
            checks = [target(str(number), check=http(), host=LOOPBACK, port=port, timing=LONG) for number in range(60)]
            verdicts = await running.verdicts(checks)
    assert {verdict.health for verdict in verdicts.values()} == {Health.HEALTHY}


@pytest.mark.sockets
async def test_many_that_are_never_answered_time_out() -> None:
    async with listening(silent) as port, live() as running:
        timing = Timing(period=60.0, timeout=0.2, failure_threshold=1)
        checks = [target(str(number), check=http(), host=LOOPBACK, port=port, timing=timing) for number in range(60)]
        verdicts = await running.verdicts(checks)
    assert {verdict.reason.partition(": ")[2] for verdict in verdicts.values()} == {
        "timed out after 0.2 s waiting for headers"
    }


@pytest.mark.sockets
async def test_many_that_leave_before_they_are_answered_are_forgotten() -> None:
    async with listening(silent) as port, live() as running:
        names = [str(number) for number in range(60)]
        running.prober.upsert([target(name, check=http(), host=LOOPBACK, port=port, timing=LONG) for name in names])
        await until(lambda: running.prober.stats.in_flight == len(names))
        running.prober.remove(names)
        assert running.prober.stats.in_flight == 0
