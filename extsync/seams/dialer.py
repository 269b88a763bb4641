"""The control plane's connections: the API server's and, for sources that speak HTTP, theirs."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import aiohttp

    from extsync.seams.resolving import Refuse


class Dialer(Protocol):
    """Makes the connectors on which aiohttp sessions run."""

    def connector(
        self, *, tls: ssl.SSLContext | bool = True, limit: int = 100, refuse: Refuse | None = None
    ) -> aiohttp.BaseConnector:
        """A connector of at most ``limit`` connections at a time; the caller closes it.

        ``tls`` is the context for HTTPS; True verifies with the system's authorities. ``refuse`` says why an address
        that a name resolves to is not to be connected to, "" where it may be.
        """
        ...


class SystemDialer:
    """Connects through the operating system."""

    def connector(
        self, *, tls: ssl.SSLContext | bool = True, limit: int = 100, refuse: Refuse | None = None
    ) -> aiohttp.BaseConnector:
        import aiohttp  # costs a quarter of a start, which commands without a network need not pay

        if refuse is None:
            return aiohttp.TCPConnector(ssl=tls, limit=limit)
        from extsync.seams.resolving import JudgingResolver

        return aiohttp.TCPConnector(ssl=tls, limit=limit, resolver=JudgingResolver(refuse))
