"""What a running extsync answers, by whatever way it is asked."""

from __future__ import annotations

from typing import Final, Protocol, TypeVar, cast

import msgspec

from extsync.decoding import decoded
from extsync.errors import ExtsyncError

TIMEOUT: Final = 10.0
"""Seconds that an answer may take."""

_D = TypeVar("_D")


class NotKept(ExtsyncError):
    """The running extsync does not know what it was asked for."""


class Asked(Protocol):
    """A running extsync that can be asked."""

    async def ask(self, *path: str, kind: type[_D], **query: str) -> _D:
        """The answer at ``path`` below /api/v1; raises NotKept where it does not know what it is asked for."""
        ...


def document(body: bytes, kind: type[_D], *, place: str) -> _D:
    """The answer ``body`` of whoever is at ``place``; raises ExtsyncError where it is none of the status API."""
    try:
        return cast(_D, decoded(body, kind))
    except msgspec.DecodeError as error:
        raise ExtsyncError(f"{place}: no answer of extsync's status API: {error}") from error
