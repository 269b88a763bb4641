"""The check ``udp``: a datagram is answered.

One datagram goes out in an attempt, and none is sent again: whether it or the answer was lost on the way is what
``failureThreshold`` is for. A port that nobody listens on shows at once where the host reports it (ICMP), and so does a
host or network that cannot be reached where a router does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from extsync.health.base import PASSED, CheckContext, Request, Result, host_port
from extsync.health.quoting import shown

if TYPE_CHECKING:
    from extsync.config.checks import Udp


@dataclass(init=False, repr=False, slots=True, unsafe_hash=True)  # no repr: what is sent may be a secret
class UdpCheck:
    """Passes where a datagram comes back that contains ``expect``; others do not count."""

    send: bytes
    expect: bytes

    def __init__(self, config: Udp, context: CheckContext) -> None:
        self.send = config.send.encode()
        self.expect = config.expect.encode()

    def request(self, host: str, port: int) -> Request:
        return Request(port, self.send, listens=True, datagram=True)

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        return PASSED if self.expect in received else None

    def awaited(self, request: Request, received: bytes) -> str:
        instead = f" ({shown(received)} came)" if received else ""
        return shown(self.expect) + instead

    def describe(self, host: str, port: int) -> str:
        return f"udp {host_port(host, port)}"
