"""What commands ask a running extsync: its status API, over HTTP."""

from __future__ import annotations

import argparse
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeVar

import aiohttp
from yarl import URL

from extsync.cli.answers import TIMEOUT, Asked, NotKept, document
from extsync.errors import ExtsyncError, UsageError
from extsync.web.documents import Problem

MOST: Final = 64 << 20
"""Bytes of an answer: many times what one page of services, or one service, comes to."""

_CURE: Final = (
    "; where it runs in a cluster: --via-cluster NAMESPACE/SERVICE, or kubectl port-forward deployment/extsync 9440; "
    "elsewhere name it with --server"
)

_D = TypeVar("_D")


class Unanswered(ExtsyncError):
    """Nobody answers there, or not as HTTP has it. ``why`` is the text without what helps."""

    def __init__(self, why: str) -> None:
        super().__init__(why + _CURE)
        self.why = why


class Running:
    """A running extsync behind its status port at the URL ``server``. Raises ExtsyncError where it cannot be asked, and
    at once UsageError where that is no URL.

    ``place`` is the URL as it may be told: without a user and a password.
    """

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self._server = _url(server)
        self.place = str(self._server.with_user(None)).rstrip("/")

    async def ask(self, *path: str, kind: type[_D], **query: str) -> _D:
        """The answer at ``path`` below /api/v1; raises NotKept for a 404."""
        url = self._server.joinpath("api", "v1", *path)
        try:
            async with self._session.get(url, params={name: value for name, value in query.items() if value}) as answer:
                body = await _body(answer)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unanswered(f"{self.place}: {_why(error)}") from error
        shown = url.with_user(None)
        if answer.status == 404:
            raise NotKept(_problem(body) or f"{shown}: not found; is that extsync's status port?")
        if answer.status != 200:
            raise ExtsyncError(f"{shown}: {answer.status} {_problem(body) or answer.reason}")
        return document(body, kind, place=str(shown))


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > MOST:
            raise aiohttp.ClientPayloadError(f"more than {MOST >> 20} MiB")
    return bytes(body)


def _url(server: str) -> URL:
    with suppress(ValueError):  # a wrong host shows only where it is used
        url = URL(server.rstrip("/")).with_query(None).with_fragment(None)
        if url.scheme in ("http", "https") and str(url) and (url.host or "").encode("idna"):
            return url
    raise UsageError("--server: that is no URL of a status port: write http://HOST:PORT, as in http://127.0.0.1:9440")


def _why(error: aiohttp.ClientError | TimeoutError) -> str:
    """Why there is no answer, in words of one line."""
    match error:
        case TimeoutError():
            return f"no answer within {TIMEOUT:g} s"
        case aiohttp.ClientConnectorDNSError():
            return f"the name {error.host} cannot be resolved: {error.os_error.strerror or error.os_error}"
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate is not trusted: {error.certificate_error}"
        case aiohttp.ClientSSLError():
            return "no TLS connection comes about; where it does not speak TLS, write http:// for https://"
        case aiohttp.ClientConnectorError() if error.os_error.errno == errno.ECONNREFUSED:
            return "connection refused: nobody listens there"
        case aiohttp.ClientConnectorError() if error.os_error.errno:
            return os.strerror(error.os_error.errno).lower()
        case aiohttp.ClientConnectorError():
            return "it cannot be connected to"
        case aiohttp.TooManyRedirects():
            return "it redirects without an end"
        case aiohttp.ClientResponseError():
            return "what answers there does not speak HTTP"
        case aiohttp.ClientPayloadError():
            return "its answer breaks off, or is no answer of extsync's status API"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed without an answer; where it speaks TLS, write https:// for http://"
    return str(error) or "the connection broke"


def _problem(body: bytes) -> str:
    try:
        return " ".join(document(body, Problem, place="").error.split())
    except ExtsyncError:
        return ""


def session() -> aiohttp.ClientSession:
    """A session for ``Running``, with a deadline for each answer."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))


@asynccontextmanager
async def asked(args: argparse.Namespace) -> AsyncIterator[Asked]:
    """The running extsync that ``--server`` or ``--via-cluster`` names."""
    if args.via_cluster:
        from extsync.cli.proxied import proxied  # what talks to clusters takes its time to import

        async with proxied(args) as through:
            yield through
    else:
        async with session() as connections:
            yield Running(connections, args.server)
