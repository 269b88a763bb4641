"""The entries of a JSON or YAML list, one at a time and each with its place.

JSON is tried first: all JSON is YAML too, but reading it as YAML takes many times as long. Only one entry at a time is
there as Python values, since 100,000 of them together would take more memory than the backends that they become.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeAlias

import msgspec

from extsync.config.faults import shown
from extsync.config.text import Mark, TextFault, UnreadableText
from extsync.sources.payload import yaml_list
from extsync.sources.payload.yaml_list import Scalar, Tree

Read: TypeAlias = tuple[Any, TextFault | None]
"""An entry as plain Python values, or why it cannot be read."""

_BYTE = re.compile(r" \(byte ([0-9]+)\)$")


class Entries(Protocol):
    """A list that is read once, from first to last. Iterating raises UnreadableText where it cannot be read on."""

    def __iter__(self) -> Iterator[Read]: ...

    def mark(self) -> Mark:
        """Where the entry that was read last begins."""
        ...


def read_entries(content: bytes, *, only_json: bool) -> Entries:
    """The entries of the list that ``content`` holds; raises UnreadableText where it is seen at once to hold none."""
    if not content.strip():
        raise UnreadableText(TextFault(Mark(), "is empty", "write [] for no backends"))
    try:
        return _JsonEntries(content)
    except msgspec.ValidationError:
        raise UnreadableText(TextFault(Mark(), "must be a list of backends or of target groups")) from None
    except RecursionError:
        raise UnreadableText(TextFault(Mark(), "is nested too deeply")) from None
    except msgspec.DecodeError as error:
        if only_json:
            raise UnreadableText(_not_json(content, str(error))) from None
    try:
        return _YamlEntries(content.decode())
    except UnicodeDecodeError as error:
        raise UnreadableText(TextFault(_mark_at(content, error.start), "is not UTF-8 text")) from None


def is_group(entry: object) -> bool:
    """Whether an entry is one of Prometheus's target groups rather than a backend of ours."""
    return isinstance(entry, dict) and ("targets" in entry or "labels" in entry)


class _JsonEntries:
    def __init__(self, content: bytes) -> None:
        self._raw = msgspec.json.decode(content, type=list[msgspec.Raw])
        self._cursor = _Cursor(content)
        self._read = 0
        self._passed = 0

    def __iter__(self) -> Iterator[Read]:
        decode = msgspec.json.Decoder().decode
        for raw in self._raw:
            self._read += 1
            try:
                value = decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError):  # the text within quotes is looked at only now
                raise UnreadableText(TextFault(self.mark(), "is not UTF-8 text")) from None
            yield value, _repeated(bytes(raw), value, self.mark)

    def mark(self) -> Mark:
        # Most lists are never asked: places are found afterwards, going through the text once at most.
        for raw in self._raw[self._passed : self._read]:
            self._cursor.pass_over(bytes(raw))
        self._passed = self._read
        return self._cursor.mark()


def _repeated(raw: bytes, value: Any, mark: Callable[[], Mark]) -> TextFault | None:
    """The fault of an entry that has a key twice, of which ``value`` has only the last.

    A key that was lost is a text that was lost, so that counting them clears nearly every entry, at little cost.
    """
    if b"\\" not in raw and raw.count(b'"') == 2 * _texts_in(value):
        return None
    repeated: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        known: set[str] = set()
        for key, _ in pairs:
            if key in known:
                repeated.append(key)
            known.add(key)

    json.loads(raw, object_pairs_hook=note)
    return (
        TextFault(mark(), f"the key {shown(repeated[0])} is given twice", "leave one of them out") if repeated else None
    )


def _texts_in(value: Any) -> int:
    """The number of texts in plain data, keys included."""
    number, pending = 0, [value]
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            number += 1
        elif isinstance(one, list):
            pending.extend(one)
        elif isinstance(one, dict):
            number += len(one)
            pending.extend(one.values())
    return number


class _Cursor:
    """Goes through a text from entry to entry and knows line and column of the latest."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._start = 0
        self._end = 0
        self._line = 1
        self._line_start = 0

    def pass_over(self, entry: bytes) -> None:
        """Moves to the next occurrence of ``entry``.

        Between two entries there are only white space and a comma, so that what is found is the entry itself.
        """
        before = self._start
        self._start = self._content.index(entry, self._end)
        self._end = self._start + len(entry)
        self._line += self._content.count(b"\n", before, self._start)
        self._line_start = max(self._line_start, self._content.rfind(b"\n", before, self._start) + 1)

    def mark(self) -> Mark:
        return Mark(self._line, len(self._content[self._line_start : self._start].decode(errors="replace")) + 1)


class _YamlEntries:
    def __init__(self, text: str) -> None:
        self._list = yaml_list.read_list(text)
        self._mark = Mark()

    def __iter__(self) -> Iterator[Read]:
        for entry in self._list:
            self._mark = entry.mark
            if entry.fault is not None:
                yield None, entry.fault
                continue
            try:
                value = _group(entry.tree) if is_group(entry.tree) else yaml_list.resolved(entry.tree)
            except UnreadableText as error:
                yield None, error.fault
            else:
                yield value, None

    def mark(self) -> Mark:
        return self._mark


def _group(tree: Any) -> dict[str, Any]:
    """A target group, in which every scalar is text, as it is to Prometheus (``shard: 010`` is "010")."""
    return {key: _texts(value) for key, value in tree.items()}


def _texts(tree: Tree) -> Any:
    if isinstance(tree, dict):
        return {key: value.as_text() if isinstance(value, Scalar) else value for key, value in tree.items()}
    if isinstance(tree, list):
        return [value.as_text() if isinstance(value, Scalar) else value for value in tree]
    return tree.as_text() or None


def _not_json(content: bytes, reason: str) -> TextFault:
    reason = reason.removeprefix("JSON is malformed: ")
    found = _BYTE.search(reason)
    mark = _mark_at(content, int(found[1])) if found else Mark()
    return TextFault(mark, f"is not JSON: {_BYTE.sub('', reason)}")


def _mark_at(content: bytes, offset: int) -> Mark:
    line_start = content.rfind(b"\n", 0, offset) + 1
    return Mark(content.count(b"\n", 0, offset) + 1, len(content[line_start:offset].decode(errors="replace")) + 1)
