"""The client's side of an HTTP/2 connection (RFC 9113) with one request at a time, as bytes in and bytes out.

It is what a probe needs and no more: the request begins at once, without waiting for the server's settings, which
section 3.4 allows; its body heeds the server's windows; the answer is collected within narrow bounds. Whatever else a
server sends is answered, ignored or held against it, and its amount is bounded as well.
"""

from __future__ import annotations

from typing import Final

import msgspec
from hpack import Decoder
from hpack.exceptions import HPACKError

from extsync.health import http2_frames as h2
from extsync.health.quoting import shown

FRAMES: Final = 128
"""How many frames of any kind may come in an attempt, and in the time until the next one."""

HEADER_LIMIT: Final = 8192
"""The most bytes that the headers or the trailers of an answer may take, compressed or not."""

BODY_LIMIT: Final = 16384
"""The most bytes that the body of an answer may take."""

_LAST_STREAM: Final = (1 << 31) - 1
_LARGEST_WINDOW: Final = (1 << 31) - 1
_FIRST_WINDOW: Final = 65535
_RENEWED_AT: Final = 16384
_LENGTHS: Final = {h2.PRIORITY: 5, h2.RST_STREAM: 4, h2.PING: 8, h2.WINDOW_UPDATE: 4}

Fields = dict[bytes, bytes]
"""Headers by name; of several with one name, the first."""


class Broken(Exception):
    """The request has failed, and the connection is of no use any more; the text says why."""


class Answer(msgspec.Struct, gc=False):
    """What has come of an answer; ``headers`` is None before they have come. It is complete once it has ``ended``."""

    headers: Fields | None = None
    body: bytes = b""
    trailers: Fields = msgspec.field(default_factory=dict)
    ended: bool = False


class Http2:
    """One connection; after any method, ``outgoing`` hands over what is to be sent.

    ``answer`` is that to the latest request; ``answered`` is whether the server has dealt with that at all, if only by
    refusing it. ``greeted``: the server speaks HTTP/2.
    """

    __slots__ = (
        "_block", "_block_ends", "_buffer", "_closing", "_consumed", "_decoder", "_frames", "_initial_window",
        "_outgoing", "_stream", "_stream_window", "_unsent", "_window", "answer", "answered", "greeted",
    )  # fmt: skip

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=HEADER_LIMIT)
        self._outgoing = h2.opening(HEADER_LIMIT)
        self._buffer = b""
        self._block: bytes | None = None
        self._block_ends = False
        self._stream = -1
        self._frames = 0
        self._consumed = 0
        self._window = self._initial_window = self._stream_window = _FIRST_WINDOW
        self._unsent = b""
        self._closing = False
        self.answer = Answer(ended=True)
        self.answered = False
        self.greeted = False

    def request(self, headers: bytes, body: bytes) -> None:
        """Begins a request with a body; the one before has ended. ``headers`` are compressed, see hpack_literals."""
        self._stream += 2
        self._frames = 0
        self._stream_window = self._initial_window
        self.answer = Answer()
        self.answered = False
        self._outgoing += h2.frame(h2.HEADERS, h2.END_HEADERS, self._stream, headers)
        self._unsent = body
        self._send_body()

    def receive(self, data: bytes) -> None:
        """Takes what has come, up to the end of the answer. Raises Broken."""
        self._buffer += data
        while not self.answer.ended and self._take_frame():
            pass

    def rest(self, data: bytes = b"") -> bool:
        """Takes what has come after the end of the answer; returns whether there can be another request."""
        self._buffer += data
        try:
            while self._take_frame():
                pass
        except Broken:
            return False
        return not (self._closing or self._unsent or self._stream >= _LAST_STREAM)

    def ended(self) -> None:
        """Nothing more will come, and the answer is not complete: raises Broken."""
        if self._buffer and not self.greeted:
            raise Broken(_other_protocol(self._buffer))
        raise Broken("connection closed without an answer" if not self.answered else "connection closed in the answer")

    def outgoing(self) -> bytes:
        """What is to be sent now."""
        data, self._outgoing = self._outgoing, b""
        return data

    def _take_frame(self) -> bool:
        """Handles the next frame; returns False where it has not come yet."""
        buffer = self._buffer
        if len(buffer) < h2.FRAME_HEADER:
            return False
        kind, flags, stream = buffer[3], buffer[4], h2.number(buffer[5:9])
        if not self.greeted and (kind != h2.SETTINGS or flags & h2.ACK or stream or buffer[0]):
            raise Broken(_other_protocol(buffer))
        end = h2.FRAME_HEADER + int.from_bytes(buffer[:3], "big")
        if end > h2.FRAME_HEADER + h2.LARGEST_FRAME:
            raise Broken(f"the server sends a frame of {end - h2.FRAME_HEADER} bytes")
        if len(buffer) < end:
            return False
        self._buffer = buffer[end:]
        self._frames += 1
        if self._frames > FRAMES:
            raise Broken(f"the server sends more than {FRAMES} frames")
        self._handle(kind, flags, stream, buffer[h2.FRAME_HEADER : end])
        return True

    def _handle(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if (self._block is not None) is not (kind == h2.CONTINUATION):
            raise Broken("the server's headers are interrupted, or continue without a beginning")
        if len(payload) != _LENGTHS.get(kind, len(payload)):
            raise Broken("a frame of the server has the wrong length")
        if kind == h2.SETTINGS:
            self._take_settings(flags, stream, payload)
        elif kind == h2.PING:
            if not flags & h2.ACK:
                self._outgoing += h2.frame(h2.PING, h2.ACK, 0, payload)
        elif kind == h2.WINDOW_UPDATE:
            self._take_window(stream, h2.number(payload))
        elif kind == h2.GOAWAY:
            self._take_goaway(payload)
        elif kind == h2.PUSH_PROMISE:
            raise Broken("the server pushes what nobody asked for")
        elif kind in (h2.HEADERS, h2.CONTINUATION, h2.DATA, h2.RST_STREAM):
            self._take_of_stream(kind, flags, stream, payload)

    def _take_settings(self, flags: int, stream: int, payload: bytes) -> None:
        if stream or len(payload) % 6 or (flags & h2.ACK and payload):
            raise Broken("the server's settings are malformed")
        self.greeted = True
        if flags & h2.ACK:
            return
        for name, value in h2.settings_in(payload):
            if name == h2.INITIAL_WINDOW_SIZE:
                self._stream_window = _window(self._stream_window + value - self._initial_window)
                self._initial_window = _window(value)
        self._outgoing += h2.frame(h2.SETTINGS, h2.ACK, 0)
        self._send_body()

    def _take_window(self, stream: int, increment: int) -> None:
        if increment == 0:
            raise Broken("the server widens a window by nothing")
        if stream == 0:
            self._window = _window(self._window + increment)
        elif stream == self._stream:
            self._stream_window = _window(self._stream_window + increment)
        self._send_body()

    def _take_goaway(self, payload: bytes) -> None:
        if len(payload) < 8:
            raise Broken("a frame of the server has the wrong length")
        self._closing = True
        code = int.from_bytes(payload[4:8], "big")
        # A server that shuts down in order still answers what it has accepted.
        if not self.answer.ended and (code or h2.number(payload) < self._stream):
            raise Broken(f"the server closes the connection: {h2.error(code, payload[8:])}")

    def _take_of_stream(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self.answer.ended and kind == h2.RST_STREAM:
            return  # for example NO_ERROR, by one that answers before it has read the request
        if stream != self._stream or self.answer.ended:
            raise Broken("the server sends what belongs to no request")
        if kind == h2.RST_STREAM:
            code = int.from_bytes(payload, "big")
            self.answered = code != h2.REFUSED_STREAM
            raise Broken(f"the server resets the request: {h2.error(code)}")
        self.answered = True
        if kind == h2.DATA:
            self._take_data(flags, payload)
        elif kind == h2.HEADERS:
            block = _without_padding(flags, payload)
            self._block_ends = bool(flags & h2.END_STREAM)
            self._take_block(flags, block[5:] if flags & h2.PRIORITISED else block)
        elif self._block is not None:
            self._take_block(flags, self._block + payload)

    def _take_data(self, flags: int, payload: bytes) -> None:
        answer = self.answer
        if answer.headers is None:
            raise Broken("the server's answer has no headers")
        answer.body += _without_padding(flags, payload)
        if len(answer.body) > BODY_LIMIT:
            raise Broken(f"the answer is longer than {BODY_LIMIT} bytes")
        answer.ended = bool(flags & h2.END_STREAM)
        self._consumed += len(payload)
        if self._consumed >= _RENEWED_AT:
            self._outgoing += h2.frame(h2.WINDOW_UPDATE, 0, 0, self._consumed.to_bytes(4, "big"))
            self._consumed = 0

    def _take_block(self, flags: int, block: bytes) -> None:
        if len(block) > HEADER_LIMIT:
            raise Broken(f"the headers are longer than {HEADER_LIMIT} bytes")
        if not flags & h2.END_HEADERS:
            self._block = block
            return
        self._block = None
        try:
            decoded = self._decoder.decode(block, raw=True)
        except HPACKError as error:
            raise Broken("the server's headers cannot be decoded") from error
        fields: Fields = {}
        for name, value in decoded:
            fields.setdefault(bytes(name), bytes(value))
        self._take_fields(fields)

    def _take_fields(self, fields: Fields) -> None:
        answer, ends = self.answer, self._block_ends
        if answer.headers is None:
            if ends or not fields.get(b":status", b"").startswith(b"1"):
                answer.headers = fields
        elif ends:
            answer.trailers = fields
        else:
            raise Broken("the server sends headers within the answer")
        answer.ended = ends

    def _send_body(self) -> None:
        while (size := min(len(self._unsent), self._window, self._stream_window, h2.LARGEST_FRAME)) > 0:
            body, self._unsent = self._unsent[:size], self._unsent[size:]
            self._window -= size
            self._stream_window -= size
            self._outgoing += h2.frame(h2.DATA, 0 if self._unsent else h2.END_STREAM, self._stream, body)


def _window(size: int) -> int:
    if size > _LARGEST_WINDOW:
        raise Broken("the server widens a window beyond its limit")
    return size


def _without_padding(flags: int, payload: bytes) -> bytes:
    if not flags & h2.PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Broken("a frame of the server is padded beyond its length")
    return payload[1 : len(payload) - payload[0]]


def _other_protocol(data: bytes) -> str:
    if data.startswith(b"HTTP/"):
        return "the port speaks HTTP/1, not gRPC (HTTP/2)"
    if data.startswith((b"\x15\x03", b"\x16\x03")):
        return "the port speaks TLS, not plain gRPC"
    return f"the port does not speak HTTP/2: it begins with {shown(data)}"
