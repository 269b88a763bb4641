"""The running sources of one service."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from extsync.config.sources import Source as SourceBlock
from extsync.engine.prepare import Prepared
from extsync.engine.world import World, context_of
from extsync.errors import ConfigError
from extsync.kube.flow import Backoff
from extsync.model import Observation, Outcome
from extsync.sources.base import Heir, Source
from extsync.sources.supervise import supervise

log = logging.getLogger(__name__)


class _Running(msgspec.Struct, frozen=True):
    """A source that runs, and all that it was made from: where that stays the same, it runs on."""

    made_from: tuple[str, Any, Path]
    task: asyncio.Task[None]


class RunningSources:
    """Runs the sources of one service in ``tasks``; ``observe(name, observation)`` is called with what they report."""

    def __init__(self, world: World, tasks: asyncio.TaskGroup, *, observe: Callable[[str, Observation], None]) -> None:
        self._world = world
        self._tasks = tasks
        self._observe = observe
        self._running: dict[str, _Running] = {}
        self._made: dict[str, Source] = {}

    def follow(self, prepared: Prepared) -> None:
        """Starts the sources that are new or changed, and stops those that left."""
        wanted = {block.name: block for block in prepared.manifest.spec.sources}
        for name, running in list(self._running.items()):
            if name not in wanted or running.made_from != _made_from(wanted[name], prepared):
                self._stop(name)
        self._made = {name: source for name, source in self._made.items() if name in wanted}
        for name, block in wanted.items():
            if name not in self._running:
                self._start(block, prepared)

    def stop(self) -> None:
        """Stops all of them."""
        for name in list(self._running):
            self._stop(name)

    def _stop(self, name: str) -> None:
        self._running.pop(name).task.cancel()

    def _start(self, block: SourceBlock, prepared: Prepared) -> None:
        def emit(observation: Observation) -> None:
            if self._running.get(block.name) is running:  # else another has its place, and this one does not stop
                self._observe(block.name, observation)

        task = self._tasks.create_task(self._run(block, prepared, emit), name=f"source-{prepared.key}/{block.name}")
        running = self._running[block.name] = _Running(_made_from(block, prepared), task)

    async def _run(self, block: SourceBlock, prepared: Prepared, emit: Callable[[Observation], None]) -> None:
        """Makes the source, again and again where that fails (a file may be mounted late), and runs it."""
        clock, random = self._world.clock, self._world.random
        backoff = Backoff(random=random)
        while (source := self._make(block, prepared, emit)) is None:
            await clock.sleep(backoff.failed(block.name))
        await supervise(source, emit, clock=clock, random=random)

    def _make(self, block: SourceBlock, prepared: Prepared, emit: Callable[[Observation], None]) -> Source | None:
        try:
            source = self._world.create_source(block.factory, block.config, context_of(block, prepared, self._world))
            before = self._made.get(block.name)
            if isinstance(source, Heir) and type(source) is type(before):
                source.inherit(before)
            self._made[block.name] = source
            return source
        except ConfigError as error:
            emit(Observation(Outcome.ERROR, detail=str(error)))
        except Exception as error:  # of a plugin: it must not take the other services down with it
            log.exception("%s: source %r cannot be made", prepared.key, block.name)
            emit(Observation(Outcome.ERROR, detail=f"it cannot be made: {error}"))
        return None


def _made_from(block: SourceBlock, prepared: Prepared) -> tuple[str, Any, Path]:
    return block.factory, block.config, prepared.base_dir
