"""HTTP/2 as far as a probe needs it, frame by frame, and what it makes of servers that break its rules."""

from __future__ import annotations

import contextlib

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.health import hpack_literals
from extsync.health import http2_frames as h2
from extsync.health.http2 import BODY_LIMIT, FRAMES, HEADER_LIMIT, Broken, Http2
from tests.health.http2_server import (
    HEADERS,
    SERVING,
    SETTINGS,
    TRAILERS,
    answer,
    frames,
    goaway,
    headers,
    initial_window,
    rst_stream,
    window_update,
)

BLOCK = hpack_literals.METHOD_POST + hpack_literals.literal(hpack_literals.PATH, b"/x")
ACKED = (h2.SETTINGS, h2.ACK, 0, b"")


def asked(body: bytes = b"body", data: bytes = SETTINGS) -> Http2:
    """A connection with one request on its way, after the server has sent ``data``."""
    connection = Http2()
    connection.request(BLOCK, body)
    connection.outgoing()
    connection.receive(data)
    return connection


def fault(data: bytes) -> str:
    """Why ``data``, in answer to a request, is no answer."""
    connection = asked(data=b"")
    with pytest.raises(Broken) as caught:
        connection.receive(data)
    return str(caught.value)


def block(*fields: tuple[bytes, bytes]) -> bytes:
    return hpack.Encoder().encode(fields)


def test_a_request_begins_without_waiting_for_the_server() -> None:
    connection = Http2()
    connection.request(BLOCK, b"body")
    data = connection.outgoing()
    assert data.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    (settings, *_), first, second = frames(data)
    assert settings == h2.SETTINGS
    assert first == (h2.HEADERS, h2.END_HEADERS, 1, BLOCK)
    assert second == (h2.DATA, h2.END_STREAM, 1, b"body")
    assert hpack.Decoder().decode(BLOCK, raw=True) == [(b":method", b"POST"), (b":path", b"/x")]


def test_headers_of_any_length_are_encoded_as_another_library_reads_them() -> None:
    for length in (0, 1, 126, 127, 128, 300, 20_000):
        data = hpack_literals.literal(b"x-name", b"v" * length) + hpack_literals.literal(58, b"agent")
        assert hpack.Decoder().decode(data, raw=True) == [(b"x-name", b"v" * length), (b"user-agent", b"agent")]


def test_an_answer_is_headers_body_and_trailers() -> None:
    connection = asked(data=SETTINGS + answer())
    assert connection.answer.headers == dict(HEADERS)
    assert connection.answer.body == SERVING
    assert connection.answer.trailers == dict(TRAILERS)
    assert connection.answer.ended
    assert connection.rest()
    assert frames(connection.outgoing()) == [ACKED]


def test_an_answer_in_single_bytes_is_the_same() -> None:
    connection = asked(data=b"")
    for octet in SETTINGS + answer():
        assert not connection.answer.ended
        connection.receive(bytes((octet,)))
    assert connection.answer.ended
    assert connection.answer.trailers == dict(TRAILERS)


def test_requests_follow_each_other_with_streams_of_their_own_and_one_compression() -> None:
    encoder = hpack.Encoder()
    connection = asked(data=SETTINGS + answer(encoder=encoder))
    for stream in (3, 5, 7):
        assert connection.rest()
        connection.outgoing()
        connection.request(BLOCK, b"body")
        assert [frame[2] for frame in frames(connection.outgoing())] == [stream, stream]
        connection.receive(answer(stream, encoder=encoder))
        assert connection.answer.headers == dict(HEADERS)
        assert connection.answer.ended


def test_continued_padded_and_prioritised_frames_are_read() -> None:
    whole = block(*HEADERS)
    padded = b"\x03" + b"\0\0\0\0\x10" + whole[:2] + b"\0\0\0"
    data = (
        h2.frame(h2.HEADERS, h2.PADDED | h2.PRIORITISED, 1, padded)
        + h2.frame(h2.CONTINUATION, 0, 1, whole[2:4])
        + h2.frame(h2.CONTINUATION, h2.END_HEADERS, 1, whole[4:])
        + h2.frame(h2.DATA, h2.PADDED | h2.END_STREAM, 1, b"\x02" + SERVING + b"\0\0")
    )
    connection = asked(data=SETTINGS + data)
    assert connection.answer.headers == dict(HEADERS)
    assert connection.answer.body == SERVING
    assert connection.answer.ended


def test_informational_headers_come_before_the_answer() -> None:
    encoder = hpack.Encoder()
    early = headers(1, [(b":status", b"103"), (b"link", b"x")], encoder=encoder)
    assert asked(data=SETTINGS + early + answer(encoder=encoder)).answer.headers == dict(HEADERS)


def test_pings_are_answered_and_settings_confirmed() -> None:
    connection = asked(data=SETTINGS + h2.frame(h2.PING, 0, 0, b"12345678") + h2.frame(h2.PING, h2.ACK, 0, b"87654321"))
    assert frames(connection.outgoing()) == [ACKED, (h2.PING, h2.ACK, 0, b"12345678")]


def test_unknown_frames_and_settings_are_ignored() -> None:
    setting = h2.frame(h2.SETTINGS, 0, 0, b"\xff\xff\0\0\0\1")
    unknown = h2.frame(200, 255, 77, b"extension") + h2.frame(h2.PRIORITY, 0, 1, b"12345")
    assert asked(data=setting + unknown + answer()).answer.ended


def test_a_body_waits_for_the_server_to_widen_its_windows() -> None:
    connection = Http2()
    assert connection.rest(initial_window(2))
    connection.outgoing()
    connection.request(BLOCK, b"body")
    assert frames(connection.outgoing())[1:] == [(h2.DATA, 0, 1, b"bo")]
    connection.receive(window_update(1, 1))
    assert frames(connection.outgoing()) == [(h2.DATA, 0, 1, b"d")]
    connection.receive(initial_window(3))
    assert frames(connection.outgoing())[-1] == (h2.DATA, h2.END_STREAM, 1, b"y")


def test_a_window_that_shrinks_below_what_was_sent_has_to_be_widened_beyond_that() -> None:
    connection = asked(b"x" * 65_536, initial_window(0))
    assert frames(connection.outgoing()) == [ACKED]
    connection.receive(window_update(0, 10) + window_update(1, 65_535))
    assert frames(connection.outgoing()) == []
    connection.receive(window_update(1, 1))
    assert frames(connection.outgoing()) == [(h2.DATA, h2.END_STREAM, 1, b"x")]


def test_a_long_body_is_sent_in_frames_as_far_as_the_windows_reach() -> None:
    connection = Http2()
    connection.request(BLOCK, b"x" * 70_000)
    sent = [len(payload) for kind, _, _, payload in frames(connection.outgoing()) if kind == h2.DATA]
    assert sent == [16384, 16384, 16384, 16383]


def test_a_server_that_answers_before_it_has_the_request_is_not_asked_again_on_that_connection() -> None:
    connection = asked(b"x" * 70_000, SETTINGS + answer())
    assert connection.answer.ended
    assert not connection.rest()


def test_what_was_received_is_given_back_to_the_server_s_window() -> None:
    encoder = hpack.Encoder()
    padded = h2.frame(h2.DATA, h2.PADDED, 1, b"\xff" + b"\0" * 255)
    connection = asked(data=SETTINGS + headers(1, HEADERS, encoder=encoder) + padded * 64)
    assert (h2.WINDOW_UPDATE, 0, 0, (64 * 256).to_bytes(4, "big")) in frames(connection.outgoing())


def test_a_server_that_shuts_down_in_order_still_answers_and_is_not_asked_again() -> None:
    connection = asked(data=SETTINGS + goaway())
    connection.receive(goaway(last=1) + answer())
    assert connection.answer.ended
    assert not connection.rest()


def test_a_server_that_shuts_down_between_requests_is_not_asked_again() -> None:
    connection = asked(data=SETTINGS + answer())
    assert connection.rest(h2.frame(h2.PING, 0, 0, b"12345678"))
    assert frames(connection.outgoing())[-1] == (h2.PING, h2.ACK, 0, b"12345678")
    assert not connection.rest(goaway())


@pytest.mark.parametrize(
    ("data", "reason", "answered"),
    [
        (goaway(last=0), "the server closes the connection: NO_ERROR", False),
        (
            goaway(11, debug=b"too_many_pings"),
            "the server closes the connection: ENHANCE_YOUR_CALM (too_many_pings)",
            False,
        ),
        (goaway(99), "the server closes the connection: error 99", False),
        (rst_stream(1, 7), "the server resets the request: REFUSED_STREAM", False),
        (rst_stream(1, 2), "the server resets the request: INTERNAL_ERROR", True),
    ],
)
def test_a_request_that_ends_early_says_why_and_whether_it_was_dealt_with(
    data: bytes, reason: str, answered: bool
) -> None:
    connection = asked()
    with pytest.raises(Broken, match="the server"):
        connection.receive(data)
    assert fault(SETTINGS + data) == reason
    assert connection.answered is answered


def test_a_reset_after_the_answer_does_not_matter() -> None:
    connection = asked(data=SETTINGS + answer())
    assert connection.rest(rst_stream(1, 0))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the port speaks HTTP/1, not gRPC (HTTP/2)"),
        (b"\x15\x03\x01\x00\x02\x02\x46\x00\x00", "the port speaks TLS, not plain gRPC"),
        (b"SSH-2.0-OpenSSH\r\n", "the port does not speak HTTP/2: it begins with 'SSH-2.0-OpenSSH\\r\\n'"),
        (answer(), "the port does not speak HTTP/2"),
        (h2.frame(h2.SETTINGS, h2.ACK, 0), "the port does not speak HTTP/2"),
        (SETTINGS + b"\x00\x40\x01" + bytes(6), "the server sends a frame of 16385 bytes"),
        (SETTINGS + b"\xff\xff\xff" + bytes(6), "the server sends a frame of 16777215 bytes"),
        (SETTINGS + h2.frame(h2.PING, 0, 0, b"12345678") * 200, f"the server sends more than {FRAMES} frames"),
        (SETTINGS * 200, f"the server sends more than {FRAMES} frames"),
        (SETTINGS + goaway() * 200, f"the server sends more than {FRAMES} frames"),
        (SETTINGS + h2.frame(200, 0, 0) * 200, f"the server sends more than {FRAMES} frames"),
        (SETTINGS + h2.frame(h2.HEADERS, 0, 1) + h2.frame(h2.CONTINUATION, 0, 1) * 200, "more than"),
        (SETTINGS + h2.frame(h2.HEADERS, 0, 1, b"x" * (HEADER_LIMIT + 1)), "the headers are longer than"),
        (
            SETTINGS + h2.frame(h2.HEADERS, 0, 1, b"x" * 5000) + h2.frame(h2.CONTINUATION, 0, 1, b"x" * 5000),
            "the headers are longer than",
        ),
        (SETTINGS + h2.frame(h2.HEADERS, 0, 1) + SETTINGS, "headers are interrupted"),
        (SETTINGS + h2.frame(h2.CONTINUATION, 0, 1), "continue without a beginning"),
        (SETTINGS + h2.frame(h2.HEADERS, h2.END_HEADERS, 1, b"\xff\xff"), "the server's headers cannot be decoded"),
        (SETTINGS + h2.frame(h2.HEADERS, h2.END_HEADERS | h2.PADDED, 1, b"\x09x"), "padded beyond its length"),
        (SETTINGS + h2.frame(h2.HEADERS, h2.END_HEADERS | h2.PADDED, 1), "padded beyond its length"),
        (SETTINGS + h2.frame(h2.DATA, 0, 1, b"x"), "the server's answer has no headers"),
        (SETTINGS + h2.frame(h2.HEADERS, h2.END_HEADERS, 3, block(*HEADERS)), "belongs to no request"),
        (SETTINGS + h2.frame(h2.DATA, 0, 0, b"x"), "belongs to no request"),
        (SETTINGS + h2.frame(h2.PUSH_PROMISE, 0, 1, b"\0\0\0\2"), "the server pushes what nobody asked for"),
        (SETTINGS + h2.frame(h2.HEADERS, h2.END_HEADERS, 1, block(*HEADERS)) * 2, "headers within the answer"),
        (SETTINGS + h2.frame(h2.SETTINGS, 0, 0, b"12345"), "the server's settings are malformed"),
        (SETTINGS + h2.frame(h2.SETTINGS, 0, 1), "the server's settings are malformed"),
        (SETTINGS + h2.frame(h2.SETTINGS, h2.ACK, 0, b"123456"), "the server's settings are malformed"),
        (SETTINGS + initial_window(1 << 31), "widens a window beyond its limit"),
        (SETTINGS + window_update(0, 0x7FFFFFFF), "widens a window beyond its limit"),
        (SETTINGS + window_update(1, 0), "widens a window by nothing"),
        (SETTINGS + h2.frame(h2.PING, 0, 0, b"1"), "the wrong length"),
        (SETTINGS + h2.frame(h2.RST_STREAM, 0, 1, b"1"), "the wrong length"),
        (SETTINGS + h2.frame(h2.WINDOW_UPDATE, 0, 0, b"1"), "the wrong length"),
        (SETTINGS + h2.frame(h2.GOAWAY, 0, 0, b"1"), "the wrong length"),
    ],
)
def test_what_breaks_the_rules_or_their_bounds_is_a_fault_in_words(data: bytes, reason: str) -> None:
    assert reason in fault(data)


def test_a_body_without_end_ends_at_its_limit() -> None:
    start = h2.frame(h2.HEADERS, h2.END_HEADERS, 1, block(*HEADERS))
    assert fault(SETTINGS + start + h2.frame(h2.DATA, 0, 1, b"x" * 5000) * 9) == (
        f"the answer is longer than {BODY_LIMIT} bytes"
    )


def test_a_list_of_headers_that_unpacks_beyond_its_limit_is_not_unpacked() -> None:
    bomb = block((b"x-" + b"a" * 3000, b"b")) + b"\xbe" * 5000
    assert fault(SETTINGS + h2.frame(h2.HEADERS, h2.END_HEADERS, 1, bomb)) == "the server's headers cannot be decoded"


def test_a_flood_between_requests_ends_the_connection() -> None:
    connection = asked(data=SETTINGS + answer())
    assert not connection.rest(h2.frame(h2.PING, 0, 0, b"12345678") * 200)


def test_an_end_before_the_answer_is_told() -> None:
    for data, reason in (
        (b"", "connection closed without an answer"),
        (SETTINGS, "connection closed without an answer"),
        (SETTINGS + answer()[:40], "connection closed in the answer"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "the port speaks TLS, not plain gRPC"),
        (b"no", "the port does not speak HTTP/2: it begins with 'no'"),
    ):
        connection = asked(data=data)
        with pytest.raises(Broken) as caught:
            connection.ended()
        assert str(caught.value) == reason


@given(st.binary(max_size=200), st.sampled_from([b"", SETTINGS, SETTINGS + answer()[:30]]))
def test_garbage_is_a_fault_or_not_enough_and_no_other_error(noise: bytes, start: bytes) -> None:
    at_once = piecewise = None
    try:
        asked(data=start + noise)
    except Broken as error:
        at_once = str(error)
    connection = asked(data=b"")
    try:
        for octet in start + noise:
            connection.receive(bytes((octet,)))
    except Broken as error:
        piecewise = str(error)
    assert (at_once is None) == (piecewise is None)


@given(st.binary(max_size=100), st.integers(0, 30))
def test_headers_that_are_garbage_are_a_fault_or_headers_and_no_other_error(noise: bytes, kept: int) -> None:
    connection = asked()
    with contextlib.suppress(Broken):
        connection.receive(h2.frame(h2.HEADERS, h2.END_HEADERS, 1, block(*HEADERS)[:kept] + noise))
        connection.receive(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, noise))


FRAMES_OF_ANY_KIND = st.tuples(st.integers(0, 10), st.integers(0, 255), st.integers(0, 3), st.binary(max_size=30))


@given(st.lists(FRAMES_OF_ANY_KIND, max_size=8))
def test_frames_in_any_order_are_a_fault_or_not_enough(sequence: list[tuple[int, int, int, bytes]]) -> None:
    connection = asked()
    try:
        connection.receive(b"".join(h2.frame(*frame) for frame in sequence))
    except Broken:
        return
    assert len(connection.outgoing()) < 1000
