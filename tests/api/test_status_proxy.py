"""``--via-cluster`` on a real API server, which passes requests on to whatever a Service's endpoints are."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.api.extsync_command import Running, extsync, manifest, write
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for


def own_address() -> str:
    """An address of this machine that is not loopback, to which the API server proxies; nothing is sent for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback, and the API server proxies to none of those")
        return str(probe.getsockname()[0])


def pod_at(control_plane: ControlPlane, namespace: str, address: str) -> None:
    """A pod as it is where a kubelet runs it: the API server proxies to addresses that pods have, and to no others."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "extsync-1", "namespace": namespace, "labels": {"app": "extsync"}},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "extsync", "image": "extsync", "ports": [{"containerPort": 9440}]}],
        },
    }
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    patch = json.dumps({"status": status})
    control_plane.kubectl(
        "-n", namespace, "patch", "pod", "extsync-1", "--subresource=status", "--type=merge", "-p", patch
    )


def test_status_and_explain_are_answered_through_the_service_and_through_the_pod(
    control_plane: ControlPlane, namespace: str, kubeconfig: Path, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    address = own_address()
    pod_at(control_plane, namespace, address)
    with socket.create_server((address, 0)) as found:
        port = found.getsockname()[1]
    pod = {"kind": "Pod", "name": "extsync-1", "namespace": namespace}
    listed = [{"address": address, "ports": {"http": port}, "targetRef": pod}]
    itself = manifest(namespace, listed, name="extsync", ports=[{"name": "http", "port": 9440}])
    other = manifest(namespace, [{"address": "198.51.100.1"}])
    paths = [write(tmp_path / "itself.yaml", itself), write(tmp_path / "other.yaml", other)]
    via = ("--via-cluster", f"{namespace}/extsync")
    listen = ("--listen", f"{address}:{port}")
    with Running("-f", *paths, *listen, kubeconfig=extsync_kubeconfig, log=tmp_path / "run.log"):

        def kept(*via: str) -> set[str]:
            done = extsync("status", *via, "-o", "json", kubeconfig=kubeconfig)
            return {one["name"] for one in json.loads(done.stdout)["services"]} if done.returncode == 0 else set()

        wait_for(lambda: kept(*via) == {"extsync", "orders"}, "answer through the Service")
        assert kept("--via-cluster", f"{namespace}/pods/extsync-1:{port}") == {"extsync", "orders"}
        told = extsync("explain", f"{namespace}/orders", "198.51.100.1", *via, kubeconfig=kubeconfig)
        assert (told.returncode, told.stderr) == (0, "")
        assert "198.51.100.1:80" in told.stdout
        unknown = extsync("explain", f"{namespace}/nothing", *via, kubeconfig=kubeconfig)
        assert (unknown.returncode, unknown.stderr) == (1, "")
        refused = extsync("status", *via, kubeconfig=extsync_kubeconfig)
        assert refused.returncode == 1
        assert "that takes the verb get for services/proxy in that namespace" in refused.stderr
    nobody = extsync("status", "--via-cluster", f"{namespace}/nothing", kubeconfig=kubeconfig)
    assert nobody.returncode == 1
    assert "not found" in nobody.stderr
