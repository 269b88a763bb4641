"""Servers that say a proper dialogue up to some byte of it, and then do something else."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol, TypeAlias

from tests.health.listeners import Handler

Step: TypeAlias = tuple[bytes | int, bytes]
"""What is to be heard, a text or a number of bytes, and what is said then."""


class Speaker(Protocol):
    """The server's side of one connection, without the connection."""

    def hear(self, data: bytes) -> bytes:
        """What it says after ``data`` has come; called once with nothing at the beginning."""
        ...


class Plain:
    """Says each step in its turn."""

    def __init__(self, *steps: Step) -> None:
        self._steps = deque(steps)
        self._heard = b""

    def hear(self, data: bytes) -> bytes:
        self._heard += data
        said = b""
        while self._steps and (end := self._end(self._steps[0][0])) is not None:
            self._heard = self._heard[end:]
            said += self._steps.popleft()[1]
        return said

    def rest(self) -> bytes | None:
        """What has come after the last step; None before that is done."""
        return None if self._steps else self._heard

    def _end(self, awaited: bytes | int) -> int | None:
        if isinstance(awaited, int):
            return awaited if len(self._heard) >= awaited else None
        at = self._heard.find(awaited)
        return None if at < 0 else at + len(awaited)


class Secure:
    """Goes on with TLS after ``before``, and answers a farewell with one."""

    def __init__(self, context: ssl.SSLContext, before: Plain, inside: Plain) -> None:
        self._before: Plain | None = before
        self._inside = inside
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._established = False

    def hear(self, data: bytes) -> bytes:
        said = b""
        if self._before is not None:
            said = self._before.hear(data)
            rest = self._before.rest()
            if rest is None:
                return said
            data, self._before = rest, None
        self._incoming.write(data)
        with suppress(ssl.SSLWantReadError):
            self._go_on()
        return said + self._outgoing.read()

    def _go_on(self) -> None:
        if not self._established:
            self._session.do_handshake()
            self._established = True
            self._say(self._inside.hear(b""))
        while heard := self._session.read(65536):
            self._say(self._inside.hear(heard))
        self._session.unwrap()

    def _say(self, plain: bytes) -> None:
        if plain:
            self._session.write(plain)


def up_to(speakers: Callable[[], Speaker], ends: Iterable[int], ending: Handler) -> Handler:
    """The n-th connection hears as many bytes of a dialogue as the n-th of ``ends`` says, and then ``ending``."""
    remaining = iter(ends)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left, speaker = next(remaining), speakers()
        said = speaker.hear(b"")
        while len(said) < left:
            writer.write(said)
            left -= len(said)
            heard = await reader.read(65536)
            if not heard:
                return
            said = speaker.hear(heard)
        writer.write(said[:left])
        await writer.drain()
        await ending(reader, writer)

    return handle


def dripping(speakers: Callable[[], Speaker], *, pause: float) -> Handler:
    """A dialogue byte by byte, with a pause after each."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        speaker = speakers()
        heard = b""
        while True:
            for byte in speaker.hear(heard):
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(pause)
            heard = await reader.read(65536)
            if not heard:
                return

    return handle


async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ends the connection in order."""
    writer.write_eof()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ends the connection with a reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says what is no word of any protocol, without end."""
    while True:
        writer.write(b"\xfe\x00\xa5" * 500)
        await writer.drain()
