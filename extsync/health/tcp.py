"""The check ``tcpSocket``: a connection stands and, where asked, a text is sent and another one comes back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from extsync.health.base import PASSED, CheckContext, Failed, Request, Result, host_port

if TYPE_CHECKING:
    from extsync.config.checks import TcpSocket

ANSWER_LIMIT: Final = 65536
"""Where the expected text must be found: within so many bytes."""


@dataclass(init=False, repr=False, slots=True, unsafe_hash=True)  # no repr: what is sent may be a secret
class TcpCheck:
    """Passes as soon as the connection stands; with ``send`` when that is sent; with ``expect`` when that is received.

    ``expect`` may occur anywhere in the first 64 KiB of what the server sends, by itself or in answer.
    """

    send: bytes
    expect: bytes

    def __init__(self, config: TcpSocket, context: CheckContext) -> None:
        self.send = (config.send or "").encode()
        self.expect = (config.expect or "").encode()

    def request(self, host: str, port: int) -> Request:
        return _request(port, self.send, bool(self.expect))

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        if self.expect in received[:ANSWER_LIMIT]:
            return PASSED
        if len(received) >= ANSWER_LIMIT:
            return Failed(f"{self._quoted()} is not in the first {ANSWER_LIMIT} bytes received")
        if eof:
            what = "without an answer" if not received else f"before {self._quoted()} was received"
            return Failed(f"connection closed {what}")
        return None

    def awaited(self, request: Request, received: bytes) -> str:
        return self._quoted()

    def describe(self, host: str, port: int) -> str:
        return f"tcpSocket {host_port(host, port)}"

    def _quoted(self) -> str:
        text = self.expect.decode(errors="replace")
        return repr(text if len(text) <= 40 else text[:40] + "...")


@lru_cache(maxsize=64)
def _request(port: int, send: bytes, listens: bool) -> Request:
    return Request(port, send, listens)
