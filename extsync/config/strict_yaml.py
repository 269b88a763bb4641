"""YAML read event by event: strict, bounded, and without a tree of nodes.

A tree with a mark at every node needs half a gigabyte for 100,000 backends; events need nothing, and the few marks that
messages ask for are found by reading the text once more (``locate_yaml``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

import yaml

from extsync.config.scalars import Surprise, plain_value
from extsync.config.text import DEEPEST, Document, Mark, RawPath, Span, TextFault, UnreadableText

LARGEST_EXPANSION: Final = 100_000
"""Values that the aliases of a document may stand for, all together."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_QUOTE: Final = "put it in quotes if it is text"
_TAG: Final = "tag:yaml.org,2002:"
_TAGGED: Final = {_TAG + "int": int, _TAG + "float": float, _TAG + "bool": bool, _TAG + "null": type(None)}
_NO_KEY: Final = object()
_MERGE_KEY: Final = object()
_DROPPED: Final = object()
"""Stands for a key that is there already: its value is left out."""


def read_yaml(text: bytes | str) -> Iterator[Document]:
    """Yields each document that is not empty; raises UnreadableText where the text is no YAML (any more)."""
    reader = _Reader()
    for event in _events(text):
        document = reader.take(event)
        if document is not None:
            yield document


def locate_yaml(text: bytes | str, index: int, wanted: Collection[RawPath]) -> dict[RawPath, Span]:
    """Where the values at ``wanted`` stand in document ``index``; those inside an alias or a merge are left out."""
    finder = _Finder(index, frozenset(wanted))
    try:
        for event in _events(text):
            if finder.take(event):
                break
    except UnreadableText:
        pass  # what was found before it stands
    return finder.found


def _events(text: bytes | str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ": ".join(part for part in (error.context, error.problem) if part)
        raise UnreadableText(TextFault(_mark(mark), f"this is not YAML: {message}")) from None
    except yaml.reader.ReaderError as error:
        raise UnreadableText(TextFault(_mark_at(text, error.position), f"this is not text: {error.reason}")) from None
    except UnicodeDecodeError as error:
        raise UnreadableText(TextFault(_mark_at(text, error.start), "this is not UTF-8 text")) from None


def _mark(mark: Any) -> Mark:
    return Mark() if mark is None else Mark(mark.line + 1, mark.column + 1)


def _mark_at(text: bytes | str, position: int) -> Mark:
    before = text[:position] if isinstance(text, str) else text[:position].decode("utf-8", "replace")
    return Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))


class _Frame:
    """A list or mapping that is being read."""

    __slots__ = ("anchor", "container", "key", "mark", "merged", "size")

    def __init__(self, container: Any, event: yaml.CollectionStartEvent) -> None:
        self.container = container
        self.anchor: str | None = event.anchor
        self.mark = event.start_mark
        self.key: Any = _NO_KEY
        self.merged: list[dict[str, Any]] = []
        self.size = 1

    def expects_key(self) -> bool:
        return self.key is _NO_KEY and type(self.container) is dict


class _Reader:
    """Builds plain data out of events, one document after the other."""

    def __init__(self) -> None:
        self._index = -1
        self._begin()

    def _begin(self) -> None:
        self._index += 1
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._keys: dict[str, str] = {}
        self._expanded = 0
        self._faults: list[TextFault] = []
        self._root: Any = None
        self._mark = Mark()

    def take(self, event: yaml.Event) -> Document | None:
        """Takes the next event; returns a document when it is complete and has something in it."""
        if type(event) is yaml.ScalarEvent:
            self._scalar(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._leave()
        elif type(event) is yaml.MappingStartEvent:
            self._enter({}, event, "map")
        elif type(event) is yaml.SequenceStartEvent:
            self._enter([], event, "seq")
        elif type(event) is yaml.AliasEvent:
            self._alias(event)
        elif type(event) is yaml.DocumentEndEvent:
            return self._end()
        return None

    def _end(self) -> Document | None:
        empty = self._root is None and not self._faults
        document = None if empty else Document(self._index, self._root, self._mark, tuple(self._faults))
        self._begin()
        return document

    def _enter(self, container: Any, event: yaml.CollectionStartEvent, kind: str) -> None:
        if self._stack and self._stack[-1].expects_key():
            raise UnreadableText(TextFault(_mark(event.start_mark), "a key must be text, not a list or a mapping"))
        if len(self._stack) >= DEEPEST:
            raise UnreadableText(TextFault(_mark(event.start_mark), f"this is nested more than {DEEPEST} levels deep"))
        if event.tag not in (None, "!", _TAG + kind):
            self._fault(event, "this tag is not accepted", "leave it out")
        self._stack.append(_Frame(container, event))

    def _leave(self) -> None:
        frame = self._stack.pop()
        for mapping in frame.merged:
            for key, value in mapping.items():
                frame.container.setdefault(key, value)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (frame.container, frame.size)
        self._add(frame.container, frame.size, frame.mark)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        if self._stack and self._stack[-1].expects_key():
            self._stack[-1].key = self._key(event, self._stack[-1])
            return
        value = self._value(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)
        self._add(value, 1, event.start_mark)

    def _alias(self, event: yaml.AliasEvent) -> None:
        if self._stack and self._stack[-1].expects_key():
            raise UnreadableText(TextFault(_mark(event.start_mark), "a key must be text, not an alias"))
        value, size = self._anchors.get(event.anchor or "", (None, 1))
        if event.anchor not in self._anchors:
            # The name is not repeated, and nor are those of tags: it may be a password that somebody forgot to quote.
            message = "this alias names nothing that is complete before it"
            self._fault(event, message, "text that begins with * needs quotes")
        self._expanded += size
        if self._expanded > LARGEST_EXPANSION:
            message = f"the aliases stand for more than {LARGEST_EXPANSION} values"
            raise UnreadableText(TextFault(_mark(event.start_mark), message, "write the values out"))
        self._add(value, size, event.start_mark)

    def _add(self, value: Any, size: int, mark: Any) -> None:
        """Puts a complete value where it belongs."""
        if not self._stack:
            self._root, self._mark = value, _mark(mark)
            return
        frame = self._stack[-1]
        frame.size += size
        if type(frame.container) is list:
            frame.container.append(value)
            return
        if frame.key is _MERGE_KEY:
            self._merge(frame, value, mark)
        elif frame.key is not _DROPPED:
            frame.container[frame.key] = value
        frame.key = _NO_KEY

    def _merge(self, frame: _Frame, value: Any, mark: Any) -> None:
        mappings = value if isinstance(value, list) else [value]
        if all(isinstance(mapping, dict) for mapping in mappings):
            frame.merged.extend(mappings)
        else:
            self._faults.append(TextFault(_mark(mark), "<< merges mappings, and this is none"))

    def _key(self, event: yaml.ScalarEvent, frame: _Frame) -> Any:
        text: str = event.value
        if event.implicit[0]:
            if text == "<<":
                return _MERGE_KEY
            try:
                plain = plain_value(text)
            except Surprise as surprise:
                self._fault(event, f"a key must be text: {surprise}", "put it in quotes")
            else:
                if not isinstance(plain, str):
                    self._fault(event, f"a key must be text, and {text or 'this'} is not", "put it in quotes")
        if text in frame.container:
            self._fault(event, f"the key {text!r} is given twice", "leave one of them out")
            return _DROPPED
        # The same few keys come again and again: one copy of each will do.
        return self._keys.setdefault(text, text)

    def _value(self, event: yaml.ScalarEvent) -> Any:
        tag = event.tag
        if tag is None and not event.implicit[0]:
            return event.value
        if tag in ("!", _TAG + "str"):
            return event.value
        try:
            value = plain_value(event.value)
        except Surprise as surprise:
            self._fault(event, str(surprise), _QUOTE)
            return event.value
        if tag is not None and _TAGGED.get(tag) is not type(value):
            self._fault(event, "this tag is not accepted here", "leave it out; text that begins with ! needs quotes")
        return value

    def _fault(self, event: yaml.NodeEvent, message: str, hint: str = "") -> None:
        self._faults.append(TextFault(_mark(event.start_mark), message, hint))


class _Finder:
    """Walks over events and notes where the wanted values stand."""

    def __init__(self, index: int, wanted: frozenset[RawPath]) -> None:
        self.found: dict[RawPath, Span] = {}
        self._left = index
        self._wanted = wanted
        # One entry a level: the key or index that is next, and where the key stands (None: a key is expected).
        self._steps: list[int | str] = []
        self._keys: list[Any] = []

    def take(self, event: yaml.Event) -> bool:
        """Takes the next event; returns whether the document is over."""
        if type(event) is yaml.DocumentEndEvent:
            self._left -= 1
            return self._left < 0
        if self._left > 0 or not isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            return False
        if isinstance(event, yaml.CollectionEndEvent):
            self._steps.pop()
            self._keys.pop()
            self._next()
        elif self._keys and self._keys[-1] is _NO_KEY:
            self._steps[-1] = event.value if type(event) is yaml.ScalarEvent else ""
            self._keys[-1] = event.start_mark
        else:
            self._note(event)
            if isinstance(event, yaml.CollectionStartEvent):
                mapping = type(event) is yaml.MappingStartEvent
                self._steps.append("" if mapping else 0)
                self._keys.append(_NO_KEY if mapping else None)
            else:
                self._next()
        return False

    def _note(self, event: yaml.NodeEvent) -> None:
        path = tuple(self._steps)
        if path in self._wanted and path not in self.found:
            value = _mark(event.start_mark)
            key = self._keys[-1] if self._keys else None
            self.found[path] = Span(value if key is None else _mark(key), value)

    def _next(self) -> None:
        """A value is complete: the list's next entry or the mapping's next key follows."""
        if not self._steps:
            return
        step = self._steps[-1]
        if isinstance(step, int):
            self._steps[-1] = step + 1
        else:
            self._keys[-1] = _NO_KEY
