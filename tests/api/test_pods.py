"""The source ``pods`` against a real API server: pods and machines in one Endpoints object.

No kubelet runs here: the tests say themselves what a kubelet would of each pod, through its subresource ``status``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api.extsync_command import Cluster, Running, extsync, manifest, write
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for

EXAMPLE = Path(__file__).parents[2] / "config" / "manifests" / "hybrid-pods.yaml"
MACHINE = "198.51.100.1"
SOURCES: list[dict[str, Any]] = [
    {"name": "pods", "pods": {"selector": {"matchLabels": {"app": "orders"}}}},
    {"name": "machines", "static": {"backends": [{"address": MACHINE}]}},
]


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    return Cluster(control_plane.kubectl, namespace)


@pytest.fixture
def node(cluster: Cluster) -> Iterator[str]:
    """The name of a node of the test's own, in zone dc-1a."""
    name = f"node-{cluster.namespace}"
    labels = {"topology.kubernetes.io/zone": "dc-1a"}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(_object("Node", name, labels=labels)))
    yield name
    cluster.kubectl("delete", "node", name)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Running]:
    def start(*arguments: str | Path, kubeconfig: Path) -> Running:
        return Running(*arguments, kubeconfig=kubeconfig, log=tmp_path / "run.log")

    return start


def _object(kind: str, name: str, *, labels: dict[str, str], **content: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels}, **content}


def start_pod(
    cluster: Cluster, name: str, node: str, *ips: str, ready: bool = True, labels: dict[str, str] | None = None
) -> str:
    """Creates a pod, by default of ``orders``, as it runs on ``node`` with these addresses; returns its uid."""
    spec = {"nodeName": node, "hostname": name, "containers": [{"name": "main", "image": "none"}]}
    body = json.dumps(_object("Pod", name, labels=labels or {"app": "orders"}, spec=spec))
    uid = cluster.kubectl("create", "-f", "-", "-o", "jsonpath={.metadata.uid}", stdin=body)
    set_status(cluster, name, *ips, ready=ready)
    return uid


def set_status(cluster: Cluster, name: str, *ips: str, ready: bool = True, phase: str = "Running") -> None:
    status = {
        "phase": phase,
        "podIP": ips[0],
        "podIPs": [{"ip": ip} for ip in ips],
        "conditions": [{"type": "Ready", "status": str(ready)}],
    }
    patch = json.dumps({"status": status})
    cluster.kubectl("patch", "pod", name, "--subresource=status", "--type=merge", "-p", patch)


def hybrid(namespace: str, **spec: Any) -> dict[str, Any]:
    return manifest(namespace, [], **{"sources": SOURCES, "publish": ["Endpoints"], **spec})


def settings(tmp_path: Path, namespace: str) -> Path:
    """Settings for somebody who has rights in one namespace only."""
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump({"namespaces": [namespace]}))
    return path


def test_one_endpoints_object_holds_pods_and_machines_and_follows_the_pods(
    cluster: Cluster, node: str, run: Callable[..., Running], extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    uid = start_pod(cluster, "orders-0", node, "192.0.2.1")
    start_pod(cluster, "orders-1", node, "192.0.2.2", ready=False)
    path = write(tmp_path / "m.yaml", hybrid(cluster.namespace))
    with run("-f", path, kubeconfig=extsync_kubeconfig):
        wait_for(lambda: cluster.split() == ({"192.0.2.1", MACHINE}, {"192.0.2.2"}), "pods and the machine")
        [subset] = (cluster.endpoints() or {})["subsets"]
        [of_pod] = [address for address in subset["addresses"] if address["ip"] == "192.0.2.1"]
        assert of_pod == {
            "ip": "192.0.2.1",
            "hostname": "orders-0",
            "nodeName": node,
            "targetRef": {"kind": "Pod", "namespace": cluster.namespace, "name": "orders-0", "uid": uid},
        }
        # What kube-proxy reads is Kubernetes's own mirror of the object.
        wait_for(lambda: cluster.ready() == {"192.0.2.1": True, MACHINE: True, "192.0.2.2": False}, "mirrored slice")

        set_status(cluster, "orders-1", "192.0.2.2")
        wait_for(lambda: cluster.split() == ({"192.0.2.1", "192.0.2.2", MACHINE}, set()), "pod that became ready")
        set_status(cluster, "orders-0", "192.0.2.1", ready=False)
        wait_for(lambda: cluster.split() == ({"192.0.2.2", MACHINE}, {"192.0.2.1"}), "pod that is ready no more")
        start_pod(cluster, "orders-2", node, "192.0.2.3")
        wait_for(lambda: "192.0.2.3" in cluster.split()[0], "new pod")
        cluster.kubectl("label", "pod", "orders-2", "app-")
        wait_for(lambda: "192.0.2.3" not in cluster.split()[0], "pod without the label gone")
        set_status(cluster, "orders-0", "192.0.2.1", ready=False, phase="Failed")
        wait_for(lambda: cluster.split() == ({"192.0.2.2", MACHINE}, set()), "pod that ended gone")


def test_a_pod_that_is_deleted_drains_and_then_leaves(
    cluster: Cluster, node: str, run: Callable[..., Running], extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    start_pod(cluster, "orders-0", node, "192.0.2.1", "2001:db8::1")
    path = write(tmp_path / "m.yaml", hybrid(cluster.namespace, publish=["EndpointSlice"]))

    def conditions() -> dict[str, tuple[bool, ...]]:
        words = ("ready", "serving", "terminating")
        return {
            endpoint["addresses"][0]: tuple(endpoint["conditions"][word] for word in words)
            for slice_ in cluster.slices()
            for endpoint in slice_["endpoints"] or ()
        }

    up, draining = (True, True, False), (False, True, True)
    with run("-f", path, kubeconfig=extsync_kubeconfig):
        # The Service has IPv4 only: the other address is set aside.
        wait_for(lambda: conditions() == {"192.0.2.1": up, MACHINE: up}, "pod and machine")
        [of_pod] = [e for s in cluster.slices() for e in s["endpoints"] if e["addresses"] == ["192.0.2.1"]]
        assert (of_pod["zone"], of_pod["nodeName"]) == ("dc-1a", node)
        cluster.kubectl("label", "node", node, "topology.kubernetes.io/zone=dc-1b", "--overwrite")
        wait_for(lambda: "dc-1b" in json.dumps(cluster.slices()), "zone of the moved node")
        cluster.kubectl("delete", "pod", "orders-0", "--wait=false")
        wait_for(lambda: conditions() == {"192.0.2.1": draining, MACHINE: up}, "draining pod")
        start_pod(cluster, "orders-1", node, "192.0.2.2")
        cluster.kubectl("delete", "pod", "orders-0", "--force", "--grace-period=0")
        wait_for(lambda: conditions() == {"192.0.2.2": up, MACHINE: up}, "new pod in place of the old one")


def test_the_last_pod_leaves_after_the_hold_of_an_empty_answer(
    cluster: Cluster, node: str, run: Callable[..., Running], extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    start_pod(cluster, "orders-0", node, "192.0.2.1")
    sources = [{**SOURCES[0], "hold": {"nodata": "1s"}}, SOURCES[1]]
    path = write(tmp_path / "m.yaml", hybrid(cluster.namespace, sources=sources))
    with run("-f", path, kubeconfig=extsync_kubeconfig):
        wait_for(lambda: cluster.split() == ({"192.0.2.1", MACHINE}, set()), "pod and machine")
        cluster.kubectl("delete", "pod", "orders-0", "--force", "--grace-period=0")
        wait_for(lambda: cluster.split() == ({MACHINE}, set()), "machine alone")


def test_without_the_right_to_read_pods_nothing_is_removed_until_it_is_given(
    control_plane: ControlPlane,
    cluster: Cluster,
    node: str,
    run: Callable[..., Running],
    extsync_kubeconfig: Path,
    guest_kubeconfig: Path,
    tmp_path: Path,
) -> None:
    start_pod(cluster, "orders-0", node, "192.0.2.1")
    path = write(tmp_path / "m.yaml", hybrid(cluster.namespace))
    applied = extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig)
    assert applied.returncode == 0, applied.stderr
    shipped = json.loads(control_plane.kubectl("get", "clusterrole", "shipped", "-o", "json"))
    rules = [rule for rule in shipped["rules"] if "pods" not in rule["resources"]]
    assert len(rules) == len(shipped["rules"]) - 1
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "less"}, "rules": rules}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(role))
    cluster.kubectl("create", "rolebinding", "less", "--role=less", "--user=guest")
    limits = settings(tmp_path, cluster.namespace)

    applied = extsync("apply", "-f", path, "--config", limits, kubeconfig=guest_kubeconfig)
    assert applied.returncode == 1
    assert f"source 'pods': pods app=orders in namespace '{cluster.namespace}' cannot be read: " in applied.stderr
    assert 'User "guest" cannot watch resource "pods"' in applied.stderr
    assert (
        "deploy/kustomize/base/clusterrole.yaml has the rights that extsync needs; nothing was written"
        in applied.stderr
    )

    set_status(cluster, "orders-0", "192.0.2.9")
    with run("-f", path, "--config", limits, kubeconfig=guest_kubeconfig):
        wait_for(lambda: "cannot be read" in (tmp_path / "run.log").read_text(), "word of the missing right")
        assert cluster.split() == ({"192.0.2.1", MACHINE}, set())
        # A RoleBinding gives no right to nodes: the pod is published all the same.
        cluster.kubectl("create", "rolebinding", "more", "--clusterrole=shipped", "--user=guest")
        wait_for(lambda: cluster.split() == ({"192.0.2.9", MACHINE}, set()), "pod as it is now", seconds=45)


def test_the_example_takes_all_its_pods_but_canaries_and_then_diff_says_nothing(
    cluster: Cluster, node: str, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    start_pod(cluster, "a", node, "198.51.100.10", labels={"app": "catalog"})
    start_pod(cluster, "b", node, "198.51.100.11", labels={"app": "catalog", "track": "stable"}, ready=False)
    start_pod(cluster, "c", node, "198.51.100.12", labels={"app": "catalog", "track": "canary"})
    document = yaml.safe_load(EXAMPLE.read_text())
    document["metadata"]["namespace"] = cluster.namespace
    path = write(tmp_path / "m.yaml", document)
    applied = extsync("apply", "-f", path, "--no-probe", kubeconfig=extsync_kubeconfig)
    assert applied.returncode == 0, applied.stderr
    assert cluster.split("catalog") == ({"198.51.100.10", "192.0.2.95", "192.0.2.96"}, {"198.51.100.11"})
    differences = extsync("diff", "-f", path, "--no-probe", kubeconfig=extsync_kubeconfig)
    assert (differences.returncode, differences.stdout) == (0, ""), differences.stderr
