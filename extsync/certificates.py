"""When an X.509 certificate is valid, whoever signed it: Python itself only reads those that it trusts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17


def read_validity(certificate: bytes) -> tuple[str, str] | None:
    """The first and the last moment of a certificate (DER) as ``2026-11-23T07:18:18Z`` (RFC 5280, section 4.1).

    None for what is no such certificate.
    """
    try:
        (_, outer), *_ = _elements(certificate)
        (_, signed), *_ = _elements(outer)
        fields = [content for tag, content in _elements(signed) if tag != _VERSION]
        _serial, _algorithm, _issuer, validity, *_ = fields
        first, last = (_moment(tag, content) for tag, content in _elements(validity))
    except ValueError:
        return None
    return first, last


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The tag and content of each element in a row; raises ValueError where one is cut off."""
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("cut off")
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise ValueError("cut off")
        yield tag, data[at : at + length]
        at += length


def _moment(tag: int, content: bytes) -> str:
    """The time in ISO 8601; years of two digits are 1950 to 2049 (RFC 5280, section 4.1.2.5.1)."""
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    digits = re.fullmatch(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z", text)
    if digits is None:
        raise ValueError("no time")
    return "{}-{}-{}T{}:{}:{}Z".format(*digits.groups())
