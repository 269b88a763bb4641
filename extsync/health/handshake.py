"""The check ``tls``: a handshake succeeds, and the server's certificate is valid.

Nothing is said afterwards but farewell: in TLS 1.3 the server gives its opinion of the client's certificate only then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from extsync.health.base import PASSED, CheckContext, Request, Result, host_port
from extsync.health.tls import Tls, asked_name, configured

if TYPE_CHECKING:
    from extsync.config.checks import TlsHandshake


@dataclass(init=False, slots=True, unsafe_hash=True)
class TlsCheck:
    """Passes where both sides agree to the handshake."""

    tls: Tls
    server_name: str

    def __init__(self, config: TlsHandshake, context: CheckContext) -> None:
        """Raises ConfigError where a file of ``tlsConfig`` cannot be used."""
        self.tls = configured(config.tls_config, context.base_dir, roots=context.roots)
        self.server_name = asked_name(config.tls_config, "")

    def request(self, host: str, port: int) -> Request:
        return Request(port, tls=self.tls, server_name=self.server_name or host)

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        return PASSED

    def awaited(self, request: Request, received: bytes) -> str:
        return "nothing"

    def describe(self, host: str, port: int) -> str:
        return f"tls {host_port(host, port)}"
