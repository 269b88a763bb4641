"""``extsync apply``, ``diff`` and ``render`` against a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api.backends import Backend
from tests.api.extsync_command import Cluster, extsync, manifest, write
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for

ASKING = ("consul-source", "dns-source", "http-source", "hybrid-pods", "relabel")
"""Examples with sources that ask somebody; they are tried where there is somebody to ask."""
EXAMPLES = [
    path
    for path in sorted((Path(__file__).parents[2] / "config" / "manifests").glob("*.yaml"))
    if path.stem not in ASKING
]
MIRROR = "endpointslicemirroring-controller.k8s.io"


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    return Cluster(control_plane.kubectl, namespace)


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as running:
        yield running


def rack(*ports: int) -> list[dict[str, Any]]:
    """Backends with documentation addresses that are probed on loopback."""
    return [
        {"address": f"192.0.2.{number}", "probe": {"host": "127.0.0.1", "port": port}}
        for number, port in enumerate(ports, start=1)
    ]


def plain(*numbers: int) -> list[dict[str, Any]]:
    return [{"address": f"192.0.2.{number}"} for number in numbers]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_is_accepted_and_then_diff_says_nothing(
    example: Path, cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    # The examples name namespaces of their own; here each is tried in the test's.
    documents = [document for document in yaml.safe_load_all(example.read_text()) if document]
    for document in documents:
        document["metadata"]["namespace"] = cluster.namespace
        if "service" not in document["spec"]:
            cluster.kubectl("apply", "-f", "-", stdin=json.dumps(service_for(document)))
    for beside in example.parent.iterdir():
        (tmp_path / beside.name).symlink_to(beside)
    path = tmp_path / "tried.yaml"
    path.write_text(yaml.safe_dump_all(documents))

    applied = extsync("apply", "-f", path, "--no-probe", kubeconfig=extsync_kubeconfig)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    differences = extsync("diff", "-f", path, "--no-probe", kubeconfig=extsync_kubeconfig)
    assert (differences.returncode, differences.stdout) == (0, ""), differences.stderr


def service_for(document: dict[str, Any]) -> dict[str, Any]:
    """The Service that a manifest without ``spec.service`` expects; with a selector where only slices are published."""
    ports = document["spec"].get("ports") or [{"name": "http", "port": 80}]
    spec: dict[str, Any] = {"ports": ports}
    if document["spec"].get("publish") == ["EndpointSlice"]:
        spec["selector"] = {"app": document["metadata"]["name"]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": document["metadata"]["name"]}, "spec": spec}


def test_apply_writes_service_slices_and_endpoints_as_probed(
    cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path, backend: Backend
) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, rack(backend.port, 1), check={"failureThreshold": 2}))
    done = extsync("apply", "-f", path, "-o", "json", kubeconfig=extsync_kubeconfig)
    assert done.returncode == 0, done.stderr
    assert cluster.ready() == {"192.0.2.1": True, "192.0.2.2": False}
    assert cluster.split() == ({"192.0.2.1"}, {"192.0.2.2"})
    states = {
        endpoint["address"]: endpoint["state"] for endpoint in json.loads(done.stdout)["services"][0]["endpoints"]
    }
    assert states == {"192.0.2.1": "Ready", "192.0.2.2": "NotReady"}


def test_a_second_apply_writes_nothing(cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, plain(1, 2)))
    assert extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig).returncode == 0
    before = cluster.versions()
    again = extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig)
    assert "nothing to do" in again.stdout
    assert cluster.versions() == before


def test_dry_run_and_diff_write_nothing_and_say_what_apply_would(
    cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, plain(1)))
    dry = extsync("apply", "-f", path, "--dry-run", kubeconfig=extsync_kubeconfig)
    assert dry.returncode == 0, dry.stderr
    assert "would apply" in dry.stdout
    assert "would create" in dry.stdout
    differences = extsync("diff", "-f", path, kubeconfig=extsync_kubeconfig)
    assert differences.returncode == 1
    assert "+  - 192.0.2.1" in differences.stdout
    assert cluster.versions() == {}


def test_publishing_both_leaves_no_mirrored_slice(cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, plain(1)))
    assert extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig).returncode == 0
    # Endpoints that are mirrored, made later, show that the mirror has had its turn.
    other = write(tmp_path / "o.yaml", manifest(cluster.namespace, plain(9), name="witness", publish=["Endpoints"]))
    assert extsync("apply", "-f", other, kubeconfig=extsync_kubeconfig).returncode == 0
    wait_for(lambda: cluster.slices("witness"), "slice made by the mirror")
    assert {slice_["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] for slice_ in cluster.slices()} == {
        "extsync.dev"
    }


def test_publishing_endpoints_alone_leaves_exactly_the_mirrors_slices(
    cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, plain(1, 2), publish=["Endpoints"]))
    assert extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig).returncode == 0
    wait_for(lambda: cluster.ready() == {"192.0.2.1": True, "192.0.2.2": True}, "slice made by the mirror")
    assert [slice_["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] for slice_ in cluster.slices()] == [
        MIRROR
    ]


def test_apply_keeps_readiness_where_every_published_endpoint_fails_unless_told(
    cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path, backend: Backend
) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, rack(backend.port), check={"failureThreshold": 1}))
    assert extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig).returncode == 0
    backend.stop()
    kept = extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig)
    assert kept.returncode == 1
    assert "--allow-empty" in kept.stderr
    assert cluster.ready() == {"192.0.2.1": True}
    assert extsync("apply", "-f", path, "--allow-empty", kubeconfig=extsync_kubeconfig).returncode == 0
    assert cluster.ready() == {"192.0.2.1": False}


def test_wait_ends_with_3_where_too_few_become_ready(
    cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, rack(1), check={"failureThreshold": 1}))
    done = extsync("apply", "-f", path, "--wait", "--timeout", "2s", kubeconfig=extsync_kubeconfig)
    assert done.returncode == 3, done.stderr
    assert cluster.ready() == {"192.0.2.1": False}


def test_prune_deletes_what_the_owner_no_longer_names_and_nothing_else(
    cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    mine = f"team-{cluster.namespace}"
    both = write(
        tmp_path / "both.yaml",
        manifest(cluster.namespace, plain(1), name="stays"),
        manifest(cluster.namespace, plain(2), name="goes"),
    )
    theirs = write(tmp_path / "theirs.yaml", manifest(cluster.namespace, plain(3), name="theirs"))
    assert extsync("apply", "-f", both, "--owner", mine, kubeconfig=extsync_kubeconfig).returncode == 0
    assert extsync("apply", "-f", theirs, kubeconfig=extsync_kubeconfig).returncode == 0
    one = write(tmp_path / "one.yaml", manifest(cluster.namespace, plain(1), name="stays"))
    pruned = extsync("apply", "-f", one, "--owner", mine, "--prune", kubeconfig=extsync_kubeconfig)
    assert pruned.returncode == 0, pruned.stderr
    names = {key.partition("/")[2].partition("-")[0] for key in cluster.versions()}
    assert names == {"stays", "theirs"}
    without_owner = extsync("apply", "-f", one, "--prune", kubeconfig=extsync_kubeconfig)
    assert without_owner.returncode == 2


def test_upsert_only_lets_no_endpoint_leave(cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, plain(1, 2)))
    assert extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig).returncode == 0
    write(path, manifest(cluster.namespace, plain(2, 3)))
    assert extsync("apply", "-f", path, "--policy", "upsert-only", kubeconfig=extsync_kubeconfig).returncode == 0
    assert set(cluster.ready()) == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}
    assert extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig).returncode == 0
    assert set(cluster.ready()) == {"192.0.2.2", "192.0.2.3"}
