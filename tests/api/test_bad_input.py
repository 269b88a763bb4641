"""What users do wrong: each gives one clear error with its place and cure, and loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.extsync_command import Cluster, extsync, manifest, write
from tests.cluster.control_plane import ControlPlane

BACKENDS = [{"address": "192.0.2.1"}]


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    return Cluster(control_plane.kubectl, namespace)


def test_one_wrong_manifest_stops_everything_before_the_first_write(
    cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    wrong = manifest(cluster.namespace, [{"adress": "192.0.2.2"}], name="wrong")
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, BACKENDS), wrong)
    done = extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig)
    assert done.returncode == 1
    assert "did you mean 'address'?" in done.stderr
    assert f"{path}:" in done.stderr
    assert cluster.versions() == {}


def test_a_service_that_somebody_else_made_is_left_alone(
    cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    cluster.kubectl("create", "service", "clusterip", "orders", "--tcp=80")
    before = cluster.versions()
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, BACKENDS))
    done = extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig)
    assert done.returncode == 1
    assert "extsync did not make it" in done.stderr
    assert "leave out spec.service" in done.stderr
    assert cluster.versions().items() >= before.items()


def test_endpoints_of_a_service_with_a_selector_are_refused(
    cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    cluster.kubectl("create", "service", "clusterip", "orders", "--tcp=80")  # its selector is app: orders
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, BACKENDS, service=None))
    done = extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig)
    assert done.returncode == 1
    assert "has a selector" in done.stderr
    assert "publish: [EndpointSlice]" in done.stderr


def test_hand_written_endpoints_are_left_alone(cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path) -> None:
    service = "{apiVersion: v1, kind: Service, metadata: {name: orders}, spec: {ports: [{port: 80}]}}"
    subsets = "[{addresses: [{ip: 198.51.100.7}], ports: [{port: 80}]}]"
    cluster.kubectl("apply", "-f", "-", stdin=service)
    cluster.kubectl(
        "apply", "-f", "-", stdin=f"{{apiVersion: v1, kind: Endpoints, metadata: {{name: orders}}, subsets: {subsets}}}"
    )
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, BACKENDS, service=None))
    done = extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig)
    assert done.returncode == 1
    assert cluster.split() == ({"198.51.100.7"}, set())


def test_a_service_that_is_missing_is_named_with_its_cure(
    cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, BACKENDS, service=None))
    done = extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig)
    assert done.returncode == 1
    assert f"{cluster.namespace}/orders" in done.stderr
    assert "spec.service" in done.stderr


def test_no_permission_says_what_is_missing(cluster: Cluster, guest_kubeconfig: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, BACKENDS))
    done = extsync("apply", "-f", path, kubeconfig=guest_kubeconfig)
    assert done.returncode == 1
    assert "forbidden" in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_a_namespace_that_does_not_exist_is_said(extsync_kubeconfig: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.yaml", manifest("no-such-namespace", BACKENDS))
    done = extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig)
    assert done.returncode == 1
    assert "no-such-namespace" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_api_server_that_is_away_is_said_soon(control_plane: ControlPlane, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(control_plane.kubeconfig().read_text().replace(control_plane.url, "https://127.0.0.1:1"))
    path = write(tmp_path / "m.yaml", manifest("default", BACKENDS))
    done = extsync("apply", "-f", path, kubeconfig=kubeconfig)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_context_that_does_not_exist_is_said_with_those_that_do(kubeconfig: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.yaml", manifest("default", BACKENDS))
    done = extsync("apply", "-f", path, "--context", "prod", kubeconfig=kubeconfig)
    assert done.returncode == 1
    assert "prod" in done.stderr
    assert "test" in done.stderr
    missing = extsync("apply", "-f", path, "--kubeconfig", tmp_path / "none", kubeconfig=kubeconfig)
    assert missing.returncode == 1
    assert str(tmp_path / "none") in missing.stderr


def test_diff_ends_with_2_on_an_error(cluster: Cluster, guest_kubeconfig: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, BACKENDS))
    assert extsync("diff", "-f", path, kubeconfig=guest_kubeconfig).returncode == 2
