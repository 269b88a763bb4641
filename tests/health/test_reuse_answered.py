"""Sockets that serve one answered attempt after another, where the server ends its connections first."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from extsync.health.sockets import SPARES
from extsync.health.target import Timing
from extsync.seams import ProbeSocket
from tests.health.listeners import LONG, LOOPBACK, Live, black_hole, live, nobody, until
from tests.health.support import TCP, http, target, tcp
from tests.health.test_nearby import OK, answering, resetting, serving
from tests.health.test_reuse import CountingIO

pytestmark = pytest.mark.sockets

RST = Timing(period=60.0, timeout=30.0, failure_threshold=1, close="rst")
ATTEMPTS = 40
FEW = ATTEMPTS // 2
"""The system may be late with an acknowledgement now and then; then some sockets are closed."""


class Unhurried:
    """A socket on which nothing is said before the connection stands, nor read before the server has ended it."""

    def __init__(self, sock: ProbeSocket, awaited: int) -> None:
        self._sock = sock
        self._awaited = awaited
        self.fileno = sock.fileno
        self.connect_ex = sock.connect_ex
        self.recv = sock.recv
        self.getsockopt = sock.getsockopt
        self.setsockopt = sock.setsockopt
        self.bind = sock.bind
        self.shutdown = sock.shutdown
        self.close = sock.close

    def send(self, data: bytes, /) -> int:
        self._wait(select.POLLOUT, 0.5)
        sent = self._sock.send(data)
        self._wait(self._awaited, 20.0)
        return sent

    def _wait(self, event: int, seconds: float) -> None:
        poll = select.poll()
        poll.register(self._sock.fileno(), event)
        poll.poll(seconds * 1000)


class UnhurriedIO(CountingIO):
    """Counts also the sockets that could not be made as new."""

    def __init__(self, *sources: str, awaited: int = select.POLLRDHUP) -> None:
        self._awaited = awaited
        self.refused = 0
        super().__init__(*sources)

    def socket(self, family: int) -> ProbeSocket:
        return Unhurried(super().socket(family), self._awaited)

    def renewer(self) -> Callable[[ProbeSocket, bool], bool]:
        renew = super().renewer()

        def counted(sock: ProbeSocket, resets: bool) -> bool:
            renewed = renew(sock, resets)
            self.refused += not renewed
            return renewed

        return counted


async def pass_often(running: Live, port: int, *, host: str = LOOPBACK, timing: Timing = LONG) -> None:
    for _ in range(ATTEMPTS):
        assert await running.passes(http(), port, host=host, timing=timing)


@pytest.mark.parametrize("timing", [LONG, RST], ids=["fin", "rst"])
@pytest.mark.parametrize("sources", [(), ("127.0.0.2", "::1")], ids=["any", "source"])
@pytest.mark.parametrize("host", [LOOPBACK, "::1"])
async def test_one_socket_serves_many_attempts(host: str, sources: tuple[str, ...], timing: Timing) -> None:
    io = UnhurriedIO(*sources)
    ports = set()

    def note(connection: socket.socket) -> None:
        ports.add(connection.getpeername()[1])
        answering(OK)(connection)

    with serving(note, host=host) as port:
        async with live(io) as running:
            await pass_often(running, port, host=host, timing=timing)
    assert io.made <= FEW
    assert len(ports) > FEW, "each connection has a port of its own"


async def test_whatever_is_said_first_in_the_clear_may_share_a_socket() -> None:
    io = UnhurriedIO()
    with serving(answering(b"+PONG\r\n")) as port:
        async with live(io) as running:
            for _ in range(ATTEMPTS):
                assert await running.passes(tcp(send="PING\r\n", expect="+PONG"), port)
    assert io.made <= FEW


async def test_where_the_server_does_not_end_connections_end_in_order_and_most_sockets_are_just_closed() -> None:
    io = UnhurriedIO(awaited=select.POLLIN)
    ends: list[bytes] = []
    with ExitStack() as held:

        def hold(connection: socket.socket) -> None:
            held.enter_context(connection.dup())
            connection.recv(4096)
            connection.sendall(OK)
            ends.append(connection.recv(4096))  # a reset would raise

        with serving(hold) as port:
            async with live(io) as running:
                await pass_often(running, port)
                await until(lambda: len(ends) == ATTEMPTS)
                held.close()
    assert ends == [b""] * ATTEMPTS
    assert io.made == ATTEMPTS
    assert io.refused == 3, "the first, the 18th and the 35th"


async def test_bare_connects_that_end_in_order_are_just_closed() -> None:
    io = UnhurriedIO()
    with serving(answering(OK)) as port:
        async with live(io) as running:
            for _ in range(ATTEMPTS):
                assert await running.passes(TCP, port)
    assert (io.made, io.refused) == (ATTEMPTS, 0)


async def test_an_answer_is_judged_by_itself_whatever_the_connection_before_left_unread() -> None:
    io = UnhurriedIO()
    long = b"HTTP/1.1 200 OK\r\n\r\n" + 5 * b"HTTP/1.1 500 Left\r\n\r\n" + bytes(60_000)
    short = Timing(period=60.0, timeout=0.2, failure_threshold=1)
    with (
        serving(answering(long)) as good,
        serving(answering(b"HTTP/1.1 503 Busy\r\n\r\n")) as busy,
        serving(answering(b"")) as mute,
        nobody() as refusing,
        black_hole() as hole,
    ):
        async with live(io) as running:
            for _ in range(5):
                assert await running.passes(http(), good)
                assert await running.failure(http(), busy) == "503, expected 200-399"
                assert await running.passes(http(), good)
                assert await running.failure(http(), mute) == "connection closed without an answer"
                assert await running.passes(http(), good)
                assert await running.failure(http(), refusing) == "connection refused"
            assert await running.passes(http(), good)
            assert await running.failure(http(), hole, timing=short) == "timed out after 0.2 s connecting"
            assert await running.passes(http(expectedBody="Left"), good)
            assert io.made < running.prober.stats.attempts


async def test_a_reset_after_the_answer_leaves_a_socket_that_is_closed() -> None:
    io = UnhurriedIO()

    def rude(connection: socket.socket) -> None:
        connection.recv(10)  # what is left unread makes the end a reset
        connection.sendall(OK)

    with serving(rude) as port, serving(answering(OK)) as good, serving(resetting) as worse:
        async with live(io) as running:
            for _ in range(5):
                await running.verdict(http(), port)  # the answer or the reset, whichever is read first
                assert await running.passes(http(), good)
                assert await running.failure(http(), worse) == "connection reset by peer (waiting for headers)"
                assert await running.passes(http(), good)


def at_once(connection: socket.socket) -> None:
    """Answers in a thread of its own: another connection may be accepted first and have nothing to say yet."""

    def answer(own: socket.socket) -> None:
        with own:
            answering(OK)(own)

    threading.Thread(target=answer, args=(connection.dup(),)).start()


async def test_only_some_sockets_wait_to_be_used_again_and_none_when_the_prober_is_closed() -> None:
    count = SPARES + 50
    with serving(at_once) as port:
        async with live(UnhurriedIO()) as running:
            before = len(os.listdir("/proc/self/fd"))
            targets = [
                target(str(number), check=http(), host=LOOPBACK, port=port, timing=LONG) for number in range(count)
            ]
            await running.verdicts(targets)
            assert running.prober.stats.passed == count
            await until(lambda: len(os.listdir("/proc/self/fd")) <= before + SPARES)
        await until(lambda: len(os.listdir("/proc/self/fd")) < before)
