"""Backends that the manifest lists itself."""

from __future__ import annotations

import asyncio
from typing import Protocol

from extsync.model import Backend, Observation, Outcome
from extsync.sources.base import Emit, SourceContext

__all__ = ["StaticConfig", "StaticSource"]


class StaticConfig(Protocol):
    """The validated ``static`` block of a manifest."""

    @property
    def backends(self) -> tuple[Backend, ...]: ...


class StaticSource:
    """Reports the declared backends once; another list is another manifest, and so another source."""

    def __init__(self, config: StaticConfig, context: SourceContext) -> None:
        self._backends = config.backends

    async def run(self, emit: Emit) -> None:
        if self._backends:
            emit(Observation(Outcome.FOUND, self._backends))
        else:
            emit(Observation(Outcome.EMPTY, detail="the manifest lists no backends"))
        await asyncio.Event().wait()
