"""Web servers that never come to an end, or send on and on to somewhere else."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest

from extsync.health.base import Check
from extsync.health.target import Probe, Target, Timing
from tests.health.faults.kinds import Kinds
from tests.health.faults.servers import Plain, dripping
from tests.health.listeners import LOOPBACK, SHORT, Handler, Live, answering, endless, listening, nobody, until
from tests.health.support import handshake, http, mysql, postgres, redis, tcp

pytestmark = pytest.mark.sockets

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MEBIBYTE = 1 << 20


@contextmanager
def bounded_memory(limit: int = 2 * MEBIBYTE) -> Iterator[None]:
    """What is in the block takes at most ``limit`` bytes at any time, the servers in it included."""
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < limit


def redirecting(*locations: str, status: int = 302) -> Handler:
    """Redirects the n-th request to the n-th location, and then from the first one on again."""
    return answering_in_circles(*(f"HTTP/1.1 {status} X\r\nLocation: {where}\r\n\r\n".encode() for where in locations))


def answering_in_circles(*answers: bytes) -> Handler:
    turn = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turn
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers[turn % len(answers)])
        turn += 1

    return handle


# ---- without end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "piece", "reason"),
    [
        (b"HTTP/1.1 ", b"2" * 5000, "not an HTTP/1.1 answer: it begins with 'HTTP/1.1 222222222222222...'"),
        (b"HTTP/1.1 200 ", b"x" * 5000, "the headers are longer than 32768 bytes"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 5000, "the headers are longer than 32768 bytes"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000, "the headers are longer than 32768 bytes"),
        (b"HTTP/1.1 200 OK\r\nX: y\r\n", b" folded\r\n" * 500, "the headers are longer than 32768 bytes"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 200, "more than 16 informational answers"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", "more than 16 informational answers"),
    ],
    ids=["status", "reason", "header", "headers", "folded", "continue", "hints"],
)
async def test_a_head_without_end_fails_at_its_limit(probing: Live, start: bytes, piece: bytes, reason: str) -> None:
    with bounded_memory():
        async with listening(endless(start, piece)) as port:
            assert await probing.failure(http(), port) == reason


@pytest.mark.parametrize(
    ("fields", "piece"),
    [
        (b"", b"x" * 5000),
        (b"Content-Length: 99999999999999\r\n", b"x" * 5000),
        (b"Transfer-Encoding: chunked\r\n", b"1388\r\n" + b"x" * 5000 + b"\r\n"),
        (b"Transfer-Encoding: chunked\r\n", b"1\r\nx\r\n" * 1000),
        (b"Transfer-Encoding: chunked\r\n", b"1;" + b"x" * 5000),
    ],
    ids=["unlimited", "length", "chunks", "many-chunks", "extension"],
)
async def test_a_body_without_end_fails_at_its_limit_where_it_matters(
    probing: Live, fields: bytes, piece: bytes
) -> None:
    with bounded_memory():
        async with listening(endless(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n", piece)) as port:
            reason = await probing.failure(http(expectedBody="y"), port)
            assert reason in (
                "200, but the first 65536 bytes of the body does not contain the expected text",
                "the body comes in more than 1024 chunks",
                "a chunk of the body has no valid size",
            )
            assert await probing.passes(http(), port)


@pytest.mark.parametrize(
    "check", [tcp(expect="y"), mysql(), postgres(), redis(), handshake()], ids=lambda check: type(check).__name__
)
@pytest.mark.parametrize("piece", [b"x" * 50_000, b"\x00" * 50_000, b"\xff" * 50_000], ids=["x", "zeros", "ones"])
async def test_no_kind_of_check_keeps_what_pours_in(probing: Live, check: Check, piece: bytes) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(piece)
            await writer.drain()

    with bounded_memory():
        async with listening(pour) as port:
            assert not await probing.passes(check, port)


async def test_one_byte_every_10_ms_ends_at_the_number_of_pieces(probing: Live) -> None:
    with bounded_memory():
        async with listening(endless(b"HTTP/1.1 200 ", b"x", pause=0.01)) as port:
            assert await probing.failure(http(), port) == "the answer comes in more than 512 pieces"


async def test_what_pours_in_on_a_kept_connection_ends_that_and_no_attempt(probing: Live, kinds: Kinds) -> None:
    check = http(scheme="HTTPS", tlsConfig={"caFile": str(kinds.authority.certificate)})
    timing = Timing(period=0.02, timeout=30.0, failure_threshold=1)
    with bounded_memory():
        async with listening(endless(OK, b"x" * 5000), tls=kinds.context()) as port:
            probing.prober.upsert([Target("it", (Probe(check, timing, LOOPBACK, port),), immediate=True)])
            await until(lambda: probing.prober.stats.passed >= 5)
            probing.prober.remove(["it"])
    assert probing.prober.stats.failed == 0


# ---- somewhere else --------------------------------------------------------------------------------------------------


async def test_redirects_in_circles_end(probing: Live) -> None:
    async with listening(redirecting("/a", "/b", "/c")) as port:
        assert await probing.failure(http(), port) == "stopped after 10 redirects"
    async with AsyncExitStack() as servers:
        there: list[bytes] = []
        one = await servers.enter_async_context(listening(lambda *streams: answering(*there)(*streams)))
        other = await servers.enter_async_context(listening(redirecting(f"http://{LOOPBACK}:{one}/")))
        there.append(f"HTTP/1.1 307 X\r\nLocation: http://{LOOPBACK}:{other}/\r\n\r\n".encode())
        assert await probing.failure(http(), one) == "stopped after 10 redirects"


async def test_redirects_between_http_and_https_in_circles_end(probing: Live, kinds: Kinds) -> None:
    trusting = {"caFile": str(kinds.authority.certificate)}
    there: list[bytes] = []
    async with (
        listening(lambda *streams: answering(*there)(*streams), tls=kinds.context()) as secure,
        listening(redirecting(f"https://{LOOPBACK}:{secure}/")) as plain,
    ):
        there.append(f"HTTP/1.1 301 X\r\nLocation: http://{LOOPBACK}:{plain}/\r\n\r\n".encode())
        check = http(scheme="HTTPS", tlsConfig=trusting)
        assert await probing.failure(check, secure) == "stopped after 10 redirects"


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.2:{port}/", "https://other.example.com/", "ftp://127.0.0.1/", "file:///etc/passwd", "mailto:a@b"],
)
async def test_a_redirect_to_another_host_or_scheme_is_an_answer_and_is_not_followed(
    probing: Live, location: str
) -> None:
    with nobody() as closed:
        async with listening(redirecting(location.format(port=closed))) as port:
            assert await probing.passes(http(), port)
            assert await probing.failure(http(expectedStatuses=["200"]), port) == "302, expected 200"
            assert probing.prober.stats.attempts == 2


@pytest.mark.parametrize("location", ["http://[", "//[::1", "http://127.0.0.1:99999/", "http://127.0.0.1:-1/"])
async def test_a_redirect_to_no_address_at_all_fails(probing: Live, location: str) -> None:
    async with listening(redirecting(location)) as port:
        assert await probing.failure(http(), port) == "302 to an invalid address"


async def test_a_redirect_that_leads_to_silence_shares_the_deadline_of_the_attempt(probing: Live, kinds: Kinds) -> None:
    slow = dripping(lambda: Plain((b"\r\n\r\n", OK)), pause=1.0)
    async with listening(slow) as mute, listening(redirecting(f"http://{LOOPBACK}:{mute}/")) as port:
        reason = await probing.failure(http(), port, timing=SHORT)
        assert reason == "timed out after 0.2 s waiting for headers"
