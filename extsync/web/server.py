"""The status port: metrics, health and the status API. Nothing can be changed through it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from extsync.engine.run import Engine
from extsync.errors import ConfigError
from extsync.health.base import host_port
from extsync.seams import Clock
from extsync.web.api import Api
from extsync.web.exposition import encode
from extsync.web.lag import lags, measure
from extsync.web.metrics import families

log = logging.getLogger(__name__)

_TEXT: Final = "text/plain"


class Site:
    """What there is to see of one engine. Each handler answers GET and HEAD; other methods are not allowed."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self.lag = lags()

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application(client_max_size=0)
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        Api(self._engine).add_to(application)
        return application

    async def _healthz(self, request: web.Request) -> web.Response:
        """The process lives: a loop that hangs answers nothing, and then it should be restarted."""
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        """The cluster and the manifests have been read. A standby is ready, too: it could take over."""
        if self._engine.status().synced:
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the cluster and the manifests have not been read yet\n")

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        found = await families(self._engine, self.lag, self._give_way)
        content_type, chunks = encode(found, request.headers.get("Accept", ""))
        response = web.StreamResponse(headers={"Content-Type": content_type})
        response.enable_compression()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await self._give_way()
        await response.write_eof()
        return response

    async def _give_way(self) -> None:
        await self._clock.sleep(0)


@asynccontextmanager
async def serving(engine: Engine, *, host: str, port: int, clock: Clock) -> AsyncIterator[int]:
    """Serves the status port; yields its number, which matters where ``port`` is 0.

    Raises ConfigError where the address cannot be listened on.
    """
    site = Site(engine, clock)
    runner = web.AppRunner(site.application(), access_log=None)
    await runner.setup()
    lag = asyncio.create_task(measure(site.lag, clock), name="loop-lag")
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ConfigError(
                f"listen: {host_port(host, port)} cannot be listened on: {error.strerror or error};"
                " choose another address and port, or none"
            ) from error
        bound: int = runner.addresses[0][1]
        log.info("metrics, health and status at http://%s", host_port(host, bound))
        yield bound
    finally:
        lag.cancel()
        await runner.cleanup()
