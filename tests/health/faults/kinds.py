"""Each kind of check, and the dialogue of a server that it passes."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from extsync.health.base import Check
from tests.health.certificates import Authority, server_context
from tests.health.faults.servers import Plain, Secure, Speaker, Step
from tests.health.http2_server import SETTINGS, answer
from tests.health.support import grpc, handshake, http, mysql, postgres, redis, tcp
from tests.health.test_mysql import OK as LOGGED_IN
from tests.health.test_mysql import greeting
from tests.health.test_postgres import SCRAM

_HEAD: Final = b"HTTP/1.1 200 OK\r\nServer: test\r\nTransfer-Encoding: chunked\r\n\r\n"
_BODY: Final = b"3\r\nall\r\n5\r\n fine\r\n0\r\n\r\n"
_HTTP: Final[Step] = (b"\r\n\r\n", _HEAD)
_MYSQL: Final[tuple[Step, ...]] = ((b"", greeting()), (b"native_password\0", LOGGED_IN))
_POSTGRES: Final[Step] = (b"extsync\0\0", SCRAM)
_GRPC: Final[tuple[Step, ...]] = ((b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", SETTINGS), (b"extsync/", answer()))
_REDIS: Final[Step] = (b"PING\r\n", b"+PONG\r\n")


@dataclass(frozen=True)
class Kind:
    """A check and its server; every byte that the server says is needed for the check to pass, but for the last few."""

    check: Check
    speaker: Callable[[], Speaker]
    spare: int = 0


PLAIN: Final = {
    "tcpSocket": Kind(tcp(send="hello?", expect="hello"), lambda: Plain((b"?", b"I say hello"))),
    "httpGet": Kind(http(), lambda: Plain(_HTTP)),
    "httpGet-body": Kind(http(expectedBody="all fine"), lambda: Plain(_HTTP, (b"", _BODY)), spare=7),
    "mysql": Kind(mysql(), lambda: Plain(*_MYSQL)),
    "postgres": Kind(postgres(), lambda: Plain(_POSTGRES)),
    "redis": Kind(redis(), lambda: Plain(_REDIS)),
    "grpc": Kind(grpc(), lambda: Plain(*_GRPC)),
}

# What the server says in the clear before TLS begins, and what behind it. In the handshake some signatures are a few
# bytes shorter than others. A farewell counts from its first byte.
_SECURE: Final[dict[str, tuple[Callable[..., Check], dict[str, Any], tuple[Step, ...], tuple[Step, ...], int]]] = {
    "tls": (handshake, {}, (), (), 40),
    "httpGet-https": (http, {"scheme": "HTTPS"}, (), (_HTTP,), 16),
    "mysql-tls": (mysql, {}, ((b"", greeting()), (36, b"")), _MYSQL[1:], 16),
    "postgres-tls": (postgres, {}, ((8, b"S"),), (_POSTGRES,), 16),
    "redis-tls": (redis, {}, (), (_REDIS,), 16),
    "grpc-tls": (grpc, {}, (), _GRPC, 16),
}

NAMES: Final = (*PLAIN, *_SECURE)


class Kinds:
    """All kinds; those with TLS have a certificate that is trusted."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self._context = server_context(self.authority.issue("server"))
        self._context.num_tickets = 0
        self._context.set_alpn_protocols(["h2", "http/1.1"])

    def __getitem__(self, name: str) -> Kind:
        if name in PLAIN:
            return PLAIN[name]
        make, block, before, inside, spare = _SECURE[name]
        check = make(tlsConfig={"caFile": str(self.authority.certificate)}, **block)
        return Kind(check, lambda: Secure(self._context, Plain(*before), Plain(*inside)), spare)

    def context(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """What a server needs to present a certificate that is trusted, speaking at most ``version``."""
        context = server_context(self.authority.issue("other"))
        if version is not None:
            context.maximum_version = version
        return context
