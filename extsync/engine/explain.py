"""Why each endpoint of a service is as it is: where it comes from, what probing found, and what was decided of it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from extsync.engine.journal import Entry
from extsync.engine.kept import Kept
from extsync.engine.telling import because
from extsync.health.target import Evidence
from extsync.model import PortSet, State, Verdict


class EndpointDetail(msgspec.Struct, frozen=True):
    """One endpoint. ``state`` and ``why`` are what is published of it, or would be: in a ``standby`` tier nothing is.

    ``verdict`` is None where nothing checks it. ``target`` names it to the prober, "" where it is not probed.
    """

    address: str
    ports: PortSet
    state: State
    why: str
    standby: bool
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
    """All that is known of a service. ``notices`` are what a person should know of it now."""

    endpoints: tuple[EndpointDetail, ...]
    set_aside: tuple[SetAside, ...]
    notices: tuple[str, ...]
    journal: tuple[Entry, ...]


def details(kept: Kept, targets: tuple[str, ...]) -> ServiceDetail:
    """What is known of the service ``kept``, whose candidates have the ids ``targets`` for the prober, aligned."""
    return ServiceDetail(
        endpoints=tuple(_endpoints(kept, targets)),
        set_aside=tuple(_set_aside(kept)),
        notices=kept.remarks,
        journal=tuple(kept.journal.entries),
    )


def _endpoints(kept: Kept, targets: tuple[str, ...]) -> Iterator[EndpointDetail]:
    decision = kept.decision
    if decision is None:
        return
    published = {endpoint.identity: endpoint for endpoint in decision.endpoints}
    standby = frozenset(decision.tiers.standby)
    ids = targets if len(targets) == len(decision.candidates) else ("",) * len(decision.candidates)
    for candidate, judged, verdict, target in zip(
        decision.candidates, decision.judged, decision.verdicts, ids, strict=True
    ):
        shown = published.get(candidate.identity, judged)
        yield EndpointDetail(
            address=shown.address,
            ports=shown.ports,
            state=shown.state,
            why=because(shown, verdict),
            standby=candidate.tier in standby,
            source=candidate.source,
            group=candidate.group,
            tier=str(candidate.tier),
            hostname=shown.hostname,
            node_name=shown.node_name,
            zone=shown.zone,
            verdict=verdict,
            target=target,
        )


def _set_aside(kept: Kept) -> Iterator[SetAside]:
    for name, last_good in kept.state.sources.items():
        for one in last_good.standing().rejected:
            yield SetAside(name, one.entry, one.reason)
    for name, one in kept.state.merged.rejected:
        yield SetAside(name, one.entry, one.reason)
