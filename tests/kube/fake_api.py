"""A server on loopback that answers as a test tells it, for what a real API server does not do on demand."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from extsync.kube.access import Access
from extsync.kube.api import KubeStore
from extsync.kube.credentials import Credentials, Fixed, Headers
from extsync.seams import Clock, SystemClock, SystemDialer

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeApi:
    """Gives each request to the next of ``answers``, the last of them for ever, and remembers it in ``requests``."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[web.Request] = []
        self.bodies: list[Any] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        body = await request.read()
        self.bodies.append(json.loads(body) if body else None)
        chosen = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await chosen(request)

    @property
    def asked(self) -> list[str]:
        """Method, path and query of each request so far."""
        return [f"{request.method} {request.raw_path}" for request in self.requests]

    @asynccontextmanager
    async def store(
        self,
        *,
        prefix: str = "",
        credentials: Credentials | None = None,
        headers: Headers = (),
        clock: Clock | None = None,
        **options: Any,
    ) -> AsyncIterator[KubeStore]:
        """A store on this server, whose URL has the path ``prefix``."""
        tls = ssl.create_default_context()
        access = Access(
            self.url + prefix, tls=tls, credentials=credentials or Fixed(), place="the test", headers=headers
        )
        store = KubeStore(access, clock=clock or SystemClock(), dialer=SystemDialer(), **options)
        try:
            yield store
        finally:
            await store.close()


@asynccontextmanager
async def fake_api() -> AsyncIterator[FakeApi]:
    fake = FakeApi()
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", fake.handle)
    async with TestServer(application) as server:
        fake.url = str(server.make_url("/")).rstrip("/")
        yield fake


def answer(content: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """JSON."""
    return text(json.dumps(content), status=status, content_type="application/json", headers=headers)


def text(
    content: str, *, status: int = 200, content_type: str = "text/html", headers: dict[str, str] | None = None
) -> Answer:
    """A body of any kind."""

    async def give(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=content, content_type=content_type, headers=headers)

    return give


def refusal(code: int, message: str = "no", *, headers: dict[str, str] | None = None, **details: Any) -> Answer:
    """A Status object."""
    return answer({"kind": "Status", "message": message, "details": details}, status=code, headers=headers)


def stream(*chunks: bytes, then: str = "end") -> Answer:
    """Chunks of a stream, and then its ``end``, a ``cut`` connection, or silence (``hang``)."""

    async def give(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if then == "cut":
            assert request.transport is not None
            request.transport.abort()
        elif then == "hang":
            await asyncio.Event().wait()
        return response

    return give


async def silence(request: web.Request) -> web.StreamResponse:
    """No answer, on a connection that stays open."""
    await asyncio.Event().wait()
    raise AssertionError("never reached")
