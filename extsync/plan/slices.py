"""Pack: the desired endpoints into EndpointSlices, with the fewest writes.

The strategy is that of Kubernetes's own reconciler (k8s.io/endpointslice): fewest writes win over fullest slices, and
nothing is ever rebalanced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from extsync.changes import Change, Create, Delete, Update
from extsync.objects import EndpointSlice, SliceEndpoint, SlicePort
from extsync.plan.buckets import Bucket, BucketKey, Buckets, in_order
from extsync.plan.held import Held, SliceMemo
from extsync.plan.metadata import Frame, families_of, free_names, with_trigger_time


class Draft:
    """A slice as it is to be. ``held`` is the one that it now is, None for one to be made.

    ``added``, ``removed`` and ``changed`` count endpoints; ``moved`` says that one of those removed is desired
    elsewhere.
    """

    __slots__ = ("added", "changed", "endpoints", "held", "key", "moved", "other", "removed")

    def __init__(self, key: BucketKey, held: Held | None, endpoints: list[SliceEndpoint]) -> None:
        self.key = key
        self.held = held
        self.endpoints = endpoints
        self.added = self.removed = self.changed = 0
        self.moved = False
        self.other: list[str] = []

    @property
    def touched(self) -> bool:
        """Whether it is to be written."""
        return self.held is None or bool(self.added or self.removed or self.changed or self.other)

    @property
    def reason(self) -> str:
        counts = ((self.added, "added"), (self.removed, "removed"), (self.changed, "changed"))
        parts = [f"{number} endpoint{'s' * (number > 1)} {word}" for number, word in counts if number]
        return ", ".join([*parts, *self.other]) or "nothing to publish yet"


# 1. Each slice keeps the desired endpoints that it has, in their places. One that has none left is to be deleted, one
#    with changed endpoints or metadata is to be updated, the others are not touched.
# 2. Endpoints left over go into the slices that are updated anyway, the fullest first.
# 3. While there are more: if they are fewer than a full slice, into the untouched slice that they come closest to
#    filling and that has room for all of them; else into a new slice.
# 4. A family for which nothing is desired keeps one slice, with neither ports nor endpoints. While sources have yet to
#    report none is made for that: it would be written again a moment later.
# 5. A create and a delete of one family become an update that keeps the name.
# 6. Creates go first, then updates, those that add before those that take away, then deletes.
# Unlike upstream, a slice over its limit is split, and every update carries uid and resourceVersion.
def pack(
    buckets: Buckets,
    slices: Sequence[EndpointSlice],
    *,
    frame: Frame,
    taken: frozenset[str],
    triggered: str | None = None,
    memo: SliceMemo | None = None,
    settled: bool = True,
) -> list[Change]:
    """The changes that make ``slices``, which are all ours, publish what ``buckets`` hold.

    ``taken`` are all names of slices known, of whomever; ``triggered`` is the trigger time for what is written, which
    by itself causes no write. ``settled`` as in ``plan.plan``. With the same ``memo`` in the next call its cost follows
    what changed.
    """
    memo = SliceMemo() if memo is None else memo
    by_key = memo.hold(slices)
    drafts: list[Draft] = []
    gone: list[Draft] = []
    keys = sorted({*buckets.by_key, *by_key}, key=in_order)
    desired = _Desired(buckets)
    together = _Together([held for key in keys for held in by_key.get(key, ())])
    for key in keys:
        bucket = buckets.by_key.get(key) or Bucket()
        kept, left_empty = _keep_in_place(bucket, by_key.get(key, []), frame, desired, memo)
        _place_the_rest(key, bucket, kept, frame.policy.max_endpoints_per_slice, together)
        drafts += kept
        gone += left_empty
    _keep_placeholders(drafts, gone, frame, may_create=settled)
    _reuse(drafts, gone)
    return _changes(drafts, gone, frame, taken, triggered)


class _Desired:
    """Whether an address is desired in any bucket; made only where something has to be removed."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._addresses: set[str] | None = None

    def __contains__(self, address: str) -> bool:
        if self._addresses is None:
            self._addresses = set().union(*(bucket.members for bucket in self._buckets.by_key.values()))
        return address in self._addresses


class _Together:
    """The order in which endpoints are placed: those together that are in one slice now, then by address.

    Where the ports or the group of many endpoints change, a slice that is used again then keeps its addresses, so that
    one write changes what they are.
    """

    def __init__(self, existing: list[Held]) -> None:
        self._existing = existing
        self._order: dict[str, int] | None = None

    def sorted(self, addresses: Iterable[str]) -> list[str]:
        if self._order is None:
            self._order = {}
            for held in self._existing:
                for address in held.addresses:
                    self._order.setdefault(address, len(self._order))
        order, last = self._order, len(self._order)
        return sorted(sorted(addresses), key=lambda address: order.get(address, last))


def _keep_in_place(
    bucket: Bucket, existing: list[Held], frame: Frame, desired: _Desired, memo: SliceMemo
) -> tuple[list[Draft], list[Draft]]:
    """Step 1: the slices that stay, and those left empty."""
    limit = frame.policy.max_endpoints_per_slice
    apart = not existing or memo.are_apart(existing)
    placed: set[str] = set()
    kept: list[Draft] = []
    empty: list[Draft] = []
    for held in existing:
        if apart and len(held.endpoints) <= limit and held.agrees_with(bucket):
            draft = Draft(held.key, held, held.endpoints)
        else:
            draft = _keep(held, bucket, placed, limit, desired)
        if draft.endpoints:
            draft.other = held.metadata_changes(frame)
            kept.append(draft)
        else:
            empty.append(draft)
    return kept, empty


def _keep(held: Held, bucket: Bucket, placed: set[str], limit: int, desired: _Desired) -> Draft:
    """The slice with those of its endpoints that stay: desired, not in a slice before it, and within the limit."""
    draft = Draft(held.key, held, [])
    for address, old in zip(held.addresses, held.endpoints, strict=True):
        new = bucket.members.get(address)
        if new is None or address in placed or len(draft.endpoints) == limit:
            draft.removed += 1
            draft.moved = draft.moved or address in desired
        else:
            placed.add(address)
            draft.endpoints.append(new)
            draft.changed += new != old
    return draft


def _place_the_rest(key: BucketKey, bucket: Bucket, kept: list[Draft], limit: int, together: _Together) -> None:
    """Steps 2 and 3: new drafts are added to ``kept``."""
    number = len(bucket.members) - sum([len(draft.endpoints) for draft in kept])
    if not number:
        return
    placed = {endpoint.addresses[0] for draft in kept for endpoint in draft.endpoints}
    left = together.sorted(address for address in bucket.members if address not in placed)
    rest = map(bucket.members.__getitem__, left)
    # Step 2.
    for draft in sorted((draft for draft in kept if draft.touched), key=lambda draft: -len(draft.endpoints)):
        number -= _fill(draft, rest, limit)
    # Step 3.
    while number > 0:
        draft = (_closest_to_full(kept, number, limit) if number < limit else None) or Draft(key, None, [])
        if draft.held is None:
            kept.append(draft)
        number -= _fill(draft, rest, limit)


def _fill(draft: Draft, rest: Iterator[SliceEndpoint], limit: int) -> int:
    """Adds as many endpoints as there is room for, and returns their number."""
    before = len(draft.endpoints)
    draft.endpoints = [*draft.endpoints, *islice(rest, limit - before)]
    added = len(draft.endpoints) - before
    draft.added += added
    return added


def _closest_to_full(drafts: list[Draft], number: int, limit: int) -> Draft | None:
    """The untouched slice with the least room that has room for ``number`` endpoints."""
    fitting = [draft for draft in drafts if not draft.touched and len(draft.endpoints) + number <= limit]
    return max(fitting, key=lambda draft: len(draft.endpoints), default=None)


def _keep_placeholders(drafts: list[Draft], gone: list[Draft], frame: Frame, *, may_create: bool) -> None:
    """Step 4."""
    served = {draft.key.family for draft in drafts}
    emptied = {draft.key.family for draft in gone}  # of these one is used again, which creates nothing
    for family in families_of(frame.service):
        if family in served:
            continue
        key = BucketKey(family, (), "")
        place = next((i for i, draft in enumerate(gone) if draft.key == key), None)
        if place is None:
            if may_create or family in emptied:
                drafts.append(Draft(key, None, []))
            continue
        draft = gone.pop(place)
        assert draft.held is not None
        draft.other = draft.held.metadata_changes(frame)
        drafts.append(draft)


def _reuse(drafts: list[Draft], gone: list[Draft]) -> None:
    """Step 5."""
    for draft in drafts:
        if draft.held is not None:
            continue
        place = next((i for i, other in enumerate(gone) if other.key.family == draft.key.family), None)
        if place is not None:
            old = gone.pop(place)
            draft.held, draft.removed, draft.moved = old.held, old.removed, old.moved
            draft.other += ["ports or group"] if old.key != draft.key else []


def _changes(
    drafts: list[Draft], gone: list[Draft], frame: Frame, taken: frozenset[str], triggered: str | None
) -> list[Change]:
    """Step 6."""
    names = free_names(frame.service, frame.policy.owner, taken)
    creates = [_create(draft, next(names), frame, triggered) for draft in drafts if draft.held is None]
    if frame.service.metadata.deletion_timestamp is not None:
        # The garbage collector takes the slices of this Service away while these would come.
        creates = []
    updates = [draft for draft in drafts if draft.held is not None and draft.touched]
    updates.sort(key=lambda draft: (draft.moved, draft.removed > 0))
    return [
        *creates,
        *(_update(draft, frame, triggered) for draft in updates),
        *(Delete.of(draft.held.slice, _why_gone(draft)) for draft in gone if draft.held is not None),
    ]


def _create(draft: Draft, name: str, frame: Frame, triggered: str | None) -> Create:
    annotations = with_trigger_time(frame.annotations({}), triggered)
    slice_ = EndpointSlice(
        metadata=frame.new(name, frame.slice_labels(draft.key.group), annotations),
        address_type=draft.key.family,
        endpoints=tuple(draft.endpoints),
        ports=_slice_ports(draft.key),
    )
    return Create(slice_, draft.reason)


def _update(draft: Draft, frame: Frame, triggered: str | None) -> Update:
    assert draft.held is not None
    old = draft.held.slice
    annotations = with_trigger_time(frame.annotations(old.annotations), triggered)
    slice_ = msgspec.structs.replace(
        old,
        metadata=frame.renewed(old.metadata, frame.slice_labels(draft.key.group), annotations),
        endpoints=tuple(draft.endpoints),
        ports=_slice_ports(draft.key),
    )
    return Update(slice_, draft.reason, adds=draft.added > 0, takes_away=draft.moved)


def _why_gone(draft: Draft) -> str:
    return "none of its endpoints is desired" if draft.removed else "it is empty"


def _slice_ports(key: BucketKey) -> tuple[SlicePort, ...]:
    return tuple(
        SlicePort(name=port.name, protocol=port.protocol, port=port.port, app_protocol=port.app_protocol)
        for port in key.ports
    )
