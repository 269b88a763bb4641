"""All checks, in the order in which one would look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from extsync.doctor.checks import (
    addresses,
    balance,
    delay,
    dns,
    inside,
    keeping,
    owners,
    pods,
    ports,
    proxy,
    publication,
    rights,
    services,
    topology,
    versions,
)
from extsync.doctor.facts import ClusterFacts, ServiceFacts
from extsync.doctor.findings import CLUSTER, ORDER, Finding, Findings, kubectl

ServiceCheck: TypeAlias = Callable[[ServiceFacts, ClusterFacts], Iterator[Finding]]
ClusterCheck: TypeAlias = Callable[[ClusterFacts], Iterator[Finding]]

SERVICE_CHECKS: Final[tuple[ServiceCheck, ...]] = (
    services.check,
    publication.check,
    owners.check,
    keeping.check,
    ports.check,
    addresses.check,
    pods.check,
    topology.check,
    balance.check,
    delay.check,
    dns.check,
    inside.check,
)
CLUSTER_CHECKS: Final[tuple[ClusterCheck, ...]] = (
    services.check_cluster,
    keeping.check_running,
    delay.check_running,
    proxy.check_cluster,
    dns.check_cluster,
    rights.check_cluster,
    versions.check_cluster,
)


def examine(cluster: ClusterFacts, of_services: Iterable[ServiceFacts]) -> list[Finding]:
    """All findings, the worst first; findings of the same severity in the order of the checks."""
    if cluster.unreachable:
        return [
            Findings("connection", CLUSTER, kubectl("cluster-info")).error(
                "ApiUnreachable",
                f"the API server cannot be asked: {cluster.unreachable}",
                evidence=(cluster.server,),
                cure="is it the right context (--context, --kubeconfig), is the login valid, and does the server run?",
            )
        ]
    found = [finding for facts in of_services for check in SERVICE_CHECKS for finding in check(facts, cluster)]
    found += [finding for check in CLUSTER_CHECKS for finding in check(cluster)]
    return sorted(found, key=lambda finding: ORDER.index(finding.severity))
