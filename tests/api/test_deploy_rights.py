"""The rights that deploy/ gives are enough for what extsync does, and there is none that it does not use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from extsync.kube.events import Recorder
from extsync.objects import ObjectMeta, Service
from extsync.seams import SystemClock, SystemRandom
from tests.api.backends import Backend
from tests.api.extsync_command import Cluster, extsync, manifest, write
from tests.api.installed import ACCOUNT, Installed, install, remove
from tests.api.kube_stores import kube_store
from tests.api.sampling import MANAGED_BY
from tests.api.test_ownership import a_slice, endpoints, put, service
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for
from tests.deploy.chart import KUSTOMIZE

BASE = KUSTOMIZE / "base"
OVERLAYS = KUSTOMIZE / "overlays"
UNSEEN = {("create", "services"), ("update", "services/finalizers")}
"""Asked for by the API server itself, in the name of who applies a Service or names one as owner: in no audit log."""


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    return Cluster(control_plane.kubectl, namespace)


@pytest.fixture
def installed(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Installed]:
    yield install(control_plane, BASE, tmp_path)
    remove(control_plane, BASE)


def granted() -> set[tuple[str, str]]:
    roles = [yaml.safe_load((BASE / name).read_text()) for name in ("clusterrole.yaml", "role.yaml")]
    rules = [rule for role in roles for rule in role["rules"]]
    return {(verb, resource) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


def test_every_right_of_the_roles_is_used(
    control_plane: ControlPlane, cluster: Cluster, installed: Installed, tmp_path: Path
) -> None:
    with Backend() as backend:
        checked = [{"address": "192.0.2.1", "probe": {"host": "127.0.0.1", "port": backend.port}}]
        orders = manifest(
            cluster.namespace, checked, check={"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 1}
        )
        gone = manifest(cluster.namespace, [{"address": "192.0.2.2"}], name="gone")
        legacy = manifest(
            cluster.namespace,
            [{"address": "192.0.2.3"}],
            name="legacy",
            service=None,
            policy={"adopt": "IfUnmanaged"},
            publish=["EndpointSlice"],
        )
        podded = manifest(cluster.namespace, [], name="podded")
        podded["spec"]["sources"] = [{"name": "pods", "pods": {"selector": {"matchLabels": {"app": "podded"}}}}]
        by_hand = a_slice("192.0.2.3", service="legacy", **{MANAGED_BY: "staff"})
        put(cluster, service("legacy"), endpoints("192.0.2.3", name="legacy"), by_hand)
        installed.manifests(orders, gone, legacy, podded)
        with installed.run():
            wait_for(lambda: cluster.ready() == {"192.0.2.1": True}, "endpoints")
            wait_for(lambda: cluster.ready("gone") and cluster.endpoints("legacy") is None, "adoption")
            backend.stop()
            wait_for(lambda: cluster.ready() == {"192.0.2.1": False}, "failure")
            backend.start()
            wait_for(lambda: cluster.ready() == {"192.0.2.1": True}, "recovery")
            control_plane.stop_api()  # before a watch goes on, the server is asked how far it has come
            control_plane.start_api()
            del orders["spec"]["service"]
            installed.manifests(orders, legacy, podded)
            wait_for(lambda: not cluster.slices("gone"), "removal")
            wait_for(lambda: "extsync.dev/owner" not in _labels(cluster, "orders"), "release of the Service")
            lists = {right for right in granted() if right[0] == "list"}
            wait_for(lambda: lists <= control_plane.asked_by(ACCOUNT), "question for each kind that is watched")
    asyncio.run(_tell_twice(installed.kubeconfig, cluster))
    used = control_plane.asked_by(ACCOUNT)
    assert sorted(used - granted()) == []
    assert sorted(granted() - used) == sorted(UNSEEN)


@pytest.mark.parametrize(("verb", "resource"), sorted(UNSEEN))
def test_without_a_right_that_no_audit_log_shows_nothing_can_be_written(
    control_plane: ControlPlane, cluster: Cluster, tmp_path: Path, verb: str, resource: str
) -> None:
    role: dict[str, Any] = yaml.safe_load((BASE / "clusterrole.yaml").read_text())
    for rule in role["rules"]:
        if resource in rule["resources"]:
            rule["verbs"].remove(verb)
    role["rules"] = [rule for rule in role["rules"] if rule["verbs"]]
    control_plane.kubectl("create", "-f", "-", stdin=json.dumps({**role, "metadata": {"name": cluster.namespace}}))
    account = f"--serviceaccount={cluster.namespace}:one-less"
    cluster.kubectl("create", "serviceaccount", "one-less")
    cluster.kubectl("create", "clusterrolebinding", cluster.namespace, f"--clusterrole={cluster.namespace}", account)
    try:
        content = json.loads(control_plane.kubeconfig("guest").read_text())
        content["users"][0]["user"] = {"token": cluster.kubectl("create", "token", "one-less").strip()}
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(json.dumps(content))
        path = write(tmp_path / "m.yaml", manifest(cluster.namespace, [{"address": "192.0.2.1"}]))
        done = extsync("apply", "-f", path, kubeconfig=kubeconfig)
    finally:
        cluster.kubectl("delete", "clusterrole,clusterrolebinding", cluster.namespace)
    assert done.returncode == 1
    assert not cluster.slices()
    assert "has the rights that extsync needs" in done.stderr


def test_the_rights_in_one_namespace_are_enough_for_its_services(control_plane: ControlPlane, tmp_path: Path) -> None:
    control_plane.kubectl("create", "namespace", "shop")
    shop = Cluster(control_plane.kubectl, "shop")
    installed = install(control_plane, OVERLAYS / "namespaced", tmp_path)
    try:
        installed.manifests(manifest("shop", [{"address": "192.0.2.1"}]))
        with installed.run() as running:
            wait_for(lambda: shop.ready() == {"192.0.2.1": True}, "endpoints")
            assert "forbidden" not in running.log.read_text().lower()
    finally:
        remove(control_plane, OVERLAYS / "namespaced")
        control_plane.kubectl("delete", "--wait=false", "namespace", "shop")


def test_what_is_scheduled_applies_with_the_rights_that_it_has(
    control_plane: ControlPlane, cluster: Cluster, tmp_path: Path
) -> None:
    installed = install(control_plane, OVERLAYS / "scheduled", tmp_path)
    try:
        installed.manifests(manifest(cluster.namespace, [{"address": "192.0.2.1"}]))
        done = extsync(*installed.arguments, kubeconfig=installed.kubeconfig)
    finally:
        remove(control_plane, OVERLAYS / "scheduled")
    assert done.returncode == 0, done.stderr
    assert cluster.ready() == {"192.0.2.1": True}


async def _tell_twice(kubeconfig: Path, cluster: Cluster) -> None:
    """What happens again is counted in the event that there is."""

    def counts() -> list[int]:
        return [event["count"] for event in json.loads(cluster.kubectl("get", "events", "-o", "json"))["items"]]

    about = Service(metadata=ObjectMeta(name="orders", namespace=cluster.namespace, uid="1", resource_version="1"))
    async with kube_store(kubeconfig) as store:
        recorder = Recorder(store, clock=SystemClock(), random=SystemRandom(), instance="extsync-1")
        task = asyncio.create_task(recorder.run())
        for _ in range(2):
            recorder.tell(about, "Normal", "Tested", "down")
        await asyncio.to_thread(wait_for, lambda: 2 in counts(), "counted event")
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _labels(cluster: Cluster, name: str) -> dict[str, str]:
    found = json.loads(cluster.kubectl("get", "service", name, "-o", "json"))
    return dict(found["metadata"].get("labels") or {})
