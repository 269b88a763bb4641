"""Unmanaged: what says that somebody keeps an object, and what says nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from extsync.objects import Endpoints, EndpointSlice, ObjectMeta, OwnerReference, Service
from extsync.plan.ownership import SliceOwners, Whose, whose
from extsync.plan.plan import Current
from extsync.plan.removal import removal
from extsync.plan.unmanaged import endpoints_keeper, slice_keeper
from tests.plan.cluster import UID, service

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"
ENDPOINTS_MANAGED_BY = "endpoints.kubernetes.io/managed-by"
TOOL = "app.kubernetes.io/managed-by"
OURS_TO_BE = OwnerReference(api_version="v1", kind="Service", name="orders", uid=UID, controller=True)
OTHERS = OwnerReference(api_version="example.org/v1", kind="Pool", name="p", uid="9", controller=True)
MERE_OWNER = OwnerReference(api_version="v1", kind="ConfigMap", name="c", uid="9")


def labelled(**labels: str) -> Service:
    made = service()
    return msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, labels=labels))


def a_slice(labels: dict[str, str], address_type: str = "IPv4", **metadata: Any) -> EndpointSlice:
    labels = {"kubernetes.io/service-name": "orders", **labels}
    meta = ObjectMeta(name="by-hand", namespace="default", labels=labels, **metadata)
    return EndpointSlice(metadata=meta, address_type=address_type)


def endpoints(**metadata: Any) -> Endpoints:
    return Endpoints(metadata=ObjectMeta(name="orders", namespace="default", **metadata))


@pytest.mark.parametrize(
    ("slice_", "keeper"),
    [
        (a_slice({}), None),
        (a_slice({MANAGED_BY: "staff"}), None),
        (a_slice({MANAGED_BY: "cluster-admins"}), None),
        (a_slice({}, owner_references=(OURS_TO_BE, MERE_OWNER)), None),
        (a_slice({MANAGED_BY: CONTROLLER}), None),
        (a_slice({MANAGED_BY: CONTROLLER}, owner_references=(OURS_TO_BE,)), None),
        (a_slice({MANAGED_BY: "vendor"}), "vendor"),
        (a_slice({}, owner_references=(OTHERS,)), "Pool/p"),
        (a_slice({"extsync.dev/owner": "other"}), "owner id 'other'"),
        (a_slice({TOOL: "Helm"}), "Helm"),
        (a_slice({}, annotations={"argocd.argoproj.io/tracking-id": "x"}), "a tool"),
        (a_slice({}, annotations={"config.k8s.io/owning-inventory": "x"}), "a tool"),
        (a_slice({"applyset.kubernetes.io/part-of": "applyset-x-v1"}), "applyset.kubernetes.io/part-of"),
        (a_slice({"kubernetes.io/service-name": "carts"}), "another Service"),
    ],
)
def test_who_keeps_a_slice(slice_: EndpointSlice, keeper: str | None) -> None:
    found = slice_keeper(slice_, service())
    assert found is None if keeper is None else keeper in (found or "")
    assert whose(slice_, service(), "default") is (Whose.NOBODY if keeper is None else Whose.OTHER)


@pytest.mark.parametrize(
    ("obj", "keeper"),
    [
        (endpoints(), None),
        (endpoints(labels={ENDPOINTS_MANAGED_BY: "endpoint-controller"}), None),
        (endpoints(owner_references=(OURS_TO_BE,)), None),
        (endpoints(labels={ENDPOINTS_MANAGED_BY: "vendor"}), "vendor"),
        (endpoints(labels={"extsync.dev/owner": "other"}), "owner id 'other'"),
        (endpoints(owner_references=(OTHERS,)), "Pool/p"),
        (endpoints(annotations={"control-plane.alpha.kubernetes.io/leader": "{}"}), "leader election"),
        (endpoints(labels={"helm.toolkit.fluxcd.io/name": "orders"}), "helm.toolkit.fluxcd.io/name"),
    ],
)
def test_who_keeps_endpoints(obj: Endpoints, keeper: str | None) -> None:
    found = endpoints_keeper(obj, service())
    assert found is None if keeper is None else keeper in (found or "")


def test_beside_a_selector_the_controllers_keep_what_they_made() -> None:
    selecting = service(selector={"app": "db"})
    assert slice_keeper(a_slice({MANAGED_BY: CONTROLLER}), selecting) == CONTROLLER
    assert endpoints_keeper(endpoints(labels={ENDPOINTS_MANAGED_BY: "endpoint-controller"}), selecting)
    assert slice_keeper(a_slice({}), selecting) is None, "written by hand beside the controller's"


def test_labels_that_a_controller_copied_from_the_service_say_nothing() -> None:
    of_helm = labelled(**{TOOL: "Helm"})
    assert slice_keeper(a_slice({MANAGED_BY: CONTROLLER, TOOL: "Helm"}), of_helm) is None
    assert endpoints_keeper(endpoints(labels={TOOL: "Helm"}), of_helm), "by hand, or by Helm: a person has to say"
    old_server = ({"manager": "kube-controller-manager", "operation": "Update"},)
    assert endpoints_keeper(endpoints(labels={TOOL: "Helm"}, managed_fields=old_server), of_helm) is None
    assert endpoints_keeper(endpoints(labels={TOOL: "Kustomize"}, managed_fields=old_server), of_helm)


def test_endpoints_with_an_owner_label_that_a_controller_copied_are_not_ours_to_remove() -> None:
    copied = endpoints(labels={"extsync.dev/owner": "default", ENDPOINTS_MANAGED_BY: "endpoint-controller"}, uid="1")
    assert removal(Current(service(), endpoints=copied), "default").is_empty
    ours = endpoints(labels=copied.labels, uid="1", owner_references=(OURS_TO_BE,))
    assert len(removal(Current(service(), endpoints=ours), "default")) == 1


def test_slices_of_names_are_left_alone() -> None:
    """extsync never writes one, and kube-proxy ignores them."""
    assert whose(a_slice({}, "FQDN"), service(), "default") is Whose.OTHER


def test_with_the_memo_a_selector_that_goes_is_seen() -> None:
    owners, stale = SliceOwners(), [a_slice({MANAGED_BY: CONTROLLER})]
    assert owners.of(stale, service(selector={"app": "db"}), "default") == [Whose.OTHER]
    assert owners.of(stale, service(), "default") == [Whose.NOBODY]
