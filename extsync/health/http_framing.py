"""Where an answer of HTTP/1.1 ends, so that the connection can be used again (RFC 9112, sections 6 and 9.3).

It is told only where there is no doubt at all: two readers of the same bytes who find different ends would take the
rest of one answer for the next one.
"""

from __future__ import annotations

import re
from typing import Final

from extsync.health.http_message import BODY_LIMIT, Head

_CHUNKS: Final = 1024
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]{0,200})?\r\n")
_CHUNK_LINE: Final = 256
_WITHOUT_BODY: Final = (204, 304)

UNKNOWN: Final = -1
"""The end has not come yet."""

NEVER: Final = -2
"""The connection cannot be used again, wherever the answer ends."""


def end_of_answer(head: Head, data: bytes, *, to_head: bool) -> int:
    """Where the answer with ``head`` ends in ``data``, or UNKNOWN or NEVER; ``to_head``: what was asked was HEAD.

    It is NEVER where server or protocol close the connection, the body is longer than BODY_LIMIT, or the headers are
    ambiguous about its length.
    """
    if head.minor == 0 or head.status == 101 or _closes(head):
        return NEVER
    codings, lengths = head.all(b"transfer-encoding"), head.all(b"content-length")
    if to_head or head.status in _WITHOUT_BODY:
        return head.end
    if codings:
        return _end_of_chunks(data, head.end) if not lengths and [c.lower() for c in codings] == [b"chunked"] else NEVER
    if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > 9 or int(lengths[0]) > BODY_LIMIT:
        return NEVER
    end = head.end + int(lengths[0])
    return end if len(data) >= end else UNKNOWN


def _closes(head: Head) -> bool:
    options = b",".join(head.all(b"connection")).lower().split(b",")
    return any(option.strip() == b"close" for option in options)


def _end_of_chunks(data: bytes, start: int) -> int:
    position = start
    for _ in range(_CHUNKS):
        line = _CHUNK_SIZE.match(data, position, position + _CHUNK_LINE)
        if line is None:
            return UNKNOWN if len(data) - position < _CHUNK_LINE and b"\n" not in data[position:] else NEVER
        size = int(line[1], 16)
        position = line.end() + size
        if size == 0:
            # Trailers are possible only where they were asked for, so there is an empty line.
            return _after_line_end(data, position)
        if position - start > BODY_LIMIT:
            return NEVER
        position = _after_line_end(data, position)
        if position < 0:
            return position
    return NEVER


def _after_line_end(data: bytes, position: int) -> int:
    after = data[position : position + 2]
    if after == b"\r\n":
        return position + 2
    return UNKNOWN if after in (b"", b"\r") else NEVER
