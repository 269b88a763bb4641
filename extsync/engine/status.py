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
from extsync.model import Health, Outcome, ServiceKey
from extsync.plan.suppressed import Suppressed


class SourceStatus(msgspec.Struct, frozen=True):
    """How a source stands. ``outcome`` and ``detail`` are those of its latest report, None and "" before the first.

    ``age`` is how old its latest good answer is, None where there never was one. ``stale``: the latest report is no
    good one, and the set of the one before counts. ``reports`` are how many there were, by outcome.
    """

    name: str
    outcome: Outcome | None
    detail: str
    age: float | None
    stale: bool
    backends: int
    reports: Mapping[Outcome, int]


class ServiceStatus(msgspec.Struct, frozen=True):
    """A service as it was last decided. ``places`` are its addresses times their ports, ready and not.

    ``transitions`` are how often the verdict on one of its endpoints became what it says. ``isolated``: its failing
    checks are not believed. ``leads``: this replica may write for it. ``suppressed`` is what the guard withholds.
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


class ProcessStatus(msgspec.Struct, frozen=True):
    """The process. ``synced``: the cluster and the manifests have been read once.

    ``queued`` services wait to be looked at, the first of them for ``queue_age``. ``isolated`` says why no failure is
    believed, "" where they are.
    """

    owner: str
    instance: str
    synced: bool
    services: int
    queued: int
    queue_age: float
    isolated: str
    probes: Stats
    requests: Requests
    plan_seconds: Histogram
    events_dropped: int
    leases: tuple[LeaseStatus, ...]


def service_status(
    kept: Kept, *, transitions: Mapping[Health, int], isolated: bool, leads: bool, now: float
) -> ServiceStatus:
    """How the service ``kept`` is at the monotonic time ``now``."""
    tally = kept.tally()
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
                reports={outcome: number for (source, outcome), number in kept.reports.items() if source == name},
            )
        )
    return ServiceStatus(
        key=kept.state.key,
        ready=tally.ready,
        not_ready=tally.not_ready,
        draining=tally.draining,
        ready_places=tally.ready_places,
        other_places=tally.other_places,
        sources=tuple(sources),
        transitions=transitions,
        isolated=isolated,
        leads=leads,
        suppressed=None if kept.decision is None else kept.decision.suppressed,
    )
