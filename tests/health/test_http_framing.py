"""Where an answer ends, and that no two readers could think otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.health.http_framing import NEVER, UNKNOWN, end_of_answer
from extsync.health.http_message import BODY_LIMIT, Malformed, parse_head

CHUNKED = b"Transfer-Encoding: chunked\r\n"


def end(data: bytes, *, to_head: bool = False) -> int:
    head = parse_head(data)
    assert head is not None
    return end_of_answer(head, data, to_head=to_head)


def answer(fields: bytes, body: bytes = b"", *, start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return start + b"\r\n" + fields + b"\r\n" + body


def test_a_length_says_where_the_body_ends() -> None:
    data = answer(b"Content-Length: 2\r\n", b"ok")
    assert end(data) == len(data)
    assert end(data[:-1]) == UNKNOWN
    assert end(data + b"more") == len(data)
    assert end(answer(b"Content-Length: 0\r\n")) == len(answer(b"Content-Length: 0\r\n"))


def test_chunks_end_with_the_one_of_no_size() -> None:
    data = answer(CHUNKED, b"2\r\nok\r\n5;name=value\r\nagain\r\n0\r\n\r\n")
    assert end(data) == len(data)
    assert end(data + b"more") == len(data)
    start = data.index(b"\r\n\r\n") + 4
    assert all(end(data[:cut]) == UNKNOWN for cut in range(start, len(data)))


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_ends_with_its_head(status: int) -> None:
    data = answer(b"Content-Length: 7\r\n", start=b"HTTP/1.1 %d X" % status)
    assert end(data) == len(data)


def test_an_answer_to_head_ends_with_its_head() -> None:
    data = answer(b"Content-Length: 7\r\n")
    assert end(data, to_head=True) == len(data)
    assert end(data) == UNKNOWN


def test_informational_answers_before_it_belong_to_it() -> None:
    data = b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"Content-Length: 2\r\n", b"ok")
    assert end(data) == len(data)


@pytest.mark.parametrize(
    "data",
    [
        answer(b""),
        answer(b"Content-Length: 2\r\n", b"ok", start=b"HTTP/1.0 200 OK"),
        answer(b"Content-Length: 2\r\nConnection: close\r\n", b"ok"),
        answer(b"Content-Length: 2\r\nconnection: foo , Close\r\n", b"ok"),
        answer(b"Content-Length: 2\r\nConnection: foo\r\nConnection: close\r\n", b"ok"),
        answer(b"", start=b"HTTP/1.1 101 Switching Protocols"),
        answer(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"ok"),
        answer(b"Content-Length: 2, 2\r\n", b"ok"),
        answer(b"Content-Length: +2\r\n", b"ok"),
        answer(b"Content-Length: 2\r\n" + CHUNKED, b"2\r\nok\r\n0\r\n\r\n"),
        answer(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
        answer(CHUNKED + CHUNKED, b"0\r\n\r\n"),
        answer(CHUNKED, b"x\r\n"),
        answer(CHUNKED, b"2\r\nokay\r\n0\r\n\r\n"),
        answer(CHUNKED, b"2\nok\n0\n\n"),
        answer(CHUNKED, b"0\r\nTrailer: x\r\n\r\n"),
        answer(CHUNKED, b"1\r\nx\r\n" * 2000),
        answer(CHUNKED, b"%x\r\n" % (BODY_LIMIT + 1)),
        answer(b"Content-Length: %d\r\n" % (BODY_LIMIT + 1)),
        answer(b"Content-Length: 99999999999999999999\r\n"),
    ],
)
def test_a_connection_whose_state_would_be_in_doubt_is_not_used_again(data: bytes) -> None:
    assert end(data) == NEVER


@given(st.binary(max_size=300), st.sampled_from([b"Content-Length: 20\r\n", CHUNKED]))
def test_whatever_comes_the_end_is_within_it_and_does_not_move_any_more(body: bytes, fields: bytes) -> None:
    data = answer(fields, body)
    try:
        found = [end(data[:cut]) for cut in range(len(data) - len(body), len(data) + 1)]
    except Malformed:
        pytest.fail("the head is good")
    decided = [value for value in found if value != UNKNOWN]
    assert len(set(decided)) <= 1
    assert all(value <= len(data) for value in decided)
