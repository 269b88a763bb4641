"""Why each endpoint of a service is as it is: where it comes from, what probing found, and what was decided of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_address
from itertools import islice
from typing import Final

import msgspec

from extsync.engine.journal import Entry
from extsync.engine.kept import Kept
from extsync.engine.telling import because
from extsync.health.target import Evidence
from extsync.model import PortSet, State, Verdict

_ADDRESS: Final = re.compile(r"(?<![\w.:-])[0-9A-Fa-f:.]*[0-9A-Fa-f]|::")
"""What may be an address within the text of an entry."""


class EndpointDetail(msgspec.Struct, frozen=True):
    """One endpoint. ``state`` and ``why`` are what is published of it, or would be: in a ``standby`` tier nothing is.

    ``withheld``: its source no longer names it, and the guard keeps it. ``verdict`` is None where nothing checks it.
    ``target`` names it to the prober, "" where it is not probed.
    """

    address: str
    ports: PortSet
    state: State
    why: str
    standby: bool
    withheld: bool
    source: str
    group: str
    tier: str
    hostname: str | None
    node_name: str | None
    zone: str | None
    verdict: Verdict | None
    target: str
    probes: tuple[Evidence, ...] = ()


class SetAside(msgspec.Struct, frozen=True):
    """What a source names and cannot be published, and why."""

    source: str
    entry: str
    reason: str


class ServiceDetail(msgspec.Struct, frozen=True):
    """All that is known of a service. ``notices`` are what a person should know of it now.

    Of ``number`` endpoints that were asked for ``endpoints`` are some, in their order.
    """

    endpoints: tuple[EndpointDetail, ...]
    number: int
    set_aside: tuple[SetAside, ...]
    notices: tuple[str, ...]
    journal: tuple[Entry, ...]


def details(kept: Kept, targets: tuple[str, ...], *, address: str, most: int, skip: int = 0) -> ServiceDetail:
    """What is known of the service ``kept``, whose candidates have the ids ``targets`` for the prober, aligned.

    Of its endpoints and of what is set aside, or of those at ``address`` where that is not "", ``most`` are told of: a
    service may have so many that telling of all would hold up the probes. ``skip`` endpoints before them are left out.
    """
    candidates = () if kept.decision is None else kept.decision.candidates
    asked = [number for number, one in enumerate(candidates) if address in ("", one.identity.address)]
    return ServiceDetail(
        endpoints=tuple(_endpoints(kept, targets, asked[skip : skip + most])),
        number=len(asked),
        set_aside=tuple(islice((one for one in _set_aside(kept) if _names(one.entry, address)), most)),
        notices=kept.remarks,
        journal=tuple(kept.journal.entries),
    )


def _names(entry: str, address: str) -> bool:
    """Whether the text ``entry`` names ``address``, and not another one that begins or ends like it."""
    try:
        wanted = ip_address(address)
    except ValueError:
        return address in entry
    for word in _ADDRESS.findall(entry):
        for text in (word, word.partition(":")[0]):  # with a port, or without
            with suppress(ValueError):
                if ip_address(text) == wanted:
                    return True
    return False


def _endpoints(kept: Kept, targets: tuple[str, ...], asked: Sequence[int]) -> Iterator[EndpointDetail]:
    """Those of the candidates with these numbers."""
    decision = kept.decision
    if decision is None:
        return
    addresses = {decision.candidates[number].identity.address for number in asked}
    published = {one.identity: one for one in decision.endpoints if one.address in addresses}
    standby = frozenset(decision.tiers.standby)
    withheld = frozenset(() if decision.suppressed is None else decision.suppressed.entries)
    ids = targets if len(targets) == len(decision.candidates) else ("",) * len(decision.candidates)
    for number in asked:
        candidate, verdict = decision.candidates[number], decision.verdicts[number]
        shown = published.get(candidate.identity, decision.judged[number])
        yield EndpointDetail(
            address=shown.address,
            ports=shown.ports,
            state=shown.state,
            why=because(shown, verdict),
            standby=candidate.tier in standby,
            withheld=candidate.identity in withheld,
            source=candidate.source,
            group=candidate.group,
            tier=str(candidate.tier),
            hostname=shown.hostname,
            node_name=shown.node_name,
            zone=shown.zone,
            verdict=verdict,
            target=ids[number],
        )


def _set_aside(kept: Kept) -> Iterator[SetAside]:
    for name, last_good in kept.state.sources.items():
        for one in last_good.standing().rejected:
            yield SetAside(name, one.entry, one.reason)
    for name, one in kept.state.merged.rejected:
        yield SetAside(name, one.entry, one.reason)
