"""The cluster's own addresses, read from a real API server with the rights that deploy/ ships, are not published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.extsync_command import Cluster, Running, extsync, manifest, write
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for

GOOD, NODE, POD = "198.51.100.1", "203.0.113.77", "100.64.9.9"


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    return Cluster(control_plane.kubectl, namespace)


class Nodes:
    """A node that comes and goes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._name = f"node-of-{cluster.namespace}"

    def join(self) -> None:
        node: dict[str, Any] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._name}}
        node["spec"] = {"podCIDR": "100.64.9.0/24", "podCIDRs": ["100.64.9.0/24"]}
        self._cluster.kubectl("apply", "-f", "-", stdin=json.dumps(node))
        status = {"status": {"addresses": [{"type": "InternalIP", "address": NODE}]}}
        self._cluster.kubectl(
            "patch", "node", self._name, "--subresource=status", "--type=merge", "-p", json.dumps(status)
        )

    def leave(self) -> None:
        self._cluster.kubectl("delete", "node", self._name, "--ignore-not-found")


@pytest.fixture
def nodes(cluster: Cluster) -> Iterator[Nodes]:
    made = Nodes(cluster)
    yield made
    made.leave()


def service_address(cluster: Cluster) -> str:
    """The address of the Service of the API server itself, which a ServiceCIDR has."""
    return cluster.kubectl("get", "service", "kubernetes", "--namespace=default", "-o", "jsonpath={.spec.clusterIP}")


def denials(cluster: Cluster) -> str:
    listed = json.loads(cluster.kubectl("get", "events", "-o", "json"))["items"]
    return "\n".join(event["message"] for event in listed if event["reason"] == "AddressDenied")


def test_addresses_of_services_pods_and_nodes_are_set_aside_with_an_event_and_the_others_are_published(
    cluster: Cluster, nodes: Nodes, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    nodes.join()
    service = service_address(cluster)
    backends = [{"address": address} for address in (GOOD, service, POD, NODE)]
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, backends))
    with Running("-f", path, kubeconfig=extsync_kubeconfig, log=tmp_path / "run.log"):
        wait_for(lambda: cluster.ready() == {GOOD: True}, "the one that is allowed")
        wait_for(lambda: denials(cluster).count("source 'rack'") == 3, "an event that names the three others")
        wait_for(lambda: cluster.split() == ({GOOD}, set()), "Endpoints with that one alone")
        told = denials(cluster)
        assert f"{service}: {service} is in " in told
        assert "a Service network of the cluster" in told
        assert f"{POD} is in 100.64.9.0/24, a pod network of the cluster" in told
        assert f"{NODE} is in {NODE}/32, an address of a node of the cluster" in told
        nodes.leave()
        wait_for(lambda: cluster.ready() == dict.fromkeys((GOOD, POD, NODE), True), "what is the cluster's no longer")
    assert "are not denied but for" not in (tmp_path / "run.log").read_text()


def test_an_operator_allows_one_address_and_a_pass_says_what_it_set_aside(
    cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    service = service_address(cluster)
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, [{"address": GOOD}, {"address": service}]))
    done = extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig)
    assert done.returncode == 0, done.stderr
    assert f"{service} is set aside: {service} is in " in done.stderr
    assert cluster.ready() == {GOOD: True}
    settings = write(tmp_path / "settings.yaml", {"allowedCidrs": ["0.0.0.0/0", "::/0", f"{service}/32"]})
    done = extsync("apply", "--config", settings, "-f", path, kubeconfig=extsync_kubeconfig)
    assert done.returncode == 0, done.stderr
    assert cluster.ready() == dict.fromkeys((GOOD, service), True)


def test_without_the_rights_one_line_says_what_is_not_denied(
    cluster: Cluster, guest_kubeconfig: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, [{"address": GOOD}]))
    log = tmp_path / "run.log"
    with Running("-f", path, kubeconfig=guest_kubeconfig, log=log):
        wait_for(lambda: log.read_text().count("are not denied but for those that") == 2, "both lines")
    told = log.read_text()
    assert (
        "addresses of pods and nodes are not denied but for those that podCidrs and nodeCidrs of the settings" in told
    )
    assert "addresses of Services are not denied but for those that serviceCidrs of the settings name" in told
