"""The check ``grpc`` against a real gRPC server, and against listeners that are none."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from extsync.health import http2_frames as h2
from extsync.health.grpc import GrpcCheck
from extsync.health.target import Evidence, Probe, Target, Timing
from tests.health.certificates import Authority, Certificate, server_context
from tests.health.http2_server import SETTINGS, answer, goaway
from tests.health.listeners import (
    LOOPBACK,
    SHORT,
    Live,
    answering,
    black_hole,
    closing,
    endless,
    greeting,
    listening,
    resetting,
    silent,
    until,
)
from tests.health.support import grpc
from tests.servers.grpc_health import GrpcServer

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not installed"),
]

OFTEN = Timing(period=0.02, timeout=30.0, failure_threshold=1)


@pytest.fixture(scope="module")
def server() -> Iterator[GrpcServer]:
    with GrpcServer({"shop": "SERVING", "till": "NOT_SERVING", "attic": "UNKNOWN"}) as running:
        yield running


@pytest.fixture(scope="module")
def secure(good: Certificate) -> Iterator[GrpcServer]:
    with GrpcServer(tls=good) as running:
        yield running


def trusting(authority: Authority) -> GrpcCheck:
    return grpc(tlsConfig={"caFile": str(authority.certificate)})


class Endpoint:
    """One endpoint that is probed again and again."""

    def __init__(self, live: Live, check: GrpcCheck, port: int, timing: Timing = OFTEN) -> None:
        self._prober = live.prober
        live.prober.upsert([Target("it", (Probe(check, timing, LOOPBACK, port),), immediate=True)])

    @property
    def evidence(self) -> Evidence:
        return self._prober.evidence("it")[0]

    async def results(self, count: int) -> None:
        awaited = self.evidence.passed + self.evidence.failed + count
        await until(lambda: self.evidence.passed + self.evidence.failed >= awaited)


def connections(port: int) -> set[str]:
    """The local ends of the connections that stand to a port of loopback."""
    rows = (line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:])
    return {row[1] for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "01"}


async def test_a_server_that_serves_passes(probing: Live, server: GrpcServer) -> None:
    assert await probing.passes(grpc(), server.port)
    assert await probing.passes(grpc(service="shop"), server.port)


async def test_what_the_health_service_says_is_told(probing: Live, server: GrpcServer) -> None:
    assert await probing.failure(grpc(service="till"), server.port) == "the health service says NOT_SERVING"
    assert await probing.failure(grpc(service="attic"), server.port) == "the health service says UNKNOWN"
    assert await probing.failure(grpc(service="cellar"), server.port) == (
        "the health service does not know 'cellar' (NOT_FOUND)"
    )


async def test_a_server_without_the_health_service_is_told(probing: Live) -> None:
    with GrpcServer(health=False) as bare:
        reason = await probing.failure(grpc(), bare.port)
        assert reason.startswith("the server has no gRPC health service (UNIMPLEMENTED")


async def test_tls_is_verified_and_agreed_upon(
    probing: Live, secure: GrpcServer, server: GrpcServer, authority: Authority
) -> None:
    assert await probing.passes(trusting(authority), secure.port)
    assert await probing.passes(grpc(tlsConfig={"insecureSkipVerify": True}), secure.port)
    assert await probing.failure(grpc(tlsConfig={}), secure.port) == (
        "certificate verify failed: unable to get local issuer certificate"
    )
    assert await probing.failure(grpc(tlsConfig={}), server.port) == "the port does not speak TLS"


async def test_plain_grpc_to_a_tls_port_fails(probing: Live, secure: GrpcServer) -> None:
    reason = await probing.failure(grpc(), secure.port)
    assert reason in ("the port speaks TLS, not plain gRPC", "connection closed without an answer") or (
        reason.startswith("connection reset by peer")
    )


async def test_a_tls_server_that_does_not_speak_http2_is_told(
    probing: Live, authority: Authority, good: Certificate
) -> None:
    context = server_context(good)
    async with listening(silent, tls=context) as port:
        assert await probing.failure(trusting(authority), port) == "the server does not agree to speak h2 (ALPN)"
    context.set_alpn_protocols(["http/1.1"])
    async with listening(silent, tls=context) as port:
        assert "(ALPN)" in await probing.failure(trusting(authority), port)


async def test_attempts_share_a_connection_and_the_server_has_nothing_against_it(
    probing: Live,
) -> None:
    strict = {"grpc.http2.max_ping_strikes": 1, "grpc.http2.min_ping_interval_without_data_ms": 3_600_000}
    with GrpcServer(options=strict) as server:
        endpoint = Endpoint(probing, grpc(), server.port)
        await endpoint.results(2)
        first = connections(server.port)
        assert len(first) == 1
        await endpoint.results(10)
        assert connections(server.port) == first
        assert endpoint.evidence.failed == 0


async def test_attempts_share_a_connection_over_tls(probing: Live, secure: GrpcServer, authority: Authority) -> None:
    endpoint = Endpoint(probing, trusting(authority), secure.port)
    await endpoint.results(2)
    first = connections(secure.port)
    await endpoint.results(10)
    assert connections(secure.port) == first
    assert endpoint.evidence.failed == 0


async def test_a_server_that_ends_connections_by_age_fails_nothing(probing: Live) -> None:
    with GrpcServer(options={"grpc.max_connection_age_ms": 100, "grpc.max_connection_age_grace_ms": 50}) as server:
        endpoint = Endpoint(probing, grpc(), server.port, Timing(period=0.03, timeout=10.0))
        await endpoint.results(2)
        first = connections(server.port)
        await until(lambda: not first & connections(server.port))
        await endpoint.results(10)
        assert endpoint.evidence.failed == 0


async def test_a_restart_of_the_server_fails_only_while_it_is_away(probing: Live) -> None:
    with GrpcServer() as server:
        endpoint = Endpoint(probing, grpc(), server.port)
        await endpoint.results(2)
        server.kill()
        await until(lambda: endpoint.evidence.failed > 0)
        assert endpoint.evidence.reason == "connection refused"
        server.start()
        await until(lambda: endpoint.evidence.reason == "passed")


async def test_a_server_that_is_replaced_between_two_attempts_fails_nothing(probing: Live) -> None:
    with GrpcServer() as server:
        endpoint = Endpoint(probing, grpc(), server.port, Timing(period=5.0, timeout=10.0))
        await endpoint.results(1)
        server.kill()
        server.start()
        await endpoint.results(1)
        assert endpoint.evidence.failed == 0


async def test_listeners_that_are_no_servers_of_grpc_are_told(probing: Live) -> None:
    async with listening(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert await probing.failure(grpc(), port) == "the port speaks HTTP/1, not gRPC (HTTP/2)"
    async with listening(greeting(b"SSH-2.0-OpenSSH_9.2\r\n")) as port:
        assert (await probing.failure(grpc(), port)).startswith("the port does not speak HTTP/2: it begins with 'SSH")
    async with listening(greeting(os.urandom(5000))) as port:
        assert not await probing.passes(grpc(), port)
    async with listening(silent) as port:
        reason = await probing.failure(grpc(), port, timing=SHORT)
        assert reason == "timed out after 0.2 s waiting for the server to speak HTTP/2"
    async with listening(closing) as port:
        assert (await probing.failure(grpc(), port)).startswith("connection ")
    async with listening(resetting(after_request=True, start=SETTINGS)) as port:
        assert (await probing.failure(grpc(), port)).startswith("connection reset by peer")
    with black_hole() as port:
        assert await probing.failure(grpc(), port, timing=SHORT) == "timed out after 0.2 s connecting"


@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        (h2.frame(h2.PING, 0, 0, b"12345678"), "the server sends more than 128 frames"),
        (SETTINGS, "the server sends more than 128 frames"),
        (h2.frame(h2.WINDOW_UPDATE, 0, 0, b"\0\0\0\1"), "the server sends more than 128 frames"),
        (goaway(), "the server sends more than 128 frames"),
        (goaway(11, debug=b"x" * 10_000), "the server closes the connection: ENHANCE_YOUR_CALM (x"),
        (h2.frame(h2.HEADERS, 0, 1, b"x") + h2.frame(h2.CONTINUATION, 0, 1, b"x" * 8192), "the headers are longer"),
        (b"\0\x40\x01" + bytes(16391), "the server sends a frame of 16385 bytes"),
        (h2.frame(99, 0, 0, b"x" * 16000), "the server sends more than 128 frames"),
    ],
    ids=["pings", "settings", "windows", "goaways", "debug", "continuations", "large", "unknown"],
)
async def test_floods_end_at_their_limits(probing: Live, piece: bytes, reason: str) -> None:
    async with listening(endless(SETTINGS, piece)) as port:
        assert (await probing.failure(grpc(), port)).startswith(reason)


async def test_a_server_that_drips_frames_times_out(probing: Live) -> None:
    async with listening(endless(b"", b"\0", pause=0.01)) as port:
        assert (await probing.failure(grpc(), port, timing=SHORT)).startswith(("timed out", "the port does not speak"))


async def test_a_flood_between_attempts_ends_the_connection(probing: Live) -> None:
    ended = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"application/grpc")
        writer.write(SETTINGS + answer())
        try:
            while True:
                writer.write(h2.frame(h2.PING, 0, 0, b"12345678"))
                await writer.drain()
                await asyncio.sleep(0)
        finally:
            ended.set()

    async with listening(flood) as port:
        endpoint = Endpoint(probing, grpc(), port, Timing(period=60.0, timeout=30.0))
        await ended.wait()
        assert endpoint.evidence.passed == 1
