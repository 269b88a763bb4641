"""The ``file`` source: looks at its files whenever something changes around them, and reports what they hold together.

A change is believed once two looks, some time apart, agree: a list that is half written can be a valid, shorter list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import msgspec

from extsync.errors import ConfigError
from extsync.model import Observation, Outcome
from extsync.sources.base import Emit, SourceContext
from extsync.sources.file.disk import Mark, Sight, has_wildcard, look
from extsync.sources.file.holdings import Holdings
from extsync.sources.file.watch import DirectoryWatcher, Watch, Watcher
from extsync.sources.offload import Offload, in_thread

COALESCE: Final = 0.05
"""Seconds from an event to the look, so that a burst of events costs one look."""

MAX_COALESCE: Final = 1.0
"""The same at most: it doubles while events follow one another and change nothing, as others work in a directory."""

SETTLE: Final = 0.1
"""Seconds between two looks that must agree."""

MAX_LOOKS: Final = 20
"""Looks that may go by until two agree, before a file that never stands still is reported."""

READ_TIMEOUT: Final = 30.0
"""Seconds that a look may take."""

UNWATCHED_INTERVAL: Final = 5.0
"""Seconds between looks, at most, while a directory cannot be watched or a look hangs."""


class FileConfig(Protocol):
    """The validated ``file`` block of a manifest. ``refresh_interval`` is in seconds."""

    @property
    def files(self) -> tuple[str, ...]: ...
    @property
    def refresh_interval(self) -> float: ...


class FileSource:
    """Reports the backends of its files.

    ``offload`` does the reading, ``watcher`` tells of changes; by default the event loop's shared one. Raises
    ConfigError for a pattern with wildcards in a directory's name.
    """

    def __init__(
        self,
        config: FileConfig,
        context: SourceContext,
        *,
        offload: Offload = in_thread,
        watcher: Watcher | None = None,
    ) -> None:
        for text in config.files:
            if has_wildcard(str(Path(text).parent)):
                raise ConfigError(f"file {text!r}: wildcards are allowed in the last part of the path only")
        self._patterns = tuple(context.base_dir / text for text in config.files)
        self._roots = context.roots
        self._refresh_interval = config.refresh_interval
        self._clock = context.clock
        self._offload = offload
        self._watcher = watcher
        self._watches: dict[str, Watch] = {}
        self._unwatched = ""
        self._coalesce = COALESCE
        self._looking: asyncio.Future[Sight] | None = None
        self._holdings = Holdings()

    async def run(self, emit: Emit) -> None:
        self._changed = asyncio.Event()
        reported = Observation(Outcome.ERROR)
        try:
            while True:
                marks = self._holdings.marks
                observation = await self._observe()
                if observation != reported:
                    reported = observation
                emit(reported)
                await self._wait(changed=self._holdings.marks != marks)
        finally:
            self._stop()

    async def _observe(self) -> Observation:
        try:
            sight = await self._settled()
        except TimeoutError:
            return self._hung()
        self._holdings.take(sight, self._clock.monotonic())
        observation = self._holdings.observation()
        if not self._unwatched:
            return observation
        detail = "; ".join(filter(None, (observation.detail, self._unwatched)))
        return msgspec.structs.replace(observation, detail=detail)

    async def _settled(self) -> Sight:
        """Looks until nothing is new or two looks agree, and at most ``MAX_LOOKS`` times.

        What a new watch watches is looked at once more, since it may have changed just before.
        """
        believed = self._holdings.marks
        sight = await self._look({})
        for _ in range(MAX_LOOKS):
            marks = sight.marks()
            if not self._watch(sight.directories) and marks == believed:
                break
            await self._clock.sleep(SETTLE)
            directories = sight.directories
            sight = await self._look({path: mark for path, mark in marks.items() if believed.get(path) != mark})
            if sight.marks() == marks and sight.directories == directories:
                break
        return sight

    async def _look(self, read: Mapping[str, Mark]) -> Sight:
        """One look, with the files parsed whose marks are in ``read``; raises TimeoutError.

        There is never more than one under way: after a time-out, the next call waits for the one that hangs.
        """
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._offload(partial(look, self._patterns, read, self._roots)))
        async with self._clock.timeout(READ_TIMEOUT):
            try:
                return await asyncio.shield(self._looking)
            finally:
                if self._looking.done():
                    self._looking = None

    def _hung(self) -> Observation:
        if self._looking is not None:
            self._looking.add_done_callback(lambda _: self._changed.set())
        files = ", ".join(map(str, self._patterns))
        detail = f"{files}: reading has not ended after {READ_TIMEOUT:g} s: is a mount gone?"
        return Observation(Outcome.ERROR, detail=detail)

    def _watch(self, directories: tuple[str, ...]) -> bool:
        """Watches just these directories, as far as they can be watched; returns whether one of them is new."""
        for directory, watch in list(self._watches.items()):
            if not watch.alive or directory not in directories:
                del self._watches[directory]
                watch.close()
        self._unwatched = ""
        new = [directory for directory in directories if directory not in self._watches]
        watcher = self._watcher or DirectoryWatcher.shared()
        for directory in new:
            try:
                self._watches[directory] = watcher.watch(Path(directory), self._changed.set)
            except OSError as error:
                every = min(self._refresh_interval, UNWATCHED_INTERVAL)
                self._unwatched = f"{directory} cannot be watched ({error.strerror}): it is looked at every {every:g} s"
        return any(directory in self._watches for directory in new)

    async def _wait(self, *, changed: bool) -> None:
        """Waits until it is time for the next look: some time after an event, or when one is due anyway.

        ``changed`` says whether the look before found something new.
        """
        began = self._clock.monotonic()
        seconds = self._refresh_interval
        if self._unwatched or self._looking is not None:
            seconds = min(seconds, UNWATCHED_INTERVAL)
        due = self._holdings.due()
        if due is not None:
            seconds = min(seconds, max(0.0, due - self._clock.monotonic()))
        try:
            async with self._clock.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return
        quiet = self._clock.monotonic() - began > MAX_COALESCE
        self._coalesce = COALESCE if changed or quiet else min(self._coalesce * 2, MAX_COALESCE)
        await self._clock.sleep(self._coalesce)
        self._changed.clear()

    def _stop(self) -> None:
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
