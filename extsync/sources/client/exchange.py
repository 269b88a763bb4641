"""One request and its answer, bounded in every direction; failures as ReadFailed."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import aiohttp
import msgspec
import yarl

from extsync import __version__
from extsync.address_policy import Scope
from extsync.config.faults import shown
from extsync.errors import ReadFailed
from extsync.seams import Clock, Dialer
from extsync.sources.client.credentials import Proxy
from extsync.sources.client.peek import Peek
from extsync.sources.client.urls import authority
from extsync.sources.client.words import PROXY_AUTHENTICATION, certificate_reason, in_words, is_about_dates

MAX_CONNECTIONS: Final = 1000
"""At a time. A blocking query keeps one to itself."""

MAX_LINE: Final = 16 << 10
"""Bytes of the status line and of each header; aiohttp takes 128 of them."""

_NO_TIMEOUTS: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)

_TLS_EXPECTED: Final = (b"plain HTTP request was sent to HTTPS port", b"Client sent an HTTP request to an HTTPS server")
"""What nginx and Go's servers answer, with status 400, where they expect TLS."""


class Reply(msgspec.Struct, frozen=True):
    """An answer, whatever its status. ``headers`` are looked up in any case; ``url`` is what answered in the end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class Progress:
    """How far a request has come, in words, for when its time is over."""

    __slots__ = ("stage",)

    def __init__(self) -> None:
        self.stage = "reading the files with credentials"


class Exchange:
    """Sends requests over connections that are kept for the next one.

    None goes to an address that ``contacts`` denies, whether the URL, the proxy's URL or a name server names it.
    """

    def __init__(self, dialer: Dialer, clock: Clock, contacts: Scope, *, max_body: int) -> None:
        self._contacts = contacts
        self._dialer = dialer
        self._clock = clock
        self._max_body = max_body
        self._opened: aiohttp.ClientSession | None = None

    async def ask(
        self,
        url: yarl.URL,
        *,
        asked: str,
        headers: Mapping[str, str],
        proxy: Proxy | None,
        tls: ssl.SSLContext | None,
        server_name: str | None,
        progress: Progress,
        resend: bool,
        body: bytes | None = None,
    ) -> Reply:
        """The answer to one GET, or to one POST where there is a ``body``.

        ``tls`` is not None where the URL or the proxy needs it.
        ``resend`` allows to send it once more where the connection is lost before anything has come.

        Raises ReadFailed, beginning with ``asked``, for every way in which there is no answer that could be used. There
        is no deadline here; ``progress`` is kept up to date for when one is over.
        """
        request = _Request(url, headers, proxy, server_name, resend, body)
        if reason := self._denied(url) or (proxy and self._denied(proxy.url)):
            raise ReadFailed(f"{asked}: is not asked: {reason}")
        progress.stage = f"connecting to {request.where}"
        try:
            reply = await self._answer(request, tls, progress)
        except aiohttp.ClientConnectorCertificateError as error:
            validity = await self._validity(request) if is_about_dates(error) else None
            reason = certificate_reason(error, request.where, validity, _iso(self._clock.wall()))
            raise ReadFailed(f"{asked}: {reason}") from None
        except UnicodeError:  # of the codec that writes names as DNS wants them
            raise ReadFailed(f"{asked}: {shown(url.host or '')} cannot be the name of a host") from None
        except (aiohttp.ClientError, OSError) as error:
            # Not "from error": what aiohttp raises holds the request with its headers.
            error = error.error if isinstance(error, _Lost) else error
            reason = in_words(error, where=request.where, stage=progress.stage, tls=url.scheme == "https")
            raise ReadFailed(f"{asked}: {reason}") from None
        except ReadFailed as error:
            raise ReadFailed(f"{asked}: {error}") from None
        if fault := _fault(reply, request):
            raise ReadFailed(f"{asked}: {fault}")
        return reply

    def _denied(self, url: yarl.URL) -> str:
        """Why the address that stands in ``url`` is not to be connected to; names are judged when they are resolved."""
        return self._contacts.denied(url.raw_host or "")

    async def close(self) -> None:
        """Ends all connections."""
        if self._opened is not None:
            opened, self._opened = self._opened, None
            await opened.close()

    async def _answer(self, request: _Request, tls: ssl.SSLContext | None, progress: Progress) -> Reply:
        answer = await self._send(request, True if tls is None else tls, progress)
        try:
            return await self._read(answer, progress)
        except BaseException:
            _abandon(answer)
            raise

    async def _send(
        self, request: _Request, tls: ssl.SSLContext | aiohttp.Fingerprint | bool, progress: Progress | None
    ) -> aiohttp.ClientResponse:
        return await self._session().request(
            "GET" if request.body is None else "POST",
            request.url,
            data=request.body,
            headers=request.headers,
            allow_redirects=False,  # followed by hand, so that nothing secret goes along
            proxy=request.proxy,
            proxy_headers=request.proxy_headers,
            ssl=tls,
            server_hostname=request.server_name,
            trace_request_ctx=progress,
            middlewares=() if request.resend else (_only_once,),
        )

    async def _read(self, answer: aiohttp.ClientResponse, progress: Progress) -> Reply:
        encoding = answer.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            raise ReadFailed(
                f"the answer is compressed ({shown(encoding)}), and extsync asks for one that is not: "
                "let the server heed Accept-Encoding"
            )
        length = answer.content_length
        if length is not None and length > self._max_body:
            raise ReadFailed(f"the answer has {length:,} bytes, and the limit is {self._max_body:,}")
        whole = "" if length is None else f" of {length:,}"
        pieces: list[bytes] = []
        size = 0
        async for piece in answer.content.iter_any():
            pieces.append(piece)
            size += len(piece)
            if size > self._max_body:
                raise ReadFailed(f"the answer has more than {self._max_body:,} bytes, which is the limit")
            progress.stage = f"reading the answer, after {size:,}{whole} bytes"
        answer.release()
        return Reply(answer.status, answer.headers, b"".join(pieces), str(answer.url))

    async def _validity(self, request: _Request) -> tuple[str, str] | None:
        """From when until when the server's certificate is valid, if it shows one once more."""
        peek = Peek()
        with contextlib.suppress(aiohttp.ClientError, OSError):  # it is how a peek ends
            _abandon(await self._send(request, peek, None))
        return peek.validity

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                connector=self._dialer.connector(limit=MAX_CONNECTIONS, refuse=self._contacts.denied),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=_NO_TIMEOUTS,  # the clock's is used instead
                max_line_size=MAX_LINE,
                max_field_size=MAX_LINE,
                trace_configs=[_traces()],
            )
        return self._opened


class _Request:
    """One request as aiohttp wants it. ``where`` says in words with whom it speaks."""

    __slots__ = ("body", "headers", "proxy", "proxy_headers", "resend", "server_name", "url", "where")

    def __init__(
        self,
        url: yarl.URL,
        headers: Mapping[str, str],
        proxy: Proxy | None,
        server_name: str | None,
        resend: bool,
        body: bytes | None,
    ) -> None:
        self.url = url
        self.body = body
        self.resend = resend
        self.headers = {"Accept-Encoding": "identity", "User-Agent": f"extsync/{__version__}", **headers}
        self.server_name = server_name
        self.where = authority(url)
        self.proxy: yarl.URL | None = None
        self.proxy_headers: dict[str, str] | None = None
        if proxy is not None:
            self.where += f" through the proxy {authority(proxy.url)}"
            self.proxy = proxy.url
            if url.scheme == "https":
                self.proxy_headers = dict(proxy.headers)  # of CONNECT
            else:
                self.headers.update(proxy.headers)


class _Lost(aiohttp.ClientError):
    """``error``, in a form that aiohttp takes for final."""

    def __init__(self, error: aiohttp.ClientError) -> None:
        super().__init__(str(error))
        self.error = error


async def _only_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keeps aiohttp from sending a request again after it has lost the connection."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:  # which it does not take for a loss
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Lost(error) from None


def _fault(reply: Reply, request: _Request) -> str:
    """Why an answer is none of the server that was asked for, or ""."""
    if reply.status == 400 and any(words in reply.body for words in _TLS_EXPECTED):
        return f"{request.where} speaks TLS: begin the URL with https://"
    if reply.status == 407 and request.proxy is not None:
        return PROXY_AUTHENTICATION
    return ""


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _traces() -> aiohttp.TraceConfig:
    """Lets aiohttp tell the Progress of each request where it stands."""

    async def note(stage: str, session: aiohttp.ClientSession, context: Any, parameters: Any) -> None:
        if context.trace_request_ctx is not None:
            context.trace_request_ctx.stage = stage

    traces = aiohttp.TraceConfig()
    traces.on_connection_queued_start.append(partial(note, "waiting for a connection to be free"))
    traces.on_connection_create_end.append(partial(note, "waiting for the answer"))
    traces.on_connection_reuseconn.append(partial(note, "waiting for the answer"))
    return traces


def _abandon(answer: aiohttp.ClientResponse) -> None:
    """Drops the connection of an answer, without TLS's farewell: a peer that is away would never return it."""
    if answer.connection is not None and answer.connection.transport is not None:
        answer.connection.transport.abort()
    answer.close()
