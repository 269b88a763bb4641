"""How many endpoints of a service are how."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from extsync.model import Endpoint, State


class Tally(msgspec.Struct, frozen=True):
    """Counts of endpoints, and of their addresses times ports, which is what kube-state-metrics counts."""

    ready: int = 0
    not_ready: int = 0
    draining: int = 0
    ready_places: int = 0
    other_places: int = 0


def tally(endpoints: Iterable[Endpoint]) -> Tally:
    """Counts ``endpoints``."""
    numbers = dict.fromkeys(State, 0)
    places = dict.fromkeys(State, 0)
    for endpoint in endpoints:
        numbers[endpoint.state] += 1
        places[endpoint.state] += len(endpoint.ports)
    return Tally(
        ready=numbers[State.READY],
        not_ready=numbers[State.NOT_READY],
        draining=numbers[State.DRAINING],
        ready_places=places[State.READY],
        other_places=places[State.NOT_READY] + places[State.DRAINING],
    )
