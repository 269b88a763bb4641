"""Echoes: what the watch tells of an object that is being written.

The watch is often faster than the answer to a write, and then tells what this process did as if somebody else had done
it. To look at the service again for that would nearly double what a full sync costs. So what is told of an object under
way waits for the answer: of a version that this process made it says nothing new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from extsync.changes import Change
from extsync.kube.writer import ObjectKey, object_key
from extsync.model import ServiceKey
from extsync.objects import KubeObject

_Version: TypeAlias = tuple[str | None, str | None]
"""The uid and the resource version."""


class _Writing:
    """``names`` are being written. ``told`` is what was heard of those that have no answer yet, ``own`` are the
    answers."""

    def __init__(self, names: frozenset[ObjectKey]) -> None:
        self.names = names
        self.told: dict[ObjectKey, list[_Version]] = {}
        self.own: dict[ObjectKey, list[_Version]] = {}

    def answered(self, obj: KubeObject) -> bool:
        """Takes note of an answer; returns whether what was heard of that object before is somebody else's."""
        name = _name(obj)
        own = self.own.setdefault(name, [])
        own.append(_version(obj))
        return any(one not in own for one in self.told.pop(name, ()))

    def hear(self, name: ObjectKey, obj: KubeObject) -> bool:
        """Takes note of a change; returns whether it is known already that somebody else made it."""
        if name in self.own:
            return _version(obj) not in self.own[name]
        self.told.setdefault(name, []).append(_version(obj))
        return False


class Echoes:
    """Which services are being written, and what was told of them meanwhile. ``on_change(key)`` is told what is new."""

    def __init__(self, on_change: Callable[[ServiceKey], None]) -> None:
        self._on_change = on_change
        self._writing: dict[ServiceKey, _Writing] = {}

    @contextmanager
    def writing(self, key: ServiceKey, changes: Iterable[Change]) -> Iterator[None]:
        """Within it ``changes`` are made for a service; nobody else writes for that one meanwhile."""
        names = frozenset(map(object_key, changes))
        if not names:
            yield
            return
        writing = self._writing[key] = _Writing(names)
        try:
            yield
        finally:
            del self._writing[key]
            if writing.told:  # of what has had no answer nobody knows who made it
                self._on_change(key)

    def written(self, keys: Iterable[ServiceKey], obj: KubeObject) -> None:
        """The store has answered that ``obj``, which concerns ``keys``, is so."""
        for key in keys:
            if (writing := self._writing.get(key)) and writing.answered(obj):
                self._on_change(key)

    def changed(self, keys: Iterable[ServiceKey], obj: KubeObject | None, *, name: ObjectKey) -> None:
        """An object that concerns ``keys`` is ``obj`` now, None: gone.

        What somebody else did is told at once: a round that takes long goes on with an old plan for as long as nobody
        says so.
        """
        for key in keys:
            writing = self._writing.get(key)
            if obj is None or writing is None or name not in writing.names or writing.hear(name, obj):
                self._on_change(key)


def _name(obj: KubeObject) -> ObjectKey:
    return type(obj), *obj.key


def _version(obj: KubeObject) -> _Version:
    return obj.metadata.uid, obj.metadata.resource_version
