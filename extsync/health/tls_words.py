"""What TLS says, in words: why it failed, and until when a certificate is valid."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from extsync.certificates import read_validity

NOTICE: Final = 14 * 86400.0
"""Seconds before a certificate expires from which on that is told: renewal is late then, and there is still time."""

_DAY: Final = 86400.0

# Codes of OpenSSL's certificate verification (x509_vfy.h).
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10

_NOT_TLS: Final = frozenset({"wrong version number", "record layer failure", "packet length too long"})
_CLIENT_CERTIFICATE: Final = (
    "sslv3 alert bad certificate",
    "sslv3 alert unsupported certificate",
    "sslv3 alert certificate revoked",
    "sslv3 alert certificate expired",
    "sslv3 alert certificate unknown",
    "tlsv1 alert unknown ca",
    "tlsv1 alert access denied",
)


def words(error: ssl.SSLError) -> str:
    """Says what went wrong: "certificate verify failed: self-signed certificate"."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _EXPIRED:
            return "certificate expired"
        if error.verify_code == _NOT_YET_VALID:
            return "certificate not valid yet"
        return f"certificate verify failed: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLEOFError):
        return "connection closed in the TLS handshake"
    reason = (getattr(error, "reason", None) or "").lower().replace("_", " ")  # Python's own have none
    if reason in _NOT_TLS:
        return "the port does not speak TLS"
    if reason == "tlsv1 alert no application protocol":
        return "the server speaks none of the protocols offered to it (ALPN)"
    if reason == "tlsv13 alert certificate required":
        return "the server wants a client certificate"
    if reason in _CLIENT_CERTIFICATE:
        return f"the server refuses the client certificate: {reason.partition(' alert ')[2]}"
    return f"TLS failed: {reason or 'protocol error'}"


def is_about_dates(error: Exception) -> bool:
    """Whether a certificate was refused because of the time."""
    return isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in (_EXPIRED, _NOT_YET_VALID)


def dated(error: ssl.SSLError, certificate: bytes, now: float) -> str:
    """Why a certificate was refused because of the time, where ``certificate`` (DER) is the server's, or empty."""
    span = _span(certificate)
    if span is None:
        return words(error)
    return _untimely(span, now) or f"{words(error)}: not the server's own, but one that vouches for it"


def is_timely(certificate: bytes, now: float) -> bool:
    """Whether a certificate (DER) is known to be valid at this moment."""
    span = _span(certificate)
    return span is not None and span[0] <= now < span[1]


def notice(certificate: bytes, now: float) -> str:
    """What is to be told of a certificate (DER) that was accepted: that it expires soon, or is not valid at all.

    Empty where there is nothing to tell.
    """
    span = _span(certificate)
    if span is None:
        return ""
    left = span[1] - now
    if 0 <= left < NOTICE:
        days = int(left // _DAY)
        when = f"in {days} day{'s' if days > 1 else ''}" if days else "in less than a day"
        return f"certificate expires {_date(span[1])} ({when})"
    return _untimely(span, now)


def _untimely(span: tuple[float, float], now: float) -> str:
    first, last = span
    if last <= now:
        return f"certificate expired {_date(last)}"
    return f"certificate not valid before {_date(first)}" if now < first else ""


@lru_cache(maxsize=1024)  # what one server presents is the same each time
def _span(certificate: bytes) -> tuple[float, float] | None:
    """The first and the last moment of a certificate, in seconds of the wall clock."""
    validity = read_validity(certificate)
    try:
        first, last = (datetime.fromisoformat(moment).timestamp() for moment in validity or ())
    except (ValueError, OverflowError):
        return None
    return first, last


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).date().isoformat()
