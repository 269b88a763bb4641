"""The connections of the status port: bounded, since each takes a descriptor that a probe may need.

Whoever comes is served: of too many connections the oldest is cut, so that clients that are slow, or forget their
connections, keep neither a scrape nor a kubelet out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

MOST_CONNECTIONS: Final = 64
"""Connections at a time; about half of the descriptors that the prober leaves for all else where there are few."""

BACKLOG: Final = 32
"""Connections that wait to be accepted; so many may come above ``MOST_CONNECTIONS`` in one turn of the event loop."""

KEEP_ALIVE: Final = 75.0
"""Seconds for which a connection without a request stays."""

LINGER: Final = 2.0
"""Seconds that answers under way have when the process stops."""


def _is_a_defect(record: logging.LogRecord) -> bool:
    """A request that is none, or a client that has gone, is nothing that a log should tell of."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | ConnectionError)


_log = logging.getLogger(__name__)
_log.addFilter(_is_a_defect)


@asynccontextmanager
async def listening(application: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serves ``application``; yields the number of the port. Raises OSError where it cannot be listened on."""
    runner = web.AppRunner(
        application, access_log=None, logger=_log, keepalive_timeout=KEEP_ALIVE, shutdown_timeout=LINGER
    )
    await runner.setup()
    served = runner.server
    assert served is not None

    def admit() -> web.RequestHandler:
        known = served.connections
        for oldest in known[: max(0, len(known) - MOST_CONNECTIONS + 1)]:
            if oldest.transport is not None:
                oldest.transport.abort()
        return served()

    try:
        server = await asyncio.get_running_loop().create_server(admit, host, port, backlog=BACKLOG)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
    finally:
        await runner.cleanup()
