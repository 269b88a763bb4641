"""The check ``postgres``: the beginning of a session, up to the point where the server asks for a password.

The server accepts connections as soon as it does that. The client leaves then without a word, which the protocol
allows and the server neither counts nor logs (psql does it, to ask its user). A server that is starting up, recovering,
shutting down or out of connections says so before, and fails.

Where the server wants no password (``trust``) the session is ended in order. Where it has no such account, or does not
let it in from here, it is alive as well, but logs each refusal. Neither replication nor whether it may be written to is
looked at.

https://www.postgresql.org/docs/current/protocol-flow.html
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from extsync.health.base import PASSED, CheckContext, Failed, Passed, Request, Result, Say, host_port
from extsync.health.quoting import said, shown
from extsync.health.tls import Tls, asked_name, configured

if TYPE_CHECKING:
    from extsync.config.checks import Postgres

_LONGEST: Final = 32768
"""Bytes that all messages of the server may have."""

_MESSAGES: Final = 256
"""How many messages there may be; usual answers have one, and a session that begins has some twenty."""

_PROTOCOL_3: Final = 3 << 16
_SSL_REQUEST: Final = struct.pack(">II", 8, 80877103)
_TERMINATE: Final = b"X\0\0\0\4"
_DATABASE: Final = "postgres"  # every server has it; the account need not have any right in it

_TLS_OFFER: Final = "tls"
_SESSION: Final = "session"

# AuthenticationRequest, ErrorResponse, NegotiateProtocolVersion, NoticeResponse, ParameterStatus, BackendKeyData,
# ReadyForQuery: what a server can say before anything is asked.
_KINDS: Final = b"REvNSKZ"

_INVALID_AUTHORIZATION: Final = b"28"
# The database does not exist, or the account may not connect to it: it was let in before.
_ABOUT_ACCOUNT: Final = frozenset({b"3D000", b"42501"})


@dataclass(init=False, slots=True, unsafe_hash=True)
class PostgresCheck:
    """Passes where the server accepts connections; the note says where it refuses ours."""

    user: str
    tls: Tls | None
    server_name: str

    def __init__(self, config: Postgres, context: CheckContext) -> None:
        """Raises ConfigError where a file of ``tlsConfig`` cannot be used."""
        self.user = config.user
        self.tls = configured(config.tls_config, context.base_dir, roots=context.roots) if config.tls_config else None
        self.server_name = asked_name(config.tls_config, "")

    def request(self, host: str, port: int) -> Request:
        if self.tls is not None:
            return Request(port, _SSL_REQUEST, listens=True, host=host, stage=_TLS_OFFER)
        return Request(port, self._startup(), listens=True, host=host, stage=_SESSION)

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        result = self._offered(request, received) if request.stage == _TLS_OFFER else self._begun(request, received)
        if result is None and eof:
            return Failed("connection closed " + ("in the answer" if received else "without an answer"))
        return result

    def awaited(self, request: Request, received: bytes) -> str:
        return "the offer of TLS" if request.stage == _TLS_OFFER else "the demand for a password"

    def describe(self, host: str, port: int) -> str:
        return f"postgres {host_port(host, port)}"

    def _startup(self) -> bytes:
        parameters = {"user": self.user, "database": _DATABASE, "application_name": "extsync"}
        body = "".join(f"{name}\0{value}\0" for name, value in parameters.items()).encode() + b"\0"
        return struct.pack(">II", 8 + len(body), _PROTOCOL_3) + body

    def _offered(self, request: Request, received: bytes) -> Result | None:
        match received[:1]:
            case b"":
                return None
            case b"S":
                name = self.server_name or request.host
                return Say(Request(request.port, self._startup(), True, self.tls, name, stage=_SESSION))
            case b"N":
                return Failed("the server does not offer TLS")
            case _:
                return self._begun(request, received)

    def _begun(self, request: Request, received: bytes) -> Result | None:
        position = 0
        for _ in range(_MESSAGES + 1):
            if position >= len(received):
                return _incomplete(received)
            kind = received[position : position + 1]
            length = int.from_bytes(received[position + 1 : position + 5], "big")
            body = received[position + 5 : position + 1 + length]
            if kind not in _KINDS:
                return Failed(f"not a PostgreSQL server: it answers with {shown(received[position:])}")
            if len(received) < position + 5:
                return None
            if not 4 <= length <= _LONGEST:
                return _told_in_plain_text(received[position:])
            if len(body) < length - 4:
                return _incomplete(received)
            if kind == b"R" and body != bytes(4):
                return PASSED
            if kind == b"E":
                return self._refused(body)
            if kind == b"Z":
                return Say(Request(request.port, _TERMINATE))
            position += 1 + length
        return Failed(f"the answer has more than {_MESSAGES} messages")

    def _refused(self, body: bytes) -> Result:
        fields = {field[:1]: field[1:] for field in body.split(b"\0")}
        state, message = fields.get(b"C", b""), said(fields.get(b"M", b""))
        if state[:2] == _INVALID_AUTHORIZATION or state in _ABOUT_ACCOUNT:
            return Passed(f"not logged in as {self.user!r}: {message}")
        return Failed(f"the server says: {message} ({said(state)})")


def _incomplete(received: bytes) -> Result | None:
    return Failed(f"the answer is longer than {_LONGEST} bytes") if len(received) > _LONGEST else None


def _told_in_plain_text(received: bytes) -> Result | None:
    """An error of a server that could not even start a process for the connection: text that ends with a zero."""
    text, end, _ = received[1:_LONGEST].partition(b"\0")
    if received[:1] != b"E" or not text[:4].isalpha():
        return Failed(f"not a PostgreSQL server: it answers with {shown(received)}")
    if not end and len(received) < _LONGEST:
        return None
    return Failed(f"the server says: {said(text)}")
