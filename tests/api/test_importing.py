"""``extsync import`` from a real API server, and what becomes of hand-written objects that are then taken over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from tests.api.extsync_command import Cluster, extsync
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for

A, B, C, D = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"
MIRROR = "endpointslicemirroring-controller.k8s.io"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
Shown: TypeAlias = set[tuple[str, str, int, bool]]
"""Address, name and number of the port, and whether it is ready: what kube-proxy makes of all slices of a Service."""

SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "orders", "labels": {"app": "orders"}},
    "spec": {"ports": [{"name": "mysql", "port": 3306}, {"name": "metrics", "port": 9104}]},
}
ENDPOINTS = {
    "apiVersion": "v1",
    "kind": "Endpoints",
    "metadata": {"name": "orders", "labels": {"team": "data"}, "annotations": {"description": "Orders"}},
    "subsets": [
        {
            "addresses": [{"ip": A, "hostname": "db-1", "nodeName": "edge-1"}, {"ip": B}],
            "notReadyAddresses": [{"ip": C}],
            "ports": [{"name": "metrics", "port": 9104}, {"name": "mysql", "port": 3306}],
        },
        {"addresses": [{"ip": D}], "ports": [{"name": "metrics", "port": 9104}, {"name": "mysql", "port": 3307}]},
    ],
}
SLICE = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {
        "name": "orders-by-hand",
        "labels": {"kubernetes.io/service-name": "orders", MANAGED_BY: "cluster-admins"},
    },
    "addressType": "IPv4",
    "ports": [{"name": "mysql", "port": 3306}, {"name": "metrics", "port": 9104}],
    "endpoints": [
        {"addresses": [A], "hostname": "db-1", "zone": "dc-1a", "conditions": {"ready": True}},
        {"addresses": [B]},
        {"addresses": [C], "conditions": {"ready": False, "serving": True, "terminating": True}},
    ],
}


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    return Cluster(control_plane.kubectl, namespace)


def written(cluster: Cluster, *objects: dict[str, Any]) -> None:
    cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all([SERVICE, *objects]))


def shown(slices: list[dict[str, Any]]) -> Shown:
    return {
        (endpoint["addresses"][0], port["name"], port["port"], endpoint["conditions"].get("ready", True))
        for slice_ in slices
        for endpoint in slice_["endpoints"] or ()
        for port in slice_["ports"]
    }


@contextmanager
def looking(control_plane: ControlPlane, namespace: str) -> Iterator[list[Shown]]:
    """Lists the slices of the namespace again and again; each time that something else is shown it is noted."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    seen: list[Shown] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            now = shown(control_plane.request("GET", path)["items"])
            if not seen or seen[-1] != now:
                seen.append(now)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(timeout=30)


def imported(cluster: Cluster, kubeconfig: Path, path: Path) -> Path:
    done = extsync("import", "endpoints/orders", "-n", cluster.namespace, kubeconfig=kubeconfig)
    assert (done.returncode, done.stderr) == (0, "")
    path.write_text(done.stdout)
    return path


def apply_until_quiet(path: Path, kubeconfig: Path) -> None:
    said = ""
    for _ in range(4):
        done = extsync("apply", "-f", path, kubeconfig=kubeconfig)
        assert done.returncode == 0, done.stderr
        if "nothing to do" in done.stdout:
            return
        said += done.stdout
    raise AssertionError(said)


def test_endpoints_are_taken_over_by_their_marks_alone(
    control_plane: ControlPlane, cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    written(cluster, ENDPOINTS)
    wait_for(lambda: len(shown(cluster.slices())) == 8, "slices made by the mirror")
    before, subsets = shown(cluster.slices()), (cluster.endpoints() or {})["subsets"]
    path = imported(cluster, extsync_kubeconfig, tmp_path / "orders.yaml")
    differences = extsync("diff", "-f", path, kubeconfig=extsync_kubeconfig)
    lines = [line for line in differences.stdout.splitlines() if not line.startswith(("---", "+++"))]
    assert differences.returncode == 1
    assert [line for line in lines if line.startswith("-")] == []
    added = {line[1:].strip(" -").partition(":")[0] for line in lines if line.startswith("+")}
    assert added <= {
        *("app", "extsync.dev/owner", "extsync.dev/annotations", "ownerReferences"),
        *("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"),
    }
    with looking(control_plane, cluster.namespace) as seen:
        apply_until_quiet(path, extsync_kubeconfig)
        wait_for(
            lambda: all("extsync.dev/owner" in one["metadata"]["labels"] for one in cluster.slices()),
            "the mirror has copied the new labels",
        )
    assert seen == [before]
    assert (cluster.endpoints() or {})["subsets"] == subsets
    assert {one["metadata"]["labels"][MANAGED_BY] for one in cluster.slices()} == {MIRROR}


def test_slices_by_hand_are_replaced_without_a_moment_in_which_an_endpoint_is_missing(
    control_plane: ControlPlane, cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    written(cluster, SLICE)
    before = shown(cluster.slices())
    path = imported(cluster, extsync_kubeconfig, tmp_path / "orders.yaml")
    with looking(control_plane, cluster.namespace) as seen:
        apply_until_quiet(path, extsync_kubeconfig)
    assert seen == [before]
    [ours] = cluster.slices()
    assert ours["metadata"]["labels"][MANAGED_BY] == "extsync.dev"
    assert [(e["addresses"], e.get("hostname"), e.get("zone")) for e in ours["endpoints"]] == [
        ([A], "db-1", "dc-1a"),
        ([B], None, None),
        ([C], None, None),
    ]
    assert ours["endpoints"][2]["conditions"] == {"ready": False, "serving": True, "terminating": True}
    assert cluster.endpoints() is None


def test_both_are_taken_over_together(
    control_plane: ControlPlane, cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    endpoints = {**ENDPOINTS, "subsets": ENDPOINTS["subsets"][:1]}  # type: ignore[index]
    written(cluster, endpoints, SLICE)
    wait_for(lambda: len(cluster.slices()) == 2, "slice made by the mirror")
    before = shown(cluster.slices())
    path = imported(cluster, extsync_kubeconfig, tmp_path / "orders.yaml")
    with looking(control_plane, cluster.namespace) as seen:
        apply_until_quiet(path, extsync_kubeconfig)
        wait_for(lambda: len(cluster.slices()) == 1, "the mirror has taken its slice away")
    assert seen == [before]
    assert cluster.split() == ({A, B}, {C})


def test_what_nobody_wrote_by_hand_is_refused_and_passed_over(cluster: Cluster, extsync_kubeconfig: Path) -> None:
    pods = {**SERVICE, "metadata": {"name": "pods"}, "spec": {"ports": [{"port": 80}], "selector": {"app": "a"}}}
    written(cluster, ENDPOINTS, pods)
    wait_for(lambda: cluster.endpoints("pods"), "Endpoints made by Kubernetes")
    refused = extsync("import", "ep/pods", "-n", cluster.namespace, kubeconfig=extsync_kubeconfig)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "it has a selector" in refused.stderr
    everything = extsync("import", "--all", "-n", cluster.namespace, kubeconfig=extsync_kubeconfig)
    assert everything.returncode == 0
    assert [one["metadata"]["name"] for one in yaml.safe_load_all(everything.stdout)] == ["orders"]
