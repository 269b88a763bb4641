"""Requests to an API server: one at a time with a deadline, or a stream of lines; failures as store errors.

The connections are aiohttp's, on which kubernetes-asyncio's own client rests too. That client is passed by: it makes
its connections itself (here a ``Dialer`` does), serialises bodies that are bytes already, and has neither a deadline
over the whole of a request nor a bound on a line of a stream.
"""

from __future__ import annotations

import io
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple
from urllib.parse import urlencode

import aiohttp
import yarl

from extsync import __version__
from extsync.errors import ConfigError, StoreError, TooLarge, Unavailable
from extsync.kube.access import Access
from extsync.kube.status import Status, error_of, read_retry_after, read_status
from extsync.seams import Clock, Dialer

MAX_CONNECTIONS = 1000
"""At a time. Each watch keeps one to itself, and there are three watches for each namespace that is watched alone."""
MAX_BODY = 256 << 20
"""Bytes of an answer: a page of 500 objects of half a megabyte each."""
MAX_LINE = 32 << 20
"""Bytes of a watch event: one object, of which etcd takes 1.5 MiB by default, in the several times longer JSON."""
MAX_ERROR_BODY = 1 << 20

_NO_TIMEOUTS = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


class _Request(NamedTuple):
    """What is sent; ``ends`` is the monotonic time from which on it must not be, and that the server is told of."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes | None = None
    content_type: str | None = None
    accept: str = "application/json"
    ends: float | None = None


class Transport:
    """Sends requests to the API server of ``access``, authenticated."""

    def __init__(self, access: Access, *, clock: Clock, dialer: Dialer) -> None:
        self._access = access
        self._clock = clock
        self._dialer = dialer
        self._opened: aiohttp.ClientSession | None = None
        self._tls = access.tls

    async def call(
        self,
        method: str,
        path: str,
        *,
        what: str,
        deadline: float,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        is_write: bool = False,
    ) -> bytes:
        """Sends one request and returns the body of the answer, where it is a success, within ``deadline`` seconds.

        ``what`` is the request in words, for the text of an error. Of a write the server is told, as ``?timeout=``, how
        much of that is left when it is sent.
        """
        ends = self._clock.monotonic() + deadline if is_write else None
        request = _Request(method, path, query or {}, body, content_type, accept, ends)
        with self._mapped(what):
            async with self._clock.timeout(deadline):
                answer = await self._send(request, what)
                return await _read(answer, what, MAX_BODY)

    async def lines(
        self, path: str, *, what: str, query: Mapping[str, str], duration: float, inactivity: float
    ) -> AsyncGenerator[bytes, None]:
        """The lines of an answer that goes on, until the server ends it or ``duration`` seconds have passed.

        Raises Unavailable where no line comes to its end for ``inactivity`` seconds: a peer that vanished does not say
        so, and one that drips byte after byte says nothing.
        """
        splitter = LineSplitter(MAX_LINE)
        end = self._clock.monotonic() + duration
        with self._mapped(what):
            async with self._clock.timeout(inactivity):
                answer = await self._send(_Request("GET", path, query), what)
            heard = self._clock.monotonic()
            try:
                while chunk := await self._chunk(answer, end, heard + inactivity):
                    lines = splitter.feed(chunk)
                    for line in lines:
                        yield line
                    if lines:
                        heard = self._clock.monotonic()
                if chunk is not None and splitter.pending:
                    raise Unavailable(f"{what}: {self._access.server} ended in the middle of a line")
            finally:
                _abandon(answer)

    @asynccontextmanager
    async def websocket(
        self, path: str, *, what: str, protocols: Sequence[str], deadline: float
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A websocket that speaks one of ``protocols``, for ``deadline`` seconds at most, whatever is done with it.

        ``path`` may have a query.
        """
        headers = [*self._access.headers, *await self._access.credentials.headers()]
        with self._mapped(what):
            async with self._clock.timeout(deadline):
                try:
                    opened = await self._session().ws_connect(
                        yarl.URL(f"{self._access.server}{path}", encoded=True),
                        protocols=protocols,
                        headers=headers,
                        proxy=self._access.proxy,
                        server_hostname=self._access.tls_server_name,
                        max_msg_size=MAX_ERROR_BODY,
                    )
                except aiohttp.WSServerHandshakeError as error:  # without the body, which would say more
                    refused = f"the server refused a websocket with HTTP {error.status}"
                    raise error_of(Status(code=error.status, message=refused), what) from error
                async with opened:
                    yield opened

    async def close(self) -> None:
        """Ends all connections."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    async def _chunk(self, answer: aiohttp.ClientResponse, end: float, dead: float) -> bytes | None:
        """The next bytes of an answer: none where the server has ended it, None at the time ``end``.

        Raises TimeoutError at the time ``dead``, where that comes first.
        """
        now = self._clock.monotonic()
        if end <= min(now, dead):
            return None
        try:
            async with self._clock.timeout(max(0.0, min(end, dead) - now)):
                return await answer.content.readany()
        except TimeoutError:
            if end <= dead:
                return None
            raise

    async def _send(self, request: _Request, what: str) -> aiohttp.ClientResponse:
        """The answer to a request, still to be read, or the error that it is."""
        answer = await self._attempt(request)
        if answer.status == 401 and self._access.credentials.renew():
            _abandon(answer)  # with its connection, which has the refused certificate, if that is what was refused
            answer = await self._attempt(request)
        if answer.status < 300:
            return answer
        raise await _refusal(answer, what)

    async def _attempt(self, request: _Request) -> aiohttp.ClientResponse:
        headers = [("Accept", request.accept), *self._access.headers, *await self._access.credentials.headers()]
        if request.body is not None and request.content_type is not None:
            headers.append(("Content-Type", request.content_type))
        if self._tls is not self._access.tls:
            await self.close()  # what is open was refused, or trusts whom it should not any more
        return await self._session().request(
            request.method,
            self._url(request),
            headers=headers,
            data=None if request.body is None else io.BytesIO(request.body),  # aiohttp warns of bytes that are long
            allow_redirects=False,  # a redirect leads out of the API, and the token must not follow
            proxy=self._access.proxy,
            server_hostname=self._access.tls_server_name,
        )

    def _url(self, request: _Request) -> yarl.URL:
        """Where to send it now; raises TimeoutError where it is too late: deadlines of tasks do not count suspend."""
        query = dict(request.query)
        if request.ends is not None:
            left = request.ends - self._clock.monotonic()
            if left <= 0:
                raise TimeoutError
            query["timeout"] = f"{max(1, int(left * 1000))}ms"
        return yarl.URL(f"{self._access.server}{request.path}{f'?{urlencode(query)}' if query else ''}", encoded=True)

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._tls = self._access.tls
            self._opened = aiohttp.ClientSession(
                connector=self._dialer.connector(tls=self._tls, limit=MAX_CONNECTIONS),
                headers={"User-Agent": f"extsync/{__version__}"},
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=_NO_TIMEOUTS,  # the clock's are used instead
            )
        return self._opened

    @contextmanager
    def _mapped(self, what: str) -> Iterator[None]:
        """Turns every failure of the transport into Unavailable, the error that promises nothing."""
        server = self._access.server
        try:
            yield
        except ConfigError as error:
            raise Unavailable(f"{what}: there are no credentials: {error}") from error
        except TimeoutError as error:
            raise Unavailable(f"{what}: {server} did not answer in time") from error
        except aiohttp.ClientConnectorCertificateError as error:
            reason = getattr(error.certificate_error, "verify_message", "") or error.certificate_error
            self._access.credentials.renew()  # the authority may have been replaced, in the files as well
            raise Unavailable(
                f"{what}: the certificate of {server} is not trusted: {reason}", connected=False
            ) from error
        except aiohttp.ClientConnectorError as error:
            cause = error.os_error
            reason = os.strerror(cause.errno) if cause.errno and cause.errno > 0 else cause.strerror or cause
            raise Unavailable(f"{what}: cannot connect to {server}: {reason}", connected=False) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"{what}: the connection to {server} broke ({type(error).__name__})") from error


class LineSplitter:
    """Cuts a stream of bytes into lines of at most ``limit`` bytes, in time linear in the bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> bool:
        """Whether a line has begun and not ended."""
        return self._size > 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that ``chunk`` completes, without their ends; raises TooLarge where one exceeds the limit."""
        first, *others = chunk.split(b"\n")
        self._pieces.append(first)
        self._size += len(first)
        if self._size > self._limit:
            raise TooLarge(f"a line of over {self._limit} bytes")
        if not others:
            return []
        lines = [b"".join(self._pieces), *others[:-1]]
        self._pieces = [others[-1]]
        self._size = len(others[-1])
        return lines


async def _read(answer: aiohttp.ClientResponse, what: str, limit: int) -> bytes:
    """The body of an answer, whose connection is then free again; raises TooLarge beyond ``limit`` bytes."""
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in answer.content.iter_any():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise TooLarge(f"{what}: the answer has over {limit} bytes")
    except BaseException:
        _abandon(answer)
        raise
    answer.release()
    return b"".join(pieces)


def _abandon(answer: aiohttp.ClientResponse) -> None:
    """Drops the connection of an answer, without TLS's farewell: a peer that is away would never return it."""
    if answer.connection is not None and answer.connection.transport is not None:
        answer.connection.transport.abort()
    answer.close()


async def _refusal(answer: aiohttp.ClientResponse, what: str) -> StoreError:
    body = await _read(answer, what, MAX_ERROR_BODY)
    status = read_status(answer.status, body, answer.headers.get("Content-Type", ""))
    return error_of(status, what, retry_after=read_retry_after(answer.headers.get("Retry-After")))
