"""The files that paths on the command line stand for, read with a bound."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from extsync.config.documents import LARGEST_TEXT
from extsync.config.problems import Problem

STDIN: Final = "-"
STDIN_SHOWN: Final = "<stdin>"
_SUFFIXES: Final = (".yaml", ".yml", ".json")


class File(msgspec.Struct, frozen=True):
    """One file that was read. ``name`` is as it can be told, ``base_dir`` is where relative paths in it start from."""

    name: str
    text: bytes
    base_dir: Path

    @property
    def is_json(self) -> bool:
        return self.name.endswith(".json")


def read_files(paths: Sequence[str | Path], stdin: BinaryIO | None) -> Iterator[File | Problem]:
    """Reads each file once: files as named, the manifests of directories in order of name, ``-`` from ``stdin``.

    Yields a Problem for whatever cannot be read.
    """
    seen: set[str] = set()
    for path in map(str, paths):
        for name in _expand(path) if path != STDIN else (STDIN,):
            if isinstance(name, Problem):
                yield name
                continue
            identity = name if name == STDIN else os.path.abspath(name)
            if identity not in seen:
                seen.add(identity)
                yield _read_stdin(stdin) if name == STDIN else _read(name)


def _expand(path: str) -> Iterator[str | Problem]:
    """A file is itself; a directory is its manifests, without what is hidden or below it.

    Kubernetes mounts a ConfigMap as links to ``..data/<name>``: the links count, and what begins with a dot does not.
    """
    if not os.path.isdir(path):
        yield path
        return
    try:
        entries = sorted(entry for entry in os.listdir(path) if not entry.startswith("."))
    except OSError as error:
        yield _unreadable(path, error)
        return
    manifests = [os.path.join(path, entry) for entry in entries if entry.endswith(_SUFFIXES)]
    # A link that leads nowhere is kept: it is a manifest that cannot be read, not one that was removed.
    files = [name for name in manifests if os.path.isfile(name) or not os.path.exists(name)]
    yield from files
    if not files:
        message = f"this directory has no manifest ({', '.join('*' + suffix for suffix in _SUFFIXES)})"
        yield Problem(_text(path), 0, 0, "error", message, hint="directories below it are not read")


def _read(name: str) -> File | Problem:
    try:
        with open(name, "rb") as file:
            return File(_text(name), file.read(LARGEST_TEXT + 1), Path(name).parent)
    except OSError as error:
        return _unreadable(name, error)
    except ValueError as error:  # a NUL in the name
        return Problem(_text(name), 0, 0, "error", f"this is not a file's name: {error}")


def _read_stdin(stdin: BinaryIO | None) -> File | Problem:
    if stdin is None:
        return Problem(STDIN_SHOWN, 0, 0, "error", "standard input is not read here: name a file or a directory")
    try:
        return File(STDIN_SHOWN, stdin.read(LARGEST_TEXT + 1), Path.cwd())
    except (OSError, ValueError) as error:  # ValueError: it is closed
        return Problem(STDIN_SHOWN, 0, 0, "error", f"standard input cannot be read: {error}")


def _text(name: str) -> str:
    """The name in whole characters: a file's name is bytes, which need not be UTF-8, and what tells of it has to be."""
    return name.encode(errors="replace").decode()


def _unreadable(name: str, error: OSError) -> Problem:
    if isinstance(error, FileNotFoundError):
        hint = "" if os.path.isabs(name) else f"it was looked for in {Path.cwd()}"
        return Problem(_text(name), 0, 0, "error", "there is no such file or directory", hint=hint)
    return Problem(_text(name), 0, 0, "error", f"this cannot be read: {error.strerror or error}")
