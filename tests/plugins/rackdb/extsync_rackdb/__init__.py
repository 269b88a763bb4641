"""A source as another package would bring it: racks of a made-up inventory, by entry point ``rackdb``."""

from __future__ import annotations

import asyncio
from typing import Any

from extsync.errors import ConfigError
from extsync.model import Backend, Observation, Outcome
from extsync.sources.base import Emit, SourceContext

INVENTORY = {"r1": ("10.1.0.1", "10.1.0.2"), "r2": ("10.2.0.1",)}


class RackSource:
    """Reports the machines of one rack, each with the rack as its zone."""

    def __init__(self, config: dict[str, Any], context: SourceContext) -> None:
        rack = config.get("rack")
        if rack not in INVENTORY:
            raise ConfigError(f"there is no rack {rack!r}; there are {', '.join(INVENTORY)}")
        self._backends = tuple(Backend(address, zone=rack) for address in INVENTORY[rack])

    async def run(self, emit: Emit) -> None:
        emit(Observation(Outcome.FOUND, self._backends))
        await asyncio.Event().wait()
