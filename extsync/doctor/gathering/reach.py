"""Connections from here to what is published."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from extsync.address_policy import AddressPolicy
from extsync.doctor.checks.view import is_ready, shown, slices_of
from extsync.doctor.facts import Attempt, ServiceFacts
from extsync.plan.ports import HIGHEST_PORT
from extsync.seams.reaching import Reacher

AT_ONCE: Final = 10
"""Connections that are tried at a time."""

MOST: Final = 20
"""Connections that are tried for one Service."""

TIMEOUT: Final = 3.0
"""Seconds that one may take."""


async def reach(
    facts: ServiceFacts, policy: AddressPolicy, reacher: Reacher, *, seconds: float
) -> tuple[tuple[Attempt, ...], int]:
    """What became of connections to TCP ports of the endpoints, ready ones first, and how many were not tried.

    Addresses that the settings deny to be contacted are not: a published address is somebody's word.
    """
    places = [*dict.fromkeys(_places(facts))]
    scope = policy.contacted(facts.key.namespace)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(address: str, port: int) -> Attempt:
        if reason := scope.denied(address):
            return Attempt(address, port, skipped=reason)
        async with gate:
            found = await reacher.reach(address, port, timeout=min(TIMEOUT, seconds))
        return Attempt(address, port, failure=found.failure, answered=found.answered)

    tried = await asyncio.gather(*(one(*place) for place in places[:MOST]))
    return tuple(tried), max(0, len(places) - MOST)


def _places(facts: ServiceFacts) -> Iterable[tuple[str, int]]:
    found = [one for one in shown(slices_of(facts)) if one.port.protocol == "TCP" and one.address]
    for one in sorted(found, key=lambda one: not is_ready(one.endpoint)):
        if one.number is not None and 1 <= one.number <= HIGHEST_PORT:
            yield one.address, one.number
