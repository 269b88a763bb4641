"""The metrics, collected from what the engine knows at the moment of a scrape; nothing is kept here."""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily

from extsync import __version__
from extsync.engine.run import Engine
from extsync.engine.status import ProcessStatus, ServiceStatus
from extsync.histogram import Histogram

AT_ONCE: Final = 100
"""Services that are read before other work has its turn."""

_SERVICE: Final = ("namespace", "service")
_WRITES: Final = ("create", "update", "delete", "apply")


async def families(engine: Engine, lag: Histogram, pause: Callable[[], Awaitable[None]]) -> list[Metric]:
    """All metrics of ``engine``; ``lag`` is the event loop's. ``pause`` is awaited now and then."""
    services = Services()
    async for some in _read(engine, pause):
        for status in some:
            services.add(status)
    return [*_process(engine.status(), lag), *services.families]


async def _read(engine: Engine, pause: Callable[[], Awaitable[None]]) -> AsyncIterator[list[ServiceStatus]]:
    keys = engine.service_keys()
    for first in range(0, len(keys), AT_ONCE):
        some = (engine.service_status(key) for key in keys[first : first + AT_ONCE])
        yield [status for status in some if status is not None]
        await pause()


class Services:
    """The metrics that each service has."""

    def __init__(self) -> None:
        gauge, counter = GaugeMetricFamily, CounterMetricFamily
        source = (*_SERVICE, "source")
        self._endpoints = gauge(
            "extsync_service_endpoints", "Endpoints as they are published, by state.", labels=(*_SERVICE, "state")
        )
        self._transitions = counter(
            "extsync_transitions", "Changes of the verdict on an endpoint, by what it became.", labels=(*_SERVICE, "to")
        )
        self._isolated = gauge("extsync_service_isolated", "1 where failing checks are not believed.", labels=_SERVICE)
        self._leads = gauge("extsync_service_leads", "1 where this replica may write for the service.", labels=_SERVICE)
        self._suppressed = gauge(
            "extsync_service_suppressed_removals", "Endpoints that the guard withholds from removal.", labels=_SERVICE
        )
        self._backends = gauge("extsync_source_backends", "Backends that count, of each source.", labels=source)
        self._stale = gauge(
            "extsync_source_stale",
            "1 where the latest report of a source failed or is suspect, and an older one counts.",
            labels=source,
        )
        self._age = gauge(
            "extsync_source_age_seconds", "Seconds since the latest good report of a source.", labels=source
        )
        self._reports = counter(
            "extsync_source_reports", "Reports of a source, by outcome.", labels=(*source, "outcome")
        )
        endpoint = ("namespace", "endpoint")
        self._available = gauge(
            "kube_endpoint_address_available", "Addresses times ports that are ready.", labels=endpoint
        )
        self._not_ready = gauge(
            "kube_endpoint_address_not_ready", "Addresses times ports that are not ready.", labels=endpoint
        )

    def add(self, status: ServiceStatus) -> None:
        """Adds the samples of one service."""
        service = (status.key.namespace, status.key.name)
        for state, number in (
            ("ready", status.ready),
            ("not_ready", status.not_ready),
            ("draining", status.draining),
        ):
            self._endpoints.add_metric((*service, state), number)
        for health, number in status.transitions.items():
            self._transitions.add_metric((*service, health.value.lower()), number)
        self._isolated.add_metric(service, status.isolated)
        self._leads.add_metric(service, status.leads)
        self._suppressed.add_metric(service, len(status.suppressed.entries) if status.suppressed else 0)
        for source in status.sources:
            labels = (*service, source.name)
            self._backends.add_metric(labels, source.backends)
            self._stale.add_metric(labels, source.stale)
            if source.age is not None:
                self._age.add_metric(labels, source.age)
            for outcome, number in source.reports.items():
                self._reports.add_metric((*labels, outcome.value.lower()), number)
        self._available.add_metric(service, status.ready_places)
        self._not_ready.add_metric(service, status.other_places)

    @property
    def families(self) -> list[Metric]:
        """What was added, by metric."""
        return [
            self._endpoints,
            self._transitions,
            self._isolated,
            self._leads,
            self._suppressed,
            self._backends,
            self._stale,
            self._age,
            self._reports,
            self._available,
            self._not_ready,
        ]


def _process(status: ProcessStatus, lag: Histogram) -> Iterator[Metric]:
    build = InfoMetricFamily("extsync_build", "The version that runs.")
    build.add_metric((), {"version": __version__, "python": platform.python_version()})
    yield build
    yield _gauge("extsync_synced", "1 once the cluster and the manifests have been read.", status.synced)
    yield _gauge("extsync_services", "Services that are kept.", status.services)
    yield _gauge("extsync_queue_depth", "Services that wait to be looked at.", status.queued)
    yield _gauge("extsync_queue_age_seconds", "Seconds for which the first of them has waited.", status.queue_age)
    yield _gauge(
        "extsync_prober_isolated",
        "1 where extsync seems to be cut off itself.",
        bool(status.isolated),
    )
    leader = GaugeMetricFamily("extsync_leader", "1 where this replica may write by the Lease.", labels=("lease",))
    for lease in status.leases:
        leader.add_metric((lease.name,), lease.leads)
    yield leader
    yield _counter("extsync_events_dropped", "Events that could not be written.", status.events_dropped)
    yield _histogram("extsync_plan_duration_seconds", "Seconds that plans took.", status.plan_seconds)
    yield _histogram("extsync_loop_lag_seconds", "Seconds by which the event loop was late.", lag)
    yield from _probes(status)
    yield from _requests(status)


def _probes(status: ProcessStatus) -> Iterator[Metric]:
    stats = status.probes
    results = (("passed", stats.passed), ("failed", stats.failed), ("skipped", stats.skipped))
    yield _by(
        CounterMetricFamily("extsync_probes", "Probes, by result; skipped ones were never sent.", labels=("result",)),
        (((result,), number) for result, number in results),
    )
    yield _histogram("extsync_probe_duration_seconds", "Seconds that probes took.", stats.latency)
    yield _gauge("extsync_probe_targets", "Endpoints that are probed.", stats.targets)
    yield _gauge("extsync_probe_stale_targets", "Endpoints whose verdict no probe has confirmed for long.", stats.stale)
    yield _gauge("extsync_probes_in_flight", "Probes under way.", stats.in_flight)
    yield _gauge("extsync_probes_waiting", "Probes that are due and wait for room.", stats.waiting)
    yield _gauge("extsync_probe_connections_kept", "Connections that wait for their next probe.", stats.kept)
    yield _gauge("extsync_probe_workers", "Processes that probe, 0: this one does.", stats.workers)
    yield _counter("extsync_probe_workers_replaced", "Probe workers that had to be replaced.", stats.replaced)


def _requests(status: ProcessStatus) -> Iterator[Metric]:
    requests = status.requests
    yield _by(
        CounterMetricFamily("extsync_api_requests", "Requests to the API server.", labels=("verb", "kind")),
        requests.sent.items(),
    )
    yield _by(
        CounterMetricFamily(
            "extsync_api_errors",
            "Requests to the API server that failed, by HTTP code; unavailable: no answer, or a 5xx.",
            labels=("verb", "kind", "code"),
        ),
        requests.failed.items(),
    )
    written = ((asked, requests.written[asked]) for asked in requests.sent if asked[0] in _WRITES)
    yield _by(
        CounterMetricFamily("extsync_writes", "Objects written, by verb and kind.", labels=("verb", "kind")), written
    )
    yield _histogram("extsync_write_duration_seconds", "Seconds that requests took that write.", requests.write_seconds)


def _by(family: CounterMetricFamily, samples: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    for labels, number in samples:
        family.add_metric(labels, number)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    buckets, total = [], 0
    for bound, number in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
        total += number
        buckets.append((bound, total))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.sum)
