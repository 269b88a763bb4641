"""``extsync run`` against a real API server and its controllers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.backends import Backend
from tests.api.extsync_command import Cluster, Running, manifest, write
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for

MIRROR = "endpointslicemirroring-controller.k8s.io"
QUICK = {"periodSeconds": 1, "failureThreshold": 2, "timeoutSeconds": 1}


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    return Cluster(control_plane.kubectl, namespace)


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as running:
        yield running


@pytest.fixture
def run(extsync_kubeconfig: Path, tmp_path: Path) -> Callable[..., Running]:
    def start(*arguments: str | Path) -> Running:
        return Running(*arguments, kubeconfig=extsync_kubeconfig, log=tmp_path / "run.log")

    return start


def on_loopback(number: int, port: int) -> dict[str, Any]:
    return {"address": f"192.0.2.{number}", "probe": {"host": "127.0.0.1", "port": port}}


def many(count: int) -> list[dict[str, Any]]:
    return [{"address": f"198.51.100.{number}"} for number in range(1, count + 1)]


def test_a_backend_that_stops_moves_to_not_ready_and_back(
    cluster: Cluster, run: Callable[..., Running], tmp_path: Path, backend: Backend
) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, [on_loopback(1, backend.port)], check=QUICK))
    with run("-f", path):
        wait_for(lambda: cluster.split() == ({"192.0.2.1"}, set()), "ready address")
        backend.stop()
        # The bound, period x threshold + timeout + 1 s, is asserted in virtual time; here: that it happens.
        wait_for(lambda: cluster.split() == (set(), {"192.0.2.1"}), "not-ready address")
        assert cluster.ready() == {"192.0.2.1": False}
        backend.start()
        wait_for(lambda: cluster.split() == ({"192.0.2.1"}, set()), "ready address again")
        wait_for(lambda: cluster.ready() == {"192.0.2.1": True}, "ready endpoint again")


def test_one_flip_of_250_endpoints_changes_exactly_one_slice(
    cluster: Cluster, run: Callable[..., Running], tmp_path: Path, backend: Backend
) -> None:
    listed = [*many(200), *({"address": f"203.0.113.{n}"} for n in range(1, 50)), on_loopback(1, backend.port)]
    for entry in listed[:-1]:
        entry["probe"] = {"enabled": False}
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, listed, check=QUICK, publish=["EndpointSlice"]))
    with run("-f", path):
        wait_for(lambda: sum(cluster.ready().values()) == 250, "ready endpoints")
        before = cluster.versions()
        assert sum(key.startswith("EndpointSlice/") for key in before) == 3
        backend.stop()
        wait_for(lambda: cluster.ready()["192.0.2.1"] is False, "flip")
        after = cluster.versions()
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    assert len(changed) == 1
    assert changed.pop().startswith("EndpointSlice/")


def test_a_slice_that_somebody_deletes_comes_back(
    cluster: Cluster, run: Callable[..., Running], tmp_path: Path
) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, many(3)))
    with run("-f", path):
        wait_for(lambda: len(cluster.ready()) == 3, "slice")
        before = cluster.slices()[0]["metadata"]["uid"]
        cluster.kubectl("delete", "endpointslices", "--all")
        wait_for(lambda: [s for s in cluster.slices() if s["metadata"]["uid"] != before], "new slice")
        assert len(cluster.ready()) == 3


def test_edits_by_hand_are_put_right(cluster: Cluster, run: Callable[..., Running], tmp_path: Path) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, many(3)))
    with run("-f", path):
        wait_for(lambda: len(cluster.ready()) == 3 and len(cluster.split()[0]) == 3, "slice and Endpoints")
        name = cluster.slices()[0]["metadata"]["name"]
        cluster.kubectl("label", "endpointslice", name, "kubernetes.io/service-name=other", "--overwrite")
        wait_for(lambda: len(cluster.ready()) == 3, "label put right")
        cluster.kubectl("patch", "endpointslice", name, "--type=merge", "-p", '{"endpoints": []}')
        wait_for(lambda: len(cluster.ready()) == 3, "endpoints put right")
        cluster.kubectl("patch", "endpoints", "orders", "--type=merge", "-p", '{"subsets": []}')
        wait_for(lambda: len(cluster.split()[0]) == 3, "subsets put right")


@pytest.mark.timeout(180)  # the garbage collector may need a minute after another test's restart of the API server
def test_a_service_that_somebody_deletes_comes_back_with_its_endpoints(
    cluster: Cluster, run: Callable[..., Running], tmp_path: Path
) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, many(3)))
    with run("-f", path):
        wait_for(lambda: len(cluster.split()[0]) == 3, "Endpoints")
        before = {slice_["metadata"]["uid"] for slice_ in cluster.slices()}
        cluster.kubectl("delete", "service", "orders")
        wait_for(
            lambda: {s["metadata"]["uid"] for s in cluster.slices()}.isdisjoint(before) and len(cluster.ready()) == 3,
            "new slices and no old ones",
            seconds=100,
        )
        wait_for(lambda: len(cluster.split()[0]) == 3, "Endpoints again")


def test_a_restart_changes_no_object(
    cluster: Cluster, run: Callable[..., Running], tmp_path: Path, backend: Backend
) -> None:
    backends = [on_loopback(1, backend.port), on_loopback(2, 1)]
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, backends, check=QUICK))
    with run("-f", path):
        wait_for(lambda: cluster.split() == ({"192.0.2.1"}, {"192.0.2.2"}), "verdicts")
    before = cluster.versions()
    log = tmp_path / "run.log"
    log.write_text("")
    with run("-f", path):
        # Both verdicts are met from zero, and then nothing is left that could be written.
        wait_for(lambda: log.read_text().count("kept from now on"), "start")
        time.sleep(4)
    assert cluster.versions() == before


def test_publishing_modes_are_switched_without_a_moment_without_slices(
    cluster: Cluster, run: Callable[..., Running], tmp_path: Path
) -> None:
    path = tmp_path / "m.yaml"
    both, alone = ["EndpointSlice", "Endpoints"], ["Endpoints"]

    def managers() -> set[str]:
        return {s["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] for s in cluster.slices()}

    def covered() -> bool:
        ready = cluster.ready()
        assert set(ready) >= {"198.51.100.1", "198.51.100.2"}, "the Service was without slices"
        return True

    write(path, manifest(cluster.namespace, many(2), publish=both))
    with run("-f", path):
        wait_for(lambda: len(cluster.split()[0]) == 2 and len(cluster.ready()) == 2, "both")
        write(path, manifest(cluster.namespace, many(2), publish=alone))
        wait_for(lambda: covered() and managers() == {MIRROR}, "mirrored slices alone")
        write(path, manifest(cluster.namespace, many(2), publish=both))
        wait_for(lambda: covered() and managers() == {"extsync.dev"}, "our slices alone")
        write(path, manifest(cluster.namespace, many(2), publish=["EndpointSlice"]))
        wait_for(lambda: covered() and cluster.endpoints() is None, "no Endpoints")


def test_a_service_with_a_selector_keeps_its_own_slices_beside_ours(
    cluster: Cluster, run: Callable[..., Running], tmp_path: Path
) -> None:
    cluster.kubectl("create", "service", "clusterip", "orders", "--tcp=80")
    # The controller takes up only pods on a node that exists.
    node = f"node-{cluster.namespace}"
    cluster.kubectl(
        "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    )
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "inside", "labels": {"app": "orders"}},
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "none"}]},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    status = {"status": {"podIP": "10.1.2.3", "podIPs": [{"ip": "10.1.2.3"}], "phase": "Running"}}
    status["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    cluster.kubectl("patch", "pod", "inside", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    wait_for(lambda: cluster.ready() == {"10.1.2.3": True}, "slice of the pod")
    path = write(
        tmp_path / "m.yaml",
        manifest(
            cluster.namespace, many(1), service=None, publish=["EndpointSlice"], ports=[{"port": 80, "name": "80"}]
        ),
    )
    with run("-f", path):
        wait_for(lambda: cluster.ready() == {"10.1.2.3": True, "198.51.100.1": True}, "both slices")
        kinds = {s["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] for s in cluster.slices()}
    assert kinds == {"endpointslice-controller.k8s.io", "extsync.dev"}


def test_manifests_that_come_change_and_break_are_followed(
    cluster: Cluster, run: Callable[..., Running], tmp_path: Path
) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    write(folder / "a.yaml", manifest(cluster.namespace, many(1), name="a"))
    with run("-f", folder):
        wait_for(lambda: len(cluster.ready("a")) == 1, "first service")
        write(folder / "b.yaml", manifest(cluster.namespace, many(2), name="b"))
        wait_for(lambda: len(cluster.ready("b")) == 2, "added manifest")
        write(folder / "a.yaml", manifest(cluster.namespace, [{"address": "not an address"}], name="a"))
        write(folder / "b.yaml", manifest(cluster.namespace, many(3), name="b"))
        wait_for(lambda: len(cluster.ready("b")) == 3, "change beside a broken manifest")
        assert len(cluster.ready("a")) == 1


def test_a_manifest_that_is_gone_is_removed_after_the_delay(
    cluster: Cluster, run: Callable[..., Running], tmp_path: Path
) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    settings = tmp_path / "settings.yaml"
    settings.write_text("removalDelay: 1s\nmanifestPollInterval: 500ms\n")
    write(folder / "a.yaml", manifest(cluster.namespace, many(1), name="a"))
    gone = write(folder / "b.yaml", manifest(cluster.namespace, many(2), name="b"))
    with run("-f", folder, "--config", settings):
        wait_for(lambda: len(cluster.ready("a")) == 1 and len(cluster.ready("b")) == 2, "both services")
        gone.unlink()
        wait_for(lambda: {key.partition("/")[2].partition("-")[0] for key in cluster.versions()} == {"a"}, "removal")


def test_an_api_server_that_goes_away_and_comes_back_gets_the_newest_state(
    control_plane: ControlPlane, cluster: Cluster, run: Callable[..., Running], tmp_path: Path, backend: Backend
) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, [on_loopback(1, backend.port)], check=QUICK))
    with run("-f", path):
        wait_for(lambda: cluster.ready() == {"192.0.2.1": True}, "ready endpoint")
        control_plane.stop_api()
        backend.stop()
        time.sleep(4)
        control_plane.start_api()
        wait_for(lambda: cluster.ready() == {"192.0.2.1": False}, "state after the outage", seconds=50)


def test_a_service_that_its_manifest_keeps_no_more_is_released(
    cluster: Cluster, run: Callable[..., Running], tmp_path: Path
) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    settings = tmp_path / "settings.yaml"
    settings.write_text("removalDelay: 1s\nmanifestPollInterval: 500ms\n")
    path = write(folder / "m.yaml", manifest(cluster.namespace, many(1)))
    write(folder / "other.yaml", manifest(cluster.namespace, many(1), name="other"))  # an empty folder removes nothing

    def labels() -> dict[str, str]:
        service = json.loads(cluster.kubectl("get", "service", "orders", "-o", "json"))
        return dict(service["metadata"].get("labels") or {})

    with run("-f", folder, "--config", settings):
        wait_for(lambda: len(cluster.split()[0]) == 1, "Endpoints")
        write(folder / "m.yaml", manifest(cluster.namespace, many(1), service=None))
        wait_for(lambda: "extsync.dev/owner" not in labels(), "Service without our mark")
        path.unlink()
        wait_for(lambda: cluster.endpoints() is None and not cluster.slices(), "removal")
        assert "Service/orders" in cluster.versions()
