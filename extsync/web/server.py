"""The status port: metrics, health, the status API and the page. Nothing can be changed through it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from aiohttp import web

from extsync.engine.run import Engine
from extsync.errors import ConfigError
from extsync.health.base import host_port
from extsync.seams import Clock
from extsync.web.api import Api
from extsync.web.connections import listening
from extsync.web.exposition import encode
from extsync.web.hosts import own_names
from extsync.web.lag import lags, measure
from extsync.web.metrics import families
from extsync.web.page import Page
from extsync.web.stream import Streams

log = logging.getLogger(__name__)

MOST_SCRAPES: Final = 4
"""Scrapes at a time: each holds all of its samples until they have been read."""

SCRAPE_SECONDS: Final = 30.0
"""Seconds in which a scrape has to be read."""


class Site:
    """What there is to see of one engine. Each handler answers GET and HEAD; other methods are not allowed."""

    def __init__(self, engine: Engine, clock: Clock, *, endpoint_metrics: bool) -> None:
        self._engine = engine
        self._endpoint_metrics = endpoint_metrics
        self._clock = clock
        self._scrapes = 0
        self.lag = lags()

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application(client_max_size=0, middlewares=[own_names])
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        Api(self._engine).add_to(application)
        Streams(self._engine, self._clock).add_to(application)
        Page().add_to(application)
        application.on_response_prepare.append(_as_it_says)
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
        if request.method == "HEAD":
            return web.Response(headers={"Content-Type": encode((), request.headers.get("Accept", ""))[0]})
        if self._scrapes >= MOST_SCRAPES:
            return web.Response(status=503, text=f"{MOST_SCRAPES} scrapes are under way\n")
        response = web.StreamResponse()
        self._scrapes += 1
        try:
            async with self._clock.timeout(SCRAPE_SECONDS):
                await self._scrape(request, response)
        except TimeoutError as error:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionAbortedError("whoever asked reads too slowly") from error
        finally:
            self._scrapes -= 1
        return response

    async def _scrape(self, request: web.Request, response: web.StreamResponse) -> None:
        found = await families(self._engine, self.lag, self._give_way, each_endpoint=self._endpoint_metrics)
        content_type, chunks = encode(found, request.headers.get("Accept", ""))
        response.headers["Content-Type"] = content_type
        response.enable_compression()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await self._give_way()
        await response.write_eof()

    async def _give_way(self) -> None:
        await self._clock.sleep(0)


async def _as_it_says(request: web.Request, response: web.StreamResponse) -> None:
    """What is shown comes from registries: a browser must take none of it for something else than it is said to be.

    Nor is anybody told which versions of Python and aiohttp are at work.
    """
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "extsync"


@asynccontextmanager
async def serving(
    engine: Engine, *, host: str, port: int, clock: Clock, endpoint_metrics: bool = False
) -> AsyncIterator[int]:
    """Serves the status port; yields its number, which matters where ``port`` is 0.

    ``endpoint_metrics``: the metrics have a series for each endpoint, too.

    Raises ConfigError where the address cannot be listened on.
    """
    site = Site(engine, clock, endpoint_metrics=endpoint_metrics)
    async with AsyncExitStack() as resources:
        try:
            bound = await resources.enter_async_context(listening(site.application(), host, port))
        except OSError as error:
            raise ConfigError(
                f"listen: {host_port(host, port)} cannot be listened on: {error.strerror or error};"
                " choose another address and port, or none"
            ) from error
        lag = asyncio.create_task(measure(site.lag, clock), name="loop-lag")
        resources.callback(lag.cancel)
        address = host_port(host, bound) if host else f"localhost:{bound}, on all addresses"
        log.info("the page, status, health and metrics at http://%s", address)
        yield bound
