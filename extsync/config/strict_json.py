"""JSON read strictly: keys given twice, NaN and halves of characters are refused.

Reading is the standard library's; the places that messages ask for are found by a second, slower walk.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections.abc import Collection, Generator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, Final, NamedTuple, NoReturn

from extsync.config.text import DEEPEST, Document, Mark, RawPath, Span, TextFault, UnreadableText

_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()


def read_json(text: str) -> Document:
    """Reads the one document of ``text``; raises UnreadableText."""
    try:
        repeated: list[str] = []
        data = json.loads(
            text,
            object_pairs_hook=lambda pairs: _first_of_each(pairs, repeated),
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
        _check(data)
        faults = tuple(_repeated_keys(text)) if repeated else ()
    except json.JSONDecodeError as error:
        raise UnreadableText(TextFault(Mark(error.lineno, error.colno), f"this is not JSON: {error.msg}")) from None
    except RecursionError:
        raise UnreadableText(TextFault(Mark(), _TOO_DEEP)) from None
    except ValueError as error:
        raise UnreadableText(TextFault(Mark(), f"this is not JSON: {error}")) from None
    return Document(0, data, _Lines(text).mark(_skip_blank(text, 0)), faults)


def locate_json(text: str, wanted: Collection[RawPath]) -> dict[RawPath, Span]:
    """Where the values at ``wanted`` stand in a text that ``read_json`` has read."""
    paths = frozenset(wanted)
    lines = _Lines(text)
    found: dict[RawPath, Span] = {}
    for node in _walk(text, 0, (), None):
        if node.path in paths and node.path not in found:
            found[node.path] = Span(lines.mark(node.value if node.key is None else node.key), lines.mark(node.value))
    return found


_TOO_DEEP: Final = f"this is nested more than {DEEPEST} levels deep"


class _Node(NamedTuple):
    """A value's path, and the offsets of its key (None in a list) and of itself."""

    path: RawPath
    key: int | None
    value: int


def _first_of_each(pairs: list[tuple[str, Any]], repeated: list[str]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            repeated.append(key)
        else:
            data[key] = value
    return data


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _check(data: Any) -> None:
    """Raises RecursionError where ``data`` is nested too deeply, ValueError for half a character (a lone surrogate)."""
    level = [data]
    for _ in range(DEEPEST + 1):
        following: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                following.extend(value)
                following.extend(value.values())
            elif isinstance(value, list):
                following.extend(value)
            elif isinstance(value, str) and not value.isascii():
                try:
                    value.encode()
                except UnicodeEncodeError:
                    raise ValueError("a text has half of a character (a lone surrogate)") from None
        level = following
        if not level:
            return
    raise RecursionError


def _repeated_keys(text: str) -> Generator[TextFault, None, None]:
    lines = _Lines(text)
    seen = set()
    for node in _walk(text, 0, (), None):
        if node.path in seen and node.key is not None:
            message = f"the key {node.path[-1]!r} is given twice"
            yield TextFault(lines.mark(node.key), message, "leave one of them out")
        seen.add(node.path)


def _walk(text: str, position: int, path: RawPath, key: int | None) -> Generator[_Node, None, int]:
    """Yields a value and what is in it; returns the offset behind it. ``text`` is known to be JSON."""
    start = _skip_blank(text, position)
    yield _Node(path, key, start)
    if text[start] not in "{[":
        return _DECODER.raw_decode(text, start)[1]
    position = _skip_blank(text, start + 1)
    index = 0
    while text[position] not in "}]":
        if text[start] == "{":
            name, after = scanstring(text, position + 1)
            colon = _skip_blank(text, after)
            position = yield from _walk(text, colon + 1, (*path, name), position)
        else:
            position = yield from _walk(text, position, (*path, index), None)
        index += 1
        position = _skip_blank(text, position)
        if text[position] == ",":
            position = _skip_blank(text, position + 1)
    return position + 1


def _skip_blank(text: str, position: int) -> int:
    blank = _BLANK.match(text, position)
    return blank.end() if blank else position


class _Lines:
    """The lines of a text, to turn offsets into marks."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def mark(self, offset: int) -> Mark:
        line = bisect_right(self._starts, offset)
        return Mark(line, offset - self._starts[line - 1] + 1)
