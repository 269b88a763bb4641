"""What is fuzzed: each protocol's reading of a server, at each stage of its dialogue, without connections."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from hpack import Encoder

from extsync.health import tls_words
from extsync.health.base import Check, Failed, Follow, Passed, Request, Result, Say
from extsync.health.http2 import FRAMES
from extsync.health.http2_frames import FRAME_HEADER, LARGEST_FRAME
from extsync.health.tls import Tls, TlsSession
from tests.health import http2_server as http2
from tests.health.certificates import Authority, server_context
from tests.health.support import grpc, http, mysql, postgres, redis, tcp, udp
from tests.health.test_mysql import DENIED, error, greeting, packet
from tests.health.test_mysql import OK as LOGGED_IN
from tests.health.test_postgres import LET_IN, READY, SCRAM, STARTING, message

HOST: Final = "192.0.2.1"
PORT: Final = 80
TOO_MUCH: Final = 128 * 1024
"""Bytes by which every check must have decided that looks at all of them at once."""

_FRAMES_TOO_MUCH: Final = 2 * (FRAMES + 2) * (FRAME_HEADER + LARGEST_FRAME)

_HEAD: Final = b"HTTP/1.1 200 OK\r\nServer: test\r\n"

Outcome: TypeAlias = tuple[str, object]
"""What was decided, and what else must be the same however the bytes come in pieces."""


class Reader(Protocol):
    """One dialogue: ``read`` takes what comes, and returns what was decided as soon as that is so.

    ``said`` has what a person would have been told on the way.
    """

    said: list[str]

    def read(self, data: bytes, *, eof: bool) -> Outcome | None: ...


@dataclass(frozen=True)
class Subject:
    """Something that reads what a server says; ``seeds`` are sound dialogues.

    ``enough`` is within how many bytes it must have decided, whatever comes; 0: its caller has to end it.
    """

    name: str
    start: Callable[[], Reader]
    seeds: tuple[bytes, ...]
    enough: int = TOO_MUCH


class CheckReader:
    """A check that reads an answer, after ``before`` was said and answered."""

    def __init__(self, check: Check, before: tuple[bytes, ...]) -> None:
        self.said: list[str] = []
        self._check = check
        self._request = check.request(HOST, PORT)
        self._received = b""
        for answer in before:
            result = check.judge(self._request, answer, False)
            assert isinstance(result, Say)
            self._request = result.request

    def read(self, data: bytes, *, eof: bool) -> Outcome | None:
        self._received += data
        result = self._check.judge(self._request, self._received, eof)
        if result is None:
            self.said.append(self._check.awaited(self._request, self._received))
            return None
        return _outcome(result, self.said)


class SessionReader(CheckReader):
    """A check that has a session on a connection."""

    def __init__(self, check: Check) -> None:
        super().__init__(check, ())
        assert self._request.session is not None
        self._session = self._request.session
        self._session.begin()

    def read(self, data: bytes, *, eof: bool) -> Outcome | None:
        result = self._session.receive(data, eof)
        self._session.outgoing()
        if result is None:
            self.said.append(self._session.awaited())
            return None
        if isinstance(result, Passed):
            self._session.rest(data)  # as if the same came once more, afterwards
        return _outcome(result, self.said)


class DatagramReader(CheckReader):
    """A check to which everything that comes is one datagram, and the end of a connection means nothing."""

    def read(self, data: bytes, *, eof: bool) -> Outcome | None:
        outcome = super().read(data, eof=False)
        return outcome or (("undecided", None) if eof else None)


class TlsReader:
    """The client's side of a handshake, and what is read behind it."""

    def __init__(self, tls: Tls) -> None:
        self.said: list[str] = []
        self._session = TlsSession(tls, HOST)
        self._session.handshake()
        self._session.outgoing()

    def read(self, data: bytes, *, eof: bool) -> Outcome | None:
        session = self._session
        try:
            if not session.established and not session.handshake(data, eof=eof):
                return ("undecided", None) if eof else None
            session.read(b"" if session.certificate else data, eof=eof)
        except ssl.SSLError as error:
            self.said.append(tls_words.words(error))
            if tls_words.is_about_dates(error):
                self.said.append(tls_words.dated(error, session.certificate, 2e9))
            return "failed", None
        self.said.append(tls_words.notice(session.certificate, 2e9))
        return "established", None


def _outcome(result: Result, said: list[str]) -> Outcome:
    match result:
        case Passed():
            said.append(result.note)
            return "passed", None
        case Failed():
            said.append(result.reason)
            return "failed", None
        case Follow() | Say():
            return type(result).__name__, _comparable(result.request)


def _comparable(request: Request) -> object:
    return request.port, request.data, request.preface, request.tls, request.server_name, request.listens


def _check(name: str, check: Check, seeds: Iterable[bytes], *before: bytes) -> Subject:
    return Subject(name, lambda: CheckReader(check, before), tuple(seeds))


def without_tls() -> list[Subject]:
    """All subjects that need no certificate."""
    chunks = b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nall\r\n5\r\n fine\r\n0\r\n\r\n"
    heads = (
        _HEAD + b"Content-Length: 2\r\n\r\nok",
        _HEAD + b"X: folded\r\n over lines\r\n\r\n",
        b"HTTP/1.0 503 Busy\n\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + _HEAD + b"\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /next?x=1#y\r\n\r\n",
        b"HTTP/1.1 308 Moved\r\nLocation: https://192.0.2.1:8443/next\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: //[2001:db8::1]:80/\r\n\r\n",
    )
    bodies = (_HEAD + chunks, _HEAD + b"Content-Length: 8\r\n\r\nall fine", _HEAD + b"\r\nall fine", *heads)
    greetings = (greeting(), greeting(plugin=b"caching_sha2_password\0"), error(0, 1129, "Host is blocked"))
    logins = (LOGGED_IN, DENIED, packet(2, b"\xfemysql_native_password\0" + bytes(20) + b"\0"), packet(2, b"\x01\x03"))
    sessions = (SCRAM, LET_IN + READY, STARTING, message("N", b"SNOTICE\0\0") + SCRAM, b"Esorry, no memory\n\0")
    lines = (b"+PONG\r\n", b"-NOAUTH Authentication required.\r\n", b"-LOADING Redis is loading\r\n", b"-ERR x\r\n")
    secure: dict[str, Any] = {"tlsConfig": {"insecureSkipVerify": True}}
    return [
        _check("http", http(), heads),
        _check("http-body", http(expectedBody="all fine"), bodies),
        _check("http-head", http(method="HEAD", expectedStatuses=["301"]), heads),
        _check("https", http(scheme="HTTPS", **secure), bodies),
        _check("mysql-greeting", mysql(), greetings),
        _check("mysql-login", mysql(), logins, greeting()),
        _check("mysql-switch", mysql(), logins, greeting(), packet(2, b"\xfedialog\0")),
        _check("mysql-tls", mysql(**secure), greetings),
        _check("postgres", postgres(), sessions),
        _check("postgres-offer", postgres(**secure), (b"S", b"N", *sessions)),
        _check("redis", redis(), lines),
        _check("tcp", tcp(expect="220 "), (b"220 ready\r\n", b"421 busy\r\n")),
        Subject("udp", lambda: DatagramReader(udp(), ()), (b"pong", b"a pong or two"), enough=0),
        Subject("grpc", lambda: SessionReader(grpc(service="orders")), tuple(_grpc_answers()), _FRAMES_TOO_MUCH),
    ]


def _grpc_answers() -> Iterator[bytes]:
    yield http2.SETTINGS + http2.answer()
    yield http2.initial_window(1) + http2.window_update(0, 9) + http2.window_update(1, 99) + http2.answer()
    yield http2.SETTINGS + http2.answer(body=b"\0\0\0\0\2\x08\x02")
    for code, text in ((b"5", b"unknown service"), (b"12", b"%e2%80%ae"), (b"16", b"\x1b[2J"), (b"99", b"x" * 500)):
        trailers = ((b":status", b"200"), (b"content-type", b"application/grpc"))
        fields = (*trailers, (b"grpc-status", code), (b"grpc-message", text))
        yield http2.SETTINGS + http2.headers(1, fields, ends=True, encoder=Encoder())
    yield http2.SETTINGS + http2.goaway(2, debug=b"too many pings") + http2.rst_stream(1, 7)
    yield http2.SETTINGS + http2.headers(1, ((b":status", b"503"),), ends=True, encoder=Encoder())


def with_tls(folder: Path) -> list[Subject]:
    """The handshake, by what servers of both versions of TLS said to another client; ``folder`` is for certificates."""
    authority = Authority(folder)
    trusting = Tls(ca_file=str(authority.certificate))
    subjects = []
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        flights = []
        for certificate in (authority.issue("good"), authority.issue("old", days=0)):
            context = server_context(certificate)
            context.minimum_version = context.maximum_version = version
            flights.append(_flight(context))
        for name, tls in (("trusting", trusting), ("careless", trusting.trusting()), ("strange", Tls())):
            subjects.append(Subject(f"{version.name}-{name}", partial(TlsReader, tls), tuple(flights), enough=0))
    return subjects


def _flight(context: ssl.SSLContext) -> bytes:
    """What a server says first."""
    client = TlsSession(Tls(insecure_skip_verify=True), HOST)
    client.handshake()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(client.outgoing())
    with suppress(ssl.SSLWantReadError):
        server.do_handshake()
    return outgoing.read()
