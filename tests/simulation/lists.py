"""A server that answers with a list of backends, without a network: what sources that speak HTTP reach in a run."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace

from extsync.seams.resolving import Refuse


def _answer(status: str, body: bytes, *headers: str) -> bytes:
    head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""))
    return head.encode() + body


def _redirect(request: bytes) -> bytes:
    target = request.split(b" ", 2)[1].decode()
    return _answer("302 Found", b"", f"Location: http://192.0.2.201:99999{target}")


class ListServer:
    """Answers each request with ``addresses``, or in the ``way`` that is set, as servers do that fail."""

    WAYS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
        "refuses and shows the request": lambda request: _answer("403 Forbidden", request),
        "fails and shows the request": lambda request: _answer("500 Oops", b"<pre>" + request + b"</pre>"),
        "answers with the request": lambda request: _answer("200 OK", request),
        "answers with a list of it": lambda request: _answer("200 OK", json.dumps(request.decode().split()).encode()),
        "speaks no HTTP": lambda request: request,
        "redirects elsewhere": _redirect,
    }

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self.way = ""
        self._list = json.dumps([{"targets": [f"{address}:80" for address in addresses]}]).encode()

    def answer(self, request: bytes) -> bytes:
        if self.way:
            return self.WAYS[self.way](request)
        return _answer("200 OK", self._list, "Content-Type: application/json")


class ScriptedDialer:
    """A ``Dialer`` whose every connection leads to one server."""

    def __init__(self, server: ListServer) -> None:
        self._server = server

    def connector(
        self, *, tls: ssl.SSLContext | bool = True, limit: int = 100, refuse: Refuse | None = None
    ) -> aiohttp.BaseConnector:
        return _Connector(self._server)


class _Connector(aiohttp.BaseConnector):
    def __init__(self, server: ListServer) -> None:
        super().__init__(force_close=True)
        self._server = server

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        protocol = self._factory()
        protocol.connection_made(_Transport(protocol, self._server))
        return protocol


class _Transport(asyncio.Transport):
    """Takes one request, and has it answered at once."""

    def __init__(self, protocol: ResponseHandler, server: ListServer) -> None:
        super().__init__()
        self._protocol = protocol
        self._server = server
        self._request = b""
        self._is_closing = False

    def write(self, data: Any) -> None:
        self._request += bytes(data)
        if b"\r\n\r\n" in self._request:
            request, self._request = self._request, b""
            asyncio.get_running_loop().call_soon(self._answer, request)

    def _answer(self, request: bytes) -> None:
        if not self._is_closing:
            self._protocol.data_received(self._server.answer(request))

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close
