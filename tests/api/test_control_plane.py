"""The control plane that the other tests of this tier stand on does what they take for granted."""

from typing import Any

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.rest import RequestFailedError
from tests.cluster.waiting import wait_for

SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "orders"},
    "spec": {"ports": [{"name": "mysql", "port": 3306}]},
}
ENDPOINTS: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Endpoints",
    "metadata": {"name": "orders"},
    "subsets": [{"addresses": [{"ip": "192.0.2.10"}], "ports": [{"name": "mysql", "port": 3306}]}],
}


def test_mirrors_the_endpoints_of_a_service_without_selector(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.request("POST", f"/api/v1/namespaces/{namespace}/services", SERVICE)
    control_plane.request("POST", f"/api/v1/namespaces/{namespace}/endpoints", ENDPOINTS)

    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    slices = wait_for(lambda: control_plane.request("GET", path)["items"], "mirrored slice")

    assert len(slices) == 1
    assert slices[0]["endpoints"][0]["addresses"] == ["192.0.2.10"]
    manager = slices[0]["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"]
    assert manager == "endpointslicemirroring-controller.k8s.io"


def test_collects_the_slices_of_a_deleted_service(control_plane: ControlPlane, namespace: str) -> None:
    services = f"/api/v1/namespaces/{namespace}/services"
    service = control_plane.request("POST", services, SERVICE)
    owner = {"apiVersion": "v1", "kind": "Service", "name": "orders", "uid": service["metadata"]["uid"]}
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    body = {"metadata": {"name": "orders-1", "ownerReferences": [owner]}, "addressType": "IPv4", "endpoints": []}
    control_plane.request("POST", slices, body)

    control_plane.request("DELETE", f"{services}/orders")

    wait_for(lambda: not control_plane.request("GET", slices)["items"], "collection of the slice")


def test_gives_a_service_addresses_of_both_families(control_plane: ControlPlane, namespace: str) -> None:
    spec = SERVICE["spec"] | {"ipFamilyPolicy": "RequireDualStack"}
    service = control_plane.request("POST", f"/api/v1/namespaces/{namespace}/services", SERVICE | {"spec": spec})
    assert sorted(service["spec"]["ipFamilies"]) == ["IPv4", "IPv6"]


def test_keeps_its_data_and_address_over_a_restart_of_the_api_server(
    control_plane: ControlPlane, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/services"
    before = control_plane.request("POST", path, SERVICE)

    control_plane.stop_api()
    try:
        with pytest.raises(OSError, match="refused"):
            control_plane.request("GET", f"{path}/orders")
    finally:
        control_plane.start_api()

    assert control_plane.request("GET", f"{path}/orders")["metadata"]["uid"] == before["metadata"]["uid"]


def test_lets_a_guest_do_nothing(control_plane: ControlPlane, namespace: str) -> None:
    with pytest.raises(RequestFailedError) as refusal:
        control_plane.request("GET", f"/api/v1/namespaces/{namespace}/services", user="guest")
    assert refusal.value.code == 403
