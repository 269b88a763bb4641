"""What a run knows, as plain data: what the metrics and the status page are made of.

Reading it changes nothing. Durations are seconds, and ages are counted from the moment of reading.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from extsync.engine.kept import Kept
from extsync.engine.leading import LeaseStatus
from extsync.health.target import Stats
from extsync.histogram import Histogram
from extsync.kube.metered import Requests
from extsync.model import Endpoint, Health, Outcome, ServiceKey
from extsync.plan.plan import Current
from extsync.plan.suppressed import Suppressed


class SourceStatus(msgspec.Struct, frozen=True):
    """How a source stands. ``outcome`` and ``detail`` are those of its latest report, None and "" before the first.

    ``age`` is how old its latest good answer is, None where there never was one. ``stale``: the latest report is no
    good one, and the set of the one before counts. ``last_error`` outlives its failure, which was ``last_error_age``
    ago, None where there was none. ``reports`` are how many there were, by outcome.
    """

    name: str
    outcome: Outcome | None
    detail: str
    age: float | None
    stale: bool
    backends: int
    last_error: str
    last_error_age: float | None
    reports: Mapping[Outcome, int]


class ServiceStatus(msgspec.Struct, frozen=True):
    """A service as it was last decided, or as the cluster shows it where this replica decides nothing of it.

    ``ready_places`` and ``other_places`` are the addresses times ports that the objects in the cluster show.
    ``transitions`` are how often the verdict on one of its endpoints became what it says. ``isolated``: its failing
    checks are not believed. ``leads``: this replica may write for it. ``suppressed`` is what the guard withholds.
    ``another_writer``: another extsync of the same owner id writes it as well.
    """

    key: ServiceKey
    ready: int
    not_ready: int
    draining: int
    ready_places: int
    other_places: int
    sources: tuple[SourceStatus, ...]
    transitions: Mapping[Health, int]
    isolated: bool
    leads: bool
    suppressed: Suppressed | None
    another_writer: bool


class ProcessStatus(msgspec.Struct, frozen=True):
    """The process. ``synced``: the cluster and the manifests have been read once.

    ``queued`` services wait to be looked at, the first of them for ``queue_age``. ``isolated`` says why no failure is
    believed, "" where they are. For ``cache_age`` nothing was heard of the objects in the cluster; None: not yet read.
    """

    owner: str
    instance: str
    synced: bool
    services: int
    queued: int
    queue_age: float
    cache_age: float | None
    isolated: str
    probes: Stats
    requests: Requests
    plan_seconds: Histogram
    events_dropped: int
    leases: tuple[LeaseStatus, ...]


def service_status(
    kept: Kept, current: Current, *, transitions: Mapping[Health, int], isolated: bool, leads: bool, now: float
) -> ServiceStatus:
    """How the service ``kept``, whose objects are ``current``, is at the monotonic time ``now``."""
    shown, places = kept.published_tally.count(kept.state.published(current).objects)
    tally = kept.tally() or shown
    sources = []
    for name, last_good in kept.state.sources.items():
        standing = last_good.standing()
        sources.append(
            SourceStatus(
                name=name,
                outcome=standing.outcome,
                detail=standing.detail,
                age=standing.age(now),
                stale=standing.stale,
                backends=len(last_good.backends),
                last_error=standing.last_error,
                last_error_age=None if standing.last_error_at is None else now - standing.last_error_at,
                reports={outcome: number for (source, outcome), number in kept.reports.items() if source == name},
            )
        )
    return ServiceStatus(
        key=kept.state.key,
        ready=tally.ready,
        not_ready=tally.not_ready,
        draining=tally.draining,
        ready_places=places.ready,
        other_places=places.other,
        sources=tuple(sources),
        transitions=transitions,
        isolated=isolated,
        leads=leads,
        suppressed=None if kept.decision is None else kept.decision.suppressed,
        another_writer=bool(kept.of_others()),
    )


def endpoints(kept: Kept) -> list[tuple[str, Endpoint]]:
    """The endpoints of the latest decision, each with the name of its source."""
    if kept.decision is None:
        return []
    sources = {candidate.identity: candidate.source for candidate in kept.decision.candidates}
    return [(sources.get(one.identity, ""), one) for one in kept.decision.endpoints]
