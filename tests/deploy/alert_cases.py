"""For each alert, what Prometheus saw and whether it fires: every 15 s a sample, in promtool's notation of series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

AVAILABLE = 'kube_endpoint_address_available{namespace="shop",endpoint="orders",instance="%s"}'
NOT_READY = 'kube_endpoint_address_not_ready{namespace="shop",endpoint="orders",instance="%s"}'
LEADS = 'extsync_service_leads{namespace="shop",service="orders",instance="%s",endpoint="metrics"}'
SERVICE = {"namespace": "shop", "service": "orders"}
ENDPOINT = {"namespace": "shop", "endpoint": "orders"}
BUILD = 'extsync_build_info{instance="a",version="0.1.0"}'
SOURCE = 'extsync_source_%s{namespace="shop",service="orders",source="cloud",instance="%s"}'
ERRORS = 'extsync_api_errors_total{instance="a",verb="%s",kind="%s",code="%s"}'


@dataclass(frozen=True)
class Case:
    """``series`` are samples by series; ``fires`` has the labels besides ``severity`` and the summary, None: silent."""

    alert: str
    what: str
    series: Mapping[str, str]
    at: str
    severity: str = "warning"
    fires: tuple[Mapping[str, str], str] | None = field(default=None)


def _of(leader: str, standby: str, series: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """The series of a leader ``a`` and a standby ``b``, with what each tells of the service."""
    both = {name % replica: values[at] for name, values in series.items() for at, replica in enumerate("ab")}
    return {LEADS % "a": leader, LEADS % "b": standby, **both}


_DOWN = (ENDPOINT, "shop/orders has no ready endpoint")
_DEGRADED = (ENDPOINT, "shop/orders has 1 endpoints that are not ready")
_STALE = ({**SERVICE, "source": "cloud"}, "the source cloud of shop/orders fails")
_ABSENT: tuple[Mapping[str, str], str] = ({}, "extsync is not running, or is not scraped")

CASES = (
    # ---- EndpointDown
    Case(
        "EndpointDown",
        "nothing is ready for over a minute",
        _of("1x40", "0x40", {AVAILABLE: ("2x8 0x30", "2x8 0x30")}),
        at="4m",
        severity="critical",
        fires=_DOWN,
    ),
    Case(
        "EndpointDown",
        "nothing is ready, and no replica leads",
        _of("0x40", "0x40", {AVAILABLE: ("0x40", "0x40")}),
        at="4m",
        severity="critical",
        fires=_DOWN,
    ),
    Case(
        "EndpointDown", "one is ready", _of("1x40", "0x40", {AVAILABLE: ("1x40", "1x40")}), at="8m", severity="critical"
    ),
    Case(
        "EndpointDown",
        "nothing is ready for half a minute only",
        _of("1x40", "0x40", {AVAILABLE: ("2x8 0x1 2x30", "2x8 0x1 2x30")}),
        at="2m30s",
    ),
    Case(
        "EndpointDown",
        "another exporter tells of a service that extsync does not keep",
        {
            **_of("1x40", "0x40", {AVAILABLE: ("1x40", "1x40")}),
            'kube_endpoint_address_available{namespace="shop",endpoint="web",instance="other"}': "0x40",
        },
        at="8m",
    ),
    # ---- EndpointDegraded
    Case(
        "EndpointDegraded",
        "one of three is not ready for over five minutes",
        _of("1x60", "0x60", {AVAILABLE: ("2x60", "2x60"), NOT_READY: ("1x60", "1x60")}),
        at="6m",
        fires=_DEGRADED,
    ),
    Case(
        "EndpointDegraded",
        "none is ready, of which another alert tells",
        _of("1x60", "0x60", {AVAILABLE: ("0x60", "0x60"), NOT_READY: ("3x60", "3x60")}),
        at="10m",
    ),
    Case(
        "EndpointDegraded",
        "all are ready",
        _of("1x60", "0x60", {AVAILABLE: ("3x60", "3x60"), NOT_READY: ("0x60", "0x60")}),
        at="10m",
    ),
    Case(
        "EndpointDegraded",
        "one flaps",
        _of("1x60", "0x60", {AVAILABLE: ("2x60", "2x60"), NOT_READY: ("0x4 1x6 0x50", "0x4 1x6 0x50")}),
        at="2m30s",
    ),
    # ---- EndpointMetricsAbsent
    Case("EndpointMetricsAbsent", "nobody is scraped", {"up": "1x60"}, at="6m", severity="critical", fires=_ABSENT),
    Case(
        "EndpointMetricsAbsent",
        "it tells of services and of no endpoint",
        {BUILD: "1x60", 'extsync_services{instance="a"}': "2x60"},
        at="6m",
        severity="critical",
        fires=_ABSENT,
    ),
    Case("EndpointMetricsAbsent", "it is not scraped for a moment", {BUILD: "1x4 stale _x4 1x40"}, at="1m45s"),
    Case(
        "EndpointMetricsAbsent",
        "it keeps nothing yet",
        {BUILD: "1x60", 'extsync_services{instance="a"}': "0x60"},
        at="10m",
    ),
    Case(
        "EndpointMetricsAbsent",
        "all is there",
        {BUILD: "1x60", 'extsync_services{instance="a"}': "1x60", AVAILABLE % "a": "0x60"},
        at="10m",
    ),
    # ---- the process
    Case(
        "ExtsyncNotSynced",
        "a replica does not get ready",
        {'extsync_synced{instance="a"}': "1x60", 'extsync_synced{instance="b"}': "0x60"},
        at="6m",
        fires=({"instance": "b"}, "b has not read the cluster and its manifests"),
    ),
    Case("ExtsyncNotSynced", "a replica starts", {'extsync_synced{instance="a"}': "0x12 1x48"}, at="3m"),
    Case(
        "ExtsyncNoLeader",
        "two replicas wait for a Lease",
        {
            'extsync_leader{namespace="extsync",lease="extsync-default",instance="a"}': "1x4 0x40",
            'extsync_leader{namespace="extsync",lease="extsync-default",instance="b"}': "0x44",
        },
        at="3m",
        severity="critical",
        fires=(
            {"namespace": "extsync", "lease": "extsync-default"},
            "no replica of extsync holds the Lease extsync-default",
        ),
    ),
    Case(
        "ExtsyncNoLeader",
        "one hands over to the other",
        {
            'extsync_leader{namespace="extsync",lease="extsync-default",instance="a"}': "1x8 0x40",
            'extsync_leader{namespace="extsync",lease="extsync-default",instance="b"}': "0x10 1x40",
        },
        at="2m30s",
    ),
    Case("ExtsyncNoLeader", "there is no leader election", {BUILD: "1x60"}, at="10m"),
    Case(
        "ExtsyncWritesFailing",
        "each write is refused",
        {ERRORS % ("update", "EndpointSlice", "403"): "0+1x80"},
        at="10m",
        severity="critical",
        fires=(
            {"instance": "a", "verb": "update", "kind": "EndpointSlice", "code": "403"},
            "a: the API server refuses to update EndpointSlice (403)",
        ),
    ),
    Case(
        "ExtsyncWritesFailing",
        "conflicts, a failed read, and events that are refused",
        {
            ERRORS % ("update", "EndpointSlice", "409"): "0+1x80",
            ERRORS % ("list", "EndpointSlice", "500"): "0+1x80",
            ERRORS % ("create", "Event", "403"): "0+1x80",
        },
        at="20m",
    ),
    Case(
        "ExtsyncWritesFailing",
        "an outage of a minute",
        {ERRORS % ("update", "EndpointSlice", "unavailable"): "0+5x4 20x100"},
        at="3m30s",
    ),
    Case(
        "ExtsyncWritesFailing",
        "it is over",
        {ERRORS % ("update", "EndpointSlice", "unavailable"): "0+1x40 40x100"},
        at="15m",
    ),
    Case(
        "ExtsyncQueueStuck",
        "a service is not looked at",
        {'extsync_queue_age_seconds{instance="a"}': "0+15x40"},
        at="10m",
        fires=({"instance": "a"}, "a: a service has waited for 10m 0s to be looked at"),
    ),
    Case("ExtsyncQueueStuck", "a burst", {'extsync_queue_age_seconds{instance="a"}': "0 300x4 0x40"}, at="1m"),
    # ---- sources and the guard
    Case(
        "ExtsyncSourceStale",
        "the latest report failed",
        _of("1x60", "0x60", {SOURCE.replace("%s", "stale", 1): ("1x60", "0x60")}),
        at="11m",
        fires=_STALE,
    ),
    Case(
        "ExtsyncSourceStale",
        "it has never answered",
        _of(
            "1x60",
            "0x60",
            {SOURCE.replace("%s", "stale", 1): ("0x60", "0x60"), SOURCE.replace("%s", "backends", 1): ("0x60", "0x60")},
        ),
        at="11m",
        fires=_STALE,
    ),
    Case(
        "ExtsyncSourceStale",
        "it has nothing and answers",
        _of(
            "1x60",
            "0x60",
            {
                SOURCE.replace("%s", "stale", 1): ("0x60", "0x60"),
                SOURCE.replace("%s", "backends", 1): ("0x60", "0x60"),
                SOURCE.replace("%s", "age_seconds", 1): ("5x60", "5x60"),
            },
        ),
        at="12m",
    ),
    Case(
        "ExtsyncSourceStale",
        "it answers, and failed once",
        _of(
            "1x60",
            "0x60",
            {
                SOURCE.replace("%s", "stale", 1): ("0x10 1x4 0x50", "0x60"),
                SOURCE.replace("%s", "backends", 1): ("3x60", "3x60"),
                SOURCE.replace("%s", "age_seconds", 1): ("5x60", "5x60"),
            },
        ),
        at="3m30s",
    ),
    Case(
        "ExtsyncSourceStale",
        "it fails for a standby alone",
        _of("1x60", "0x60", {SOURCE.replace("%s", "stale", 1): ("0x60", "1x60")}),
        at="12m",
    ),
    Case(
        "ExtsyncRemovalSuppressed",
        "the guard withholds eight",
        _of(
            "1x60",
            "0x60",
            {LEADS.replace("service_leads", "service_suppressed_removals"): ("0x8 8x52", "0x60")},
        ),
        at="5m",
        fires=(SERVICE, "the removal of 8 endpoints of shop/orders is withheld"),
    ),
    Case(
        "ExtsyncRemovalSuppressed",
        "nothing is withheld by who writes",
        _of("1x60", "0x60", {LEADS.replace("service_leads", "service_suppressed_removals"): ("0x60", "8x60")}),
        at="5m",
    ),
    Case(
        "ExtsyncRemovalSuppressed",
        "it is withheld for half a minute",
        _of(
            "1x60",
            "0x60",
            {LEADS.replace("service_leads", "service_suppressed_removals"): ("0x8 8x2 0x40", "0x60")},
        ),
        at="2m30s",
    ),
    Case(
        "ExtsyncAnotherWriter",
        "somebody else was seen to write",
        _of("1x60", "0x60", {LEADS.replace("service_leads", "service_another_writer"): ("0x8 1x52", "0x60")}),
        at="5m",
        fires=(SERVICE, "another extsync writes shop/orders as well"),
    ),
    Case(
        "ExtsyncAnotherWriter",
        "nobody else writes",
        _of("1x60", "0x60", {LEADS.replace("service_leads", "service_another_writer"): ("0x60", "0x60")}),
        at="5m",
    ),
    Case(
        "ExtsyncAnotherWriter",
        "it is said for half a minute",
        _of("1x60", "0x60", {LEADS.replace("service_leads", "service_another_writer"): ("0x8 1x2 0x50", "0x60")}),
        at="2m30s",
    ),
    # ---- the prober
    Case(
        "ExtsyncProberIsolated",
        "it is cut off",
        {'extsync_prober_isolated{instance="a"}': "0x4 1x40", 'extsync_prober_isolated{instance="b"}': "0x44"},
        at="3m",
        severity="critical",
        fires=({"instance": "a"}, "a takes itself to be cut off"),
    ),
    Case(
        "ExtsyncProberIsolated", "for a moment", {'extsync_prober_isolated{instance="a"}': "0x4 1x2 0x40"}, at="1m45s"
    ),
    Case(
        "ExtsyncProbesStale",
        "probes are not made",
        {'extsync_probe_stale_targets{instance="a"}': "7x60"},
        at="11m",
        fires=({"instance": "a"}, "a: 7 endpoints have not been probed for long"),
    ),
    Case(
        "ExtsyncProbesStale", "a moment of load", {'extsync_probe_stale_targets{instance="a"}': "0x4 7x4 0x50"}, at="2m"
    ),
)
