"""Versions that do not go together (https://kubernetes.io/releases/version-skew-policy/)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from extsync.doctor.facts import ClusterFacts, Running, Unread
from extsync.doctor.findings import CLUSTER, Finding, Findings, kubectl, some
from extsync.doctor.kinds import DaemonSet

THEME: Final = "versions"

OLDEST: Final = (1, 21)
"""The first Kubernetes with discovery.k8s.io/v1."""

TESTED: Final = (1, 36)

MOST_BEHIND: Final = 3
"""Minor versions that kubelet and kube-proxy may be older than the API server."""

_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)")
_TAG: Final = re.compile(r":v?(\d+\.\d+[^@]*)")


def check_cluster(cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about versions of the API server, nodes, kube-proxy and extsync."""
    yield from _extsync(cluster)
    say = Findings(THEME, CLUSTER, kubectl("version"))
    if isinstance(cluster.version, Unread):
        yield say.info("VersionUnread", f"the version of the API server cannot be read: {cluster.version.why}")
        return
    server = minor_of(cluster.version)
    if server is None:
        yield say.info("VersionUnknown", f"the API server says that its version is {cluster.version!r}")
        return
    if server < OLDEST:
        yield say.error(
            "ServerTooOld",
            f"the API server is {cluster.version}: EndpointSlices as extsync writes them need 1.21",
            cure="upgrade the cluster",
        )
    elif server > TESTED:
        yield say.info(
            "ServerUntested",
            f"the API server is {cluster.version}; this extsync was tested with {TESTED[0]}.{TESTED[1]}",
        )
    yield from _skew(cluster, server)


def minor_of(version: str) -> tuple[int, int] | None:
    """Major and minor number of a version such as v1.36.3+k3s1."""
    found = _VERSION.match(version)
    return None if found is None else (int(found[1]), int(found[2]))


def _skew(cluster: ClusterFacts, server: tuple[int, int]) -> Iterator[Finding]:
    nodes = kubectl("get", "nodes", "-o", "wide")
    parts: defaultdict[str, list[str]] = defaultdict(list)
    if isinstance(cluster.nodes, tuple):
        for node in cluster.nodes:
            if not node.status.node_info.kubelet_version:
                continue  # of a node that has never reported
            parts[f"kubelet {node.status.node_info.kubelet_version}"].append(node.metadata.name)
    if isinstance(cluster.proxy.daemon, DaemonSet) and (image := _proxy_version(cluster.proxy.daemon)):
        parts[f"kube-proxy v{image}"].append("DaemonSet kube-proxy")
    wrong = []
    for part, where in parts.items():
        version = minor_of(part.partition(" ")[2])
        if version is not None and not server[1] - MOST_BEHIND <= version[1] <= server[1]:
            wrong.append(f"{part}: {some(where)}")
    if wrong:
        yield Findings(THEME, CLUSTER, nodes).warning(
            "VersionSkew",
            f"versions are not supported beside API server {cluster.version}: newer, or more than 3 minors older",
            evidence=wrong,
            cure="upgrade the API server first, then nodes and kube-proxy",
        )
    else:
        yield Findings(THEME, CLUSTER, nodes).ok("Versions", f"API server {cluster.version}", evidence=parts)


def _proxy_version(daemon: DaemonSet) -> str:
    for container in daemon.spec.template.spec.containers:
        if found := _TAG.search(container.image):
            return found[1]
    return ""


def _extsync(cluster: ClusterFacts) -> Iterator[Finding]:
    running = cluster.running
    if isinstance(running, Running) and running.version != cluster.client_version:
        yield Findings(THEME, CLUSTER, f"extsync status --server {running.place}").info(
            "ExtsyncVersions",
            f"this is extsync {cluster.client_version}, and the running one is {running.version}",
            cure="use the same version of the command",
        )
