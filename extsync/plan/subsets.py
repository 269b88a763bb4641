"""Subsets: the desired endpoints as the v1 Endpoints object has them.

They are made of what the slices show, endpoint by endpoint, so that both have the same ready and not-ready sets
(invariant 9). A group becomes a subset of its own; subsets have no labels, so that nothing in the object names it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from math import ceil
from operator import is_

import msgspec

from extsync.model import PortSet
from extsync.objects import EndpointAddress, EndpointPort, EndpointSubset, SliceEndpoint
from extsync.plan.buckets import Bucket, BucketKey, Buckets, in_order

CAPACITY = 1000
"""The addresses that Kubernetes itself puts into an Endpoints object at most, and that it mirrors of one port set."""


class Subsets(msgspec.Struct, frozen=True):
    """The subsets of an Endpoints object; ``truncated`` says that endpoints were left out."""

    subsets: tuple[EndpointSubset, ...]
    truncated: bool = False


class SubsetMemo:
    """The subsets of one service as they were made at the last plan."""

    def __init__(self) -> None:
        self.parts: dict[tuple[PortSet, str], _Part] = {}


class _Rendered(dict[str, EndpointAddress]):
    """Addresses as the object shows them, each made when it is first asked for."""

    def __init__(self, buckets: tuple[Bucket, ...]) -> None:
        super().__init__()
        self._buckets = buckets

    def __missing__(self, address: str) -> EndpointAddress:
        endpoint = next(bucket.members[address] for bucket in self._buckets if address in bucket.members)
        made = self[address] = EndpointAddress(
            ip=address,
            hostname=endpoint.hostname,
            node_name=endpoint.node_name,
            target_ref=endpoint.target_ref,
        )
        return made

    def all_of(self, addresses: list[str]) -> tuple[EndpointAddress, ...]:
        return tuple(map(self.__getitem__, addresses))


class _Part:
    """One subset to be: the endpoints of one port set and group, of both families.

    ``ready`` and ``not_ready`` are their addresses, sorted.
    """

    def __init__(self, key: BucketKey) -> None:
        self.key = key
        self.ready: list[str] = []
        self.not_ready: list[str] = []
        self._buckets: tuple[Bucket, ...] = ()
        self._revisions: tuple[int, ...] = ()
        self._rendered = _Rendered(())
        self._ports = tuple(
            EndpointPort(name=port.name or None, port=port.port, protocol=port.protocol, app_protocol=port.app_protocol)
            for port in key.ports
        )

    def __len__(self) -> int:
        return len(self.ready) + len(self.not_ready)

    def refresh(self, buckets: tuple[Bucket, ...]) -> None:
        """Takes over what changed in the buckets since the last time."""
        logs: list[list[str] | None] = [None]
        if len(buckets) == len(self._buckets) and all(map(is_, buckets, self._buckets)):
            logs = [bucket.changed_since(old) for bucket, old in zip(buckets, self._revisions, strict=True)]
        self._buckets, self._revisions = buckets, tuple([bucket.revision for bucket in buckets])
        if None in logs:
            self._rebuild()
            return
        for bucket, log in zip(buckets, logs, strict=True):
            for address in log or ():
                self._take_over(address, bucket.members.get(address))

    def _rebuild(self) -> None:
        members = {address: endpoint for bucket in self._buckets for address, endpoint in bucket.members.items()}
        order = sorted(members)
        self.ready = [address for address in order if members[address].conditions.ready]
        self.not_ready = [address for address in order if not members[address].conditions.ready]
        self._rendered = _Rendered(self._buckets)

    def _take_over(self, address: str, endpoint: SliceEndpoint | None) -> None:
        self._rendered.pop(address, None)
        for addresses in (self.ready, self.not_ready):
            place = bisect_left(addresses, address)
            if addresses[place : place + 1] == [address]:
                del addresses[place]
        if endpoint is not None:
            insort(self.ready if endpoint.conditions.ready else self.not_ready, address)

    def subset(self, most_ready: int, most_not_ready: int) -> EndpointSubset:
        """The subset with at most so many addresses of each kind."""
        return EndpointSubset(
            addresses=self._rendered.all_of(self.ready[:most_ready]) or None,
            not_ready_addresses=self._rendered.all_of(self.not_ready[:most_not_ready]) or None,
            ports=self._ports or None,
        )


def make_subsets(buckets: Buckets, *, capacity: int | None = CAPACITY, memo: SubsetMemo | None = None) -> Subsets:
    """The subsets that publish ``buckets``, cut to ``capacity`` addresses, ready ones first; None: all of them.

    With the same ``memo`` in the next call its cost follows what changed.
    """
    memo = SubsetMemo() if memo is None else memo
    by_key: dict[tuple[PortSet, str], list[BucketKey]] = {}
    for key in sorted(buckets.by_key, key=in_order):
        by_key.setdefault((key.ports, key.group), []).append(key)
    memo.parts = {brief: memo.parts.get(brief, _Part(keys[0])) for brief, keys in by_key.items()}
    for brief, keys in by_key.items():
        memo.parts[brief].refresh(tuple(buckets.by_key[key] for key in keys))
    return _cut(list(memo.parts.values()), capacity)


def largest_port_set(buckets: Buckets) -> int:
    """The number of endpoints of the port set that has the most, over all groups and families."""
    sizes: Counter[PortSet] = Counter()
    for key, bucket in buckets.by_key.items():
        sizes[key.ports] += len(bucket.members)
    return max(sizes.values(), default=0)


def _cut(parts: list[_Part], capacity: int | None) -> Subsets:
    """As Kubernetes's own controller cuts: ready addresses first, and each subset gets its share of the room."""
    ready = [len(part.ready) for part in parts]
    not_ready = [len(part.not_ready) for part in parts]
    total = sum(ready) + sum(not_ready)
    room = total if capacity is None else capacity
    most_ready = _shares(ready, room)
    most_not_ready = _shares(not_ready, room - sum(most_ready))
    subsets = (part.subset(r, n) for part, r, n in zip(parts, most_ready, most_not_ready, strict=True) if r or n)
    return Subsets(tuple(subsets), truncated=total > room)


def _shares(wanted: list[int], room: int) -> list[int]:
    """``room`` shared out in proportion, rounded up, so that the last ones may get less; all where there is room."""
    total = sum(wanted)
    if total <= room:
        return wanted
    shares = []
    left = room
    for number in wanted:
        shares.append(min(left, ceil(number * room / total)))
        left -= shares[-1]
    return shares
