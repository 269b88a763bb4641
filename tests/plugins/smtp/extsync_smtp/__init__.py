"""A check as another package would bring it: a mail server greets and takes a name, by entry point ``smtp``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from extsync.errors import ConfigError
from extsync.health.base import CheckContext, Failed, Request, Result, Say


@dataclass(init=False, unsafe_hash=True, slots=True)
class SmtpCheck:
    """Waits for the greeting, says who it is, and says farewell."""

    name: str

    def __init__(self, config: dict[str, Any], context: CheckContext) -> None:
        name = config.get("name", "probe.example.com")
        if not isinstance(name, str):
            raise ConfigError("config.name must be a text")
        self.name = name

    def request(self, host: str, port: int) -> Request:
        return Request(port, listens=True, stage="the greeting")

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        line, end, _ = received.partition(b"\r\n")
        if not end:
            return Failed("the answer is too long") if len(received) > 1024 else None
        if not line.startswith(b"2"):
            return Failed(f"the server says: {line[:80].decode(errors='replace')}")
        if request.stage == "the greeting":
            hello = f"HELO {self.name}\r\n".encode()
            return Say(Request(request.port, hello, listens=True, stage="the answer to HELO"))
        return Say(Request(request.port, b"QUIT\r\n"))

    def awaited(self, request: Request, received: bytes) -> str:
        return request.stage

    def describe(self, host: str, port: int) -> str:
        return f"smtp {host} {port}"
