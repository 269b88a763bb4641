"""What came over the network, made fit to be shown to a person: short, on one line, printable."""

from __future__ import annotations

from typing import Final

_BYTES: Final = 24
_CHARACTERS: Final = 160


def shown(data: bytes) -> str:
    """The beginning of ``data``, in quotes: 'SSH-2.0-OpenSSH'."""
    cut = data if len(data) <= _BYTES else data[:_BYTES] + b"..."
    return repr(cut)[1:]


def said(data: bytes) -> str:
    """A message in a server's own words, without quotes; whatever is not printable becomes a space."""
    text = data[: 4 * _CHARACTERS].decode(errors="replace")
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _CHARACTERS else line[:_CHARACTERS] + "..."
