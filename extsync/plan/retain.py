"""Retain: what upsert-only adds to the desired endpoints, before they are packed."""

from __future__ import annotations

from collections.abc import Sequence

from extsync.model import Endpoint


def retain(endpoints: Sequence[Endpoint], published: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """``endpoints``, and after them those of ``published`` that are not among them and so would leave.

    A published endpoint counts as being among them where one has its address and shares one of its ports: to publish
    that port twice, with two states, would leave the choice between them to chance.
    """
    wanted: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        wanted.setdefault(endpoint.address, []).append(endpoint)
    left = [old for old in published if not any(_same(old, new) for new in wanted.get(old.address, ()))]
    return (*endpoints, *left)


def _same(old: Endpoint, new: Endpoint) -> bool:
    if not old.ports or not new.ports:
        return old.ports == new.ports
    numbers = {(port.name, port.port) for port in new.ports}
    return any((port.name, port.port) in numbers for port in old.ports)
