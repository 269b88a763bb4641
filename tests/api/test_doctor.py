"""``extsync doctor`` against a real API server: set-ups that are broken in one way each, and one that is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api.extsync_command import Cluster, Running, extsync, manifest, write
from tests.cluster.control_plane import ControlPlane
from tests.cluster.processes import free_ports
from tests.cluster.rest import is_ok
from tests.cluster.waiting import wait_for

A, B = "192.0.2.1", "192.0.2.2"
SYSTEM = """
apiVersion: v1
kind: Node
metadata: {name: old}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kube-proxy, namespace: kube-system}
data:
  config.conf: |
    apiVersion: kubeproxy.config.k8s.io/v1alpha1
    kind: KubeProxyConfiguration
    mode: userspace
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kube-proxy, namespace: kube-system}
spec:
  selector: {matchLabels: {k8s-app: kube-proxy}}
  template:
    metadata: {labels: {k8s-app: kube-proxy}}
    spec: {containers: [{name: kube-proxy, image: "registry.example:5000/kube-proxy:v1.29.0"}]}
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {selector: {k8s-app: kube-dns}, ports: [{name: dns, port: 53, protocol: UDP}]}
"""
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SERVICE_NAME = "kubernetes.io/service-name"


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    return Cluster(control_plane.kubectl, namespace)


@pytest.fixture
def applied(cluster: Cluster, kubeconfig: Path, tmp_path: Path) -> Cluster:
    """A Service that extsync has written, with slices alone, and that is in order."""
    apply(cluster, kubeconfig, tmp_path / "orders.yaml", publish=["EndpointSlice"])
    return cluster


def apply(cluster: Cluster, kubeconfig: Path, path: Path, **spec: Any) -> None:
    backends = [{"address": A, "zone": "a"}, {"address": B, "zone": "b"}]
    write(path, manifest(cluster.namespace, backends, ports=[{"name": "sql", "port": 3306}], **spec))
    assert extsync("apply", "-f", path, kubeconfig=kubeconfig).returncode == 0


def create(cluster: Cluster, *objects: dict[str, Any]) -> None:
    cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(objects))


def service(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "orders"},
        "spec": {"ports": [{"name": "sql", "port": 3306}], **spec},
    }


def slice_of(*addresses: str, name: str = "orders-by-hand", port: str = "sql", **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": labels or {SERVICE_NAME: "orders", MANAGED_BY: "staff"}},
        "addressType": "IPv4",
        "ports": [{"name": port, "port": 3306}],
        "endpoints": [{"addresses": [one], "conditions": {"ready": True}} for one in addresses],
    }


def doctor(cluster: Cluster, kubeconfig: Path, *flags: str, status: int = 1) -> dict[str, dict[str, Any]]:
    """What doctor finds above the severity info, by code; its exit status is asserted."""
    done = extsync(
        *("doctor", f"{cluster.namespace}/orders", "--server", "none", "--no-probe", "-o", "json", *flags),
        kubeconfig=kubeconfig,
    )
    assert done.returncode == status, done.stdout + done.stderr
    found = json.loads(done.stdout)["findings"]
    for one in found:
        assert one["command"], one
        assert one["cure"] or one["severity"] in ("ok", "info"), one
    return {one["code"]: one for one in found if one["severity"] in ("error", "warning")}


def test_what_is_in_order_has_no_finding_above_info(cluster: Cluster, kubeconfig: Path, tmp_path: Path) -> None:
    apply(cluster, kubeconfig, tmp_path / "orders.yaml")
    assert doctor(cluster, kubeconfig, status=0) == {}


def test_a_port_of_another_name(cluster: Cluster, kubeconfig: Path) -> None:
    create(cluster, service(), slice_of(A, port="mysql"))
    found = doctor(cluster, kubeconfig)
    assert set(found) == {"PortNotServed", "PortWithoutService"}
    assert "sql/TCP" in found["PortNotServed"]["summary"]
    assert "orders-by-hand has mysql/TCP" in found["PortNotServed"]["evidence"][0]


def test_endpoints_by_hand_beside_slices(applied: Cluster, kubeconfig: Path) -> None:
    subset = {"addresses": [{"ip": A}], "notReadyAddresses": [{"ip": B}], "ports": [{"name": "sql", "port": 3306}]}
    create(applied, {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "orders"}, "subsets": [subset]})
    wait_for(lambda: len(applied.slices()) == 2, "slice made by the mirror")
    found = doctor(applied, kubeconfig)
    assert set(found) == {"PublishedTwice", "PublishedTwiceDiffering"}
    assert found["PublishedTwiceDiffering"]["evidence"][0].startswith(f"{B}:3306")
    assert "skip-mirror" in found["PublishedTwiceDiffering"]["cure"]


def test_a_selector_that_matches_no_pod(cluster: Cluster, kubeconfig: Path) -> None:
    create(cluster, service(selector={"app": "orders"}))
    wait_for(cluster.slices, "slice of the controller")
    found = doctor(cluster, kubeconfig)
    assert set(found) == {"SelectorMatchesNothing", "NoEndpoints"}
    assert found["SelectorMatchesNothing"]["evidence"] == ["selector app=orders"]


def test_a_slice_that_is_not_labelled_for_the_service(cluster: Cluster, kubeconfig: Path) -> None:
    create(cluster, service(), slice_of(A, **{SERVICE_NAME: "order"}))
    found = doctor(cluster, kubeconfig)
    assert set(found) == {"ServiceNameLabel", "NothingPublished"}
    cure = found["ServiceNameLabel"]["cure"].partition(";")[0].removeprefix("kubectl ")
    cluster.kubectl(*cure.split())
    assert doctor(cluster, kubeconfig, status=0) == {}


def test_an_address_of_the_cluster_itself(cluster: Cluster, kubeconfig: Path) -> None:
    create(cluster, service(), slice_of(A, "10.96.0.77", **{SERVICE_NAME: "orders"}))
    found = doctor(cluster, kubeconfig)
    assert set(found) == {"AddressDenied"}
    assert "10.96.0.77 is in 10.96.0.0/16, a Service network" in found["AddressDenied"]["evidence"][0]


def test_traffic_that_stays_on_a_node_and_endpoints_on_none(applied: Cluster, kubeconfig: Path) -> None:
    applied.kubectl("patch", "service", "orders", "-p", '{"spec": {"internalTrafficPolicy": "Local"}}')
    found = doctor(applied, kubeconfig)
    assert set(found) == {"LocalWithoutNode"}
    assert found["LocalWithoutNode"]["severity"] == "error"


def test_slices_that_nobody_keeps_any_more(cluster: Cluster, kubeconfig: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "orders.yaml", manifest(cluster.namespace, [{"address": A}]))
    settings = tmp_path / "settings.yaml"
    timing = {"leaseDuration": "3s", "renewDeadline": "2s", "retryPeriod": "500ms"}
    settings.write_text(yaml.safe_dump({"leaderElection": True, "leaseNamespace": cluster.namespace, **timing}))
    flags = ("-f", path, "--config", settings)
    with Running(*flags, kubeconfig=kubeconfig, log=tmp_path / "log") as running:
        wait_for(cluster.slices, "slice")
        assert doctor(cluster, kubeconfig, status=0) == {}
        running.kill()
    wait_for(lambda: lease_age(cluster) > 3, "end of the Lease")  # until then it may be held, and nothing is said
    found = doctor(cluster, kubeconfig)
    assert set(found) == {"NobodyKeeps"}
    assert f"Lease {cluster.namespace}/extsync-default" in found["NobodyKeeps"]["summary"]


def lease_age(cluster: Cluster) -> float:
    """Seconds since the leader's Lease was renewed."""
    renewed = json.loads(cluster.kubectl("get", "lease", "extsync-default", "-o", "json"))["spec"]["renewTime"]
    return (datetime.now(UTC) - datetime.fromisoformat(renewed)).total_seconds()


def test_a_running_extsync_tells_of_its_sources_and_its_queue(
    cluster: Cluster, kubeconfig: Path, tmp_path: Path
) -> None:
    [port] = free_ports(1)
    server = f"http://127.0.0.1:{port}"
    sources = [{"name": "rack", "file": {"files": [str(tmp_path / "not-there.yaml")]}}]
    path = write(tmp_path / "orders.yaml", manifest(cluster.namespace, [], sources=sources))
    with Running("-f", path, "--listen", f"127.0.0.1:{port}", kubeconfig=kubeconfig, log=tmp_path / "log"):
        wait_for(lambda: is_ok(f"{server}/readyz"), "extsync to be ready")
        found = wait_for(lambda: sources_and_queue(cluster, kubeconfig, server), "the source to be told of")
    assert "not-there.yaml" in found["SourceStale"]["evidence"][0]
    assert "heard" in found["QueueAndCache"]["summary"]


def sources_and_queue(cluster: Cluster, kubeconfig: Path, server: str) -> dict[str, Any] | None:
    flags = ("doctor", f"{cluster.namespace}/orders", "--server", server, "--no-probe", "-o", "json")
    findings = json.loads(extsync(*flags, kubeconfig=kubeconfig).stdout)["findings"]
    found = {one["code"]: one for one in findings}
    return found if "SourceStale" in found else None


@pytest.fixture
def node(control_plane: ControlPlane, namespace: str) -> Iterator[str]:
    """The name of a node without a kubelet: Kubernetes publishes no pod of a node that is not there."""
    name = f"node-of-{namespace}"
    control_plane.request("POST", "/api/v1/nodes", {"metadata": {"name": name}})
    yield name
    control_plane.kubectl("-n", namespace, "delete", "pods", "--all", "--force")  # no kubelet would let them go
    control_plane.request("DELETE", f"/api/v1/nodes/{name}")


def test_pods_that_serve_are_in_order_and_without_a_kubelet_none_can_be_looked_from(
    cluster: Cluster, kubeconfig: Path, node: str
) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db-0", "labels": {"app": "orders"}}}
    spec = {"nodeName": node, "containers": [{"name": "db", "image": "db", "ports": [{"containerPort": 3306}]}]}
    create(cluster, service(selector={"app": "orders"}), {**pod, "spec": spec})
    ready = {"phase": "Running", "podIP": A, "podIPs": [{"ip": A}], "conditions": [{"type": "Ready", "status": "True"}]}
    cluster.kubectl(
        *("patch", "pod", "db-0", "--subresource=status", "--type=merge", "-p", json.dumps({"status": ready}))
    )
    wait_for(lambda: cluster.ready().get(A), "the pod in a slice")
    done = extsync(
        *("doctor", f"{cluster.namespace}/orders", "--server", "none", "--no-probe", "--exec", "-o", "json"),
        kubeconfig=kubeconfig,
    )
    found = {one["code"]: one for one in json.loads(done.stdout)["findings"]}
    assert done.returncode == 0, done.stdout
    assert found["PodsReady"]["summary"].startswith("1 of 1 pods")
    assert "db-0: the server refused a websocket with HTTP " in found["InsideUntried"]["summary"]


def test_kube_proxy_dns_and_nodes_are_looked_at(
    control_plane: ControlPlane, applied: Cluster, kubeconfig: Path
) -> None:
    system = [yaml.safe_load(text) for text in SYSTEM.split("---")]
    try:
        control_plane.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(system))
        version = '{"status": {"nodeInfo": {"kubeletVersion": "v1.20.1"}}}'
        control_plane.kubectl("patch", "node", "old", "--subresource=status", "--type=merge", "-p", version)
        found = doctor(applied, kubeconfig)
    finally:
        control_plane.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all(system))
    assert set(found) == {"ProxyModeUnknown", "DnsDown", "VersionSkew"}
    assert found["VersionSkew"]["evidence"] == ["kubelet v1.20.1: old", "kube-proxy v1.29.0: DaemonSet kube-proxy"]


def test_who_may_do_nothing_is_told_so_and_nothing_breaks(applied: Cluster, guest_kubeconfig: Path) -> None:
    found = doctor(applied, guest_kubeconfig)
    assert set(found) == {"ServiceUnread", "SlicesUnread", "EndpointsUnread"}


def test_the_rights_that_a_service_account_lacks_are_named(
    control_plane: ControlPlane, applied: Cluster, kubeconfig: Path, extsync_kubeconfig: Path
) -> None:
    applied.kubectl("create", "serviceaccount", "keeper")
    account = f"{applied.namespace}:keeper"
    found = doctor(applied, kubeconfig, "--service-account", account)
    assert set(found) == {"AccountRightsMissing"}
    applied.kubectl(
        *("create", "rolebinding", "keeper", "--clusterrole=shipped", f"--serviceaccount={account}"),
    )
    leases = ("create", "role", "leases", "--resource=leases", "--verb=get,list,watch,create,update,delete")
    applied.kubectl(*leases)
    applied.kubectl("create", "rolebinding", "leases", "--role=leases", f"--serviceaccount={account}")
    assert doctor(applied, kubeconfig, "--service-account", account, status=0) == {}


def test_without_a_name_it_looks_at_all_that_extsync_keeps(applied: Cluster, kubeconfig: Path) -> None:
    done = extsync(*("doctor", "-n", applied.namespace, "--server", "none", "--no-probe", "-v"), kubeconfig=kubeconfig)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{applied.namespace}/orders: the Service exists" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("looked at 1 Service and the cluster")


def test_an_api_server_that_is_away_is_a_finding(applied: Cluster, tmp_path: Path) -> None:
    away = tmp_path / "away.kubeconfig"
    away.write_text(
        json.dumps(
            {
                "clusters": [{"name": "away", "cluster": {"server": "http://127.0.0.1:9"}}],
                "contexts": [{"name": "away", "context": {"cluster": "away", "user": "me"}}],
                "users": [{"name": "me", "user": {}}],
                "current-context": "away",
            }
        )
    )
    assert set(doctor(applied, away)) == {"ApiUnreachable"}
