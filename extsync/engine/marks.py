"""Whose marks the objects of a service bear, from one look to the next. Pure.

An elected replica stamps what it writes with its Lease. Leases of one namespace and owner id exclude each other, so
that stamps of one namespace are of replicas that write one after the other, while that of another namespace, or none,
comes from somebody who asks another Lease or none. Such a stamp may be a remainder from the time before; where it takes
the place of one's own, somebody has just written.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from operator import is_not

from extsync.kube.stamp import Stamp
from extsync.kube.writer import ObjectKey
from extsync.objects import WRITTEN_BY_ANNOTATION, KubeObject
from extsync.plan.contention import is_of_extsync

UNMARKED = ""
"""Stands for a process of extsync that asks no Lease."""


class Marks:
    """The marks of the objects of one service: for each the namespace of the Lease, None where it has no stamp."""

    def __init__(self) -> None:
        self._by_object: dict[ObjectKey, str | None] = {}
        self._seen: tuple[KubeObject, ...] = ()

    def wrote(self, obj: KubeObject) -> None:
        """This process has written ``obj``, as the server gave it back: a webhook may have taken the stamp off."""
        self._by_object[type(obj), *obj.key] = _mark(obj)

    def look(self, objects: Iterable[KubeObject], mine: str | None) -> tuple[str, ...]:
        """The marks that have taken the place of ``mine`` since the last look, UNMARKED among them."""
        seen = tuple(objects)
        if len(seen) == len(self._seen) and not any(map(is_not, seen, self._seen)):
            return ()
        self._seen = seen
        before, self._by_object = self._by_object, {(type(obj), *obj.key): _mark(obj) for obj in seen}
        found: dict[str, None] = {}
        for obj, (at, mark) in zip(seen, self._by_object.items(), strict=True):
            if mark == mine or at not in before or before[at] != mine:
                continue
            if mark is not None:
                found[mark] = None
            elif is_of_extsync(obj):  # else somebody has taken the annotation off
                found[UNMARKED] = None
        return tuple(found)

    def forget(self) -> None:
        """What was seen says nothing any more: another replica wrote meanwhile."""
        self._by_object, self._seen = {}, ()


def _mark(obj: KubeObject) -> str | None:
    return _namespace(obj.annotations.get(WRITTEN_BY_ANNOTATION, ""))


@lru_cache(maxsize=4096)
def _namespace(text: str) -> str | None:
    stamp = Stamp.parse(text)
    return None if stamp is None else stamp.namespace
