"""kube-proxy: whether it runs everywhere, in which mode, and what of its configuration delays changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from extsync.doctor.facts import ClusterFacts, Unread
from extsync.doctor.findings import CLUSTER, Finding, Findings, kubectl
from extsync.doctor.kinds import DaemonSet

THEME: Final = "kube-proxy"

MODES: Final = ("iptables", "ipvs", "nftables", "kernelspace")
"""Those that there are; "" means the platform's default, iptables on Linux."""


def check_cluster(cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about kube-proxy."""
    yield from _daemon(cluster.proxy.daemon)
    yield from _configuration(cluster)


def _daemon(daemon: DaemonSet | Unread | None) -> Iterator[Finding]:
    say = Findings(THEME, CLUSTER, kubectl("get", "daemonset", "kube-proxy", namespace="kube-system"))
    if isinstance(daemon, Unread):
        yield say.info("ProxyUnread", f"whether kube-proxy runs cannot be seen: {daemon.why}")
    elif daemon is None:
        yield say.info(
            "ProxyNotFound",
            "there is no DaemonSet kube-proxy in kube-system: it runs otherwise, or another program does its work",
            cure="see the documentation of the network plugin (Cilium, kube-router, Antrea replace kube-proxy)",
        )
    else:
        ready, wanted = daemon.status.number_ready, daemon.status.desired_number_scheduled
        if ready < wanted:
            yield say.warning(
                "ProxyNotEverywhere",
                f"kube-proxy is ready on {ready} of {wanted} nodes: the others keep old endpoints",
                cure="kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide",
            )
        else:
            yield say.ok("ProxyRuns", f"kube-proxy is ready on {ready} of {wanted} nodes")


def _configuration(cluster: ClusterFacts) -> Iterator[Finding]:
    read = cluster.proxy.configuration
    say = Findings(THEME, CLUSTER, kubectl("get", "configmap", "kube-proxy", "-o", "yaml", namespace="kube-system"))
    if isinstance(read, Unread):
        yield say.info(
            "ProxyConfigUnread",
            f"the configuration of kube-proxy cannot be read: {read.why}",
            cure="allow get of configmaps in kube-system; or on a node: curl http://127.0.0.1:10249/proxyMode",
        )
        return
    if read is None:
        if isinstance(cluster.proxy.daemon, DaemonSet):
            yield say.info("ProxyConfigNotFound", "kube-proxy has no ConfigMap with its configuration")
        return
    mode = str(read.get("mode") or "")
    if mode and mode not in MODES:
        yield say.error(
            "ProxyModeUnknown",
            f"kube-proxy has the mode {mode!r}, which there is not (any more)",
            cure=f"one of {', '.join(MODES)}",
        )
    elif mode == "ipvs":
        yield say.info(
            "ProxyModeIpvs", "kube-proxy has the mode ipvs, which Kubernetes is giving up", cure="go over to nftables"
        )
    else:
        yield say.ok("ProxyMode", f"kube-proxy has the mode {mode or 'iptables (default)'}")
    yield from _sync_period(say, read, mode or "iptables")


def _sync_period(say: Findings, read: Mapping[str, object], mode: str) -> Iterator[Finding]:
    """minSyncPeriod gathers changes: each waits up to that long on each node."""
    of_mode = read.get(mode)
    period = str(of_mode.get("minSyncPeriod") or "") if isinstance(of_mode, Mapping) else ""
    if _seconds(period) > 5.0:
        yield say.warning(
            "ProxySyncPeriod",
            f"kube-proxy gathers changes for minSyncPeriod {period}: endpoints are that late",
            cure="1s is the default",
        )


def _seconds(period: str) -> float:
    """A duration of Go in seconds, as far as kube-proxy's are written ("1s", "1m30s"); 0 for anything else."""
    total, number = 0.0, ""
    for char in period:
        if char.isdigit() or char == ".":
            number += char
            continue
        if char not in _UNITS or not number.replace(".", "", 1).isdigit():
            return 0.0
        total, number = total + float(number) * _UNITS[char], ""
    return total


_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0}
