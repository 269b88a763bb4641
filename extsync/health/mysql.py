"""The check ``mysql``: the greeting of MySQL or MariaDB, answered with a login that needs no password.

A server counts every connection that ends without an answer to its greeting as interrupted, and after
``max_connect_errors`` of them in a row (100 by default) it blocks the host that they came from, with all clients on
it, until somebody flushes its host cache. So an answer is always given. Where the account exists (it needs neither a
password nor a right) that is a login, which ends as the protocol wants it, and the server counts nothing at all. Where
it does not, the server counts a login that failed, which is no reason for it to block anybody. There is no third way:
what is neither a login nor a refused one counts as interrupted.

The server is alive as soon as it is ready to judge a login, whatever it thinks of this one. It is not where it refuses
everybody, or this host: too many connections, shutting down, host blocked. Neither replication nor whether it may be
written to is looked at.

https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from extsync.health.base import CheckContext, Failed, Passed, Request, Result, Say, host_port
from extsync.health.quoting import said, shown
from extsync.health.tls import Tls, asked_name, configured

if TYPE_CHECKING:
    from extsync.config.checks import Mysql

_LONGEST: Final = 2048
"""Bytes that a greeting, or the answer to a login, may have; usual ones have a hundred."""

_PROTOCOL: Final = 10
_OK: Final = 0x00
_MORE: Final = 0x01
_SWITCH: Final = 0xFE
_ERROR: Final = 0xFF
_QUIT: Final = b"\1\0\0\0\1"

# Capabilities: CLIENT_LONG_PASSWORD, CLIENT_PROTOCOL_41, CLIENT_SSL, CLIENT_RESERVED2 (secure connection),
# CLIENT_PLUGIN_AUTH.
_LONG_PASSWORD: Final = 1
_PROTOCOL_41: Final = 0x200
_SSL: Final = 0x800
_SECURE: Final = 0x8000
_PLUGINS: Final = 0x80000
_UTF8: Final = 33
_MAX_PACKET: Final = 1 << 24

_LOGIN: Final = "login"
_NO_RIGHT: Final = b"28000"
"""The SQL state of a login that is refused for its own sake."""

# Errors about an account that have other states, or none before the handshake: no account may log in from this host;
# too many connections or logins of this account; its way of authentication, or its want of TLS, is not ours; its
# password has expired; it is locked.
_ABOUT_ACCOUNT: Final = frozenset({1130, 1203, 1226, 1251, 1524, 1820, 1862, 3118, 3159, 3955, 4151})


class _Packet(NamedTuple):
    number: int
    payload: bytes


class _Strange(Exception):
    """What came is not MySQL's protocol; the text says why."""


@dataclass(init=False, slots=True, unsafe_hash=True)
class MysqlCheck:
    """Passes where the server is ready to judge a login; the note says where it refuses ours."""

    user: str
    tls: Tls | None
    server_name: str

    def __init__(self, config: Mysql, context: CheckContext) -> None:
        """Raises ConfigError where a file of ``tlsConfig`` cannot be used."""
        self.user = config.user
        self.tls = configured(config.tls_config, context.base_dir, roots=context.roots) if config.tls_config else None
        self.server_name = asked_name(config.tls_config, "")

    def request(self, host: str, port: int) -> Request:
        return Request(port, listens=True, host=host)

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        try:
            packet = _packet(received)
            if packet is not None and packet.payload[:2] == b"\x01\x03":  # the password is right: the verdict follows
                packet = _packet(received, 4 + len(packet.payload))
            if packet is not None:
                return self._answered(request, packet) if request.stage else self._greeted(request, packet)
        except _Strange as error:
            return Failed(str(error))
        if not eof:
            return None
        return Failed("connection closed " + ("in" if received else "before") + f" {self.awaited(request, received)}")

    def awaited(self, request: Request, received: bytes) -> str:
        return "the answer to the login" if request.stage else "the greeting"

    def describe(self, host: str, port: int) -> str:
        return f"mysql {host_port(host, port)}"

    def _greeted(self, request: Request, packet: _Packet) -> Result:
        if packet.payload[0] == _ERROR:
            return self._refused(packet.payload)
        offered, plugin = _greeting(packet.payload)
        wanted = _LONG_PASSWORD | _PROTOCOL_41 | _SECURE | (offered & _PLUGINS)
        number = packet.number + 1
        preface = b""
        if self.tls is not None:
            if not offered & _SSL:
                return Failed("the server does not offer TLS")
            wanted |= _SSL
            preface = _written(number, _start_of_login(wanted))
            number += 1
        login = _start_of_login(wanted) + self.user.encode() + b"\0\0" + (plugin + b"\0" if offered & _PLUGINS else b"")
        return Say(
            Request(
                request.port,
                _written(number, login),
                listens=True,
                tls=self.tls,
                server_name=self.server_name or request.host,
                host=request.host,
                stage=_LOGIN,
                preface=preface,
            )
        )

    def _answered(self, request: Request, packet: _Packet) -> Result:
        kind = packet.payload[0]
        if kind == _OK:
            return Say(Request(request.port, _QUIT))
        if kind == _ERROR:
            return self._refused(packet.payload)
        if kind in (_SWITCH, _MORE):
            # By whatever plugin it is to be proved that there is no password: it is done with nothing.
            return Say(Request(request.port, _written(packet.number + 1, b""), listens=True, stage=_LOGIN))
        raise _Strange(f"not an answer to a MySQL login: it begins with {shown(packet.payload)}")

    def _refused(self, payload: bytes) -> Result:
        code = int.from_bytes(payload[1:3], "little")
        state, message = (payload[4:9], payload[9:]) if payload[3:4] == b"#" else (b"", payload[3:])
        if state == _NO_RIGHT or code in _ABOUT_ACCOUNT:
            return Passed(f"not logged in as {self.user!r}: {said(message)} ({code})")
        return Failed(f"the server says: {said(message)} ({code})")


def _packet(received: bytes, start: int = 0) -> _Packet | None:
    """The packet that begins at ``start``; None while it is not complete. One packet is never empty."""
    head = received[start : start + 4]
    if len(head) < 4:
        return None
    length = int.from_bytes(head[:3], "little")
    if not 0 < length <= _LONGEST:
        raise _Strange(f"not a MySQL server: it begins with {shown(received)}")
    payload = received[start + 4 : start + 4 + length]
    return _Packet(head[3], payload) if len(payload) == length else None


def _greeting(payload: bytes) -> tuple[int, bytes]:
    """The server's capabilities, and the plugin by which it authenticates ("Protocol::HandshakeV10")."""
    end = payload.find(b"\0")
    if payload[0] != _PROTOCOL or end < 0:
        raise _Strange(f"not a greeting of MySQL: it begins with {shown(payload)}")
    rest = payload[end + 1 :]  # thread id, 8 bytes of a nonce, 0, capabilities, character set, status, capabilities
    if len(rest) < 20:
        raise _Strange("the greeting of MySQL is too short")
    capabilities = int.from_bytes(rest[13:15] + rest[18:20], "little")
    if not capabilities & _PROTOCOL_41:
        raise _Strange("the server speaks the protocol of MySQL before 4.1 only")
    nonce = max(13, (rest[20] if len(rest) > 20 else 0) - 8)
    plugin = rest[31 + nonce :].partition(b"\0")[0]
    return capabilities, plugin


def _start_of_login(capabilities: int) -> bytes:
    """What a login ("Protocol::HandshakeResponse41") begins with, and what asks for TLS ("Protocol::SSLRequest")."""
    return struct.pack("<IIB23x", capabilities, _MAX_PACKET, _UTF8)


def _written(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes((number & 0xFF,)) + payload
