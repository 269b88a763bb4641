"""A file's content, all of it or the reason why not. It blocks: ``extsync.sources.offload`` keeps that off the loop."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from extsync.file_roots import ANYWHERE, FileRoots, OutsideRoots

_REASONS: Final = {
    errno.ENOENT: "there is no such file or directory",
    errno.EACCES: "permission denied: let the user that extsync runs as read it",
}


def read_file(path: Path, *, limit: int, roots: FileRoots = ANYWHERE) -> bytes:
    """The content of a regular file of at most ``limit`` bytes that lies within ``roots``.

    Raises OSError, which ``why`` puts into words.
    """
    roots.check(path)
    with open(path, "rb", opener=_open) as file:
        roots.check_open(file.fileno())
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "is not a regular file")
        content = file.read() if status.st_size <= limit else b""
        if status.st_size > limit or len(content) > limit:
            raise OSError(0, f"is larger than {_size(limit)}")
        return content


def why(error: OSError) -> str:
    """Why a file cannot be read, and what helps; without its path."""
    reason = None if isinstance(error, OutsideRoots) else _REASONS.get(error.errno or 0)
    return reason or error.strerror or str(error)


def _open(path: str, flags: int) -> int:
    """Opens without waiting, should the path be a pipe that nobody writes to."""
    return os.open(path, flags | os.O_NONBLOCK)


def _size(limit: int) -> str:
    return f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit >> 10} KiB"
