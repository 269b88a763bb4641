"""Adoption, installations side by side and contention, beside the real controllers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api.extsync_command import Cluster, Running, manifest, write
from tests.api.sampling import MANAGED_BY, Sampler
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for

CONTROLLER, MIRROR = "endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"
WAYS = [["EndpointSlice", "Endpoints"], ["EndpointSlice"], ["Endpoints"]]
ONE, TWO = "198.51.100.1", "198.51.100.2"
PORT = {"name": "web", "port": 80}
UNCHECKED = {"initialDelaySeconds": 600}
"""A check that has no verdict for as long as a test lasts."""


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    return Cluster(control_plane.kubectl, namespace)


@pytest.fixture
def run(extsync_kubeconfig: Path, tmp_path: Path) -> Callable[..., Running]:
    def start(*arguments: str | Path, log: str = "run.log") -> Running:
        return Running(*arguments, kubeconfig=extsync_kubeconfig, log=tmp_path / log)

    return start


def put(cluster: Cluster, *objects: dict[str, Any]) -> None:
    """Creates objects as a person does."""
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    cluster.kubectl("create", "-f", "-", stdin=items)


def service(name: str = "orders", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [PORT], **spec},
    }


def endpoints(*addresses: str, name: str = "orders", **metadata: Any) -> dict[str, Any]:
    subset = {"addresses": [{"ip": address} for address in addresses], "ports": [PORT]}
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name, **metadata}, "subsets": [subset]}


def a_slice(*addresses: str, service: str = "orders", **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{service}-by-hand", "labels": {"kubernetes.io/service-name": service, **labels}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [PORT],
    }


def adopting(cluster: Cluster, *addresses: str, publish: list[str]) -> dict[str, Any]:
    return manifest(
        cluster.namespace,
        [{"address": address} for address in addresses],
        service=None,
        ports=[PORT],
        check=UNCHECKED,
        publish=publish,
        policy={"adopt": "IfUnmanaged"},
    )


def managers(cluster: Cluster, service: str = "orders") -> set[str | None]:
    return {slice_["metadata"]["labels"].get(MANAGED_BY) for slice_ in cluster.slices(service)}


def adopted(cluster: Cluster, publish: list[str]) -> bool:
    """Whether what there is at the end is there, each endpoint once."""
    wanted = {"extsync.dev"} if "EndpointSlice" in publish else {MIRROR}
    shown = [e["addresses"][0] for slice_ in cluster.slices() for e in slice_["endpoints"] or ()]
    has_endpoints = cluster.split()[0] == {ONE, TWO}
    is_gone = cluster.endpoints() is None
    return (
        managers(cluster) == wanted
        and sorted(shown) == [ONE, TWO]
        and (has_endpoints if "Endpoints" in publish else is_gone)
    )


def messages(cluster: Cluster, reason: str) -> dict[str, str]:
    """The latest message of the events of that reason, by kind of object."""
    items = json.loads(cluster.kubectl("get", "events", "-o", "json"))["items"]
    return {e["involvedObject"]["kind"]: e["message"] for e in items if e["reason"] == reason}


# ---- adoption --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("publish", WAYS, ids="+".join)
def test_hand_written_endpoints_are_taken_over_without_a_gap(
    control_plane: ControlPlane, cluster: Cluster, run: Callable[..., Running], tmp_path: Path, publish: list[str]
) -> None:
    put(cluster, service(), endpoints(ONE, TWO, labels={"team": "a"}))
    wait_for(lambda: managers(cluster) == {MIRROR}, "mirror")
    path = write(tmp_path / "m.yaml", adopting(cluster, ONE, TWO, publish=publish))
    with Sampler(control_plane, cluster.namespace, ONE, TWO), run("-f", path):
        wait_for(lambda: adopted(cluster, publish), "adoption")
        wait_for(lambda: "Service" in messages(cluster, "Adopted"), "event")


@pytest.mark.parametrize("publish", WAYS, ids="+".join)
def test_hand_written_slices_are_taken_over_without_a_gap(
    control_plane: ControlPlane, cluster: Cluster, run: Callable[..., Running], tmp_path: Path, publish: list[str]
) -> None:
    put(cluster, service(), a_slice(ONE, TWO, **{MANAGED_BY: "staff"}))
    path = write(tmp_path / "m.yaml", adopting(cluster, ONE, TWO, publish=publish))
    with Sampler(control_plane, cluster.namespace, ONE, TWO), run("-f", path):
        wait_for(lambda: adopted(cluster, publish), "adoption")


@pytest.mark.parametrize("publish", WAYS, ids="+".join)
def test_what_a_removed_selector_leaves_behind_is_taken_over_without_a_gap(
    control_plane: ControlPlane, cluster: Cluster, run: Callable[..., Running], tmp_path: Path, publish: list[str]
) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{cluster.namespace}"}}
    put(cluster, service(selector={"app": "orders"}), node)
    for name, address in (("one", ONE), ("two", TWO)):
        spec = {"nodeName": node["metadata"]["name"], "containers": [{"name": "main", "image": "none"}]}  # type: ignore[index]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "orders"}}, "spec": spec}
        put(cluster, pod)
        status = {
            "status": {
                "phase": "Running",
                "podIP": address,
                "podIPs": [{"ip": address}],
                "conditions": [{"type": "Ready", "status": "True"}],
            }
        }
        cluster.kubectl("patch", "pod", name, "--subresource=status", "--type=merge", "-p", json.dumps(status))
    wait_for(lambda: cluster.split()[0] == {ONE, TWO} and set(cluster.ready()) == {ONE, TWO}, "what the pods have")
    cluster.kubectl("patch", "service", "orders", "--type=json", "-p", '[{"op": "remove", "path": "/spec/selector"}]')
    wait_for(lambda: managers(cluster) == {CONTROLLER, MIRROR}, "a mirror of what was left behind")
    path = write(tmp_path / "m.yaml", adopting(cluster, ONE, TWO, publish=publish))
    with Sampler(control_plane, cluster.namespace, ONE, TWO), run("-f", path):
        wait_for(lambda: adopted(cluster, publish), "adoption")


def test_a_selector_that_comes_and_goes_is_yielded_to_and_taken_over_from(
    cluster: Cluster, run: Callable[..., Running], tmp_path: Path
) -> None:
    put(cluster, service())
    both = WAYS[0]
    path = tmp_path / "m.yaml"
    quick = adopting(cluster, ONE, TWO, publish=both)
    del quick["spec"]["checks"]
    write(path, quick)
    with run("-f", path):
        wait_for(lambda: adopted(cluster, both), "endpoints")
        patch = '{"spec": {"selector": {"app": "orders"}}}'
        cluster.kubectl("patch", "service", "orders", "--type=merge", "-p", patch)
        wait_for(lambda: cluster.split() == (set(), set()), "what the controller makes of a selector without pods")
        wait_for(lambda: "Service" in messages(cluster, "ServiceHasSelector"), "event")
        theirs = (cluster.endpoints() or {})["metadata"]["resourceVersion"]
        write(path, {**quick, "metadata": {**quick["metadata"], "labels": {"changed": "yes"}}})
        wait_for(lambda: any("changed" in s["metadata"]["labels"] for s in cluster.slices()), "our slices kept true")
        assert (cluster.endpoints() or {})["metadata"]["resourceVersion"] == theirs
        remove = '[{"op": "remove", "path": "/spec/selector"}]'
        cluster.kubectl("patch", "service", "orders", "--type=json", "-p", remove)
        wait_for(lambda: adopted(cluster, both), "endpoints again")


# ---- side by side ----------------------------------------------------------------------------------------------------


def test_two_installations_and_hand_written_objects_leave_each_other_alone(
    cluster: Cluster, run: Callable[..., Running], tmp_path: Path
) -> None:
    put(
        cluster,
        *(service("legacy"), endpoints("203.0.113.1", name="legacy"), a_slice("203.0.113.2", service="legacy")),
        *(service("shared"), a_slice("203.0.113.3", service="shared", **{MANAGED_BY: "vendor.example.org"})),
    )
    wait_for(lambda: managers(cluster, "legacy") == {None, MIRROR}, "the mirror of the Endpoints")
    before = cluster.versions()

    def of(owner: str, number: int, *more: dict[str, Any]) -> Path:
        listed = [{"address": f"198.51.100.{number}"}]
        shared = manifest(
            cluster.namespace, listed, name="shared", service=None, ports=[PORT], publish=["EndpointSlice"],
            policy={"adopt": "IfUnmanaged"},
        )  # fmt: skip
        return write(tmp_path / f"{owner}.yaml", manifest(cluster.namespace, listed, name=owner), shared, *more)

    with run("-f", of("a", 1), "--owner", "a", log="a.log"):
        wait_for(lambda: cluster.split("a")[0] and len(cluster.slices("shared")) == 2, "installation a")
        of_a = cluster.versions()
        theirs = manifest(cluster.namespace, [{"address": "198.51.100.9"}], name="a")
        with run("-f", of("b", 2, theirs), "--owner", "b", log="b.log"):
            wait_for(lambda: cluster.split("b")[0] and len(cluster.slices("shared")) == 3, "installation b")
            wait_for(lambda: "'a'" in messages(cluster, "OwnershipConflict").get("Service", ""), "refusal")
            write(tmp_path / "a.yaml", manifest(cluster.namespace, [{"address": "198.51.100.3"}], name="a"))
            wait_for(lambda: cluster.split("a")[0] == {"198.51.100.3"}, "a change in a")
    after = cluster.versions()
    assert {name: after[name] for name in before} == before
    of_b = {name for name in after if name not in of_a}
    assert {name.partition("/")[0] for name in of_b} == {"Service", "Endpoints", "EndpointSlice"}
    assert all("/b" in name or "/shared" in name for name in of_b)


# ---- contention ------------------------------------------------------------------------------------------------------


def test_an_object_that_another_manager_changes_back_is_told_with_its_name(
    cluster: Cluster, run: Callable[..., Running], tmp_path: Path
) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, [{"address": ONE}]))
    with run("-f", path):
        wait_for(lambda: cluster.split()[0] == {ONE}, "Endpoints")

        def meddle() -> bool:
            label = ("label", "endpoints", "orders", "meddled=yes", "--overwrite", "--field-manager=meddler")
            cluster.kubectl(*label)
            return len(messages(cluster, "WriteContention")) == 2

        wait_for(meddle, "event")
        told = messages(cluster, "WriteContention")
        assert set(told) == {"Service", "Endpoints"}
        assert all("last by meddler" in message for message in told.values())
        assert cluster.ready() == {ONE: True}


# ---- prune -----------------------------------------------------------------------------------------------------------


def test_run_prunes_what_no_manifest_names_and_what_outlived_its_service(
    cluster: Cluster, run: Callable[..., Running], tmp_path: Path
) -> None:
    settings = tmp_path / "settings.yaml"
    owner = f"prune-{cluster.namespace}"
    settings.write_text(f"removalDelay: 1s\nmanifestPollInterval: 500ms\nowner: {owner}\n")
    kept, old, gone = (manifest(cluster.namespace, [{"address": ONE}], name=name) for name in ("kept", "old", "gone"))
    put(cluster, service("others"), endpoints(TWO, name="others"))
    with run("-f", write(tmp_path / "m.yaml", kept, old, gone), "--config", settings):
        wait_for(lambda: all(cluster.split(name)[0] for name in ("kept", "old", "gone")), "three services")
    cluster.kubectl("delete", "service", "gone", "--cascade=orphan")
    wait_for(lambda: [s for s in cluster.slices("gone") if not s["metadata"].get("ownerReferences")], "an orphan")
    before = cluster.versions()
    with run("-f", write(tmp_path / "m.yaml", kept), "--config", settings, "--prune"):
        wait_for(lambda: "Service/old" not in cluster.versions(), "the end of what no manifest names")
        wait_for(lambda: not cluster.slices("gone") and not cluster.slices("old"), "the end of their slices")
    after = cluster.versions()
    assert {name: before[name] for name in after} == after
    assert {name for name in after if name.startswith("Service/")} == {"Service/kept", "Service/others"}
