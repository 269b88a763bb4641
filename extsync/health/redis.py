"""The check ``redis``: PING, as clients of Redis, Valkey and the like say it (RESP).

A server that wants a password first is alive: it says so at once, and counts no failed login. One that loads its data
set, has lost its master or is out of connections answers too, and fails: it would answer nobody else better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from extsync.health.base import PASSED, CheckContext, Failed, Request, Result, host_port
from extsync.health.quoting import said, shown
from extsync.health.tls import Tls, asked_name, configured

if TYPE_CHECKING:
    from extsync.config.checks import Redis

_PING: Final = b"*1\r\n$4\r\nPING\r\n"
_LINE: Final = 4096
"""How long an answer may be; the longest one of Redis itself has a kilobyte (protected mode)."""

# The account of somebody who has not logged in lacks a right; "operation not permitted" is what Redis 2.4 said.
_ALIVE: Final = (b"-NOAUTH", b"-NOPERM", b"-WRONGPASS", b"-ERR operation not permitted")


@dataclass(init=False, slots=True, unsafe_hash=True)
class RedisCheck:
    """Passes where PING is answered with PONG, or with the demand to log in first."""

    tls: Tls | None
    server_name: str

    def __init__(self, config: Redis, context: CheckContext) -> None:
        """Raises ConfigError where a file of ``tlsConfig`` cannot be used."""
        self.tls = configured(config.tls_config, context.base_dir, roots=context.roots) if config.tls_config else None
        self.server_name = asked_name(config.tls_config, "")

    def request(self, host: str, port: int) -> Request:
        return Request(port, _PING, listens=True, tls=self.tls, server_name=self.server_name or host)

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        line, end, _ = received[:_LINE].partition(b"\r\n")
        if not end:
            if received and received[:1] not in b"+-":
                return Failed(f"not a Redis server: it answers with {shown(received)}")
            if len(received) >= _LINE:
                return Failed(f"the answer is longer than {_LINE} bytes")
            if eof:
                return Failed("connection closed " + ("in the answer" if received else "without an answer"))
            return None
        if line == b"+PONG" or line.startswith(_ALIVE):
            return PASSED
        if line.startswith(b"-"):
            return Failed(f"the server says: {said(line[1:])}")
        return Failed(f"not a Redis server: it answers with {shown(line)}")

    def awaited(self, request: Request, received: bytes) -> str:
        return "the answer to PING"

    def describe(self, host: str, port: int) -> str:
        return f"redis {host_port(host, port)}"
