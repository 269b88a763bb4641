"""Names are judged by what they resolve to, at each connection: what they resolved to before says nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from extsync.errors import ReadFailed

Refuse: TypeAlias = Callable[[str], str]
"""Why an address is not to be connected to, "" where it may be."""


class JudgingResolver(AbstractResolver):
    """Leaves out the addresses that ``refuse`` refuses; what is left is what aiohttp connects to.

    Addresses that stand in a URL are not resolved, so whoever sends the request judges those.
    """

    def __init__(self, refuse: Refuse, resolver: AbstractResolver | None = None) -> None:
        self._refuse = refuse
        self._resolver = resolver or aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises ReadFailed where every address of the name is refused."""
        found = await self._resolver.resolve(host, port, family)
        refused = [self._refuse(one["host"]) for one in found]
        if found and all(refused):
            raise ReadFailed(f"is not asked, since {host} resolves to what is denied: {refused[0]}")
        return [one for one, reason in zip(found, refused, strict=True) if not reason]

    async def close(self) -> None:
        await self._resolver.close()
