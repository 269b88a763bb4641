"""Reading and writing single objects through a real API server, and what each of its refusals becomes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from extsync.errors import (
    AlreadyExists,
    Conflict,
    FieldConflict,
    Forbidden,
    Invalid,
    NotFound,
    Terminating,
    TooLarge,
    Unavailable,
)
from extsync.kube.api import KubeStore
from extsync.objects import Endpoints, EndpointSlice, Lease, LeaseSpec, ObjectMeta, Service, SliceEndpoint
from tests.api.kube_stores import a_service, a_slice, kube_store, some_endpoints
from tests.cluster.control_plane import ControlPlane

SLICES = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices"


@pytest.fixture
async def store(kubeconfig: Path) -> AsyncIterator[KubeStore]:
    async with kube_store(kubeconfig) as store:
        yield store


@pytest.fixture
def stranger_kubeconfig(kubeconfig: Path, control_plane: ControlPlane, tmp_path: Path) -> Path:
    """A kubeconfig with a token that the API server does not know."""
    path = tmp_path / "config"
    path.write_text(kubeconfig.read_text().replace(control_plane.admin_token, "s3cret"))
    return path


# ---- create, get, update, delete ------------------------------------------------------------------------------------


async def test_a_created_object_reads_back_with_the_names_that_the_server_gave_it(
    store: KubeStore, namespace: str
) -> None:
    created = await store.create(a_slice(namespace))
    assert created.metadata.uid
    assert created == await store.get(EndpointSlice, namespace, "orders-1")
    assert created.endpoints == a_slice(namespace).endpoints


async def test_a_generated_name_is_the_servers(store: KubeStore, namespace: str) -> None:
    wanted = msgspec.structs.replace(
        a_slice(namespace), metadata=ObjectMeta(namespace=namespace, generate_name="orders-")
    )
    created = await store.create(wanted)
    assert created.metadata.name.startswith("orders-")


async def test_writes_are_attributed_to_extsync(store: KubeStore, namespace: str) -> None:
    created = await store.create(a_slice(namespace))
    assert [entry["manager"] for entry in created.metadata.managed_fields or ()] == ["extsync"]


async def test_an_update_replaces_what_it_read(store: KubeStore, namespace: str) -> None:
    created = await store.create(a_slice(namespace))
    wanted = msgspec.structs.replace(created, endpoints=(SliceEndpoint(addresses=("192.0.2.7",)),))
    updated = await store.update(wanted)
    assert updated.metadata.resource_version != created.metadata.resource_version
    assert [endpoint.addresses for endpoint in updated.endpoints or ()] == [("192.0.2.7",)]
    assert updated == await store.get(EndpointSlice, namespace, "orders-1")


async def test_an_update_from_an_older_version_changes_nothing(store: KubeStore, namespace: str) -> None:
    first = await store.create(a_slice(namespace))
    second = await store.update(msgspec.structs.replace(first, endpoints=()))
    with pytest.raises(Conflict):
        await store.update(first)
    assert second == await store.get(EndpointSlice, namespace, "orders-1")


async def test_an_update_of_an_object_that_was_replaced_by_another_changes_nothing(
    store: KubeStore, namespace: str
) -> None:
    first = await store.create(a_slice(namespace))
    await store.delete(EndpointSlice, namespace, "orders-1", uid=first.metadata.uid or "")
    second = await store.create(a_slice(namespace))
    metadata = msgspec.structs.replace(first.metadata, resource_version=second.metadata.resource_version)
    with pytest.raises(Conflict):
        await store.update(msgspec.structs.replace(first, metadata=metadata))
    assert second == await store.get(EndpointSlice, namespace, "orders-1")


async def test_an_update_never_creates(store: KubeStore, namespace: str) -> None:
    """The API would: a PUT to Endpoints or a Lease that are gone makes them anew, and with the uid says 409."""
    created = await store.create(some_endpoints(namespace))
    await store.delete(Endpoints, namespace, "orders", uid=created.metadata.uid or "")
    with pytest.raises(NotFound):
        await store.update(created)
    lease = await store.create(Lease(metadata=ObjectMeta(name="extsync", namespace=namespace), spec=LeaseSpec()))
    updated = await store.update(msgspec.structs.replace(lease, spec=LeaseSpec(holder_identity="a")))
    await store.delete(Lease, namespace, "extsync", uid=updated.metadata.uid or "")
    with pytest.raises(NotFound):
        await store.update(updated)


async def test_an_update_without_preconditions_is_refused_before_it_is_sent(store: KubeStore, namespace: str) -> None:
    await store.create(a_slice(namespace))
    with pytest.raises(Invalid, match="uid and resourceVersion"):
        await store.update(a_slice(namespace))


async def test_fields_that_extsync_does_not_know_survive_its_update(
    store: KubeStore, control_plane: ControlPlane, namespace: str
) -> None:
    """``targetRef.fieldPath`` is one of those that the structs leave out."""
    target = {"kind": "Pod", "name": "a", "namespace": namespace, "uid": "u", "fieldPath": "spec.containers{b}"}
    body = {
        "metadata": {"name": "orders-1"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.1"], "targetRef": target}, {"addresses": ["192.0.2.2"]}],
    }
    control_plane.request("POST", SLICES.format(namespace), body)
    found = await store.get(EndpointSlice, namespace, "orders-1")
    for hostname in ("one", "two"):  # the second update follows on from an object that the store wrote itself
        endpoints = tuple(
            msgspec.structs.replace(endpoint, hostname=hostname) for endpoint in reversed(found.endpoints or ())
        )
        found = await store.update(msgspec.structs.replace(found, endpoints=endpoints))
    stored = control_plane.request("GET", f"{SLICES.format(namespace)}/orders-1")
    by_address = {endpoint["addresses"][0]: endpoint for endpoint in stored["endpoints"]}
    assert by_address["192.0.2.1"]["targetRef"] == target
    assert {endpoint["hostname"] for endpoint in stored["endpoints"]} == {"two"}


async def test_a_delete_takes_only_the_object_that_is_meant(store: KubeStore, namespace: str) -> None:
    created = await store.create(a_slice(namespace))
    uid, version = created.metadata.uid or "", created.metadata.resource_version
    updated = await store.update(msgspec.structs.replace(created, endpoints=()))
    with pytest.raises(Conflict):
        await store.delete(EndpointSlice, namespace, "orders-1", uid="another")
    with pytest.raises(Conflict):
        await store.delete(EndpointSlice, namespace, "orders-1", uid=uid, resource_version=version)
    assert updated == await store.get(EndpointSlice, namespace, "orders-1")
    await store.delete(
        EndpointSlice, namespace, "orders-1", uid=uid, resource_version=updated.metadata.resource_version
    )
    with pytest.raises(NotFound):
        await store.get(EndpointSlice, namespace, "orders-1")
    with pytest.raises(NotFound):
        await store.delete(EndpointSlice, namespace, "orders-1", uid=uid)


# ---- apply ----------------------------------------------------------------------------------------------------------


async def test_apply_makes_a_service_and_keeps_to_its_own_fields(
    store: KubeStore, control_plane: ControlPlane, namespace: str
) -> None:
    made = await store.apply_service(a_service(namespace), field_manager="extsync")
    assert made.spec.cluster_ip
    control_plane.kubectl("-n", namespace, "annotate", "service", "orders", "team=a")
    again = await store.apply_service(a_service(namespace, sessionAffinity="ClientIP"), field_manager="extsync")
    assert again.metadata.annotations == {"team": "a"}
    assert again.spec.session_affinity == "ClientIP"


async def test_an_equal_apply_writes_nothing(store: KubeStore, namespace: str) -> None:
    made = await store.apply_service(a_service(namespace), field_manager="extsync")
    again = await store.apply_service(a_service(namespace), field_manager="extsync")
    assert again.metadata.resource_version == made.metadata.resource_version


async def test_a_dry_run_of_apply_writes_nothing(store: KubeStore, namespace: str) -> None:
    shown = await store.apply_service(a_service(namespace), field_manager="extsync", dry_run=True)
    assert shown.metadata.name == "orders"
    with pytest.raises(NotFound):
        await store.get(Service, namespace, "orders")


async def test_a_field_of_another_manager_is_not_taken(store: KubeStore, namespace: str) -> None:
    await store.apply_service(a_service(namespace, sessionAffinity="ClientIP"), field_manager="helm")
    with pytest.raises(FieldConflict) as conflict:
        await store.apply_service(a_service(namespace, sessionAffinity="None"), field_manager="extsync")
    assert conflict.value.fields == (("helm", ".spec.sessionAffinity"),)
    assert (await store.get(Service, namespace, "orders")).spec.session_affinity == "ClientIP"


# ---- refusals -------------------------------------------------------------------------------------------------------


async def test_a_name_that_is_taken_is_already_exists(store: KubeStore, namespace: str) -> None:
    await store.create(a_slice(namespace))
    with pytest.raises(AlreadyExists, match=f"create EndpointSlice {namespace}/orders-1"):
        await store.create(a_slice(namespace))


async def test_what_validation_refuses_is_invalid_with_its_fields(store: KubeStore, namespace: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await store.create(a_slice(namespace, "orders-1", "127.0.0.1"))
    assert [field for field, _ in refusal.value.causes] == ["endpoints[0].addresses[0]"]


async def test_a_namespace_that_is_not_there_is_not_found(store: KubeStore) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        await store.create(a_slice("nowhere"))


async def test_no_rights_are_forbidden(guest_kubeconfig: Path, namespace: str) -> None:
    async with kube_store(guest_kubeconfig) as guest:
        with pytest.raises(Forbidden, match="cannot create resource"):
            await guest.create(a_slice(namespace))
        with pytest.raises(Forbidden, match="cannot list resource"):
            await guest.list(EndpointSlice, namespace=namespace)


async def test_an_unknown_token_is_forbidden_and_in_no_message(stranger_kubeconfig: Path, namespace: str) -> None:
    async with kube_store(stranger_kubeconfig) as stranger:
        with pytest.raises(Forbidden, match="Unauthorized") as refusal:
            await stranger.list(EndpointSlice, namespace=namespace)
    assert "s3cret" not in repr(refusal.value)


async def test_a_namespace_that_is_going_away_takes_no_objects(
    store: KubeStore, control_plane: ControlPlane, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    held = {"metadata": {"name": "held", "finalizers": ["extsync.dev/test"]}}
    control_plane.request("POST", path, held)
    try:
        control_plane.request("DELETE", f"/api/v1/namespaces/{namespace}")
        with pytest.raises(Terminating):
            await store.create(a_slice(namespace))
    finally:
        patch: dict[str, Any] = {"metadata": {"finalizers": []}}
        control_plane.request("PATCH", f"{path}/held", patch, content_type="application/merge-patch+json")


@pytest.mark.parametrize("count", [90_000, 110_000, 150_000], ids=["etcd", "grpc", "api"])
async def test_what_does_not_fit_is_too_large(store: KubeStore, namespace: str, count: int) -> None:
    """etcd refuses it, the API server's client of etcd, or the API server itself: each has its own words for it."""
    addresses = [f"198.{a}.{b}.{c}" for a in range(51, 60) for b in range(1, 250) for c in range(1, 250)][:count]
    with pytest.raises(TooLarge):
        await store.create(some_endpoints(namespace, "orders", *addresses), timeout=30)


# ---- an API server that goes away -----------------------------------------------------------------------------------


async def test_a_server_that_is_away_is_unavailable_and_then_back(
    store: KubeStore, control_plane: ControlPlane, namespace: str
) -> None:
    created = await store.create(a_slice(namespace))
    control_plane.stop_api()
    try:
        with pytest.raises(Unavailable, match="cannot connect to https://127"):
            await store.get(EndpointSlice, namespace, "orders-1", timeout=5)
        with pytest.raises(Unavailable):
            await store.update(created, timeout=5)
    finally:
        control_plane.start_api()
    assert created == await store.get(EndpointSlice, namespace, "orders-1")
