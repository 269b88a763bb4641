"""Protocols of several steps and datagrams against real listeners: their order, their farewells, TLS in the middle."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from extsync.health.base import Check, Failed, Request, Result, Say
from extsync.health.target import Timing
from extsync.health.tls import Tls
from tests.health.certificates import Authority, server_context
from tests.health.listeners import (
    HALFWAY,
    LONG,
    LOOPBACK,
    SHORT,
    Live,
    black_hole,
    endless,
    greeting,
    listening,
    nobody,
    resetting,
    silent,
    until,
)
from tests.health.support import mysql, postgres, redis, udp
from tests.health.test_mysql import OK as LOGGED_IN
from tests.health.test_mysql import greeting as mysql_greeting
from tests.health.test_postgres import SCRAM

pytestmark = pytest.mark.sockets

DATABASES: list[Check] = [mysql(), postgres(), redis()]
NAMES = ["mysql", "postgres", "redis"]


# ---- faults --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", DATABASES, ids=NAMES)
async def test_a_database_that_accepts_and_is_silent_times_out(probing: Live, check: Check) -> None:
    awaited = check.awaited(check.request(LOOPBACK, 1), b"")
    async with listening(silent) as port:
        reason = await probing.failure(check, port, timing=SHORT)
        assert reason == f"timed out after 0.2 s waiting for {awaited}"
    with black_hole() as port:
        assert await probing.failure(check, port, timing=SHORT) == "timed out after 0.2 s connecting"
    with nobody() as port:
        assert await probing.failure(check, port) == "connection refused"


@pytest.mark.parametrize(
    ("check", "start"),
    [(mysql(), mysql_greeting()[:9]), (postgres(), SCRAM[:6]), (redis(), b"-")],
    ids=NAMES,
)
async def test_a_database_that_drips_its_answer_times_out(probing: Live, check: Check, start: bytes) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in start:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0.01)
        await reader.read(-1)

    async with listening(drip) as port:
        assert "timed out after 0.2 s waiting for" in await probing.failure(check, port, timing=SHORT)


@pytest.mark.parametrize("check", DATABASES, ids=NAMES)
async def test_garbage_in_place_of_a_database_fails(probing: Live, check: Check) -> None:
    async with listening(greeting(b"SSH-2.0-OpenSSH_9.2p1\r\n")) as port:
        assert "'SSH-2.0-OpenSSH_9.2p1" in await probing.failure(check, port)
    for size in (1, 100, 100_000):
        async with listening(greeting(os.urandom(size))) as port:
            assert not await probing.passes(check, port, timing=SHORT)


@pytest.mark.parametrize("check", DATABASES, ids=NAMES)
async def test_an_endless_answer_of_a_database_ends_at_its_limit(probing: Live, check: Check) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 5000)
            await writer.drain()

    async with listening(pour) as port:
        assert not await probing.passes(check, port)
    async with listening(endless(b"-", b"x" * 5000)) as port:
        assert await probing.failure(redis(), port) == "the answer is longer than 4096 bytes"


@pytest.mark.parametrize("check", DATABASES, ids=NAMES)
async def test_a_database_that_closes_or_resets_fails(probing: Live, check: Check) -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    async with listening(close) as port:
        assert (await probing.failure(check, port)).startswith("connection ")
    async with listening(resetting(after_request=False)) as port:
        assert "(waiting for" in await probing.failure(check, port)


async def test_a_reset_or_an_end_at_each_step_of_a_login_fails(probing: Live) -> None:
    async def close_after_login(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(mysql_greeting())
        await reader.read(1000)

    async def reset_after_login(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await close_after_login(reader, writer)
        writer.transport.abort()

    async with listening(greeting(mysql_greeting())) as port:
        reason = await probing.failure(mysql(), port, timing=HALFWAY)
        assert reason == "timed out after 1 s waiting for the answer to the login"
    async with listening(close_after_login) as port:
        assert await probing.failure(mysql(), port) == "connection closed before the answer to the login"
    async with listening(reset_after_login) as port:
        assert (await probing.failure(mysql(), port)).startswith("connection ")


@pytest.mark.parametrize("close", ["fin", "rst"])
async def test_a_login_ends_with_a_farewell_however_connections_are_closed(probing: Live, close: str) -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(mysql_greeting())
        await reader.readuntil(b"native_password\0")
        writer.write(LOGGED_IN)
        heard.append(await reader.readexactly(5))

    timing = Timing(period=60.0, timeout=30.0, close="rst" if close == "rst" else "fin")
    async with listening(serve) as port:
        assert await probing.passes(mysql(), port, timing=timing)
        await until(lambda: bool(heard))
    assert heard == [b"\1\0\0\0\1"]


# ---- TLS in the middle of a connection ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Upgrading:
    """A check that begins in the clear, as mail servers have it, and goes on with TLS."""

    tls: Tls

    def request(self, host: str, port: int) -> Request:
        return Request(port, listens=True, host=host)

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        if not received.endswith(b"\n"):
            return None
        match request.stage, received:
            case "", b"ready\n":
                return Say(
                    Request(request.port, b"hello\n", True, self.tls, request.host, stage="secure", preface=b"go\n")
                )
            case "secure", b"hello yourself\n":
                return Say(Request(request.port, b"bye\n"))
            case _:
                return Failed(f"{request.stage}: {received!r}")

    def awaited(self, request: Request, received: bytes) -> str:
        return request.stage or "the greeting"

    def describe(self, host: str, port: int) -> str:
        return "upgrading"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")
    return Authority(tmp_path_factory.mktemp("certificates"))


@contextmanager
def upgrading(certificate: tuple[Path, Path], heard: list[bytes]) -> Iterator[int]:
    """Serves one connection, with TLS after that was asked for; yields the port."""
    context = server_context(certificate)

    def serve() -> None:
        plain, _ = listener.accept()
        with plain:
            plain.sendall(b"ready\n")
            heard.append(plain.recv(3, socket.MSG_WAITALL))
            with suppress(ssl.SSLError), context.wrap_socket(plain, server_side=True) as secure:
                heard.append(secure.recv(100))
                secure.sendall(b"hello yourself\n")
                heard.append(secure.recv(100))

    with socket.create_server((LOOPBACK, 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(timeout=30)


async def test_tls_may_begin_in_the_middle_of_a_connection(probing: Live, authority: Authority) -> None:
    heard: list[bytes] = []
    with upgrading(authority.issue("good"), heard) as port:
        assert await probing.passes(Upgrading(Tls(ca_file=str(authority.certificate))), port)
    assert heard == [b"go\n", b"hello\n", b"bye\n"]


async def test_a_bad_certificate_in_the_middle_of_a_connection_is_refused(probing: Live, authority: Authority) -> None:
    with upgrading(authority.issue("good"), []) as port:
        reason = await probing.failure(Upgrading(Tls()), port)
        assert reason == "certificate verify failed: unable to get local issuer certificate"
    with upgrading(authority.issue("old", days=0), []) as port:
        reason = await probing.failure(Upgrading(Tls(ca_file=str(authority.certificate))), port)
        assert reason == "certificate expired"  # a second look would have to speak the protocol first


# ---- datagrams -----------------------------------------------------------------------------------------------------


@contextmanager
def responder(*answers: bytes, host: str = LOOPBACK) -> Iterator[int]:
    """Answers each datagram with all of ``answers``; yields the port."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((host, 0))

        def answer() -> None:
            _, peer = sock.recvfrom(65535)
            for datagram in answers:
                sock.sendto(datagram, peer)

        loop.add_reader(sock, answer)
        try:
            yield sock.getsockname()[1]
        finally:
            loop.remove_reader(sock)


async def test_a_datagram_that_is_answered_passes(probing: Live) -> None:
    with responder(b"pong") as port:
        assert await probing.passes(udp(), port)
    with responder(b"", b"noise", b"a pong") as port:
        assert await probing.passes(udp(), port)
    with responder(b"x" * 60_000 + b"pong") as port:
        assert await probing.passes(udp(), port)


async def test_a_datagram_over_ipv6_passes(probing: Live) -> None:
    try:
        with responder(b"pong", host="::1") as port:
            assert await probing.passes(udp(), port, host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")


@pytest.mark.parametrize(
    ("answers", "came"), [((), ""), ((b"",), ""), ((b"po", b"ng"), " ('ng' came)")], ids=["none", "empty", "halves"]
)
async def test_a_datagram_without_the_right_answer_times_out(
    probing: Live, answers: tuple[bytes, ...], came: str
) -> None:
    with responder(*answers) as port:
        reason = await probing.failure(udp(), port, timing=HALFWAY)
        assert reason == f"timed out after 1 s waiting for 'pong'{came}"


async def test_a_port_without_anybody_is_unreachable_at_once(probing: Live) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK, 0))
        port = sock.getsockname()[1]
    assert await probing.failure(udp(), port, timing=LONG) == "port unreachable"


async def test_a_flood_of_wrong_answers_ends_at_its_limit(probing: Live) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((LOOPBACK, 0))
        attempt = asyncio.create_task(probing.failure(udp(), sock.getsockname()[1]))
        await asyncio.sleep(0)
        _, peer = await asyncio.get_running_loop().sock_recvfrom(sock, 100)
        while not attempt.done():
            with suppress(OSError):  # its port is closed by now, or the queue is full
                sock.sendto(b"noise", peer)
            await asyncio.sleep(0)
    assert await attempt == "the answer comes in more than 512 pieces"


async def test_probes_of_every_kind_leave_no_descriptor_open(probing: Live) -> None:
    async with listening(resetting(after_request=False)) as port, listening(silent) as mute:
        with responder(b"pong") as echo, nobody() as closed:
            databases: list[Check] = [*DATABASES, mysql(tlsConfig={}), postgres(tlsConfig={}), redis(tlsConfig={})]
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(20):
                for check in databases:
                    assert not await probing.passes(check, port)
                    assert not await probing.passes(check, closed)
                assert await probing.passes(udp(), echo)
            assert not await probing.passes(postgres(tlsConfig={}), mute, timing=SHORT)
            await until(lambda: len(os.listdir("/proc/self/fd")) <= before)
