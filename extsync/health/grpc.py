"""The check ``grpc``: gRPC's health service says SERVING (grpc.health.v1, the method Check).

Plain connections begin with HTTP/2 at once ("prior knowledge", RFC 9113, section 3.3); with TLS the server has to agree
to HTTP/2 (ALPN). One connection is kept for many attempts, each of which is a stream of its own: so do clients of gRPC
behave, and servers are made for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from extsync import __version__
from extsync.health import grpc_message as message
from extsync.health import hpack_literals as hpack
from extsync.health.base import CheckContext, Failed, Keep, Passed, Request, Result, host_port
from extsync.health.http2 import Answer, Broken, Http2
from extsync.health.quoting import shown
from extsync.health.tls import Tls, asked_name, configured

if TYPE_CHECKING:
    from extsync.config.checks import Grpc

_KEPT: Final = Passed(keep=Keep.YES)
_CLOSED: Final = Passed()
_CONTENT_TYPE: Final = b"application/grpc"


@dataclass(init=False, slots=True, unsafe_hash=True)
class GrpcCheck:
    """Passes where the health service says SERVING for ``service``; "" is the server as a whole."""

    service: str
    tls: Tls | None
    server_name: str

    def __init__(self, config: Grpc, context: CheckContext) -> None:
        """Raises ConfigError where a file of ``tlsConfig`` cannot be used."""
        self.service = config.service
        tls = config.tls_config
        self.tls = None if tls is None else configured(tls, context.base_dir, "h2", insists=True, roots=context.roots)
        self.server_name = asked_name(tls, "")

    def request(self, host: str, port: int) -> Request:
        name = self.server_name or host
        session = GrpcSession(self.service, host_port(name, port), secure=self.tls is not None)
        return Request(port, listens=True, tls=self.tls, server_name=name, session=session)

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        """Its sessions judge: nothing is left to it."""
        return None

    def awaited(self, request: Request, received: bytes) -> str:
        return "the answer"

    def describe(self, host: str, port: int) -> str:
        return f"grpc {host_port(host, port)}" + (f" {self.service}" if self.service else "")


class GrpcSession:
    """One connection to a server, on which calls of Check follow each other."""

    __slots__ = ("_body", "_headers", "_http2", "_service")

    def __init__(self, service: str, authority: str, *, secure: bool) -> None:
        self._service = service
        self._headers = b"".join(
            (
                hpack.METHOD_POST,
                hpack.SCHEME_HTTPS if secure else hpack.SCHEME_HTTP,
                hpack.literal(hpack.PATH, message.METHOD),
                hpack.literal(hpack.AUTHORITY, authority.encode()),
                hpack.literal(b"te", b"trailers"),
                hpack.literal(hpack.CONTENT_TYPE, _CONTENT_TYPE),
                hpack.literal(hpack.USER_AGENT, f"extsync/{__version__}".encode()),
            )
        )
        self._body = message.request(service)
        self._http2 = Http2()

    def begin(self) -> None:
        self._http2.request(self._headers, self._body)

    def receive(self, data: bytes, eof: bool) -> Result | None:
        http2 = self._http2
        try:
            http2.receive(data)
            if not http2.answer.ended:
                if eof:
                    http2.ended()
                return None
            failure = self._failure(http2.answer)
        except (Broken, message.Malformed) as error:
            return Failed(str(error))
        if failure:
            return Failed(failure)
        return _KEPT if http2.rest() else _CLOSED

    def rest(self, data: bytes) -> bool:
        return self._http2.rest(data)

    def outgoing(self) -> bytes:
        return self._http2.outgoing()

    @property
    def answered(self) -> bool:
        return self._http2.answered

    def awaited(self) -> str:
        if not self._http2.greeted:
            return "the server to speak HTTP/2"
        return "the end of the answer" if self._http2.answered else "the answer of the health service"

    def _failure(self, answer: Answer) -> str:
        """Why a complete answer is no pass, or ""."""
        headers = answer.headers or {}
        status = headers.get(b":status", b"")
        if status != b"200":
            return f"HTTP status {shown(status)}, no answer of gRPC"
        if not headers.get(b"content-type", b"").startswith(_CONTENT_TYPE):
            return f"no answer of gRPC: its content-type is {shown(headers.get(b'content-type', b''))}"
        # An answer without a message may have all that follows it in its headers.
        trailers = answer.trailers or headers
        if b"grpc-status" not in trailers:
            return "the answer has no grpc-status"
        code = message.code(trailers[b"grpc-status"])
        if code != message.OK:
            return self._call_failure(code, trailers.get(b"grpc-message", b""))
        serving = message.serving_status(answer.body)
        return "" if serving == message.SERVING else f"the health service says {message.status_name(serving)}"

    def _call_failure(self, code: int, text: bytes) -> str:
        if code == message.UNIMPLEMENTED:
            return f"the server has no gRPC health service ({message.failure(code, text)})"
        if code == message.NOT_FOUND:
            return f"the health service does not know {self._service!r} ({message.failure(code, text)})"
        return message.failure(code, text)
