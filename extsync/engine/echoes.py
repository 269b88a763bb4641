"""Echoes: what the watch tells of an object that is being written.

The watch is often faster than the answer to a write, and then tells what this process did as if somebody else had done
it. To look at the service again for that would nearly double what a full sync costs. So what is told of an object under
way waits for the answer: of a version that this process made it says nothing new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from extsync.changes import Change
from extsync.kube.writer import ObjectKey, object_key
from extsync.model import ServiceKey
from extsync.objects import KubeObject


class _Writing:
    """``names`` are being written, ``told`` is what was heard of them and ``own`` what was made: uids and versions."""

    def __init__(self, names: frozenset[ObjectKey]) -> None:
        self.names = names
        self.told: list[tuple[str | None, str | None]] = []
        self.own: list[tuple[str | None, str | None]] = []


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
            if any(one not in writing.own for one in writing.told):
                self._on_change(key)

    def written(self, keys: Iterable[ServiceKey], obj: KubeObject) -> None:
        """The store has answered that ``obj``, which concerns ``keys``, is so."""
        for key in keys:
            if writing := self._writing.get(key):
                writing.own.append(_version(obj))

    def changed(self, keys: Iterable[ServiceKey], obj: KubeObject | None, *, name: ObjectKey) -> None:
        """An object that concerns ``keys`` is ``obj`` now, None: gone."""
        for key in keys:
            writing = self._writing.get(key)
            if obj is None or writing is None or name not in writing.names:
                self._on_change(key)
            else:
                writing.told.append(_version(obj))


def _version(obj: KubeObject) -> tuple[str | None, str | None]:
    return obj.metadata.uid, obj.metadata.resource_version
