"""Credentials and trust that somebody replaces in their files while extsync runs.

Client certificates expire, and authorities are replaced. Whoever renews them writes the files anew. They are read again
when the server refuses what there is, or cannot be trusted, and the files are not what they were.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from extsync.errors import ConfigError
from extsync.kube.credentials import Credentials, Headers

log = logging.getLogger(__name__)

_Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class Rereading:
    """``first``, until ``load`` gives others: that is asked once the server has refused and ``files`` have changed.

    ``load`` returns the credentials and the files that these are from; while it raises ConfigError, the present ones
    stay.
    """

    def __init__(
        self,
        first: Credentials,
        files: Sequence[Path],
        load: Callable[[], Awaitable[tuple[Credentials, Sequence[Path]]]],
    ) -> None:
        self._present = first
        self._files = files
        self._load = load
        self._read = _stamp(files)
        self._is_old = False

    async def headers(self) -> Headers:
        if self._is_old:
            self._is_old = False
            await self._reread()
        return await self._present.headers()

    def renew(self) -> bool:
        if _stamp(self._files) == self._read:
            return self._present.renew()
        self._is_old = True
        return True

    async def _reread(self) -> None:
        read = _stamp(self._files)  # before they are: what is written meanwhile is looked at next time
        try:
            self._present, files = await self._load()
        except ConfigError as error:  # half written, perhaps; the next refusal looks again
            log.warning("the new credentials cannot be used: %s; the present ones stay", error)
            return
        self._read = read if files == self._files else _stamp(files)
        self._files = files
        log.info("credentials were read again from %s", ", ".join(map(str, self._files)))


def _stamp(files: Sequence[Path]) -> _Stamp:
    """What changes when one of ``files`` is written or replaced."""
    return tuple(map(_stamp_of, files))


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
