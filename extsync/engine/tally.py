"""How many endpoints of a service are how: as it was decided, and as the objects in the cluster show it."""

from __future__ import annotations

from collections.abc import Iterable
from operator import is_not

import msgspec

from extsync.model import Endpoint, State
from extsync.objects import Endpoints, EndpointSlice
from extsync.plan.published import state_of


class Tally(msgspec.Struct, frozen=True):
    """Counts of endpoints."""

    ready: int = 0
    not_ready: int = 0
    draining: int = 0


class Places(msgspec.Struct, frozen=True):
    """Counts of addresses times ports, which is what kube-state-metrics counted of Endpoints."""

    ready: int = 0
    other: int = 0


def tally(endpoints: Iterable[Endpoint]) -> Tally:
    """Counts ``endpoints``."""
    numbers = dict.fromkeys(State, 0)
    for endpoint in endpoints:
        numbers[endpoint.state] += 1
    return Tally(numbers[State.READY], numbers[State.NOT_READY], numbers[State.DRAINING])


class PublishedTally:
    """Counts what objects show, anew only where they are others than the last time: objects never change."""

    def __init__(self) -> None:
        self._objects: tuple[EndpointSlice | Endpoints, ...] = ()
        self._counted = Tally(), Places()

    def count(self, objects: tuple[EndpointSlice | Endpoints, ...]) -> tuple[Tally, Places]:
        """Of what slices and Endpoints both show the Endpoints count for the places, the slices for the rest."""
        if len(objects) != len(self._objects) or any(map(is_not, objects, self._objects)):
            self._objects = objects
            slices = [obj for obj in objects if isinstance(obj, EndpointSlice)]
            endpoints = [obj for obj in objects if isinstance(obj, Endpoints)]
            self._counted = (
                _of_slices(slices) if slices else _of_endpoints(endpoints),
                _places_of_endpoints(endpoints) if endpoints else _places_of_slices(slices),
            )
        return self._counted


def _of_slices(slices: Iterable[EndpointSlice]) -> Tally:
    numbers = dict.fromkeys(State, 0)
    for slice_ in slices:
        for endpoint in slice_.endpoints or ():
            numbers[state_of(endpoint)] += 1
    return Tally(numbers[State.READY], numbers[State.NOT_READY], numbers[State.DRAINING])


def _of_endpoints(endpoints: Iterable[Endpoints]) -> Tally:
    subsets = [subset for obj in endpoints for subset in obj.subsets or ()]
    return Tally(
        ready=sum(len(subset.addresses or ()) for subset in subsets),
        not_ready=sum(len(subset.not_ready_addresses or ()) for subset in subsets),
    )


def _places_of_slices(slices: Iterable[EndpointSlice]) -> Places:
    ready = other = 0
    for slice_ in slices:
        ports = len(slice_.ports or ())
        states = [state_of(endpoint) for endpoint in slice_.endpoints or ()]
        ready += ports * states.count(State.READY)
        other += ports * (len(states) - states.count(State.READY))
    return Places(ready, other)


def _places_of_endpoints(endpoints: Iterable[Endpoints]) -> Places:
    subsets = [subset for obj in endpoints for subset in obj.subsets or ()]
    return Places(
        ready=sum(len(subset.addresses or ()) * len(subset.ports or ()) for subset in subsets),
        other=sum(len(subset.not_ready_addresses or ()) * len(subset.ports or ()) for subset in subsets),
    )
