"""The part of HTTP/1.1 (RFC 9112) that a probe needs: the head of an answer and its body, as pure functions over bytes.

The parser is strict where leniency would call a broken server healthy, and bounded everywhere: in the size of the head
and of the body, and in the number of answers and of chunks. What it decides does not depend on how the bytes were split
on the way.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec

from extsync.health.quoting import shown

HEAD_LIMIT: Final = 32768
"""The most bytes that status line and headers may take, informational (1xx) answers included."""

BODY_LIMIT: Final = 65536
"""How many bytes of the body are looked at."""

_INFORMATIONAL: Final = 16
_CHUNKS: Final = 1024
_CHUNK_LINE: Final = 256
_SHORT: Final = 1024

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\r\n\x00]*+)?\r?\n")
# Header lines, each perhaps continued (obs-fold), and the empty line. Possessive, so that no input makes it slow.
_FIELDS = rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[^\r\n\x00]*+\r?\n(?:[ \t][^\r\n\x00]*+\r?\n)*+)*+)\r?\n"
_HEAD = re.compile(_STATUS_LINE.pattern + _FIELDS)
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_SHORTEST: Final = b"HTTP/1.1 200\n"
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")


class Malformed(Exception):
    """The bytes are not an answer to an HTTP/1.1 request; the text says what is wrong."""


class Head(msgspec.Struct, frozen=True, gc=False):
    """The final status and the header lines as they came; the body begins at ``end``. The version is 1.``minor``."""

    status: int
    fields: bytes
    end: int
    minor: int = 1

    def get(self, name: bytes) -> bytes | None:
        """The value of the first header ``name`` (in lower case), stripped; None where there is none."""
        values = self.all(name)
        return values[0] if values else None

    def all(self, name: bytes) -> list[bytes]:
        """The values of all headers ``name`` (in lower case), stripped."""
        return [value.strip() for value in _field(name).findall(b"\n" + self.fields)]


class Body(msgspec.Struct, frozen=True, gc=False):
    """The decoded body as far as it has come, at most BODY_LIMIT bytes; ``complete``: nothing will be added to it.

    ``fault`` says what is wrong after those bytes, or "".
    """

    data: bytes
    complete: bool
    fault: str = ""


def parse_head(data: bytes) -> Head | None:
    """The head of the answer in ``data``, informational ones (1xx) skipped; None while it is incomplete.

    Raises Malformed as soon as it is clear that there will be none.
    """
    return _parse_short_head(data) if len(data) <= _SHORT else _parse_head(data)


def _parse_head(data: bytes) -> Head | None:
    start = 0
    for _ in range(_INFORMATIONAL + 1):
        end = _end_of_head(data, start)
        if end < 0 or end > HEAD_LIMIT:
            _check_start(data, start)
            if len(data) > HEAD_LIMIT:
                raise Malformed(f"the headers are longer than {HEAD_LIMIT} bytes")
            return None
        match = _HEAD.fullmatch(data, start, end)
        if match is None:
            _check_start(data, start)
            raise Malformed("a header line is malformed")
        status = int(match[2])
        if status >= 200 or status == 101:
            return Head(status, match[3], end, int(match[1]))
        start = end
    raise Malformed(f"more than {_INFORMATIONAL} informational answers")


# Servers of one kind give the same short answer within a second, and then the next one.
_parse_short_head = lru_cache(maxsize=64)(_parse_head)


def parse_body(head: Head, data: bytes, eof: bool) -> Body:
    """The body that follows ``head`` in ``data``; ``eof``: nothing more will come."""
    if head.status in (204, 304):
        return Body(b"", complete=True)
    raw = data[head.end :]
    coding = head.get(b"transfer-encoding")
    if coding is not None:
        body = _dechunk(raw) if coding.lower() == b"chunked" else Body(b"", False, f"transfer coding {shown(coding)}")
    else:
        length = head.get(b"content-length")
        if length is None:
            body = Body(raw[:BODY_LIMIT], eof or len(raw) >= BODY_LIMIT)
        elif length.isdigit():
            size = min(int(length.lstrip(b"0")[:10] or b"0"), BODY_LIMIT)
            body = Body(raw[:size], len(raw) >= size)
        else:
            body = Body(b"", complete=False, fault=f"content-length {shown(length)}")
    if eof and not body.complete and not body.fault:
        return Body(body.data, complete=True, fault="connection closed before the end of the body")
    return body


def _end_of_head(data: bytes, start: int) -> int:
    """Where the first empty line that follows a line ends; -1 where there is none yet."""
    match = _EMPTY_LINE.search(data, start)
    return -1 if match is None else match.end()


@lru_cache(maxsize=64)
def _field(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"\n" + re.escape(name) + rb":([^\n]*)", re.IGNORECASE)


def _check_start(data: bytes, start: int) -> None:
    """Raises Malformed where ``data`` from ``start`` on is neither a status line nor the beginning of one."""
    newline = data.find(b"\n", start, HEAD_LIMIT)
    line = data[start : newline + 1 if newline >= 0 else HEAD_LIMIT]
    if newline < 0:
        line += _SHORTEST[len(line) :] or b"\n"
    if _STATUS_LINE.fullmatch(line) is None:
        if data.startswith((b"\x15\x03", b"\x16\x03")):
            raise Malformed("the port speaks TLS, not plain HTTP")
        raise Malformed(f"not an HTTP/1.1 answer: it begins with {shown(data[start:])}")


def _dechunk(raw: bytes) -> Body:
    pieces: list[bytes] = []
    size = position = 0
    for _ in range(_CHUNKS):
        line = _CHUNK_SIZE.match(raw, position, position + _CHUNK_LINE)
        if line is None:
            incomplete = len(raw) - position < _CHUNK_LINE and b"\n" not in raw[position:]
            return Body(b"".join(pieces), False, "" if incomplete else "a chunk of the body has no valid size")
        length = int(line[1], 16)
        if length == 0:
            return Body(b"".join(pieces), complete=True)
        piece = raw[line.end() : line.end() + min(length, BODY_LIMIT - size)]
        pieces.append(piece)
        size += len(piece)
        if size >= BODY_LIMIT:
            return Body(b"".join(pieces), complete=True)
        position = line.end() + length
        after = raw[position : position + 2]
        if after in (b"", b"\r"):
            return Body(b"".join(pieces), complete=False)
        if after != b"\r\n" and after[:1] != b"\n":
            return Body(b"".join(pieces), False, "a chunk of the body is longer than it says")
        position += 2 if after == b"\r\n" else 1
    return Body(b"".join(pieces), complete=False, fault=f"the body comes in more than {_CHUNKS} chunks")
