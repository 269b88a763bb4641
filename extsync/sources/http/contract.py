"""What an answer must be: Prometheus's http_sd contract, and in words how an answer falls short of it. Pure.

https://prometheus.io/docs/prometheus/latest/http_sd/: status 200, ``Content-Type: application/json``, UTF-8, and the
full list with every answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from extsync.config.faults import shown
from extsync.errors import ReadFailed
from extsync.sources.client import Reply, shown_url

MAX_RETRY_AFTER: Final = 600.0
"""Seconds of a Retry-After that are believed; a slip of a server must not silence a source for a day."""

_MAKES_WAIT: Final = frozenset({429, 503})


class Refused(ReadFailed):
    """The server answered, and not with a list. ``retry_after`` are the seconds for which it wants to be left alone."""

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def check(reply: Reply, *, wall: float) -> None:
    """Raises Refused, which says what helps, unless the body of the answer is to be read as the list.

    ``wall`` is the time of the answer in seconds since 1970.
    """
    if reply.status != 200:
        retry_after = read_retry_after(reply.headers, wall=wall) if reply.status in _MAKES_WAIT else 0.0
        raise Refused(f"{shown_url(reply.url)}: {_status(reply)}", retry_after=retry_after)
    if fault := _type_fault(reply):
        raise Refused(f"{shown_url(reply.url)}: {fault}")


def read_retry_after(headers: Mapping[str, str], *, wall: float) -> float:
    """The seconds that Retry-After asks for (RFC 9110, section 10.2.3), ``MAX_RETRY_AFTER`` at most; 0 without it."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - wall
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), MAX_RETRY_AFTER)


def validator(headers: Mapping[str, str]) -> str:
    """The validator to ask with the next time, or ""."""
    text = headers.get("ETag", "").strip()
    return text if text.isascii() and text.isprintable() else ""


def _status(reply: Reply) -> str:
    status = _named(reply.status)
    if reply.status == 401:
        return f"wants other credentials ({status}): set basicAuth or authorization, or correct them"
    if reply.status == 403:
        return f"refuses access ({status}): have the server allow it for these credentials"
    if reply.status in (404, 410):
        return f"has nothing there ({status}): is the path of the URL right?"
    if reply.status == 429:
        return f"wants fewer requests ({status}): make refreshInterval longer"
    if reply.status >= 500:
        return f"fails by itself ({status}): its own logs tell why"
    location = reply.headers.get("Location")
    if 300 <= reply.status < 400 and location:
        return f"redirects ({status}) to {shown_url(location)}, and followRedirects is false"
    return f"answered with {status}, and only 200 brings a list"


def _named(status: int) -> str:
    try:
        return f"status {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"status {status}"


def _type_fault(reply: Reply) -> str:
    given = reply.headers.get("Content-Type", "")
    header = Message()
    header["Content-Type"] = given
    kind = header.get_content_type() if given else ""
    if kind in ("text/html", "application/xhtml+xml"):
        return "answered with an HTML page instead of JSON: is it a page to log in, or one for people?"
    if kind != "application/json":
        return f"answered with Content-Type {shown(given) if given else 'none'}, and must say application/json"
    charset = header.get_content_charset() or "utf-8"
    if charset.replace("_", "-") not in ("utf-8", "utf8"):
        return f"answered in the charset {shown(charset)}, and must use UTF-8"
    return ""
