"""Checks as a plugin could bring them, good and bad; a worker process imports this module."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field

from extsync.health.base import PASSED, Request, Result


@dataclass(frozen=True)
class Plain:
    """Passes as soon as the connection stands."""

    text: str = ""

    def request(self, host: str, port: int) -> Request:
        return Request(port)

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        return PASSED

    def awaited(self, request: Request, received: bytes) -> str:
        return "nothing"

    def describe(self, host: str, port: int) -> str:
        return f"plugin {host}:{port}"


class Raising(Plain):
    def request(self, host: str, port: int) -> Request:
        raise RuntimeError("not today")


class Crashing(Plain):
    """Takes the process with it."""

    def request(self, host: str, port: int) -> Request:
        os._exit(3)


class Hanging(Plain):
    """Never returns."""

    def request(self, host: str, port: int) -> Request:
        while True:
            pass


@dataclass(frozen=True)
class Unpicklable(Plain):
    lock: object = field(default_factory=threading.Lock)


@dataclass(frozen=True, kw_only=True)
class Lossy(Plain):
    """Loses what it is compared by on the way to a worker."""

    word: str

    def __reduce__(self) -> tuple[object, ...]:
        return object.__new__, (Lossy,)
