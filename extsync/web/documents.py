"""The answers of the status API: JSON as Kubernetes writes it, with times as RFC 3339 and seconds as numbers."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from extsync import __version__
from extsync.engine.explain import EndpointDetail, ServiceDetail
from extsync.engine.status import ProcessStatus, ServiceStatus, SourceStatus
from extsync.health.target import Evidence
from extsync.model import Verdict
from extsync.plan.suppressed import Suppressed


class _Document(msgspec.Struct, rename="camel", frozen=True):
    """The base of all: camelCase names."""


class Problem(_Document, frozen=True):
    """Why there is no answer."""

    error: str


class LeaseDocument(_Document, frozen=True):
    """A Lease: whether this replica may write by it, and who held it when it was last seen."""

    name: str
    leads: bool
    holder: str


class ProcessDocument(_Document, frozen=True):
    """The process that answers. ``isolated`` says why no failure is believed, "" where they are.

    ``cacheAgeSeconds`` is for how long nothing was heard of the objects in the cluster, null before they were read.
    """

    version: str
    owner: str
    instance: str
    synced: bool
    isolated: str
    services: int
    queued: int
    queue_age_seconds: float
    cache_age_seconds: float | None
    probe_targets: int
    probes_passed: int
    probes_failed: int
    probes_skipped: int
    leases: tuple[LeaseDocument, ...]


class SourceDocument(_Document, frozen=True):
    """A source. ``outcome`` is that of its latest report, null before the first; ``stale``: an older report counts.

    ``lastError`` stays when all is well again."""

    name: str
    outcome: str | None
    detail: str
    age_seconds: float | None
    stale: bool
    backends: int
    last_error: str = ""
    last_error_age_seconds: float | None = None


class SuppressedDocument(_Document, frozen=True):
    """What the guard withholds: how many endpoints, since when, and until when if it stays so, null: not known."""

    hash: str
    endpoints: int
    since: str
    until: str | None
    text: str


class ServiceSummary(_Document, frozen=True):
    """A service in short. ``isolated``: its failing checks are not believed; ``leads``: this replica writes for it."""

    namespace: str
    name: str
    ready: int
    not_ready: int
    draining: int
    isolated: bool
    leads: bool
    suppressed: SuppressedDocument | None
    sources: tuple[SourceDocument, ...]


class ServiceList(_Document, frozen=True):
    """Services in the order of their names; ``next`` is what to give as ``after`` for more, null at the end."""

    items: tuple[ServiceSummary, ...]
    next: str | None


class PortDocument(_Document, frozen=True):
    """A port of an endpoint."""

    name: str
    port: int
    protocol: str


class VerdictDocument(_Document, frozen=True):
    """What probing concludes. ``doubted``: probes fail, and that is not believed; ``stale``: not confirmed for long."""

    health: str
    since: str | None
    reason: str
    note: str
    doubted: bool
    stale: bool


class ResultDocument(_Document, frozen=True):
    """One probe; ``failure`` is null where it passed."""

    at: str
    latency_seconds: float
    failure: str | None


class ChangeDocument(_Document, frozen=True):
    """A change of health, and the result that made it."""

    at: str
    health: str
    reason: str


class ProbeDocument(_Document, frozen=True):
    """One check of an endpoint, with its latest results and changes, oldest first."""

    check: str
    health: str
    reason: str
    note: str
    passed: int
    failed: int
    skipped: int
    results: tuple[ResultDocument, ...]
    changes: tuple[ChangeDocument, ...]


class EndpointDocument(_Document, frozen=True):
    """An endpoint. ``state`` is how it is published, or would be: of a ``standby`` tier nothing is.

    ``withheld``: its source no longer names it, and the guard keeps it.
    """

    address: str
    ports: tuple[PortDocument, ...]
    state: str
    reason: str
    standby: bool
    withheld: bool
    source: str
    group: str
    tier: str
    hostname: str | None
    node_name: str | None
    zone: str | None
    verdict: VerdictDocument | None
    probes: tuple[ProbeDocument, ...] | None


class SetAsideDocument(_Document, frozen=True):
    """What a source names and cannot be published."""

    source: str
    entry: str
    reason: str


class EntryDocument(_Document, frozen=True):
    """A line of the journal."""

    at: str
    topic: str
    text: str


class ServiceDocument(_Document, frozen=True):
    """A service in full. ``endpoints`` are those asked for, ``omitted`` is how many more of them there are; ``notices``
    are what one should know of it now."""

    summary: ServiceSummary
    notices: tuple[str, ...]
    endpoints: tuple[EndpointDocument, ...]
    omitted: int
    set_aside: tuple[SetAsideDocument, ...]
    journal: tuple[EntryDocument, ...]


def process_document(status: ProcessStatus) -> ProcessDocument:
    """The process in JSON's words."""
    return ProcessDocument(
        version=__version__,
        owner=status.owner,
        instance=status.instance,
        synced=status.synced,
        isolated=status.isolated,
        services=status.services,
        queued=status.queued,
        queue_age_seconds=round(status.queue_age, 3),
        cache_age_seconds=None if status.cache_age is None else round(status.cache_age, 3),
        probe_targets=status.probes.targets,
        probes_passed=status.probes.passed,
        probes_failed=status.probes.failed,
        probes_skipped=status.probes.skipped,
        leases=tuple(LeaseDocument(one.name, one.leads, one.holder) for one in status.leases),
    )


def summary(status: ServiceStatus) -> ServiceSummary:
    """A service in short."""
    return ServiceSummary(
        namespace=status.key.namespace,
        name=status.key.name,
        ready=status.ready,
        not_ready=status.not_ready,
        draining=status.draining,
        isolated=status.isolated,
        leads=status.leads,
        suppressed=None if status.suppressed is None else _suppressed(status.suppressed),
        sources=tuple(map(_source, status.sources)),
    )


def service_document(status: ServiceStatus, detail: ServiceDetail) -> ServiceDocument:
    """A service in full."""
    return ServiceDocument(
        summary=summary(status),
        notices=detail.notices,
        endpoints=tuple(map(_endpoint, detail.endpoints)),
        omitted=detail.number - len(detail.endpoints),
        set_aside=tuple(SetAsideDocument(one.source, one.entry, one.reason) for one in detail.set_aside),
        journal=tuple(EntryDocument(_time(one.at), one.topic.value, one.text) for one in detail.journal),
    )


def _suppressed(suppressed: Suppressed) -> SuppressedDocument:
    return SuppressedDocument(
        hash=suppressed.hash,
        endpoints=len(suppressed.entries),
        since=_time(suppressed.since),
        until=None if suppressed.until is None else _time(suppressed.until),
        text=suppressed.summary,
    )


def _source(status: SourceStatus) -> SourceDocument:
    return SourceDocument(
        name=status.name,
        outcome=None if status.outcome is None else status.outcome.value.lower(),
        detail=status.detail,
        age_seconds=None if status.age is None else round(status.age, 3),
        stale=status.stale,
        backends=status.backends,
        last_error=status.last_error,
        last_error_age_seconds=None if status.last_error_age is None else round(status.last_error_age, 3),
    )


def _endpoint(detail: EndpointDetail) -> EndpointDocument:
    return EndpointDocument(
        address=detail.address,
        ports=tuple(PortDocument(port.name, port.port, port.protocol) for port in detail.ports),
        state=detail.state.value,
        reason=detail.why,
        standby=detail.standby,
        withheld=detail.withheld,
        source=detail.source,
        group=detail.group,
        tier=detail.tier,
        hostname=detail.hostname,
        node_name=detail.node_name,
        zone=detail.zone,
        verdict=None if detail.verdict is None else _verdict(detail.verdict),
        probes=tuple(map(_probe, detail.probes)) if detail.probes else None,
    )


def _verdict(verdict: Verdict) -> VerdictDocument:
    return VerdictDocument(
        health=verdict.health.value,
        since=_time(verdict.since) if verdict.since else None,
        reason=verdict.reason,
        note=verdict.note,
        doubted=verdict.doubted,
        stale=verdict.stale,
    )


def _probe(evidence: Evidence) -> ProbeDocument:
    return ProbeDocument(
        check=evidence.check,
        health=evidence.health.value,
        reason=evidence.reason,
        note=evidence.note,
        passed=evidence.passed,
        failed=evidence.failed,
        skipped=evidence.skipped,
        results=tuple(ResultDocument(_time(one.at), round(one.latency, 6), one.failure) for one in evidence.results),
        changes=tuple(ChangeDocument(_time(one.at), one.health.value, one.reason) for one in evidence.changes),
    )


def _time(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
