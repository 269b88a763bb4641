"""URLs: as they are asked for, as messages show them, and where a redirect leads. Pure.

What a redirect may carry follows RFC 9110, section 15.4, and curl: nothing that was meant for one origin (RFC 6454:
scheme, host and port) is sent to another.
"""

from __future__ import annotations

from typing import Final

import yarl

from extsync.config.faults import shown
from extsync.errors import ReadFailed

MAX_REDIRECTS: Final = 10
"""Redirects that are followed for one request."""

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
"""Statuses that say where else to ask; the method stays GET with all of them."""

_LONGEST_SHOWN: Final = 200


def parse_url(text: str) -> yarl.URL:
    """The URL that is asked for; raises ValueError for one that cannot be.

    What is escaped already stays as it is: a server may tell ``%2F`` from ``/``.
    """
    url = yarl.URL(text, encoded=text.isascii() and text.isprintable() and " " not in text)
    if url.scheme not in ("http", "https") or not url.raw_host or not url.port:
        raise ValueError("is not a URL that begins with http:// or https:// and has a host")
    return url.with_fragment(None)


def shown_url(url: str | yarl.URL) -> str:
    """The URL as messages show it: without credentials, and without the query, which may hold a secret."""
    try:
        parsed = yarl.URL(url, encoded=True) if isinstance(url, str) else url
        text = str(parsed.with_user(None).with_query(None).with_fragment(None)) + (
            "?..." if parsed.query_string else ""
        )
    except ValueError:
        return "the URL"
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def authority(url: yarl.URL) -> str:
    """Host and port that a request for ``url`` connects to."""
    host = url.host or ""
    return f"[{host}]:{url.port}" if ":" in host else f"{host}:{url.port}"


def same_origin(one: yarl.URL, other: yarl.URL) -> bool:
    return (one.scheme, authority(one).lower()) == (other.scheme, authority(other).lower())


def redirected(url: yarl.URL, location: str) -> yarl.URL:
    """Where the answer for ``url`` with that Location leads, without the credentials that it may have.

    Raises ReadFailed where it leads to what is not HTTP, or out of TLS: what came back then could be anybody's.
    """
    try:
        target = parse_url(str(url.join(yarl.URL(location, encoded=location.isascii()))))
    except ValueError:
        place = shown(_without_query(location))
        raise ReadFailed(f"{shown_url(url)}: redirects to {place}, which is no http or https URL") from None
    if url.scheme == "https" and target.scheme == "http":
        raise ReadFailed(
            f"{shown_url(url)}: redirects from https to {shown_url(target)}, where anybody could answer: "
            "if that is what you want, write that URL into the manifest"
        )
    return target.with_user(None)


def _without_query(location: str) -> str:
    return location.partition("?")[0].rpartition("@")[2]
