"""The metrics there are: their names, labels and meanings. docs/metrics.md has the same table."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily

Kind: TypeAlias = Literal["gauge", "counter", "histogram", "info"]

_FAMILIES: Final[dict[Kind, type[Metric]]] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
    "histogram": HistogramMetricFamily,
    "info": InfoMetricFamily,
}
_SUFFIXES: Final[dict[Kind, str]] = {"gauge": "", "counter": "_total", "histogram": "", "info": "_info"}


class Described(msgspec.Struct, frozen=True):
    """A metric. ``text`` is its HELP; ``labels`` are those of each sample, but for the bounds of a histogram."""

    kind: Kind
    name: str
    text: str
    labels: tuple[str, ...] = ()

    @property
    def scraped_name(self) -> str:
        """As it is asked for in a query: what counts ends with ``_total``."""
        return self.name + _SUFFIXES[self.kind]

    def family(self) -> Metric:
        """A family of that metric without samples."""
        return _FAMILIES[self.kind](self.name, self.text, labels=self.labels)  # type: ignore[call-arg]


_SERVICE: Final = ("namespace", "service")
_SOURCE: Final = (*_SERVICE, "source")
_ENDPOINTS_OBJECT: Final = ("namespace", "endpoint")

OF_SERVICES: Final = (
    Described(
        "gauge",
        "extsync_service_endpoints",
        "Endpoints of the service by state: ready, not_ready or draining.",
        (*_SERVICE, "state"),
    ),
    Described(
        "counter",
        "extsync_transitions",
        "Changes of the verdict on an endpoint, by what it became: healthy, unhealthy or unknown.",
        (*_SERVICE, "to"),
    ),
    Described(
        "gauge",
        "extsync_service_isolated",
        "1 where failing checks are not believed, since extsync itself seems to be cut off.",
        _SERVICE,
    ),
    Described(
        "gauge",
        "extsync_service_leads",
        "1 where this replica may write for the service. Every replica tells of every service that it keeps.",
        _SERVICE,
    ),
    Described(
        "gauge",
        "extsync_service_suppressed_removals",
        "Endpoints that the guard withholds from removal.",
        _SERVICE,
    ),
    Described(
        "gauge",
        "extsync_service_another_writer",
        "1 where another extsync with the same owner id, and another Lease or none, writes the service as well.",
        _SERVICE,
    ),
    Described("gauge", "extsync_source_backends", "Backends that count, of each source.", _SOURCE),
    Described(
        "gauge",
        "extsync_source_outcome",
        "1 for the outcome of the latest report: found, empty, gone, error or suspect. Missing before the first one.",
        (*_SOURCE, "outcome"),
    ),
    Described(
        "gauge",
        "extsync_source_stale",
        "1 where the latest report of a source failed or is suspect, and an older one counts.",
        _SOURCE,
    ),
    Described(
        "gauge",
        "extsync_source_age_seconds",
        "Seconds since the latest good report of a source. Missing before the first one. Static backends are reported "
        "once.",
        _SOURCE,
    ),
    Described("counter", "extsync_source_reports", "Reports of a source, by outcome.", (*_SOURCE, "outcome")),
    Described(
        "gauge",
        "kube_endpoint_address_available",
        "Ready addresses times ports in the Endpoints that extsync keeps, as kube-state-metrics counted them; of the "
        "EndpointSlices where no Endpoints are published. 0 where nothing is published.",
        _ENDPOINTS_OBJECT,
    ),
    Described(
        "gauge",
        "kube_endpoint_address_not_ready",
        "Addresses times ports in the Endpoints that extsync keeps which are not ready, as kube-state-metrics counted "
        "them; of the EndpointSlices where no Endpoints are published, draining ones included.",
        _ENDPOINTS_OBJECT,
    ),
)
"""Those that each service has."""

OF_ENDPOINTS: Final = (
    Described(
        "gauge",
        "extsync_endpoint_ready",
        "1 where an endpoint of the service is ready, 0 where it is not, or drains. port is the number of its first "
        "port. Only with the setting endpointMetrics.",
        (*_SOURCE, "address", "port"),
    ),
)
"""Those that each endpoint has, where they are asked for."""

OF_PROCESS: Final = (
    Described("info", "extsync_build", "The version that runs.", ("version", "python")),
    Described("gauge", "extsync_synced", "1 once the cluster and the manifests have been read."),
    Described("gauge", "extsync_services", "Services that are kept."),
    Described("gauge", "extsync_queue_depth", "Services that wait to be looked at."),
    Described("gauge", "extsync_queue_age_seconds", "Seconds for which the first of them has waited."),
    Described("gauge", "extsync_prober_isolated", "1 where extsync takes itself to be cut off."),
    Described(
        "gauge",
        "extsync_leader",
        "1 where this replica may write by the Lease. Missing without leader election, where it leads for all.",
        ("lease",),
    ),
    Described("counter", "extsync_events_dropped", "Events that were too many, or that the API server did not take."),
    Described("histogram", "extsync_plan_duration_seconds", "Seconds that plans took."),
    Described("histogram", "extsync_loop_lag_seconds", "Seconds by which the event loop was late."),
    Described(
        "counter",
        "extsync_probes",
        "Probes, by result: passed, failed or skipped; skipped ones were never sent.",
        ("result",),
    ),
    Described("histogram", "extsync_probe_duration_seconds", "Seconds that probes took."),
    Described("gauge", "extsync_probe_targets", "Endpoints that are probed."),
    Described("gauge", "extsync_probe_stale_targets", "Endpoints whose verdict no probe has confirmed for long."),
    Described("gauge", "extsync_probes_in_flight", "Probes under way."),
    Described("gauge", "extsync_probes_waiting", "Probes that are due and wait for room."),
    Described("gauge", "extsync_probe_connections_kept", "Connections that wait for their next probe."),
    Described("gauge", "extsync_probe_workers", "Processes that probe; 0: this one does."),
    Described("counter", "extsync_probe_workers_replaced", "Probe workers that had to be replaced."),
    Described("counter", "extsync_api_requests", "Requests to the API server.", ("verb", "kind")),
    Described(
        "counter",
        "extsync_api_errors",
        "Requests to the API server that failed, by HTTP code; unavailable: no answer, or a 5xx.",
        ("verb", "kind", "code"),
    ),
    Described("counter", "extsync_writes", "Objects written, by verb and kind; Events too.", ("verb", "kind")),
    Described("histogram", "extsync_write_duration_seconds", "Seconds that requests took that write."),
)
"""Those of the process."""

METRICS: Final = (*OF_SERVICES, *OF_ENDPOINTS, *OF_PROCESS)
