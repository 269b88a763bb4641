"""The check ``grpc``: what it asks, and what it makes of answers, byte by byte and on a scripted network."""

from __future__ import annotations

import errno
import pickle
from collections.abc import Iterable

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.errors import ConfigError
from extsync.health import http2_frames as h2
from extsync.health.base import Failed, Keep, Passed, Result
from extsync.health.grpc import GrpcCheck
from extsync.health.target import Timing
from extsync.seams.virtual import virtual_time
from extsync.seams.virtual_net import Listening
from tests.health.http2_server import (
    HEADERS,
    SERVING,
    SETTINGS,
    TRAILERS,
    answer,
    frames,
    goaway,
    headers,
    rst_stream,
)
from tests.health.support import HOST, PORT, Bench, grpc, probing, target

ONCE = Timing(period=1.0, timeout=0.5, failure_threshold=1)
Fields = Iterable[tuple[bytes, bytes]]


def judged(data: bytes, *, eof: bool = False, check: GrpcCheck | None = None) -> Result | None:
    session = (check or grpc()).request(HOST, PORT).session
    assert session is not None
    session.begin()
    return session.receive(data, eof)


def failure(data: bytes, *, eof: bool = False, check: GrpcCheck | None = None) -> str:
    result = judged(data, eof=eof, check=check)
    assert isinstance(result, Failed)
    return result.reason


def only_trailers(*fields: tuple[bytes, bytes]) -> bytes:
    """An answer whose headers are its end."""
    return SETTINGS + headers(1, [*HEADERS, *fields], ends=True, encoder=hpack.Encoder())


def asked(check: GrpcCheck, host: str = "192.0.2.1", port: int = 50051) -> list[tuple[bytes, bytes]]:
    session = check.request(host, port).session
    assert session is not None
    session.begin()
    [block] = [payload for kind, _, _, payload in frames(session.outgoing()) if kind == h2.HEADERS]
    return [(bytes(name), bytes(value)) for name, value in hpack.Decoder().decode(block, raw=True)]


def test_the_method_is_called_as_clients_of_grpc_call_it() -> None:
    fields = asked(grpc())
    assert fields[:-1] == [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/grpc.health.v1.Health/Check"),
        (b":authority", b"192.0.2.1:50051"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    ]
    assert fields[-1][1].startswith(b"extsync/")


def test_with_tls_the_name_that_the_certificate_must_have_is_asked_for() -> None:
    check = grpc(tlsConfig={"insecureSkipVerify": True, "serverName": "shop.example.com"})
    assert (b":scheme", b"https") in asked(check)
    assert (b":authority", b"shop.example.com:50051") in asked(check)
    request = check.request("2001:db8::1", 50051)
    assert request.tls is not None
    assert (request.tls.protocols, request.tls.insists) == (("h2",), True)
    assert request.server_name == "shop.example.com"
    assert (b":authority", b"[2001:db8::1]:50051") in asked(grpc(tlsConfig={}), "2001:db8::1")


def test_it_is_a_value() -> None:
    check = grpc(service="shop")
    assert pickle.loads(pickle.dumps(check)) == check == grpc(service="shop") != grpc()
    assert hash(check) == hash(grpc(service="shop"))
    assert check.describe("192.0.2.1", 80) == "grpc 192.0.2.1:80 shop"
    assert grpc().describe("2001:db8::1", 80) == "grpc [2001:db8::1]:80"
    with pytest.raises(ConfigError, match="tlsConfig"):
        grpc(tlsConfig={"caFile": "missing.pem"})


def test_serving_passes_and_the_connection_may_serve_on() -> None:
    assert judged(SETTINGS + answer()) == Passed(keep=Keep.YES)
    assert judged(SETTINGS + answer()[:-1]) is None
    assert judged(SETTINGS + answer() + goaway()) == Passed(keep=Keep.NO)
    assert judged(SETTINGS + answer() + rst_stream(1, 0)) == Passed(keep=Keep.YES)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (SETTINGS + answer(body=b"\0\0\0\0\2\x08\x02"), "the health service says NOT_SERVING"),
        (SETTINGS + answer(body=b"\0\0\0\0\2\x08\x03"), "the health service says SERVICE_UNKNOWN"),
        (SETTINGS + answer(body=b"\0\0\0\0\0"), "the health service says UNKNOWN"),
        (SETTINGS + answer(body=b""), "the answer is not one message"),
        (SETTINGS + answer(body=SERVING + SERVING), "the answer is not one message"),
        (
            only_trailers((b"grpc-status", b"12"), (b"grpc-message", b"unknown%20service")),
            "the server has no gRPC health service (UNIMPLEMENTED: unknown service)",
        ),
        (only_trailers((b"grpc-status", b"5")), "the health service does not know 'shop' (NOT_FOUND)"),
        (only_trailers((b"grpc-status", b"16"), (b"grpc-message", b"no token")), "UNAUTHENTICATED: no token"),
        (only_trailers((b"grpc-status", b"0")), "the answer is not one message"),
        (only_trailers((b"grpc-status", b"x")), "the answer's grpc-status is 'x'"),
        (only_trailers(), "the answer has no grpc-status"),
        (SETTINGS + answer(trailers=[(b"grpc-status", b"14")]), "UNAVAILABLE"),
        (SETTINGS + answer(trailers=[(b"x", b"y")]), "the answer has no grpc-status"),
        (
            SETTINGS + headers(1, [(b":status", b"404")], ends=True, encoder=hpack.Encoder()),
            "HTTP status '404', no answer of gRPC",
        ),
        (
            SETTINGS
            + headers(1, [(b":status", b"200"), (b"content-type", b"text/html")], ends=True, encoder=hpack.Encoder()),
            "no answer of gRPC: its content-type is 'text/html'",
        ),
        (SETTINGS + goaway(11, 0, b"too_many_pings"), "the server closes the connection: ENHANCE_YOUR_CALM"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the port speaks HTTP/1, not gRPC (HTTP/2)"),
    ],
)
def test_whatever_is_not_serving_fails_in_words(data: bytes, reason: str) -> None:
    assert failure(data, check=grpc(service="shop")).startswith(reason)


def test_the_end_before_the_answer_fails() -> None:
    assert failure(SETTINGS, eof=True) == "connection closed without an answer"
    assert judged(SETTINGS + answer(), eof=True) == Passed(keep=Keep.YES)


def test_what_it_waits_for_is_told() -> None:
    session = grpc().request(HOST, PORT).session
    assert session is not None
    session.begin()
    assert session.awaited() == "the server to speak HTTP/2"
    session.receive(SETTINGS, False)
    assert session.awaited() == "the answer of the health service"
    session.receive(answer()[:30], False)
    assert session.awaited() == "the end of the answer"


@given(st.binary(max_size=300))
def test_garbage_fails_or_is_not_enough(noise: bytes) -> None:
    for start in (b"", SETTINGS, SETTINGS + answer()[:40]):
        assert isinstance(judged(start + noise, eof=True), Failed | Passed)


class Server:
    """A health service on a scripted connection."""

    def __init__(self, *, extra: bytes = b"", body: bytes = SERVING) -> None:
        self.encoder = hpack.Encoder()
        self.streams: list[int] = []
        self.pongs: list[bytes] = []
        self.extra = extra
        self.body = body

    def __call__(self, data: bytes) -> bytes:
        start = b""
        if data.startswith(b"PRI"):
            self.encoder, start = hpack.Encoder(), SETTINGS
        for kind, flags, stream, payload in frames(data):
            if kind == h2.PING and flags & h2.ACK:
                self.pongs.append(payload)
            if kind == h2.DATA and flags & h2.END_STREAM:
                self.streams.append(stream)
                start += answer(stream, self.body, encoder=self.encoder) + self.extra
        return start


async def probe(bench: Bench, server: Server, seconds: float) -> None:
    bench.script(Listening(answer=server))
    bench.prober.upsert([target(check=grpc(), timing=ONCE)])
    await bench.sleep(seconds)


@virtual_time
async def test_attempts_are_streams_of_one_connection() -> None:
    server = Server()
    async with probing() as bench:
        await probe(bench, server, 4.5)
        assert server.streams == [1, 3, 5, 7, 9]
        assert len(bench.times()) == 1
        assert bench.prober.evidence("a")[0].passed == 5


@virtual_time
async def test_a_server_that_shuts_a_waiting_connection_down_gets_a_new_one() -> None:
    server = Server()
    async with probing() as bench:
        await probe(bench, server, 1.5)
        bench.net.say(HOST, PORT, goaway())
        await bench.sleep(0.1)
        assert bench.net.open_sockets == 0
        await bench.sleep(1)
        assert server.streams == [1, 3, 1]
        assert bench.prober.evidence("a")[0].failed == 0


@pytest.mark.parametrize("code", [0, errno.ECONNRESET])
def test_a_request_that_a_kept_connection_does_not_deal_with_is_made_again_on_a_new_one(code: int) -> None:
    @virtual_time
    async def story() -> None:
        server = Server()
        async with probing() as bench:
            bench.script(Listening(answer=lambda data: server(data) if data.startswith(b"PRI") else b""))
            bench.prober.upsert([target(check=grpc(), timing=ONCE)])
            await bench.sleep(1.0005)  # the second attempt has asked
            bench.net.hang_up(HOST, PORT, code=code)
            await bench.sleep(0.3)
            assert bench.prober.evidence("a")[0].passed == 2
            assert len(bench.times()) == 2

    story()


@pytest.mark.parametrize("refusal", [goaway(last=1), rst_stream(3, 7)], ids=["GOAWAY", "REFUSED_STREAM"])
def test_a_refusal_on_a_kept_connection_is_no_failure_but_one_on_a_new_connection_is(refusal: bytes) -> None:
    @virtual_time
    async def story() -> None:
        refusing = False

        def serve(data: bytes) -> bytes:
            if refusing and not data.startswith(b"PRI"):
                return refusal
            return server(data)

        server = Server()
        async with probing() as bench:
            bench.script(Listening(answer=serve))
            bench.prober.upsert([target(check=grpc(), timing=ONCE)])
            await bench.sleep(0.5)
            refusing = True
            await bench.sleep(1)
            assert bench.prober.evidence("a")[0].passed == 2
            assert len(bench.times()) == 2

    story()
    assert failure(SETTINGS + goaway(last=0)) == "the server closes the connection: NO_ERROR"


@virtual_time
async def test_a_failing_status_ends_the_connection_and_is_told() -> None:
    async with probing() as bench:
        await probe(bench, Server(body=b"\0\0\0\0\2\x08\x02"), 0.5)
        assert bench.prober.verdict("a").reason == "grpc 192.0.2.1:80: the health service says NOT_SERVING"
        assert bench.net.open_sockets == 0


@virtual_time
async def test_a_server_that_says_nothing_times_out() -> None:
    async with probing() as bench:
        bench.script(Listening())
        bench.prober.upsert([target(check=grpc(), timing=ONCE)])
        await bench.sleep(0.6)
        assert bench.prober.verdict("a").reason == (
            "grpc 192.0.2.1:80: timed out after 0.5 s waiting for the server to speak HTTP/2"
        )


@virtual_time
async def test_pings_between_attempts_are_answered() -> None:
    server = Server(extra=h2.frame(h2.PING, 0, 0, b"12345678"))
    async with probing() as bench:
        await probe(bench, server, 0.5)
        assert server.pongs == [b"12345678"]
        bench.net.say(HOST, PORT, h2.frame(h2.PING, 0, 0, b"87654321"))
        await bench.sleep(0.1)
        assert server.pongs == [b"12345678", b"87654321"]
        await bench.sleep(1)
        assert server.streams == [1, 3]


def test_trailers_that_repeat_a_name_count_with_the_first() -> None:
    assert failure(SETTINGS + answer(trailers=[(b"grpc-status", b"14"), *TRAILERS])) == "UNAVAILABLE"
