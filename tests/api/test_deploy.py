"""What deploy/ ships is accepted by a real API server and gives exactly the rights that extsync needs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api.installed import remove
from tests.cluster.control_plane import ControlPlane

BASE = Path(__file__).parents[2] / "deploy" / "kustomize" / "base"
READ = ("get", "list", "watch")
WRITE = ("create", "update", "patch", "delete")


@pytest.fixture
def applied(control_plane: ControlPlane) -> Iterator[list[str]]:
    """The names of the objects of deploy/kustomize/base, applied as its README says, with every warning an error."""
    flags = ("--server-side", "--validate=strict", "--warnings-as-errors", "--output=name")
    yield control_plane.kubectl("apply", *flags, "-k", str(BASE)).split()
    remove(control_plane, BASE)


def test_the_api_server_accepts_the_base_without_a_warning(applied: list[str]) -> None:
    assert applied == [
        "namespace/extsync",
        "serviceaccount/extsync",
        "role.rbac.authorization.k8s.io/extsync-leases",
        "clusterrole.rbac.authorization.k8s.io/extsync",
        "rolebinding.rbac.authorization.k8s.io/extsync-leases",
        "clusterrolebinding.rbac.authorization.k8s.io/extsync",
        "configmap/extsync-manifests",
        "service/extsync",
        "deployment.apps/extsync",
        "poddisruptionbudget.policy/extsync",
    ]


def test_the_account_of_the_deployment_is_the_one_that_has_the_role(control_plane: ControlPlane) -> None:
    rendered = list(yaml.safe_load_all(control_plane.kubectl("kustomize", str(BASE))))
    by_kind: dict[str, dict[str, Any]] = {item["kind"]: item for item in rendered}
    account = by_kind["ServiceAccount"]["metadata"]
    subject = by_kind["ClusterRoleBinding"]["subjects"][0]
    assert by_kind["Deployment"]["spec"]["template"]["spec"]["serviceAccountName"] == account["name"]
    assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])


@pytest.mark.parametrize(
    ("resource", "verbs"),
    [
        ("services", (*READ, "create", "patch", "delete")),
        ("services/finalizers", ("update",)),
        ("endpoints", (*READ, "create", "update", "delete")),
        ("endpointslices.discovery.k8s.io", (*READ, "create", "update", "delete")),
        ("pods", ("list", "watch")),
        ("nodes", READ),
        ("events", ("create", "update")),
    ],
)
def test_the_role_allows_what_extsync_does(
    control_plane: ControlPlane, extsync_kubeconfig: Path, resource: str, verbs: tuple[str, ...]
) -> None:
    assert [verb for verb in verbs if not _may(control_plane, verb, resource)] == []


@pytest.mark.parametrize(
    ("resource", "verbs"),
    [
        ("secrets", READ + WRITE),
        ("configmaps", READ + WRITE),
        ("namespaces", READ + WRITE),
        ("services/status", READ + WRITE),
        ("services", ("update",)),
        ("endpoints", ("patch",)),
        ("endpointslices.discovery.k8s.io", ("patch",)),
        ("pods", ("get", *WRITE)),
        ("pods/log", READ),
        ("nodes", WRITE),
        ("events", (*READ, "delete")),
    ],
)
def test_the_role_allows_nothing_else(
    control_plane: ControlPlane, extsync_kubeconfig: Path, resource: str, verbs: tuple[str, ...]
) -> None:
    assert [verb for verb in verbs if _may(control_plane, verb, resource)] == []


def _may(control_plane: ControlPlane, verb: str, resource: str) -> bool:
    """Whether the user ``extsync`` may do this in the namespace default, by the API server's own answer."""
    kind, _, group = resource.partition(".")
    kind, _, part = kind.partition("/")
    attributes = {"namespace": "default", "verb": verb, "group": group, "resource": kind, "subresource": part}
    review = control_plane.request(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        {"spec": {"resourceAttributes": attributes}},
        user="extsync",
    )
    return bool(review["status"]["allowed"])
