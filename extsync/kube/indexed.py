"""Objects by their names and by the groups that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic

from extsync.objects import K

Key = tuple[str, str]
"""Namespace and name."""


class Indexed(Generic[K]):
    """At most one object per name; ``groups_of`` says which groups one is found in."""

    def __init__(self, groups_of: Callable[[K], Iterable[Hashable]]) -> None:
        self._groups_of = groups_of
        self._objects: dict[Key, K] = {}
        self._groups: dict[Hashable, dict[Key, K]] = {}

    def get(self, key: Key) -> K | None:
        return self._objects.get(key)

    def names(self) -> tuple[Key, ...]:
        """The names of all objects, in the order in which they came."""
        return tuple(self._objects)

    def all(self) -> tuple[K, ...]:
        """All objects, by namespace and name."""
        return _in_order(self._objects)

    def group(self, group: Hashable) -> tuple[K, ...]:
        """The objects of a group, by namespace and name."""
        return _in_order(self._groups.get(group, {}))

    def put(self, obj: K) -> None:
        """Takes ``obj`` in, in the place of one of its name."""
        key = obj.key
        self.remove(key)
        self._objects[key] = obj
        for group in self._groups_of(obj):
            self._groups.setdefault(group, {})[key] = obj

    def remove(self, key: Key) -> None:
        """Takes out the object of that name, if there is one."""
        old = self._objects.pop(key, None)
        if old is None:
            return
        for group in self._groups_of(old):
            members = self._groups.get(group, {})
            members.pop(key, None)
            if not members:
                self._groups.pop(group, None)


def _in_order(objects: dict[Key, K]) -> tuple[K, ...]:
    return tuple(objects[key] for key in sorted(objects))
