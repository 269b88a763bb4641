"""HTTPS on kept connections, against real listeners that do with them what servers do, good and bad."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from extsync.health.base import Check
from extsync.health.http import HttpCheck
from extsync.health.prober import Prober
from extsync.health.target import Evidence, Probe, Target, Timing
from extsync.seams import SystemClock, SystemProbeIO
from tests.health.certificates import Authority, Certificate, server_context
from tests.health.listeners import LOOPBACK, listening, silent, until
from tests.health.support import TCP, http

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not installed"),
]

Answer: TypeAlias = Callable[[int, int, asyncio.StreamWriter], Awaitable[None]]
"""Gives one answer: to the n-th request on the n-th connection, both from 0."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OFTEN = Timing(period=0.02, timeout=30.0, failure_threshold=1)
SELDOM = Timing(period=30.0, timeout=29.0, failure_threshold=1)
IMPATIENT = Timing(period=1.0, timeout=1.0, failure_threshold=1)


class WarpedClock(SystemClock):
    """The machine's clock, whose wall time a test can shift."""

    shift = 0.0

    def wall(self) -> float:
        return super().wall() + self.shift


class Endpoint:
    """What a prober on real sockets finds out about one endpoint."""

    def __init__(self) -> None:
        self.clock = WarpedClock()
        self.prober = Prober(clock=self.clock, io=SystemProbeIO(), wake=lambda: None)

    def probe(self, check: Check, port: int, timing: Timing = OFTEN) -> None:
        self.prober.upsert([Target("it", (Probe(check, timing, LOOPBACK, port),), immediate=True)])

    @property
    def evidence(self) -> Evidence:
        return self.prober.evidence("it")[0]

    async def results(self, count: int) -> None:
        """Waits until so many more attempts have ended."""
        awaited = self.evidence.passed + self.evidence.failed + count
        await until(lambda: self.evidence.passed + self.evidence.failed >= awaited)


@pytest.fixture(name="endpoint")
async def endpoint_fixture() -> AsyncIterator[Endpoint]:
    running = Endpoint()
    await running.prober.start()
    yield running
    await running.prober.close()


def https(authority: Authority, *, keys: dict[str, Any] | None = None, **tls: Any) -> HttpCheck:
    return http(scheme="HTTPS", tlsConfig={"caFile": str(authority.certificate), **tls}, **(keys or {}))


class Server:
    """Answers requests with ``answer`` and counts: ``requests`` has one number for each connection."""

    def __init__(self, answer: Answer | bytes = OK) -> None:
        self.requests: list[int] = []
        self.heads: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self._answer = answer

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.requests)
        self.requests.append(0)
        self.writers.append(writer)
        while True:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            self.requests[number] += 1
            if isinstance(self._answer, bytes):
                writer.write(self._answer)
            else:
                await self._answer(self.requests[number] - 1, number, writer)
            if writer.is_closing():
                return
            await writer.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def test_attempts_share_a_connection(endpoint: Endpoint, authority: Authority, good: Certificate) -> None:
    server = Server()
    async with listening(server, tls=server_context(good)) as port:
        endpoint.probe(https(authority), port)
        await endpoint.results(10)
        assert len(server.requests) == 1
        assert endpoint.evidence.failed == 0
        assert b"Connection:" not in server.heads[0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_every_way_to_end_an_answer_keeps_the_connection(
    endpoint: Endpoint, authority: Authority, good: Certificate, version: ssl.TLSVersion
) -> None:
    context = server_context(good)
    context.minimum_version = context.maximum_version = version
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    for answer in (OK, b"HTTP/1.1 204 No Content\r\n\r\n", chunked):
        server = Server(answer)
        async with listening(server, tls=context) as port:
            endpoint.probe(https(authority), port)
            await endpoint.results(4)
            assert len(server.requests) == 1
    server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n")
    async with listening(server, tls=context) as port:
        endpoint.probe(https(authority, keys={"method": "HEAD"}), port)
        await endpoint.results(4)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["close", "1.0", "left over", "no length"],
)
async def test_a_connection_that_cannot_be_used_again_is_not(
    endpoint: Endpoint, authority: Authority, good: Certificate, answer: bytes
) -> None:
    server = Server(answer)
    async with listening(server, tls=server_context(good)) as port:
        endpoint.probe(https(authority), port)
        await endpoint.results(4)
        assert max(server.requests) == 1
        assert endpoint.evidence.failed == 0


async def test_who_asks_for_connection_close_gets_a_new_one_each_time(
    endpoint: Endpoint, authority: Authority, good: Certificate
) -> None:
    server = Server()
    async with listening(server, tls=server_context(good)) as port:
        endpoint.probe(https(authority, keys={"httpHeaders": [{"name": "connection", "value": "Close"}]}), port)
        await endpoint.results(4)
        assert max(server.requests) == 1


async def test_plain_http_connects_each_time(endpoint: Endpoint) -> None:
    server = Server()
    async with listening(server) as port:
        endpoint.probe(http(), port)
        await endpoint.results(4)
        assert max(server.requests) == 1
        assert b"Connection: close" in server.heads[0]


async def test_a_body_that_comes_after_the_verdict_is_read_before_the_next_attempt(
    endpoint: Endpoint, authority: Authority, good: Certificate
) -> None:
    async def in_two(request: int, connection: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n")
        passed = endpoint.evidence.passed
        await until(lambda: endpoint.evidence.passed > passed)
        writer.write(b"x" * 40000)

    server = Server(in_two)
    async with listening(server, tls=server_context(good)) as port:
        endpoint.probe(https(authority), port, Timing(period=0.2, timeout=30.0))
        await endpoint.results(4)
        assert len(server.requests) == 1
        assert endpoint.evidence.failed == 0


@pytest.mark.parametrize("ending", [asyncio.StreamWriter.close, reset], ids=["closes", "resets"])
async def test_a_server_that_ends_idle_connections_fails_nothing(
    endpoint: Endpoint, authority: Authority, good: Certificate, ending: Callable[[asyncio.StreamWriter], None]
) -> None:
    server = Server()
    async with listening(server, tls=server_context(good)) as port:
        endpoint.probe(https(authority), port)
        for _ in range(3):
            await endpoint.results(2)
            ending(server.writers[-1])
        await endpoint.results(2)
        assert len(server.requests) == 4
        assert endpoint.evidence.failed == 0


@pytest.mark.parametrize("ending", [asyncio.StreamWriter.close, reset], ids=["closes", "resets"])
async def test_a_server_that_ends_the_connection_when_it_is_asked_again_fails_nothing(
    endpoint: Endpoint, authority: Authority, good: Certificate, ending: Callable[[asyncio.StreamWriter], None]
) -> None:
    async def once(request: int, connection: int, writer: asyncio.StreamWriter) -> None:
        if request == 0:
            writer.write(OK)
        else:
            ending(writer)

    server = Server(once)
    async with listening(server, tls=server_context(good)) as port:
        endpoint.probe(https(authority), port)
        await endpoint.results(5)
        assert endpoint.evidence.failed == 0
        assert server.requests[:4] == [2, 2, 2, 2]  # the second one was asked again on the next connection


async def test_half_an_answer_and_the_end_is_a_failure(
    endpoint: Endpoint, authority: Authority, good: Certificate
) -> None:
    async def half(request: int, connection: int, writer: asyncio.StreamWriter) -> None:
        writer.write(OK if request == 0 else OK[:10])
        if request:
            writer.close()

    server = Server(half)
    async with listening(server, tls=server_context(good)) as port:
        endpoint.probe(https(authority), port)
        await until(lambda: endpoint.evidence.failed > 0)
        assert endpoint.evidence.reason == "connection closed in the headers"
        assert server.requests == [2]


async def test_a_kept_connection_that_falls_silent_times_out_and_the_next_attempt_is_on_a_new_one(
    endpoint: Endpoint, authority: Authority, good: Certificate
) -> None:
    async def silent(request: int, connection: int, writer: asyncio.StreamWriter) -> None:
        if request == 0 or connection > 0:
            writer.write(OK)

    server = Server(silent)
    async with listening(server, tls=server_context(good)) as port:
        endpoint.probe(https(authority), port, IMPATIENT)
        await until(lambda: endpoint.evidence.failed == 1)
        assert endpoint.evidence.reason == "timed out after 1 s waiting for headers"
        await endpoint.results(2)
        assert endpoint.evidence.failed == 1
        assert len(server.requests) == 2


async def test_a_late_answer_does_not_answer_the_next_attempt(
    endpoint: Endpoint, authority: Authority, good: Certificate
) -> None:
    async def late(request: int, connection: int, writer: asyncio.StreamWriter) -> None:
        if connection == 0 and request:
            await until(lambda: endpoint.evidence.failed == 1)
            writer.write(b"HTTP/1.1 500 Late\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(OK)

    server = Server(late)
    async with listening(server, tls=server_context(good)) as port:
        endpoint.probe(https(authority), port, IMPATIENT)
        await until(lambda: endpoint.evidence.failed == 1)
        await endpoint.results(2)
        assert endpoint.evidence.failed == 1


async def test_an_error_on_a_kept_connection_is_an_error(
    endpoint: Endpoint, authority: Authority, good: Certificate
) -> None:
    async def failing(request: int, connection: int, writer: asyncio.StreamWriter) -> None:
        writer.write(OK if request == 0 else b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")

    server = Server(failing)
    async with listening(server, tls=server_context(good)) as port:
        endpoint.probe(https(authority), port)
        await until(lambda: endpoint.evidence.failed == 1)
        assert endpoint.evidence.reason == "503, expected 200-399"
        await endpoint.results(1)
        assert len(server.requests) == 2


async def test_a_certificate_that_expires_meanwhile_fails_on_a_new_connection(
    endpoint: Endpoint, authority: Authority
) -> None:
    now = datetime.now(UTC)
    soon = authority.issue_for("soon", now - timedelta(days=1), now + timedelta(seconds=6))
    server = Server()
    async with listening(server, tls=server_context(soon)) as port:
        endpoint.probe(https(authority), port)
        await endpoint.results(2)
        assert "(in less than a day)" in endpoint.evidence.note
        await until(lambda: endpoint.evidence.failed > 0)
        assert endpoint.evidence.reason.startswith("certificate expired ")


async def test_a_certificate_that_comes_to_its_last_days_is_told_of_on_the_kept_connection(
    endpoint: Endpoint, authority: Authority, good: Certificate
) -> None:
    server = Server()
    async with listening(server, tls=server_context(good)) as port:
        endpoint.probe(https(authority), port)
        await endpoint.results(2)
        assert endpoint.evidence.note == ""
        endpoint.clock.shift = 20 * 86400.0
        await endpoint.results(2)
        assert "certificate expires" in endpoint.evidence.note
        assert len(server.requests) == 1


async def test_a_kept_certificate_that_has_expired_here_is_looked_at_again(
    endpoint: Endpoint, authority: Authority, good: Certificate
) -> None:
    server = Server()
    async with listening(server, tls=server_context(good)) as port:
        endpoint.probe(https(authority), port)
        await endpoint.results(2)
        endpoint.clock.shift = 40 * 86400.0
        await endpoint.results(4)
        assert len(server.requests) >= 4


async def test_a_new_certificate_of_the_server_is_seen_when_the_connection_is_renewed(
    endpoint: Endpoint, authority: Authority, good: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extsync.health.parking.ATTEMPTS", 5)
    context = server_context(good)
    async with listening(Server(), tls=context) as port:
        endpoint.probe(https(authority), port)
        await endpoint.results(2)
        stranger = Authority(tmp_path, "stranger").issue("theirs")
        context.load_cert_chain(*stranger)
        await until(lambda: endpoint.evidence.failed > 0)
        assert endpoint.evidence.reason == "certificate verify failed: unable to get local issuer certificate"


async def test_an_authority_that_is_replaced_counts_for_kept_connections_too(
    endpoint: Endpoint, authority: Authority, good: Certificate, tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted.pem"
    shutil.copy(authority.certificate, trusted)
    async with listening(Server(), tls=server_context(good)) as port:
        endpoint.probe(http(scheme="HTTPS", tlsConfig={"caFile": str(trusted)}), port)
        await endpoint.results(3)
        other = Authority(tmp_path, "other")
        os.replace(other.certificate, trusted)
        await endpoint.results(2)
        assert endpoint.evidence.reason == "certificate verify failed: unable to get local issuer certificate"


async def test_where_the_process_is_out_of_descriptors_kept_connections_give_way_and_nothing_is_skipped(
    endpoint: Endpoint, authority: Authority, good: Certificate
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    prober = endpoint.prober
    async with listening(Server(), tls=server_context(good)) as port, listening(silent) as other:
        check = https(authority)
        prober.upsert([Target(f"{n}", (Probe(check, SELDOM, LOOPBACK, port),), immediate=True) for n in range(10)])
        await until(lambda: prober.stats.kept == 10)
        held = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(int(name) for name in os.listdir("/proc/self/fd")), hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    held.append(socket.socket())
            prober.upsert([Target("it", (Probe(TCP, SELDOM, LOOPBACK, other),), immediate=True)])
            await endpoint.results(1)
        finally:
            for sock in held:
                sock.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert endpoint.evidence.reason == "passed"
        assert prober.stats.skipped == 0
        assert prober.stats.kept == 0


async def test_nothing_is_left_open(endpoint: Endpoint, authority: Authority, good: Certificate) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    server = Server()
    async with listening(server, tls=server_context(good)) as port:
        before = descriptors()
        for _ in range(3):
            endpoint.probe(https(authority), port)
            await endpoint.results(2)
            endpoint.prober.remove(["it"])
            await until(lambda: descriptors() == before)  # the server's end is of this process, too
