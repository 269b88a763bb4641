"""Which files a manifest may name, whoever wrote it.

A manifest names files: lists of backends, tokens, certificates. Where ``fileRoots`` of the settings names directories,
only what really lies in one of them is read, wherever symbolic links lead: the links of a mounted ConfigMap stay within
their directory, one to /etc/shadow does not.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple


class OutsideRoots(OSError):
    """A file that lies outside all directories whose files may be read."""


class Pinned(NamedTuple):
    """A file that is open: a path by which it is opened once more, whatever links become meanwhile, and its status."""

    path: str
    status: os.stat_result


class FileRoots:
    """Directories whose files may be read; none: those of all directories."""

    def __init__(self, roots: Sequence[str] = ()) -> None:
        self.roots = tuple(roots)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileRoots) and self.roots == other.roots

    def __hash__(self) -> int:
        return hash(self.roots)

    def __repr__(self) -> str:
        return f"FileRoots({self.roots!r})"

    def check(self, path: str | Path) -> None:
        """Raises OutsideRoots where ``path``, which need not exist, leads outside. It may block."""
        if self.roots:
            self._check_real(os.path.realpath(path), str(path))

    @contextmanager
    def pinned(self, path: str | Path) -> Iterator[Pinned]:
        """Opens a regular file for a library that takes nothing but paths, such as ssl.

        What is opened is checked, and not only what the path leads to a moment before. Raises OutsideRoots where it
        lies outside, and OSError where it cannot be opened. It may block.
        """
        self.check(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self.check_open(descriptor)
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "is not a regular file", str(path))
            again = f"/proc/self/fd/{descriptor}"
            yield Pinned(again if os.path.exists(again) else str(path), status)  # not Linux, or no /proc
        finally:
            os.close(descriptor)

    def check_open(self, descriptor: int) -> None:
        """Raises OutsideRoots where the file behind ``descriptor`` lies outside: links may have changed meanwhile."""
        if not self.roots:
            return
        try:
            real = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:  # not Linux, or no /proc: what ``check`` said has to do
            return
        self._check_real(real, real)

    def _check_real(self, real: str, path: str) -> None:
        # Roots are resolved each time too: they may be mounted later, or be links themselves.
        for root in map(os.path.realpath, self.roots):
            if real == root or real.startswith(root.rstrip("/") + "/"):
                return
        roots = ", ".join(self.roots)
        reason = f"lies outside the directories whose files may be read: put it into one of fileRoots ({roots})"
        raise OutsideRoots(errno.EACCES, reason, path)


ANYWHERE: Final = FileRoots()
