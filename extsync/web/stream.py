"""``/api/v1/events``: what changes, as server-sent events, for as long as somebody watches."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from extsync.engine.run import Engine
from extsync.seams import Clock
from extsync.web.board import Board, Message
from extsync.web.documents import Problem

MOST_STREAMS: Final = 16
"""Streams at a time; each is a connection, and connections are bounded as well."""

WRITE_SECONDS: Final = 20.0
"""Seconds in which a client has to take a message, once it is behind."""

RETRY: Final = 2000
"""Milliseconds after which a browser whose stream ended asks again."""

_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # a proxy passes each event on at once
}


class Streams:
    """The handler, and how many it serves."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._clock = clock
        self._board = Board(engine, clock)
        self._streams = 0

    def add_to(self, application: web.Application) -> None:
        """Adds the route; the streams end when the application does."""
        application.router.add_get("/api/v1/events", self.events)
        application.on_shutdown.append(self._end)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """``after``, or the header Last-Event-ID, is the id of the last event that is known."""
        if request.method == "HEAD":
            return web.Response(headers=_HEADERS)
        if self._streams >= MOST_STREAMS:
            body = msgspec.json.encode(
                Problem(f"{MOST_STREAMS} others watch already: close a page that nobody looks at")
            )
            return web.Response(status=503, body=body, content_type="application/json", headers={"Retry-After": "10"})
        self._streams += 1
        try:
            return await self._serve(request)
        finally:
            self._streams -= 1

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        after = request.headers.get("Last-Event-ID", "") or request.query.get("after", "")
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        try:
            async with self._board.watched():
                await self._write(response, f"retry: {RETRY}\n\n".encode())
                async for message in self._board.messages(after):
                    await self._write(response, _text(message))
        except TimeoutError as error:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionAbortedError("whoever watches reads too slowly") from error
        return response

    async def _write(self, response: web.StreamResponse, text: bytes) -> None:
        async with self._clock.timeout(WRITE_SECONDS):
            await response.write(text)

    async def _end(self, application: web.Application) -> None:
        self._board.close()


def _text(message: Message) -> bytes:
    name = f"id: {message.id}\n" if message.id else ""
    return b"%sevent: %s\ndata: %s\n\n" % (name.encode(), message.event.encode(), message.data)
