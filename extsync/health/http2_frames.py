"""The frames of HTTP/2 (RFC 9113, sections 4 and 6) that a client with one request at a time sends, and their words."""

from __future__ import annotations

from typing import Final

from extsync.health.quoting import said

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITISED: Final = 0x20

INITIAL_WINDOW_SIZE: Final = 4
"""The one setting of a server that matters here: how much of a request's body it takes before it says more."""

FRAME_HEADER: Final = 9
LARGEST_FRAME: Final = 16384
"""Bytes of payload: what everybody must accept, and all that the other side may send while nothing else was agreed."""

REFUSED_STREAM: Final = 7

_ENABLE_PUSH: Final = 2
_MAX_HEADER_LIST_SIZE: Final = 6
_ERRORS: Final = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)  # fmt: skip


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return b"%b%c%c%b%b" % (len(payload).to_bytes(3, "big"), kind, flags, stream.to_bytes(4, "big"), payload)


def opening(header_list_size: int) -> bytes:
    """What a client says first: it wants no pushes, and no list of headers that is larger than so many bytes."""
    settings = _setting(_ENABLE_PUSH, 0) + _setting(_MAX_HEADER_LIST_SIZE, header_list_size)
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, settings)


def settings_in(payload: bytes) -> list[tuple[int, int]]:
    """The settings of a SETTINGS frame, each with its value; the payload's length is a multiple of 6."""
    return [
        (int.from_bytes(payload[start : start + 2], "big"), int.from_bytes(payload[start + 2 : start + 6], "big"))
        for start in range(0, len(payload), 6)
    ]


def number(payload: bytes) -> int:
    """A stream's number or an increment of a window: the lower 31 bits of four bytes."""
    return int.from_bytes(payload[:4], "big") & 0x7FFFFFFF


def error(code: int, debug: bytes = b"") -> str:
    """An error code in words, perhaps with what the server has to add: ENHANCE_YOUR_CALM (too_many_pings)."""
    name = _ERRORS[code] if code < len(_ERRORS) else f"error {code}"
    text = said(debug)
    return f"{name} ({text})" if text else name


def _setting(identifier: int, value: int) -> bytes:
    return identifier.to_bytes(2, "big") + value.to_bytes(4, "big")
