"""Reads a YAML list one entry at a time, each scalar as it is written.

It works on the parser's events: a tree of nodes for a file of 100,000 entries would take half a gigabyte. Aliases and
merge keys (``<<``) work as in YAML 1.1, since payloads written for Prometheus may use them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NoReturn, TypeAlias

import msgspec
import yaml

from extsync.config.scalars import Surprise, plain_value
from extsync.config.text import Mark, TextFault, UnreadableText

DEEPEST: Final = 16
"""Levels of nesting that an entry may have."""

MOST_VALUES: Final = 5_000_000
"""Values in one file, counted again wherever an alias repeats them: no small file unfolds to a huge one."""

_TAG: Final = "tag:yaml.org,2002:"
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Scalar(msgspec.Struct, frozen=True, gc=False):
    """A scalar as it is written; ``plain`` without quotes."""

    text: str
    plain: bool
    line: int
    column: int

    def as_text(self) -> str:
        """Its value where only text can stand: what is written, and nothing for a null."""
        return "" if self.plain and self.text in ("", "~", "null") else self.text


Tree: TypeAlias = "Scalar | list[Tree] | dict[str, Tree]"


class TreeEntry(msgspec.Struct, frozen=True):
    """One entry of the list and where it begins. With a ``fault``, the tree is of no use."""

    tree: Tree
    mark: Mark
    fault: TextFault | None


def read_list(text: str) -> Iterator[TreeEntry]:
    """Yields the entries of the one list that ``text`` holds; raises UnreadableText where it holds anything else."""
    loader = _LOADER(text)
    try:
        yield from _Reader(loader).entries()
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = Mark(at.line + 1, at.column + 1) if at else Mark()
        raise UnreadableText(TextFault(mark, f"is not YAML: {error.problem or error.context}")) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise UnreadableText(TextFault(mark, f"is not text: {error.reason}")) from None
    finally:
        loader.dispose()


def resolved(tree: Tree) -> Any:
    """The tree as plain Python values.

    Raises UnreadableText for the first scalar that versions of YAML read differently (``no``, ``22:22``).
    """
    if isinstance(tree, dict):
        return {key: resolved(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [resolved(value) for value in tree]
    if not tree.plain:
        return tree.text
    try:
        return plain_value(tree.text)
    except Surprise as surprise:
        mark = Mark(tree.line, tree.column)
        raise UnreadableText(TextFault(mark, str(surprise), "put it in quotes if it is text")) from None


class _Reader:
    """Builds trees from events. ``_fault`` is the first one of the entry at hand."""

    def __init__(self, loader: Any) -> None:
        self._next: Any = loader.get_event
        self._anchors: dict[str, tuple[Tree, int]] = {}
        self._fault: TextFault | None = None
        self._values = 0

    def entries(self) -> Iterator[TreeEntry]:
        self._next()  # the stream's start
        first = self._next()  # the document's start
        if isinstance(first, yaml.StreamEndEvent):
            _break(first, "is empty", "write [] for no backends")
        start = self._next()
        if not isinstance(start, yaml.SequenceStartEvent):
            _break(start, *_no_list(start))
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            self._fault = None
            tree = self._tree(event, 1)
            yield TreeEntry(tree, _mark(event), self._fault)
        self._next()  # the document's end
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            _break(after, "a second document begins here: a file holds one list")

    def _tree(self, event: Any, depth: int) -> Tree:
        if depth > DEEPEST:
            _break(event, f"is nested more than {DEEPEST} levels deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._values
        self._count(event, 1)
        tree: Tree
        if isinstance(event, yaml.ScalarEvent):
            tree = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            tree = self._sequence(event, depth)
        else:
            tree = self._mapping(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (tree, self._values - before)
        return tree

    def _alias(self, event: Any) -> Tree:
        known = self._anchors.get(event.anchor)
        if known is None:
            _break(event, f"the alias *{event.anchor} names nothing that is complete before it")
        tree, values = known
        self._count(event, values)
        return tree

    def _scalar(self, event: Any) -> Scalar:
        self._refuse_tag(event, "str")
        mark = event.start_mark
        return Scalar(event.value, event.implicit[0] and event.tag is None, mark.line + 1, mark.column + 1)

    def _sequence(self, start: Any, depth: int) -> list[Tree]:
        self._refuse_tag(start, "seq")
        items = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._tree(event, depth + 1))
        return items

    def _mapping(self, start: Any, depth: int) -> dict[str, Tree]:
        self._refuse_tag(start, "map")
        mapping: dict[str, Tree] = {}
        merged: dict[str, Tree] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._tree(event, depth + 1)
            value = self._tree(self._next(), depth + 1)
            if not isinstance(key, Scalar):
                self._note(event, "a key must be text")
            elif key.plain and key.text == "<<":
                self._merge(event, value, merged)
            elif key.text in mapping:
                self._note(event, f"the key {key.text!r} is given twice", "leave one of them out")
            else:
                mapping[key.text] = value
        return merged | mapping if merged else mapping

    def _merge(self, event: Any, value: Tree, merged: dict[str, Tree]) -> None:
        for tree in value if isinstance(value, list) else [value]:
            if not isinstance(tree, dict):
                self._note(event, "<< merges mappings, and this is none")
                continue
            for key, item in tree.items():
                merged.setdefault(key, item)

    def _refuse_tag(self, event: Any, kind: str) -> None:
        if event.tag not in (None, "!", _TAG + kind):
            self._note(event, f"the tag {event.tag} is not accepted", "leave it out")

    def _note(self, event: Any, message: str, hint: str = "") -> None:
        self._fault = self._fault or TextFault(_mark(event), message, hint)

    def _count(self, event: Any, values: int) -> None:
        self._values += values
        if self._values > MOST_VALUES:
            _break(event, f"holds more than {MOST_VALUES:,} values, those that aliases repeat included")


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _break(event: Any, message: str, hint: str = "") -> NoReturn:
    raise UnreadableText(TextFault(_mark(event), message, hint))


def _no_list(event: Any) -> tuple[str, str]:
    if isinstance(event, yaml.ScalarEvent) and not event.value:
        return "is empty", "write [] for no backends"
    return "must be a list of backends or of target groups", ""
