from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.health.http_message import BODY_LIMIT, HEAD_LIMIT, Body, Head, Malformed, parse_body, parse_head

OK = b"HTTP/1.1 200 OK\r\n"


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def body(headers: bytes, raw: bytes, *, eof: bool = False) -> Body:
    data = OK + headers + b"\r\n" + raw
    head = parse_head(data)
    assert head is not None
    return parse_body(head, data, eof)


@pytest.mark.parametrize(
    "data",
    [
        OK + b"\r\n",
        b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\n",
        b"HTTP/1.1 200 \r\nServer:\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 200 OK\nServer: x\n\n",
        b"HTTP/1.1 200 G\xc3\xbcltig\r\nX: \xff\r\n folded\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"\r\n",
    ],
)
def test_a_head_is_recognised_when_it_is_complete_and_not_before(data: bytes) -> None:
    for end in range(len(data)):
        assert parse_head(data[:end]) is None
    head = parse_head(data + b"body\r\n\r\n")
    assert head is not None
    assert (head.status, head.end) == (200, len(data))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not an HTTP/1.1 answer: it begins with 'SSH-2.0-OpenSSH_9.2\\r\\n'"),
        (b"\x00", "not an HTTP/1.1 answer: it begins with '\\x00'"),
        (b"HTTP/2 200\r\n\r\n", "not an HTTP/1.1 answer"),
        (b"HTTP/1.1 20", None),
        (b"HTTP/1.1 2OO OK\r\n", "not an HTTP/1.1 answer"),
        (b"HTTP/1.1 200 O\x00K\r\n", "not an HTTP/1.1 answer"),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", "not an HTTP/1.1 answer"),
        (b"\x15\x03\x01\x00\x02\x02\x16", "the port speaks TLS, not plain HTTP"),
        (OK + b"no colon\r\n\r\n", "a header line is malformed"),
        (OK + b"Name : x\r\n\r\n", "a header line is malformed"),
        (OK + b"X: a\x00b\r\n\r\n", "a header line is malformed"),
        (OK + b" folded: first\r\n\r\n", "a header line is malformed"),
        (b"HTTP/1.1 100 Continue\r\n\r\nnonsense", "not an HTTP/1.1 answer: it begins with 'nonsense'"),
    ],
)
def test_what_cannot_become_an_answer_is_refused_at_once(data: bytes, reason: str | None) -> None:
    if reason is None:
        assert parse_head(data) is None
        return
    with pytest.raises(Malformed) as caught:
        parse_head(data)
    assert str(caught.value).startswith(reason)


def test_an_excerpt_of_garbage_is_short() -> None:
    with pytest.raises(Malformed) as caught:
        parse_head(b"\xff" * 10_000)
    assert len(str(caught.value)) < 200


def test_endless_headers_are_refused_when_they_exceed_their_limit() -> None:
    endless = OK + b"X: y\r\n" * 10_000
    assert parse_head(endless[:HEAD_LIMIT]) is None
    with pytest.raises(Malformed, match="longer than 32768 bytes"):
        parse_head(endless[: HEAD_LIMIT + 1])
    with pytest.raises(Malformed, match="longer than 32768 bytes"):
        parse_head(endless + b"\r\n")


def test_endless_informational_answers_are_refused_too() -> None:
    for piece in (b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.1 103 Early Hints\nLink: x\n\n"):
        assert parse_head(piece * 16) is None
        head = parse_head(piece * 16 + OK + b"\r\n")
        assert head is not None
        assert head.status == 200
        with pytest.raises(Malformed, match="more than 16 informational answers"):
            parse_head(piece * 17)


def test_a_length_may_begin_with_any_number_of_zeros() -> None:
    assert body(b"Content-Length: 000000000000005\r\n", b"hello, and more") == Body(b"hello", complete=True)
    assert body(b"Content-Length: " + b"0" * 20 + b"\r\n", b"hello") == Body(b"", complete=True)


def test_a_header_is_found_whatever_its_case_and_not_in_the_middle_of_a_line() -> None:
    head = parse_head(OK + b"X-Location: a\r\nLOCATION:\t b \r\n location: c\r\nlocation:d\r\n\r\n")
    assert head is not None
    assert head.all(b"location") == [b"b", b"d"]
    assert head.get(b"location") == b"b"
    assert head.get(b"ocation") is None


def test_a_header_is_found_whatever_its_case_and_its_first_value_counts() -> None:
    head = parse_head(OK + b"LOCATION:  /a \r\nlocation: /b\r\n\r\n")
    assert head is not None
    assert head.get(b"location") == b"/a"
    assert head.get(b"server") is None


def test_a_body_with_a_length_ends_there() -> None:
    length = b"Content-Length: 5\r\n"
    assert body(length, b"hel") == Body(b"hel", complete=False)
    assert body(length, b"hello, and more") == Body(b"hello", complete=True)
    assert body(length, b"hel", eof=True).fault == "connection closed before the end of the body"


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    assert body(b"", b"hello") == Body(b"hello", complete=False)
    assert body(b"", b"hello", eof=True) == Body(b"hello", complete=True)


def test_a_chunked_body_is_put_together() -> None:
    raw = chunked(b"hello, ", b"world" * 100)
    for end in range(len(raw) - 2):
        piece = body(b"Transfer-Encoding: chunked\r\n", raw[:end])
        assert not piece.complete
        assert not piece.fault
    assert body(b"Transfer-Encoding: Chunked\r\n", raw) == Body(b"hello, " + b"world" * 100, complete=True)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"zz\r\n", "a chunk of the body has no valid size"),
        (b"-1\r\nx\r\n", "a chunk of the body has no valid size"),
        (b"1" * 300, "a chunk of the body has no valid size"),
        (b"2\r\nabcd\r\n", "a chunk of the body is longer than it says"),
        (b"1\r\nx\r\n" * 2000, "the body comes in more than 1024 chunks"),
    ],
)
def test_broken_chunks_are_a_fault(raw: bytes, fault: str) -> None:
    assert body(b"Transfer-Encoding: chunked\r\n", raw).fault == fault


@pytest.mark.parametrize(
    "headers", [b"Transfer-Encoding: gzip\r\n", b"Content-Length: -5\r\n", b"Content-Length: x\r\n"]
)
def test_a_body_that_cannot_be_delimited_is_a_fault(headers: bytes) -> None:
    assert body(headers, b"hello").fault


@pytest.mark.parametrize("headers", [b"", b"Content-Length: 99999999999999999999999\r\n"])
def test_no_more_of_a_body_is_looked_at_than_its_limit(headers: bytes) -> None:
    assert body(headers, b"x" * BODY_LIMIT * 2) == Body(b"x" * BODY_LIMIT, complete=True)


def test_no_more_of_a_chunked_body_is_looked_at_than_its_limit() -> None:
    raw = chunked(b"x" * 40_000, b"y" * 40_000)
    assert body(b"Transfer-Encoding: chunked\r\n", raw) == Body(
        b"x" * 40_000 + b"y" * (BODY_LIMIT - 40_000), complete=True
    )


def test_an_answer_without_content_has_no_body() -> None:
    data = b"HTTP/1.1 204 No Content\r\n\r\n"
    assert parse_body(Head(204, b"", len(data)), data, eof=False) == Body(b"", complete=True)


PIECES = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 C\r\n", b"\r\n", b"\n", b"\r", b"X: y\r\n", b" fold\r\n", b"\x00"),
        *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"abc", b":"),
    ]
)
ANSWERS = st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=12).map(b"".join))


def outcome(data: bytes) -> int | str | None:
    """The status, "malformed", or None for a head that is incomplete."""
    try:
        head = parse_head(data)
    except Malformed:
        return "malformed"
    return None if head is None else head.status


@given(ANSWERS)
def test_what_is_decided_on_a_head_stays_decided_when_more_comes(data: bytes) -> None:
    decided = None
    for end in range(len(data) + 1):
        latest = outcome(data[:end])
        assert decided is None or latest == decided
        decided = latest


@given(ANSWERS, ANSWERS, st.booleans())
def test_any_body_is_parsed_without_an_error(fields: bytes, raw: bytes, eof: bool) -> None:
    data = OK + fields + b"\r\n" + raw
    if isinstance(outcome(data), int):
        head = parse_head(data)
        assert head is not None
        parsed = parse_body(head, data, eof)
        assert len(parsed.data) <= BODY_LIMIT
        assert parsed.complete or parsed.fault or not eof
