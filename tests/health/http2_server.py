"""The server's side of HTTP/2, frame by frame, for tests that say what no good server says."""

from __future__ import annotations

from collections.abc import Iterable

import hpack

from extsync.health import http2_frames as h2

SETTINGS = h2.frame(h2.SETTINGS, 0, 0)
SERVING = b"\0\0\0\0\2\x08\x01"
HEADERS = ((b":status", b"200"), (b"content-type", b"application/grpc"))
TRAILERS = ((b"grpc-status", b"0"), (b"grpc-message", b""))


def headers(stream: int, fields: Iterable[tuple[bytes, bytes]], *, ends: bool = False, encoder: hpack.Encoder) -> bytes:
    """A HEADERS frame, compressed by a connection's encoder."""
    return h2.frame(h2.HEADERS, h2.END_HEADERS | (h2.END_STREAM if ends else 0), stream, encoder.encode(fields))


def answer(
    stream: int = 1,
    body: bytes = SERVING,
    trailers: Iterable[tuple[bytes, bytes]] = TRAILERS,
    *,
    encoder: hpack.Encoder | None = None,
) -> bytes:
    """A whole answer of a health service."""
    encoder = encoder or hpack.Encoder()
    return (
        headers(stream, HEADERS, encoder=encoder)
        + h2.frame(h2.DATA, 0, stream, body)
        + headers(stream, trailers, ends=True, encoder=encoder)
    )


def goaway(code: int = 0, last: int = (1 << 31) - 1, debug: bytes = b"") -> bytes:
    return h2.frame(h2.GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big") + debug)


def window_update(stream: int, increment: int) -> bytes:
    return h2.frame(h2.WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def initial_window(size: int) -> bytes:
    return h2.frame(h2.SETTINGS, 0, 0, h2.INITIAL_WINDOW_SIZE.to_bytes(2, "big") + size.to_bytes(4, "big"))


def rst_stream(stream: int, code: int) -> bytes:
    return h2.frame(h2.RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def frames(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of the frames that a client has sent, after the preface if that is there."""
    data = data.removeprefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    found = []
    while data:
        end = 9 + int.from_bytes(data[:3], "big")
        found.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:end]))
        data = data[end:]
    return found
