"""Cover: whether one set of objects shows what another does, so that the other may go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from extsync.model import Endpoint
from extsync.objects import EndpointSlice
from extsync.plan.buckets import Buckets
from extsync.plan.published import Place, places, port_set, read_slice


def ours_show(shown: Iterable[Endpoint], ours: Iterable[EndpointSlice], desired: Buckets) -> bool:
    """Whether ``ours`` show all of ``shown`` that is still desired; what ``shown`` never had does not count."""
    have = {place for slice_ in ours for place in _places_of(read_slice(slice_))}
    wanted = {place for place, _ in _desired(desired)}
    return all(place in have or place not in wanted for place in _places_of(shown))


def desires(desired: Buckets, shown: Iterable[Endpoint]) -> bool:
    """Whether all of ``shown`` is desired."""
    wanted = {place for place, _ in _desired(desired)}
    return wanted.issuperset(_places_of(shown))


def mirror_shows(mirrored: Iterable[EndpointSlice], desired: Buckets) -> bool:
    """Whether ``mirrored`` show all that is desired, ready where it is to be ready."""
    have = {
        (place, endpoint.conditions.ready is not False)
        for slice_ in mirrored
        for endpoint in slice_.endpoints or ()
        for address in endpoint.addresses[:1]
        for place in places(address, port_set(slice_.ports))
    }
    return all(pair in have for pair in _desired(desired))


def _desired(buckets: Buckets) -> Iterator[tuple[Place, bool]]:
    for key, bucket in buckets.by_key.items():
        for address, endpoint in bucket.members.items():
            yield from ((place, bool(endpoint.conditions.ready)) for place in places(address, key.ports))


def _places_of(endpoints: Iterable[Endpoint]) -> Iterator[Place]:
    for endpoint in endpoints:
        yield from places(endpoint.address, endpoint.ports)
