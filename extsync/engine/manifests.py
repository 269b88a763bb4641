"""Follows the manifests while ``run`` runs: loads them again when they may have changed."""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from extsync.config.files import STDIN, read_files
from extsync.config.loader import LoadResult, load
from extsync.config.problems import Problem
from extsync.engine.desired import Desired, Step
from extsync.limits import USUAL, Limits
from extsync.seams import Clock
from extsync.sources.file.watch import DirectoryWatcher, Watch
from extsync.sources.offload import in_thread

log = logging.getLogger(__name__)

Load: TypeAlias = Callable[[], Awaitable[LoadResult | None]]
"""Reads the manifests; None says that nothing changed since the last call."""

READ_TIMEOUT = 30.0
"""Seconds that reading the manifests may take before it is given up for this time (a hung network file system)."""


class FileManifests:
    """Reads manifests from paths, in a thread, and parses them only when their bytes changed.

    ``changed`` is set when a folder in which they are changes; where folders cannot be watched, polling has to do.
    A read that hangs, on a network file system, goes on when its caller gives it up, and is the next caller's.
    """

    def __init__(
        self, paths: Sequence[str], *, namespace: str | None = None, stdin: bytes = b"", limits: Limits = USUAL
    ) -> None:
        """``namespace`` as in ``config.loader.load``."""
        self.changed = asyncio.Event()
        self._paths = tuple(paths)
        self._namespace = namespace
        self._stdin = stdin
        self._limits = limits
        self._digest = b""
        self._watches: dict[Path, Watch] = {}
        self._reading: asyncio.Task[LoadResult | None] | None = None

    async def __call__(self) -> LoadResult | None:
        if self._reading is None:
            self._reading = asyncio.create_task(self._watch_and_read())
        try:
            result = await asyncio.shield(self._reading)
        except Exception:
            self._reading = None
            raise
        self._reading = None
        return result

    def close(self) -> None:
        """Ends the watches."""
        if self._reading is not None:
            self._reading.cancel()
        for watch in self._watches.values():
            watch.close()

    async def _watch_and_read(self) -> LoadResult | None:
        self._watch(await in_thread(self._folders))
        return await in_thread(self._read)

    def _folders(self) -> list[Path]:
        paths = (Path(name) for name in self._paths if name != STDIN)
        return [path if path.is_dir() else path.parent for path in paths]

    def _watch(self, folders: Iterable[Path]) -> None:
        """Watches every folder that is not watched yet, or no longer."""
        watcher = DirectoryWatcher.shared()
        for folder in folders:
            if folder not in self._watches or not self._watches[folder].alive:
                with suppress(OSError):
                    self._watches[folder] = watcher.watch(folder, self.changed.set)

    def _read(self) -> LoadResult | None:
        digest = _digest(self._paths)
        if digest == self._digest:
            return None
        stdin = io.BytesIO(self._stdin)
        result = load(self._paths, stdin=stdin, namespace=self._namespace, limits=self._limits)
        self._digest = digest if not result.unreadable else b""
        return result


def _digest(paths: Iterable[str]) -> bytes:
    """One hash over the names and contents of all manifests; one that cannot be read counts by its error."""
    total = hashlib.blake2b()
    for file in read_files([path for path in paths if path != STDIN], None):
        if isinstance(file, Problem):
            total.update(f"{file}\0".encode(errors="surrogateescape"))
        else:
            total.update(f"{file.name}\0".encode(errors="surrogateescape"))
            total.update(hashlib.blake2b(file.text).digest())
    return total.digest()


class ManifestFeed:
    """Calls ``take`` with what each load changed, for as long as it runs.

    It loads at the start, when ``hint`` is set (a folder changed), every ``poll_interval`` seconds, and when a removal
    falls due. An error of a load is logged and changes nothing.
    """

    def __init__(
        self, load: Load, desired: Desired, *, clock: Clock, poll_interval: float, hint: asyncio.Event | None = None
    ) -> None:
        self._load = load
        self._desired = desired
        self._clock = clock
        self._poll_interval = poll_interval
        self._hint = hint or asyncio.Event()

    async def run(self, take: Callable[[Step, LoadResult], None]) -> None:
        last: LoadResult | None = None
        while True:
            wait = self._poll_interval
            try:
                async with self._clock.timeout(READ_TIMEOUT):
                    last = await self._load() or last
            except (TimeoutError, OSError) as error:
                log.warning("manifests cannot be read: %s; what is in force goes on", str(error) or "timed out")
            else:
                if last is not None:
                    step = self._desired.take(last, self._clock.monotonic())
                    take(step, last)
                    wait = min(wait, wait if step.look_again is None else step.look_again)
            await self._pause(wait)

    async def _pause(self, seconds: float) -> None:
        try:
            async with self._clock.timeout(max(seconds, 0.01)):
                await self._hint.wait()
        except TimeoutError:
            return
        self._hint.clear()
        await self._clock.sleep(0.05)  # editors and ConfigMap mounts change several names at once
