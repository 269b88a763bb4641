"""What the disk holds now: which files the patterns of a source name, what is in them, and where changes would show.

All of it may block for as long as a network file system likes: ``extsync.sources.offload`` keeps it off the loop.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import os
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from extsync.file_roots import ANYWHERE, FileRoots
from extsync.sources.file.payload import parse
from extsync.sources.payload import Payload
from extsync.sources.whole_file import read_file, why

MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes of one file at most."""

MAX_FILES: Final = 1000
"""Files that one pattern may name."""

_MAX_LINKS: Final = 40  # symbolic links on one path, as in Linux

Mark: TypeAlias = bytes
"""Stands for the content of a file, or for the reason why it has none: two looks with one mark saw the same."""


class Seen(msgspec.Struct, frozen=True):
    """One file at one look. ``pattern`` is the index of the first pattern that names it.

    ``fault`` says with the path why it holds nothing usable, or is ""; ``payload`` is set only where the look was
    asked to read the file.
    """

    pattern: int
    mark: Mark
    fault: str = ""
    payload: Payload | None = None


class Sight(msgspec.Struct, frozen=True):
    """All files of a source at one look, by path.

    ``unlisted`` are the patterns, by index, that name no file or whose directory cannot be read: each with itself and
    why. Whatever changes a file, or the links that lead to it, shows in one of ``directories``.
    """

    files: dict[str, Seen]
    unlisted: dict[int, tuple[str, str]]
    directories: tuple[str, ...]

    def marks(self) -> dict[str, Mark]:
        """What two looks must agree on to be believed."""
        unlisted = {f"{pattern}\0": why.encode() for pattern, why in self.unlisted.values()}
        return {path: seen.mark for path, seen in self.files.items()} | unlisted


def has_wildcard(text: str) -> bool:
    """Whether ``text`` is a pattern of the shell."""
    return any(character in text for character in "*?[")


def look(patterns: tuple[Path, ...], read: Mapping[str, Mark], roots: FileRoots = ANYWHERE) -> Sight:
    """Looks at the files that ``patterns`` name; a pattern has wildcards in its last element only.

    A file is parsed where its mark is the one that ``read`` has for its path. Nothing outside ``roots`` is read, nor
    listed.
    """
    files: dict[str, Seen] = {}
    unlisted: dict[int, tuple[str, str]] = {}
    directories: dict[str, None] = {}
    for index, pattern in enumerate(patterns):
        directories.update(dict.fromkeys(_directories(pattern)))
        try:
            paths = _listed(pattern, roots)
        except OSError as error:
            unlisted[index] = (_text(pattern), f"{_text(pattern)}: {_reason(error)}")
            continue
        for path in paths:
            name = _text(path)
            if name not in files:
                files[name] = _seen(path, name, index, read.get(name), roots)
                directories.update(dict.fromkeys(_directories(path)))
    return Sight(files, unlisted, tuple(directories))


def _listed(pattern: Path, roots: FileRoots) -> list[Path]:
    """The files that ``pattern`` names now; raises OSError where its directory cannot be read or has no such file."""
    if not has_wildcard(pattern.name):
        return [pattern]
    roots.check(pattern.parent)
    with os.scandir(pattern.parent) as entries:
        names = [entry.name for entry in entries if _matches(entry.name, pattern.name) and not entry.is_dir()]
    if not names:
        raise OSError(0, "no file matches; to declare that there are no backends, keep one file that holds []")
    if len(names) > MAX_FILES:
        raise OSError(0, f"{len(names)} files match, and the limit is {MAX_FILES}")
    return [pattern.parent / name for name in sorted(names)]


def _matches(name: str, pattern: str) -> bool:
    # As in a shell, hidden files (an editor's, a ConfigMap mount's) have to be asked for.
    return fnmatch.fnmatchcase(name, pattern) and (not name.startswith(".") or pattern.startswith("."))


def _seen(path: Path, name: str, pattern: int, read: Mark | None, roots: FileRoots) -> Seen:
    try:
        content = read_file(path, limit=MAX_BYTES, roots=roots)
    except OSError as error:
        fault = f"{name}: {_reason(error)}"
        return Seen(pattern, fault.encode(), fault)
    mark = blake2b(content, digest_size=16).digest()
    if mark != read:
        return Seen(pattern, mark)
    try:
        return Seen(pattern, mark, payload=parse(content, name))
    except ValueError as error:
        return Seen(pattern, mark, str(error))


def _directories(path: Path) -> Iterator[str]:
    """The directories that hold the file and each symbolic link on the way to it, all of them free of links.

    Of a directory that is not there (yet), the nearest one above it.
    """
    rest = os.path.abspath(path)
    for _ in range(_MAX_LINKS):
        link = _first_link(rest)
        if link is None:
            break
        parent = os.path.dirname(link)
        yield parent
        with contextlib.suppress(OSError):  # it has just become something else: the next round sees what
            rest = os.path.normpath(os.path.join(parent, os.readlink(link), os.path.relpath(rest, link)))
    directory = os.path.dirname(rest)
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    yield directory


def _first_link(path: str) -> str | None:
    prefixes = [path, *map(str, Path(path).parents)]
    return next((prefix for prefix in reversed(prefixes) if os.path.islink(prefix)), None)


def _text(path: Path) -> str:
    """The path as it can be printed: names of files are bytes, and need not be text."""
    return str(path).encode(errors="replace").decode()


def _reason(error: OSError) -> str:
    if error.errno == errno.EISDIR:
        return "is a directory: name a file in it, or a pattern such as *.yml"
    return why(error)
