"""A secret of the manifest as a header carries it, from the environment or from a file, read anew each time.

Nothing here has a repr that shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from extsync.config.secret import Secret
from extsync.errors import ConfigError, ReadFailed
from extsync.file_roots import FileRoots
from extsync.seams import Clock
from extsync.sources.base import SourceContext
from extsync.sources.offload import Offload
from extsync.sources.whole_file import read_file, why

T = TypeVar("T")

MAX_SECRET: Final = 64 << 10
"""Bytes of a file that holds a password or a token; servers take headers of some KiB."""

READ_TIMEOUT: Final = 5.0
"""Seconds that reading files may take."""


class SecretSource:
    """One secret: ``text``, or what ``file`` holds, a path relative to the manifest. ``key`` is its key there."""

    def __init__(
        self, key: str, text: Secret | None, file: str | None, context: SourceContext, *, offload: Offload
    ) -> None:
        self._key = key
        self._text = text
        self._environ = context.environ
        path = context.base_dir / (file or "")
        self._file = (
            None
            if file is None
            else SlowReader(partial(_content, path, context.roots), str(path), context.clock, offload)
        )

    async def read(self) -> str:
        """The secret as it is now; raises ReadFailed that says which file or variable is at fault."""
        if self._file is not None:
            return await self._file.read()
        try:
            return fit_for_header(self._key, "" if self._text is None else self._text.resolve(self._environ))
        except ConfigError as error:  # an environment variable that is not set
            raise ReadFailed(str(error)) from error

    def close(self) -> None:
        """Waits no more for a file that is being read."""
        if self._file is not None:
            self._file.close()


class SlowReader(Generic[T]):
    """Does blocking work, never more than once at a time: where a mount is gone and it hangs, all wait for the same."""

    def __init__(self, work: Callable[[], T], what: str, clock: Clock, offload: Offload) -> None:
        self._work = work
        self._what = what
        self._clock = clock
        self._offload = offload
        self._reading: asyncio.Future[T] | None = None

    async def read(self) -> T:
        """What the work returns; raises what it raises, and ReadFailed where it takes too long."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(self._offload(self._work))
            self._reading.add_done_callback(_noticed)
        try:
            async with self._clock.timeout(READ_TIMEOUT):
                return await asyncio.shield(self._reading)
        except TimeoutError:
            raise ReadFailed(
                f"{self._what}: reading has not ended after {READ_TIMEOUT:g} s: is a mount gone?"
            ) from None

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()


def fit_for_header(what: str, text: str) -> str:
    """``text`` as it can stand in a header; raises ReadFailed, which names it ``what`` and does not repeat it."""
    if not text.isprintable():
        raise ReadFailed(f"{what}: has a line break or another control character, which no header can carry")
    return text


def _content(path: Path, roots: FileRoots) -> str:
    """What a file of one line holds, as Prometheus takes it: without white space around it."""
    try:
        content = read_file(path, limit=MAX_SECRET, roots=roots)
    except OSError as error:
        raise ReadFailed(f"{path}: {why(error)}") from error
    try:
        secret = content.decode().strip()
    except UnicodeDecodeError:
        raise ReadFailed(f"{path}: is not UTF-8 text") from None  # the error has the secret in it
    if not secret:
        raise ReadFailed(f"{path}: is empty, and should hold a password or a token")
    return fit_for_header(str(path), secret)


def _noticed(reading: asyncio.Future[Any]) -> None:
    """Takes note of how a read ended that nobody may be waiting for any more."""
    if not reading.cancelled():
        reading.exception()
