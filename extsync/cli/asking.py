"""What commands ask a running extsync: its status API, over HTTP."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeVar

import aiohttp
import msgspec
from yarl import URL

from extsync.errors import ExtsyncError
from extsync.web.documents import Problem

TIMEOUT: Final = 10.0
"""Seconds that an answer may take."""

_CURE: Final = (
    "; where it runs in a cluster: --via-cluster NAMESPACE/SERVICE, or kubectl port-forward deployment/extsync 9440; "
    "elsewhere name it with --server"
)

_D = TypeVar("_D")


class NotKept(ExtsyncError):
    """The running extsync does not know what it was asked for."""


class Asked(Protocol):
    """A running extsync that can be asked."""

    async def ask(self, *path: str, kind: type[_D], **query: str) -> _D:
        """The answer at ``path`` below /api/v1; raises NotKept where it does not know what it is asked for."""
        ...


class Running:
    """A running extsync behind its status port. Raises ExtsyncError where it cannot be asked."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self._server = server.rstrip("/")

    async def ask(self, *path: str, kind: type[_D], **query: str) -> _D:
        """The answer at ``path`` below /api/v1; raises NotKept for a 404."""
        try:
            url = URL(self._server).joinpath("api", "v1", *path)
            async with self._session.get(url, params={name: value for name, value in query.items() if value}) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            said = str(error) or f"no answer within {TIMEOUT:g} s"
            raise ExtsyncError(f"{self._server}: {said}{_CURE}") from error
        if answer.status == 404:
            raise NotKept(_problem(body) or f"{url}: not found; is that extsync's status port?")
        if answer.status != 200:
            raise ExtsyncError(f"{url}: {answer.status} {answer.reason}")
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.MsgspecError as error:
            raise ExtsyncError(f"{url}: no answer of extsync's status API: {error}") from error


def _problem(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=Problem).error
    except msgspec.MsgspecError:
        return ""


def session() -> aiohttp.ClientSession:
    """A session for ``Running``, with a deadline for each answer."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))


@asynccontextmanager
async def asked(args: argparse.Namespace) -> AsyncIterator[Asked]:
    """The running extsync that ``--server`` or ``--via-cluster`` names."""
    if args.via_cluster:
        from extsync.cli.proxied import proxied  # what talks to clusters takes its time to import

        async with proxied(args) as through:
            yield through
    else:
        async with session() as connections:
            yield Running(connections, args.server)
