"""Headers of a request in HTTP/2's compression without compressing them (RFC 7541, section 6.2.2).

Such headers leave nothing in the server's table, so that they are the same bytes for every request on any connection.
"""

from __future__ import annotations

from typing import Final

METHOD_POST: Final = b"\x83"
SCHEME_HTTP: Final = b"\x86"
SCHEME_HTTPS: Final = b"\x87"

AUTHORITY: Final = 1
PATH: Final = 4
CONTENT_TYPE: Final = 31
USER_AGENT: Final = 58
"""Names by their number in the static table (RFC 7541, appendix A)."""


def literal(name: int | bytes, value: bytes) -> bytes:
    """One header; a name that is not in the static table is given in full, in lower case."""
    if isinstance(name, bytes):
        return b"\x00" + _text(name) + _text(value)
    return _integer(name, 4) + _text(value)


def _text(value: bytes) -> bytes:
    return _integer(len(value), 7) + value


def _integer(value: int, bits: int) -> bytes:
    """A number of which the first byte has room for ``bits`` bits (RFC 7541, section 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((value,))
    value -= most
    octets = [most]
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*octets, value))
