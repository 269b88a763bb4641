"""Buckets: the desired endpoints, rendered, by what one slice can hold: a family, a port set, a group.

They are kept from plan to plan. Endpoints that did not change are the same objects, so that finding the few that did is
a comparison of pointers.
"""

from __future__ import annotations

from typing import NamedTuple

from extsync.model import Endpoint, PortSet
from extsync.objects import SliceEndpoint
from extsync.plan.difference import changed_places
from extsync.plan.render import Rendering, render

_LONGEST_LOG = 1024
"""Beyond so many changes it is no gain to look at each of them."""


class BucketKey(NamedTuple):
    """What all endpoints of a slice have in common; ``family`` is its addressType."""

    family: str
    ports: PortSet
    group: str


def in_order(key: BucketKey) -> tuple[str, str, list[tuple[str, int, str, str]]]:
    """What keys are sorted by."""
    ports = [(port.name, port.port, port.protocol, port.app_protocol or "") for port in key.ports]
    return key.family, key.group, ports


class Bucket:
    """The endpoints of one key by address, and which of them changed lately.

    ``revision`` counts the changes of the bucket.
    """

    __slots__ = ("_forgotten", "_log", "members")

    def __init__(self) -> None:
        self.members: dict[str, SliceEndpoint] = {}
        self._log: list[str] = []
        self._forgotten = 0

    @property
    def revision(self) -> int:
        return self._forgotten + len(self._log)

    def changed_since(self, revision: int) -> list[str] | None:
        """The addresses that changed, came or left since ``revision``; None where that is too long ago."""
        return None if revision < self._forgotten else self._log[revision - self._forgotten :]

    def put(self, address: str, endpoint: SliceEndpoint) -> None:
        self.members[address] = endpoint
        self._note(address)

    def take(self, address: str) -> None:
        del self.members[address]
        self._note(address)

    def _note(self, address: str) -> None:
        if len(self._log) >= _LONGEST_LOG:
            self._forgotten += len(self._log)
            self._log.clear()
        self._log.append(address)


class Buckets:
    """The buckets of one service."""

    def __init__(self) -> None:
        self.by_key: dict[BucketKey, Bucket] = {}
        self._endpoints: tuple[Endpoint, ...] = ()
        self._rendering = Rendering()
        self._distinct = True

    def update(self, endpoints: tuple[Endpoint, ...], rendering: Rendering) -> None:
        """Makes the buckets hold exactly ``endpoints``; of two with one address in one bucket the first."""
        previous = self._endpoints
        if endpoints is previous and rendering == self._rendering:
            return
        in_place = rendering == self._rendering and self._distinct and len(endpoints) == len(previous)
        self._endpoints, self._rendering = endpoints, rendering
        if not (in_place and self._patch(previous, endpoints)):
            self._rebuild()

    def _patch(self, previous: tuple[Endpoint, ...], endpoints: tuple[Endpoint, ...]) -> bool:
        """Takes over the places that differ; False where that cannot be done, or is no gain."""
        places = changed_places(previous, endpoints)
        if len(places) > len(endpoints) // 4:
            return False
        return self._replace([previous[place] for place in places], [endpoints[place] for place in places])

    def _replace(self, old: list[Endpoint], new: list[Endpoint]) -> bool:
        """Takes ``old`` out and puts ``new`` in; False where that would put an address into a bucket twice."""
        for endpoint in old:
            key = _key(endpoint)
            bucket = self.by_key[key]
            bucket.take(endpoint.address)
            if not bucket.members:
                del self.by_key[key]
        for endpoint in new:
            bucket = self.by_key.setdefault(_key(endpoint), Bucket())
            if endpoint.address in bucket.members:
                return False
            bucket.put(endpoint.address, render(endpoint, self._rendering))
        return True

    def _rebuild(self) -> None:
        self.by_key = {}
        # Equal port sets are mostly the same object, and to hash that object's address is cheaper than the ports.
        short_cut: dict[tuple[int, str, bool], Bucket] = {}
        for endpoint in self._endpoints:
            brief = id(endpoint.ports), endpoint.group, ":" in endpoint.address
            bucket = short_cut.get(brief)
            if bucket is None:
                bucket = short_cut[brief] = self.by_key.setdefault(_key(endpoint), Bucket())
            if endpoint.address not in bucket.members:
                bucket.members[endpoint.address] = render(endpoint, self._rendering)
        self._distinct = sum(len(bucket.members) for bucket in self.by_key.values()) == len(self._endpoints)


def _key(endpoint: Endpoint) -> BucketKey:
    return BucketKey(endpoint.family, endpoint.ports, endpoint.group)
