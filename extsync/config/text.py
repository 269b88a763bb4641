"""Places in a text, and what can be wrong with a text before anybody looks at what it means."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

DEEPEST: Final = 64
"""Levels of nesting that a document may have; a manifest needs about ten."""


RawPath: TypeAlias = tuple[int | str, ...]
"""Keys and indexes on the way to a value, as they stand in the text."""


Severity: TypeAlias = Literal["error", "warning"]


class Mark(NamedTuple):
    """A place in a text; lines and columns count from 1."""

    line: int = 1
    column: int = 1


class TextFault(NamedTuple):
    """Something in a text that cannot be read, or that other programs would read differently."""

    mark: Mark
    message: str
    hint: str = ""


class Document(msgspec.Struct, frozen=True):
    """One document of a text as plain data (dict, list, str, int, float, bool, None).

    ``mark`` is where it begins. Where there are ``faults``, ``data`` is a guess, good only for finding more of them.
    """

    index: int
    data: Any
    mark: Mark
    faults: tuple[TextFault, ...] = ()


class Span(NamedTuple):
    """Where a value stands, and its key (for an entry of a list both are the same)."""

    key: Mark
    value: Mark


class UnreadableText(Exception):
    """The text breaks off being YAML or JSON at a place; what came before may have been read."""

    def __init__(self, fault: TextFault) -> None:
        super().__init__(fault.message)
        self.fault = fault
