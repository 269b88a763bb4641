"""What this process has written and the watch has not told yet, so that no plan is made from an older state.

Upstream's slice controller remembers the generation of each slice that it wrote for the same purpose
(``k8s.io/endpointslice/util/endpointslice_tracker.go``). Resource versions serve better: Endpoints have no generation.
Those of one kind compare as integers, by the API's documentation since Kubernetes 1.35 and in fact ever since they are
revisions of etcd. Where they are not numbers, nothing but equality is used.
"""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from extsync.kube.indexed import Key
from extsync.objects import KubeObject
from extsync.seams import Clock

PATIENCE = 120.0
"""Seconds after which a write that was not confirmed is no longer believed; a watch is behind by less than a second."""
LIMIT = 10_000
"""Writes that are remembered; beyond them the oldest is given up."""


def is_older(version: str | None, than: str | None) -> bool | None:
    """Whether one resource version comes before another; None where that cannot be told."""
    if version == than:
        return False
    if version and than and version.isascii() and than.isascii() and version.isdigit() and than.isdigit():
        return int(version) < int(than)
    return None


class _Write(NamedTuple):
    """``version`` is what was written or, of a deletion, what was deleted."""

    uid: str | None
    version: str | None
    is_deletion: bool
    made_at: float


class OwnWrites:
    """The unconfirmed writes of one kind, at most one per name."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._writes: dict[Key, _Write] = {}

    def written(self, obj: KubeObject) -> None:
        """A create or update returned ``obj``."""
        self._add(obj, is_deletion=False)

    def deleted(self, obj: KubeObject) -> None:
        """A delete of ``obj`` succeeded."""
        self._add(obj, is_deletion=True)

    def is_stale(self, obj: KubeObject, *, deleted: bool = False) -> bool:
        """Whether the server's word on an object (with ``deleted``, that it is gone) is older than ours.

        Where it is not, our write is confirmed and forgotten.
        """
        write = self._writes.get(obj.key)
        if write is None:
            return False
        if self._overrules(write, obj, deleted=deleted):
            return True
        del self._writes[obj.key]
        return False

    def settle(self, version: str, *, lost_before: float | None = None) -> None:
        """A full state of ``version`` is at hand: forgets the writes that it has to show if they are still so.

        ``lost_before``: the server's data went back, and what was written before this monotonic time went with it.
        """
        for key, write in list(self._writes.items()):
            is_lost = lost_before is not None and write.made_at < lost_before
            if is_lost or (not write.is_deletion and is_older(version, write.version) is False):
                del self._writes[key]

    def settle_absent(self, listed: Container[Key], version: str) -> None:
        """A list of ``version`` has the names ``listed``: forgets the writes to others that it is not older than."""
        for key, write in list(self._writes.items()):
            if key not in listed and is_older(version, write.version) is False:
                del self._writes[key]

    def holds(self, key: Key) -> bool:
        """Whether an object of this name that a list lacks was written by us after that list."""
        write = self._writes.get(key)
        return write is not None and not write.is_deletion

    def lost(self, version: str | None) -> bool:
        """Whether a watch that has reached ``version`` must have told of a write, or should have by now, and did not.

        Such writes are forgotten; the caller lists again. The version of a deletion is not known, only its time.
        """
        now = self._clock.monotonic()
        lost = [
            key
            for key, write in self._writes.items()
            if write.made_at + PATIENCE <= now
            or (not write.is_deletion and version is not None and is_older(version, write.version) is False)
        ]
        for key in lost:
            del self._writes[key]
        return bool(lost)

    def _add(self, obj: KubeObject, *, is_deletion: bool) -> None:
        metadata = obj.metadata
        self._writes.pop(obj.key, None)  # so that the order stays that of time
        self._writes[obj.key] = _Write(metadata.uid, metadata.resource_version, is_deletion, self._clock.monotonic())
        if len(self._writes) > LIMIT:
            del self._writes[next(iter(self._writes))]

    def _overrules(self, write: _Write, obj: KubeObject, *, deleted: bool) -> bool:
        metadata = obj.metadata
        same = metadata.uid == write.uid
        older = is_older(metadata.resource_version, write.version)
        if older:
            return True
        if write.is_deletion:
            # A finalizer keeps a deleted object, which then says so itself.
            return same and not deleted and metadata.deletion_timestamp is None
        return older is None and same and not deleted
