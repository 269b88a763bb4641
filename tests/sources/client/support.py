"""A client made from a block as a manifest has it, and listeners that remember what they were asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from extsync.config.sources import HttpSource
from extsync.errors import ReadFailed
from extsync.sources.client import Client, Reply
from tests.health.listeners import Handler
from tests.sources.support import GENEROUS, context

LIMIT = 100_000
"""Bytes of a body."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def block(**keys: Any) -> HttpSource:
    """A validated block with these keys of a client."""
    return HttpSource.model_validate({"url": "http://192.0.2.1/", **keys})


@asynccontextmanager
async def client(
    base_dir: Path = Path(), *, environ: Mapping[str, str] | None = None, max_body: int = LIMIT, **keys: Any
) -> AsyncIterator[Client]:
    """A client on real sockets and real time."""
    surroundings = msgspec.structs.replace(context(base_dir), environ=environ or {})
    made = Client(block(**keys), surroundings, max_body=max_body)
    try:
        yield made
    finally:
        await made.close()


async def get(url: str, base_dir: Path = Path(), *, timeout: float = GENEROUS, **keys: Any) -> Reply:
    """One answer, from a client of its own."""
    async with client(base_dir, **keys) as made:
        return await made.get(url, timeout=timeout)


async def failure(url: str, base_dir: Path = Path(), *, timeout: float = GENEROUS, **keys: Any) -> str:
    """Why there is no answer."""
    with pytest.raises(ReadFailed) as failed:
        await get(url, base_dir, timeout=timeout, **keys)
    assert str(failed.value).isprintable()
    return str(failed.value)


class Asked:
    """Answers each request, the n-th with the n-th answer and then over and over, and keeps the heads of requests."""

    def __init__(self, *answers: bytes) -> None:
        self.heads: list[str] = []
        self.answers = list(answers)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            self.heads.append(head.decode())
            writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
            await writer.drain()

    @property
    def headers(self) -> dict[str, str]:
        """Those of the latest request."""
        return headers_of(self.heads[-1])


def headers_of(head: str) -> dict[str, str]:
    """The headers of a request, by name in lower case."""
    lines = head.strip().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def stalling(start: bytes) -> Handler:
    """Answers with ``start`` and then says nothing."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(start)
        await reader.read()

    return handle


def trickling(start: bytes) -> Handler:
    """Answers with ``start`` and then a byte at a time, for ever."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(start)
        while True:
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(b"x")

    return handle
