"""What this source needs of a client for HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias


class Reply(Protocol):
    """An answer over HTTP."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


class Getter(Protocol):
    """Asks servers: what is needed of ``extsync.sources.client.Client``."""

    async def get(self, url: str, *, headers: Mapping[str, str], timeout: float, resend: bool) -> Reply:
        """The answer within ``timeout`` seconds; ``resend``: it may be asked for twice. Raises ReadFailed."""
        ...

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str], timeout: float) -> Reply:
        """The answer to a question that is sent as JSON, within ``timeout`` seconds. Raises ReadFailed."""
        ...


Identify: TypeAlias = Callable[[], Awaitable[Mapping[str, str]]]
"""Returns the headers that say who asks; raises ReadFailed."""
