"""The messages of gRPC's health service, and its statuses in words.

After github.com/grpc/grpc: doc/health-checking.md, doc/PROTOCOL-HTTP2.md and doc/statuscodes.md. Two messages with one
field each need no library for protocol buffers.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

from extsync.health.quoting import said, shown

METHOD: Final = b"/grpc.health.v1.Health/Check"

OK: Final = 0
NOT_FOUND: Final = 5
UNIMPLEMENTED: Final = 12

SERVING: Final = 1

_FRAME: Final = 5
_MESSAGE_LIMIT: Final = 4096
_CODES: Final = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
_STATUSES: Final = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")

_VARINT: Final = 0
_FIXED: Final = {1: 8, 5: 4}
_DELIMITED: Final = 2


class Malformed(Exception):
    """The bytes are not what gRPC's health service answers; the text says what is wrong."""


def request(service: str) -> bytes:
    """A HealthCheckRequest for ``service``, framed as gRPC frames messages."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\0" + len(message).to_bytes(4, "big") + message


def serving_status(body: bytes) -> int:
    """The status in the framed HealthCheckResponse that is all of ``body``. Raises Malformed."""
    if len(body) < _FRAME or len(body) != _FRAME + int.from_bytes(body[1:_FRAME], "big"):
        raise Malformed("the answer is not one message")
    if body[0]:
        raise Malformed("the answer is compressed, which was not offered")
    if len(body) > _MESSAGE_LIMIT:
        raise Malformed(f"the answer is longer than {_MESSAGE_LIMIT} bytes")
    try:
        return _field_one(body[_FRAME:])
    except IndexError:
        raise Malformed(f"the answer is no health status: {shown(body[_FRAME:])}") from None


def status_name(status: int) -> str:
    """A serving status as the service's definition names it."""
    return _STATUSES[status] if status < len(_STATUSES) else f"status {status}"


def code(text: bytes) -> int:
    """The status of a call, from the trailer grpc-status. Raises Malformed."""
    if not text.isdigit() or len(text) > 9:
        raise Malformed(f"the answer's grpc-status is {shown(text)}")
    return int(text)


def failure(status: int, message: bytes) -> str:
    """Why a call failed: the status, and the trailer grpc-message, which is percent-encoded, made fit to be shown."""
    name = _CODES[status] if status < len(_CODES) else f"grpc-status {status}"
    text = said(unquote_to_bytes(message[:_MESSAGE_LIMIT]))
    return f"{name}: {text}" if text else name


def _varint(value: int) -> bytes:
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def _field_one(message: bytes) -> int:
    """The last varint that is field 1, 0 where there is none: proto3 leaves zeros out. Raises IndexError at garbage."""
    found = position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _read_varint(message, position)
            found = value if key >> 3 == 1 else found
        elif kind == _DELIMITED:
            size, position = _read_varint(message, position)
            position += size
        elif kind in _FIXED:
            position += _FIXED[kind]
        else:
            raise IndexError
    if position > len(message):
        raise IndexError
    return found


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        octet = message[position]
        position += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value, position
    raise IndexError
