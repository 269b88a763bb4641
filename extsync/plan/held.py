"""The slices of ours as they are, made ready to be compared with what is desired, and kept while a version lasts."""

from __future__ import annotations

from collections.abc import Sequence

from extsync.objects import GROUP_LABEL, EndpointSlice
from extsync.plan.buckets import Bucket, BucketKey
from extsync.plan.metadata import Frame
from extsync.plan.published import port_set


class Held:
    """One version of one slice; ``addresses`` is aligned with ``endpoints``.

    It remembers with what it was found to agree, so that the next look at it is a look at what changed since.
    """

    __slots__ = ("_bucket", "_frame", "_index", "_revision", "addresses", "endpoints", "key", "slice")

    def __init__(self, slice_: EndpointSlice, key: BucketKey) -> None:
        self.slice = slice_
        self.key = key
        self.endpoints = list(slice_.endpoints or ())
        self.addresses = [endpoint.addresses[0] if endpoint.addresses else "" for endpoint in self.endpoints]
        self._index = frozenset(self.addresses)
        self._bucket: Bucket | None = None
        self._revision = 0
        self._frame: Frame | None = None

    def is_of(self, slice_: EndpointSlice) -> bool:
        """Whether it stands for that very version of the slice."""
        mine, other = self.slice.metadata, slice_.metadata
        same_version = mine.resource_version is not None and mine.resource_version == other.resource_version
        return self.slice is slice_ or (same_version and mine.uid == other.uid)

    def shares(self, before: Held) -> None:
        """Takes over the addresses of an earlier version where they are the same, which makes that easy to see."""
        if before.addresses == self.addresses:
            self.addresses, self._index = before.addresses, before._index

    def agrees_with(self, bucket: Bucket) -> bool:
        """Whether each of its endpoints is in ``bucket``, and just as the slice has it."""
        changed = bucket.changed_since(self._revision) if bucket is self._bucket else None
        if changed is None or not self._index.isdisjoint(changed):
            if [*map(bucket.members.get, self.addresses)] != self.endpoints:
                return False
            # Equal objects become the same ones, which is what makes the next comparison quick.
            self.endpoints = [*map(bucket.members.__getitem__, self.addresses)]
        self._bucket, self._revision = bucket, bucket.revision
        return True

    def metadata_changes(self, frame: Frame) -> list[str]:
        """What of the metadata is not as it should be, in words."""
        if frame is self._frame:
            return []
        changes = []
        if self.slice.labels != frame.slice_labels(self.key.group):
            changes.append("labels")
        if not frame.annotated(self.slice.annotations):
            changes.append("annotations")
        references = self.slice.metadata.owner_references
        if frame.references(references) != references:
            changes.append("owner reference")
        self._frame = None if changes else frame
        return changes


class SliceMemo:
    """The slices of one service as they were read at the last plan."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._keys: dict[BucketKey, BucketKey] = {}
        self._apart: dict[BucketKey, list[list[str]]] = {}

    def hold(self, slices: Sequence[EndpointSlice]) -> dict[BucketKey, list[Held]]:
        """``slices`` by what they can hold, in the order of their names; each version is read once."""
        before, keys = self._held, self._keys
        self._held, self._keys = {}, {}
        for slice_ in slices:
            name = slice_.metadata.name
            held = before.get(name)
            if held is None or not held.is_of(slice_):
                key = BucketKey(slice_.address_type, port_set(slice_.ports), slice_.labels.get(GROUP_LABEL, ""))
                fresh = Held(slice_, keys.setdefault(key, key))
                if held is not None:
                    fresh.shares(held)
                held = fresh
            self._held[name] = held
        return self._by_key()

    def _by_key(self) -> dict[BucketKey, list[Held]]:
        # Equal keys are the same object here, whose address is cheaper to hash than its ports.
        groups: dict[int, list[Held]] = {}
        for _, held in sorted(self._held.items(), key=lambda item: (len(item[0]), item[0])):
            groups.setdefault(id(held.key), []).append(held)
        by_key = {group[0].key: group for group in groups.values()}
        self._keys = {key: key for key in by_key}
        self._apart = {key: lists for key, lists in self._apart.items() if key in by_key}
        return by_key

    def are_apart(self, group: list[Held]) -> bool:
        """Whether no address is twice in these slices, which have one key."""
        lists = [held.addresses for held in group]
        known = self._apart.get(group[0].key, [])
        if len(lists) == len(known) and all(one is other for one, other in zip(lists, known, strict=True)):
            return True
        apart = len(set().union(*lists)) == sum(map(len, lists))
        if apart:
            self._apart[group[0].key] = lists
        return apart
