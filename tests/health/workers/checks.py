"""Checks as a plugin could bring them, good and bad; a worker process imports this module."""

from __future__ import annotations

import errno
import os
import re
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


class Sleeping(Plain):
    """Never returns, and lets other threads run meanwhile."""

    def request(self, host: str, port: int) -> Request:
        threading.Event().wait()
        raise AssertionError("nobody sets that")


class Seizing(Plain):
    """Returns after the end of the world, and lets no other thread run before that."""

    def request(self, host: str, port: int) -> Request:
        re.match(r"(a+)+$", "a" * 60 + "b")
        return Request(port)


@dataclass(frozen=True)
class Unpicklable(Plain):
    lock: object = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Moody(Plain):
    """Cannot be unpickled while there is a file at the path ``text``."""

    def __reduce__(self) -> tuple[object, ...]:
        return _awaken, (self.text,)


def _awaken(path: str) -> Moody:
    if os.path.exists(path):
        raise OSError(errno.EMFILE, "Too many open files")
    return Moody(path)


@dataclass(frozen=True, kw_only=True)
class Lossy(Plain):
    """Loses what it is compared by on the way to a worker."""

    word: str

    def __reduce__(self) -> tuple[object, ...]:
        return object.__new__, (Lossy,)
