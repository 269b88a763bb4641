"""Everything in deploy/, as kustomize and helm render it: accepted by a real API server, and the same from both."""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.control_plane import ControlPlane
from tests.deploy.chart import ALONE, EVERYTHING, KUSTOMIZE, OF_TWO_NAMESPACES, Objects, one, template
from tests.deploy.install_page import shown
from tests.helm.fixtures import Helm

CRDS = Path(__file__).parents[1] / "deploy" / "monitoring-crds.yaml"
OVERLAYS = sorted(path.name for path in (KUSTOMIZE / "overlays").iterdir())
FLAGS = ("--server-side", "--validate=strict", "--warnings-as-errors", "--dry-run=server", "--output=name")
MONITORED: dict[str, Any] = {
    "replicas": 3,
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
    "networkPolicy": {"enabled": True},
}


@pytest.fixture(scope="module")
def prepared(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """With the namespaces that the objects are in, extsync's own as deploy/ makes it, and the operator's kinds."""
    namespaces = ("shop", "billing")
    for name in namespaces:
        control_plane.kubectl("create", "namespace", name)
    control_plane.kubectl("apply", "--server-side", "-f", str(KUSTOMIZE / "base" / "namespace.yaml"))
    control_plane.kubectl("create", "-f", str(CRDS))
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=20s", "-f", str(CRDS))
    yield control_plane
    control_plane.kubectl("delete", "--wait=false", "-f", str(CRDS))
    control_plane.kubectl("delete", "--wait=false", "namespace", *namespaces)


@pytest.mark.parametrize("overlay", ["base", *(f"overlays/{name}" for name in OVERLAYS)])
def test_the_api_server_accepts_what_kustomize_renders(prepared: ControlPlane, overlay: str) -> None:
    accepted = prepared.kubectl("apply", *FLAGS, "-k", str(KUSTOMIZE / overlay)).split()
    assert len(accepted) == len(_kustomized(prepared, overlay))


@pytest.mark.parametrize(
    "values", [{}, EVERYTHING, OF_TWO_NAMESPACES, ALONE, MONITORED], ids=["none", "all", "two", "alone", "monitored"]
)
def test_the_api_server_accepts_what_helm_renders(prepared: ControlPlane, helm: Helm, values: dict[str, Any]) -> None:
    objects = template(helm, values)
    accepted = prepared.kubectl("apply", *FLAGS, "-f", "-", stdin=yaml.safe_dump_all(objects)).split()
    assert len(accepted) == len(objects)


def test_a_field_that_the_operator_does_not_know_would_be_seen(prepared: ControlPlane) -> None:
    objects = _kustomized(prepared, "overlays/production")
    monitor = one(objects, "ServiceMonitor")
    monitor["spec"]["endpoints"][0]["honourLabels"] = True
    with pytest.raises(subprocess.CalledProcessError):
        prepared.kubectl("apply", *FLAGS, "-f", "-", stdin=yaml.safe_dump(monitor))


def test_the_api_server_accepts_the_overlay_that_the_documentation_shows(
    prepared: ControlPlane, tmp_path: Path
) -> None:
    shutil.copytree(KUSTOMIZE, tmp_path / "deploy" / "kustomize")
    place = tmp_path / "mine"
    place.mkdir()
    (place / "kustomization.yaml").write_text(shown("kustomization.yaml"))
    for name in ("orders.yaml", "web.yaml"):
        shutil.copy(KUSTOMIZE / "base" / "manifests" / "orders.yaml", place / name)
    accepted = prepared.kubectl("apply", *FLAGS, "-k", str(place)).split()
    assert "servicemonitor.monitoring.coreos.com/extsync" in accepted


# ---- Pod Security


@pytest.mark.parametrize("overlay", ["overlays/production", "overlays/scheduled"])
def test_the_pods_pass_where_pod_security_enforces_restricted(prepared: ControlPlane, overlay: str) -> None:
    pod = _pod(_kustomized(prepared, overlay))
    prepared.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod))


def test_the_pods_of_the_chart_pass_as_well(prepared: ControlPlane, helm: Helm) -> None:
    pod = _pod(template(helm, EVERYTHING))
    del pod["spec"]["priorityClassName"]  # admitted by its own rules, which need the class
    prepared.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod))


@pytest.mark.parametrize("field", ["allowPrivilegeEscalation", "capabilities"])
def test_a_pod_with_one_restriction_less_does_not_pass(prepared: ControlPlane, field: str) -> None:
    pod = _pod(_kustomized(prepared, "base"))
    del pod["spec"]["containers"][0]["securityContext"][field]
    with pytest.raises(subprocess.CalledProcessError) as refused:
        prepared.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod))
    assert 'violates PodSecurity "restricted:latest"' in refused.value.stderr


def _pod(objects: Objects) -> dict[str, Any]:
    """A pod by the template of whatever makes pods."""
    [maker] = [o for o in objects if o["kind"] in ("Deployment", "CronJob")]
    spec = maker["spec"] if maker["kind"] == "Deployment" else maker["spec"]["jobTemplate"]["spec"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "namespace": "extsync"},
        "spec": copy.deepcopy(spec["template"]["spec"]),
    }


# ---- kustomize and helm


@pytest.mark.parametrize(
    ("overlay", "values"),
    [
        ("base", {}),
        ("overlays/production", MONITORED),
        ("overlays/namespaced", {"rbac": {"namespaces": ["shop"], "clusterRanges": False}}),
    ],
)
def test_helm_renders_what_kustomize_does(
    prepared: ControlPlane, helm: Helm, overlay: str, values: dict[str, Any]
) -> None:
    ours = _kustomized(prepared, overlay)
    manifests = one(ours, "ConfigMap", "extsync-manifests")["data"]
    theirs = template(helm, {**values, "manifests": manifests})
    assert _essence(ours) == _essence(theirs)


def _essence(objects: Objects) -> dict[tuple[str, str, str], Any]:
    """Each object without its labels, and without what the two say in different ways: settings, defaults."""
    found = {}
    for obj in copy.deepcopy(objects):
        metadata = obj.pop("metadata")
        key = (obj["kind"], metadata.get("namespace", ""), metadata["name"])
        if key[0] == "Namespace" or key[2] == "extsync-settings":
            continue  # helm makes the namespace with --create-namespace, kustomize has settings as variables
        _without_instances(obj)
        if key[0] == "Deployment":
            _simplify(obj["spec"]["template"])
        found[key] = obj
    return found


def _without_instances(value: Any) -> None:
    """The chart selects by the name of the release, too."""
    if isinstance(value, dict):
        value.pop("app.kubernetes.io/instance", None)
        for part in value.values():
            _without_instances(part)
    elif isinstance(value, list):
        for part in value:
            _without_instances(part)


def _simplify(pods: dict[str, Any]) -> None:
    pods["metadata"].pop("annotations", None)
    spec = pods["spec"]
    [container] = spec["containers"]
    container.pop("imagePullPolicy", None)
    if "--config" in container["args"]:
        place = container["args"].index("--config")
        del container["args"][place : place + 2]
    settings = ("EXTSYNC_NAMESPACES", "EXTSYNC_CLUSTER_RANGES")
    container["env"] = [variable for variable in container["env"] if variable["name"] not in settings]
    for named in (container["volumeMounts"], spec["volumes"]):
        named[:] = [volume for volume in named if volume["name"] != "settings"]


def _kustomized(control_plane: ControlPlane, overlay: str) -> Objects:
    return list(yaml.safe_load_all(control_plane.kubectl("kustomize", str(KUSTOMIZE / overlay))))
