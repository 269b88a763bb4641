"""The guard on a real control plane: a wiped list removes nothing, is told of, is let through, and is not forgotten."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api.extsync_command import Cluster, Running, extsync, manifest, write
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for
from tests.servers.consul import Consul

TEN = [f"192.0.2.{number}" for number in range(1, 11)]
ALL = dict.fromkeys(TEN, True)
ONE = {TEN[0]: True}


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    return Cluster(control_plane.kubectl, namespace)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "run.log"


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., None]:
    """Puts these addresses into the list that the source reads, at once as an inventory would."""

    def put(*addresses: str) -> None:
        draft = tmp_path / "backends.draft"
        draft.write_text(json.dumps([{"address": address} for address in addresses]))
        draft.rename(tmp_path / "backends.json")

    put(*TEN)
    return put


@pytest.fixture
def path(cluster: Cluster, tmp_path: Path, listed: Callable[..., None]) -> Path:
    source = {"name": "inventory", "file": {"files": ["backends.json"]}, "hold": {"nodata": "0s"}}
    return write(tmp_path / "m.yaml", manifest(cluster.namespace, [], sources=[source]))


@pytest.fixture
def run(extsync_kubeconfig: Path, path: Path, log: Path) -> Callable[[], Running]:
    return lambda: Running("-f", path, kubeconfig=extsync_kubeconfig, log=log)


def suppressed(cluster: Cluster) -> str:
    """The hash that the newest event on a withheld removal names, "" where there is none."""
    events = json.loads(cluster.kubectl("get", "events", "--sort-by=.lastTimestamp", "-o", "json"))["items"]
    told = [event["message"] for event in events if event["reason"] == "RemovalSuppressed"]
    return re.findall(r"allow-removal: (\w+)", told[-1])[0] if told else ""


def reasons(cluster: Cluster) -> set[str]:
    return {event["reason"] for event in json.loads(cluster.kubectl("get", "events", "-o", "json"))["items"]}


def evidence(cluster: Cluster) -> dict[str, Any]:
    objects = [*cluster.slices(), cluster.endpoints() or {"metadata": {}}]
    texts = [obj["metadata"].get("annotations", {}).get("extsync.dev/guard") for obj in objects]
    return max((json.loads(text) for text in texts if text), key=lambda one: int(one["number"]), default={})


def test_a_wiped_list_removes_nothing_and_the_annotation_lets_it_through_also_after_a_kill(
    cluster: Cluster, run: Callable[[], Running], listed: Callable[..., None], log: Path
) -> None:
    with run() as killed:
        wait_for(lambda: cluster.ready() == ALL, "endpoints")
        listed(TEN[0])
        name = wait_for(lambda: suppressed(cluster), "event of the withheld removal")
        wait_for(lambda: evidence(cluster).get("hash") == name, "evidence")
        assert cluster.ready() == ALL
        assert "source 'inventory' no longer names 9 of its 10 backends: they stay until" in log.read_text()
        killed.kill()
    with run():
        found = "no source names 9 of the 10 endpoints that were found published: they stay until"
        wait_for(lambda: found in log.read_text(), "word on what was found")
        before = cluster.versions()
        assert cluster.ready() == ALL
        assert suppressed(cluster) == name, "the hash outlives the process"
        cluster.kubectl("annotate", "service", "orders", "extsync.dev/allow-removal=no-such-removal")
        cluster.kubectl("annotate", "service", "orders", "--overwrite", f"extsync.dev/allow-removal={name}")
        wait_for(lambda: cluster.ready() == ONE, "removal that was let through")
        wait_for(lambda: cluster.split() == ({TEN[0]}, set()), "Endpoints without them")
        wait_for(lambda: "RemovalReleased" in reasons(cluster), "event of its end")
        assert {name for name in before if name.startswith("EndpointSlice/")} == {
            name for name in cluster.versions() if name.startswith("EndpointSlice/")
        }


def test_apply_withholds_what_a_run_withheld_and_lets_it_through_on_demand(
    cluster: Cluster,
    run: Callable[[], Running],
    listed: Callable[..., None],
    path: Path,
    extsync_kubeconfig: Path,
) -> None:
    with run():
        wait_for(lambda: cluster.ready() == ALL, "endpoints")
        listed(TEN[0])
        wait_for(lambda: suppressed(cluster), "event of the withheld removal")
    withheld = extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig)
    assert withheld.returncode == 1
    assert f"--allow-removal {cluster.namespace}/orders lets them go" in withheld.stderr
    assert all(address in withheld.stderr for address in TEN[1:])
    assert extsync("diff", "-f", path, kubeconfig=extsync_kubeconfig).returncode == 2
    assert cluster.ready() == ALL
    service = f"{cluster.namespace}/orders"
    assert extsync("apply", "-f", path, "--allow-removal", service, kubeconfig=extsync_kubeconfig).returncode == 0
    assert cluster.ready() == ONE
    assert extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig).returncode == 0


def test_a_consul_that_comes_back_empty_while_extsync_was_away_removes_nothing(
    cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path, consul: Consul, log: Path
) -> None:
    """A process that starts knows nothing of what the catalog had, and believes the leader's answer."""
    identities = [consul.register("web", address, 80) for address in TEN]
    source = {"name": "consul", "consul": {"server": consul.url, "services": ["web"]}, "hold": {"nx": "0s"}}
    path = write(tmp_path / "c.yaml", manifest(cluster.namespace, [], sources=[source]))
    with Running("-f", path, kubeconfig=extsync_kubeconfig, log=log):
        wait_for(lambda: cluster.ready() == ALL, "instances")
    for identity in identities[1:]:
        consul.deregister(identity)
    with Running("-f", path, kubeconfig=extsync_kubeconfig, log=log):
        wait_for(lambda: suppressed(cluster), "event of the withheld removal")
        consul.register("web", "192.0.2.77", 80)
        wait_for(lambda: "192.0.2.77" in cluster.ready(), "addition beside it")
        assert cluster.ready() == {**ALL, "192.0.2.77": True}
