"""The metrics, collected from what the engine knows at the moment of a scrape; nothing is kept here."""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily

from extsync import __version__
from extsync.engine.run import Engine
from extsync.engine.status import ProcessStatus, ServiceStatus
from extsync.histogram import Histogram
from extsync.model import Endpoint, State
from extsync.web.catalogue import METRICS, OF_ENDPOINTS, OF_SERVICES, Described

AT_ONCE: Final = 100
"""Services that are read before other work has its turn."""

ENDPOINTS_AT_ONCE: Final = 1000
"""The same for endpoints."""

_WRITES: Final = ("create", "update", "delete", "apply")
_DESCRIBED: Final = {one.name: one for one in METRICS}


async def families(
    engine: Engine, lag: Histogram, pause: Callable[[], Awaitable[None]], *, each_endpoint: bool = False
) -> list[Metric]:
    """All metrics of ``engine``; ``lag`` is the event loop's. ``pause`` is awaited now and then.

    ``each_endpoint``: with a series for each endpoint.
    """
    services, endpoints = Families(OF_SERVICES), Families(OF_ENDPOINTS)
    keys = engine.service_keys()
    for first in range(0, len(keys), AT_ONCE):
        for key in keys[first : first + AT_ONCE]:
            if (status := engine.service_status(key)) is not None:
                _add_service(services, status)
        await pause()
    for key in keys if each_endpoint else ():
        of_service = engine.endpoints(key)
        for first in range(0, len(of_service), ENDPOINTS_AT_ONCE):
            for source, endpoint in of_service[first : first + ENDPOINTS_AT_ONCE]:
                _add_endpoint(endpoints, (*key, source), endpoint)
            await pause()
    return [*_process(engine.status(), lag), *services, *(endpoints if each_endpoint else ())]


class Families:
    """Families of the catalogue, to which samples are added."""

    def __init__(self, described: Iterable[Described]) -> None:
        self._families = {one.name: one.family() for one in described}

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._families.values())

    def add(self, name: str, labels: tuple[str, ...], value: float) -> None:
        """Adds a sample of a gauge or a counter."""
        family = self._families[name]
        assert isinstance(family, GaugeMetricFamily | CounterMetricFamily)
        family.add_metric(labels, value)


def _add_service(families: Families, status: ServiceStatus) -> None:
    add = families.add
    service = (status.key.namespace, status.key.name)
    for state, number in (("ready", status.ready), ("not_ready", status.not_ready), ("draining", status.draining)):
        add("extsync_service_endpoints", (*service, state), number)
    for health, number in status.transitions.items():
        add("extsync_transitions", (*service, health.value.lower()), number)
    add("extsync_service_isolated", service, status.isolated)
    add("extsync_service_leads", service, status.leads)
    suppressed = len(status.suppressed.entries) if status.suppressed else 0
    add("extsync_service_suppressed_removals", service, suppressed)
    add("extsync_service_another_writer", service, status.another_writer)
    for source in status.sources:
        labels = (*service, source.name)
        add("extsync_source_backends", labels, source.backends)
        add("extsync_source_stale", labels, source.stale)
        if source.outcome is not None:
            add("extsync_source_outcome", (*labels, source.outcome.value.lower()), 1)
        if source.age is not None:
            add("extsync_source_age_seconds", labels, source.age)
        for outcome, number in source.reports.items():
            add("extsync_source_reports", (*labels, outcome.value.lower()), number)
    add("kube_endpoint_address_available", service, status.ready_places)
    add("kube_endpoint_address_not_ready", service, status.other_places)


def _add_endpoint(families: Families, source: tuple[str, ...], endpoint: Endpoint) -> None:
    port = str(endpoint.ports[0].port) if endpoint.ports else ""
    families.add("extsync_endpoint_ready", (*source, endpoint.address, port), endpoint.state is State.READY)


def _process(status: ProcessStatus, lag: Histogram) -> Iterator[Metric]:
    build = InfoMetricFamily("extsync_build", _DESCRIBED["extsync_build"].text)
    build.add_metric((), {"version": __version__, "python": platform.python_version()})
    yield build
    yield _one("extsync_synced", status.synced)
    yield _one("extsync_services", status.services)
    yield _one("extsync_queue_depth", status.queued)
    yield _one("extsync_queue_age_seconds", status.queue_age)
    yield _one("extsync_prober_isolated", bool(status.isolated))
    yield _by("extsync_leader", (((lease.name,), lease.leads) for lease in status.leases))
    yield _one("extsync_events_dropped", status.events_dropped)
    yield _histogram("extsync_plan_duration_seconds", status.plan_seconds)
    yield _histogram("extsync_loop_lag_seconds", lag)
    yield from _probes(status)
    yield from _requests(status)


def _probes(status: ProcessStatus) -> Iterator[Metric]:
    stats = status.probes
    results = (("passed", stats.passed), ("failed", stats.failed), ("skipped", stats.skipped))
    yield _by("extsync_probes", (((result,), number) for result, number in results))
    yield _histogram("extsync_probe_duration_seconds", stats.latency)
    yield _one("extsync_probe_targets", stats.targets)
    yield _one("extsync_probe_stale_targets", stats.stale)
    yield _one("extsync_probes_in_flight", stats.in_flight)
    yield _one("extsync_probes_waiting", stats.waiting)
    yield _one("extsync_probe_connections_kept", stats.kept)
    yield _one("extsync_probe_workers", stats.workers)
    yield _one("extsync_probe_workers_replaced", stats.replaced)


def _requests(status: ProcessStatus) -> Iterator[Metric]:
    requests = status.requests
    yield _by("extsync_api_requests", requests.sent.items())
    yield _by("extsync_api_errors", requests.failed.items())
    written = ((asked, requests.written[asked]) for asked in requests.sent if asked[0] in _WRITES)
    yield _by("extsync_writes", written)
    yield _histogram("extsync_write_duration_seconds", requests.write_seconds)


def _by(name: str, samples: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    families = Families((_DESCRIBED[name],))
    for labels, number in samples:
        families.add(name, labels, number)
    return next(iter(families))


def _one(name: str, value: float) -> Metric:
    return _by(name, (((), value),))


def _histogram(name: str, histogram: Histogram) -> Metric:
    buckets, total = [], 0
    for bound, number in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
        total += number
        buckets.append((bound, total))
    return HistogramMetricFamily(name, _DESCRIBED[name].text, buckets=buckets, sum_value=histogram.sum)
