"""What the controllers beside every Store do: garbage collection, mirroring and the end of namespaces."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from extsync.objects import (
    MANAGED_BY_LABEL,
    MIRRORING_CONTROLLER,
    SERVICE_NAME_LABEL,
    SKIP_MIRROR_LABEL,
    Endpoints,
    EndpointSlice,
    Service,
)
from tests.contract.cluster import Cluster, eventually
from tests.contract.things import endpoints_of, owned_by, service_body, slice_of


class Collecting:
    async def test_the_endpoints_of_a_service_go_with_it(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            service = await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            await store.create(endpoints_of(cluster.namespace, "one", "192.0.2.1"))
            await store.delete(Service, cluster.namespace, "one", uid=service.metadata.uid or "")
            assert cluster.find(Endpoints, "one") is None

    async def test_slices_go_with_the_service_that_owns_them(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            service = await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            await store.create(slice_of(cluster.namespace, "owned", owner_references=owned_by(service)))
            await store.create(slice_of(cluster.namespace, "free"))
            cluster.remove(Service, "one")
            await eventually(cluster, lambda: cluster.find(EndpointSlice, "owned") is None)
            assert cluster.find(EndpointSlice, "free") is not None

    async def test_a_reference_with_another_uid_is_no_owner_even_while_there_is_one(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            service = await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            (owner,) = owned_by(service)
            right, wrong = (owner,), (replace(owner, uid="0b0e2b46-0000-4000-8000-000000000000"),)
            await store.create(slice_of(cluster.namespace, "right", owner_references=right))
            await store.create(slice_of(cluster.namespace, "wrong", owner_references=wrong))
            await eventually(cluster, lambda: cluster.find(EndpointSlice, "wrong") is None)
            assert cluster.find(EndpointSlice, "right") is not None

    async def test_with_one_owner_left_only_the_reference_to_the_other_goes(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            owners = []
            for name in ("stays", "goes"):
                body = service_body(cluster.namespace, name)
                owners.append(owned_by(await store.apply_service(body, field_manager="extsync"))[0])
            both = tuple(replace(owner, controller=None) for owner in owners)
            await store.create(slice_of(cluster.namespace, owner_references=both))
            cluster.remove(Service, "goes")
            await eventually(cluster, lambda: owner_names(cluster, "one") == ["stays"])


class Mirroring:
    async def test_endpoints_alone_are_mirrored(self, cluster: Cluster) -> None:
        body: dict[str, Any] = {
            "metadata": {"name": "one", "labels": {"app": "db"}, "annotations": {"note": "x"}},
            "subsets": [{
                "addresses": [{"ip": "192.0.2.1", "hostname": "db-1", "nodeName": "node-1"}],
                "notReadyAddresses": [{"ip": "192.0.2.2"}],
                "ports": [{"name": "http", "port": 80}],
            }],
        }  # fmt: skip
        async with cluster.open() as store:
            await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            endpoints = cluster.post(Endpoints, body)
            await eventually(cluster, lambda: len(mirrored(cluster, "one")) == 1)
            (found,) = mirrored(cluster, "one")
            assert found["metadata"]["labels"]["app"] == "db"
            assert found["metadata"]["annotations"] == {"note": "x"}
            assert found["metadata"]["generateName"] == "one-"
            assert found["metadata"]["ownerReferences"][0]["uid"] == endpoints["metadata"]["uid"]
            assert sorted(found["endpoints"], key=lambda endpoint: endpoint["addresses"]) == [
                {"addresses": ["192.0.2.1"], "conditions": {"ready": True}, "hostname": "db-1", "nodeName": "node-1"},
                {"addresses": ["192.0.2.2"], "conditions": {"ready": False}},
            ]
            assert found["ports"] == [{"name": "http", "port": 80, "protocol": "TCP"}]

    async def test_a_mirror_follows_its_endpoints(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            obj = await store.create(endpoints_of(cluster.namespace, "one", "192.0.2.1"))
            await eventually(cluster, lambda: mirrored_addresses(cluster, "one") == ["192.0.2.1"])
            changed = endpoints_of(cluster.namespace, "one", "192.0.2.1", "192.0.2.2")
            obj = await store.update(replace(obj, subsets=changed.subsets))
            await eventually(cluster, lambda: mirrored_addresses(cluster, "one") == ["192.0.2.1", "192.0.2.2"])
            await store.update(replace(obj, subsets=None))
            await eventually(cluster, lambda: mirrored(cluster, "one") == [])

    async def test_there_is_one_slice_for_each_family_and_each_set_of_ports(self, cluster: Cluster) -> None:
        body = {"metadata": {"name": "one"}, "subsets": [
            {"addresses": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}], "ports": [{"name": "a", "port": 80}]},
            {"addresses": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}], "ports": [{"name": "b", "port": 81}]},
            {"addresses": [{"ip": "192.0.2.2"}], "ports": [{"name": "a", "port": 8080}]},
        ]}  # fmt: skip
        async with cluster.open() as store:
            ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
            await store.apply_service(service_body(cluster.namespace, ports=ports), field_manager="extsync")
            cluster.post(Endpoints, body)
            await eventually(cluster, lambda: len(mirrored(cluster, "one")) == 3)
            assert sorted(shape(found) for found in mirrored(cluster, "one")) == [
                ("IPv4", ["a"], ["192.0.2.2"]),
                ("IPv4", ["a", "b"], ["192.0.2.1"]),
                ("IPv6", ["a", "b"], ["2001:db8::1"]),
            ]

    @pytest.mark.parametrize(("value", "expected"), [("true", False), ("True", True), ("false", True)])
    async def test_only_the_very_label_keeps_the_mirror_away(
        self, cluster: Cluster, value: str, expected: bool
    ) -> None:
        async with cluster.open() as store:
            for name in ("one", "last"):
                await store.apply_service(service_body(cluster.namespace, name), field_manager="extsync")
            labels = {SKIP_MIRROR_LABEL: value}
            await store.create(endpoints_of(cluster.namespace, "one", "192.0.2.1", labels=labels))
            if expected:
                await eventually(cluster, lambda: bool(mirrored(cluster, "one")))
            await store.create(endpoints_of(cluster.namespace, "last", "192.0.2.1"))
            await eventually(cluster, lambda: bool(mirrored(cluster, "last")))
            assert bool(mirrored(cluster, "one")) is expected

    async def test_the_mirror_goes_when_the_label_comes(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            obj = await store.create(endpoints_of(cluster.namespace, "one", "192.0.2.1"))
            await eventually(cluster, lambda: bool(mirrored(cluster, "one")))
            labels = {SKIP_MIRROR_LABEL: "true"}
            await store.update(replace(obj, metadata=replace(obj.metadata, labels=labels)))
            await eventually(cluster, lambda: not mirrored(cluster, "one"))

    async def test_equal_port_names_are_never_mirrored(self, cluster: Cluster) -> None:
        ports = [{"name": "http", "port": 80}, {"name": "http", "port": 81}]
        subset = {"addresses": [{"ip": "192.0.2.1"}], "ports": ports}
        async with cluster.open() as store:
            for name in ("one", "last"):
                await store.apply_service(service_body(cluster.namespace, name), field_manager="extsync")
            cluster.post(Endpoints, {"metadata": {"name": "one"}, "subsets": [subset]})
            await store.create(endpoints_of(cluster.namespace, "last", "192.0.2.1"))
            await eventually(cluster, lambda: bool(mirrored(cluster, "last")))
            assert mirrored(cluster, "one") == []

    async def test_what_is_ready_in_one_subset_and_not_in_another_is_not_ready(self, cluster: Cluster) -> None:
        address, ports = {"ip": "192.0.2.1"}, [{"name": "http", "port": 80}]
        subsets = [{"notReadyAddresses": [address], "ports": ports}, {"addresses": [address], "ports": ports}]
        async with cluster.open() as store:
            await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            cluster.post(Endpoints, {"metadata": {"name": "one"}, "subsets": subsets})
            await eventually(cluster, lambda: bool(mirrored(cluster, "one")))
            (found,) = mirrored(cluster, "one")
            assert found["endpoints"] == [{"addresses": ["192.0.2.1"], "conditions": {"ready": False}}]

    async def test_at_most_a_thousand_addresses_are_mirrored_and_the_ready_ones_first(self, cluster: Cluster) -> None:
        addresses = [{"ip": f"198.18.{number // 250}.{number % 250 + 1}"} for number in range(1002)]
        ports = [{"name": "http", "port": 80}]
        subset = {"notReadyAddresses": addresses[:3], "addresses": addresses[3:], "ports": ports}
        async with cluster.open() as store:
            await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            cluster.post(Endpoints, {"metadata": {"name": "one"}, "subsets": [subset]})
            await eventually(cluster, lambda: len(mirrored_addresses(cluster, "one")) == 1000)
            (found,) = mirrored(cluster, "one")
            assert sum(not endpoint["conditions"]["ready"] for endpoint in found["endpoints"]) == 1


def mirrored(cluster: Cluster, service: str) -> list[dict[str, Any]]:
    """The slices that the mirroring controller keeps for a Service, as they are stored."""
    return cluster.select(EndpointSlice, {MANAGED_BY_LABEL: MIRRORING_CONTROLLER, SERVICE_NAME_LABEL: service})


def owner_names(cluster: Cluster, name: str) -> list[str]:
    found = cluster.find(EndpointSlice, name)
    return [owner["name"] for owner in found["metadata"]["ownerReferences"]] if found else []


def mirrored_addresses(cluster: Cluster, service: str) -> list[str]:
    endpoints = (endpoint for found in mirrored(cluster, service) for endpoint in found["endpoints"] or ())
    return sorted(endpoint["addresses"][0] for endpoint in endpoints)


def shape(found: dict[str, Any]) -> tuple[str, list[str], list[str]]:
    """The family, the names of the ports and the addresses of a slice."""
    ports = sorted(port["name"] for port in found["ports"])
    return found["addressType"], ports, sorted(endpoint["addresses"][0] for endpoint in found["endpoints"])
