"""What every Store accepts and refuses; some of what is accepted breaks kube-proxy."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from extsync.errors import Invalid
from extsync.objects import EndpointConditions, Endpoints, SliceEndpoint, SlicePort
from tests.contract.cluster import Cluster, Refused
from tests.contract.things import endpoints_of, service_body, slice_of


class Validating:
    @pytest.mark.parametrize(
        "address",
        ["192.0.2.01", "::ffff:192.0.2.1", "0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.5", "::", "::1", "fe80::1",
         "ff02::1", "fe80::1%eth0", "db.example.com", ""],
    )  # fmt: skip
    async def test_such_an_address_is_refused(self, cluster: Cluster, address: str) -> None:
        family = "IPv6" if ":" in address else "IPv4"
        async with cluster.open() as store:
            with pytest.raises(Invalid):
                await store.create(replace(slice_of(cluster.namespace, "one", address), address_type=family))
            with pytest.raises(Invalid):
                await store.create(endpoints_of(cluster.namespace, "one", address))

    @pytest.mark.parametrize("address", ["239.1.1.1", "255.255.255.255"])
    async def test_such_an_address_is_accepted_against_all_sense(self, cluster: Cluster, address: str) -> None:
        async with cluster.open() as store:
            await store.create(slice_of(cluster.namespace, "one", address))
            await store.create(endpoints_of(cluster.namespace, "one", address))

    async def test_ipv6_has_to_be_canonical_in_slices_only(self, cluster: Cluster) -> None:
        address = "2001:DB8:0:0::1"
        async with cluster.open() as store:
            with pytest.raises(Invalid):
                await store.create(replace(slice_of(cluster.namespace, "one", address), address_type="IPv6"))
            await store.create(endpoints_of(cluster.namespace, "one", address))

    @pytest.mark.parametrize("port", [0, -5, 70_000])
    async def test_the_port_of_a_slice_is_unchecked_that_of_endpoints_is_not(self, cluster: Cluster, port: int) -> None:
        async with cluster.open() as store:
            obj = await store.create(replace(slice_of(cluster.namespace), ports=(SlicePort(port=port),)))
            assert obj.ports == (SlicePort(name="", protocol="TCP", port=port),)
            subset = {"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": port}]}
            with pytest.raises(Refused):
                cluster.post(Endpoints, {"metadata": {"name": "one"}, "subsets": [subset]})

    async def test_equal_port_names_are_refused_in_slices_only(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            with pytest.raises(Invalid):
                await store.create(replace(slice_of(cluster.namespace), ports=(SlicePort(port=80), SlicePort(port=81))))
            ports = [{"name": "http", "port": 80}, {"name": "http", "port": 81}]
            subset = {"addresses": [{"ip": "192.0.2.1"}], "ports": ports}
            cluster.post(Endpoints, {"metadata": {"name": "one"}, "subsets": [subset]})

    async def test_one_address_may_be_there_twice_and_both_ready_and_not(self, cluster: Cluster) -> None:
        address = {"ip": "192.0.2.1"}
        subset = {"addresses": [address, address], "notReadyAddresses": [address], "ports": [{"port": 80}]}
        async with cluster.open() as store:
            await store.create(slice_of(cluster.namespace, "one", "192.0.2.1", "192.0.2.1"))
            cluster.post(Endpoints, {"metadata": {"name": "one"}, "subsets": [subset]})

    async def test_an_endpoint_and_a_subset_need_an_address(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            with pytest.raises(Invalid):
                await store.create(replace(slice_of(cluster.namespace), endpoints=(SliceEndpoint(addresses=()),)))
            with pytest.raises(Refused):
                cluster.post(Endpoints, {"metadata": {"name": "one"}, "subsets": [{}]})

    async def test_a_slice_holds_a_thousand_endpoints_and_no_more(self, cluster: Cluster) -> None:
        addresses = [f"198.18.{number // 250}.{number % 250 + 1}" for number in range(1001)]
        async with cluster.open() as store:
            await store.create(slice_of(cluster.namespace, "most", *addresses[:1000]))
            with pytest.raises(Invalid):
                await store.create(slice_of(cluster.namespace, "more", *addresses))

    @pytest.mark.parametrize("endpoint", [
        SliceEndpoint(addresses=("192.0.2.1",), hostname="DB_1"),
        SliceEndpoint(addresses=("192.0.2.1",), hostname="db.example"),
        SliceEndpoint(addresses=("192.0.2.1",), node_name="Node_1"),
        SliceEndpoint(addresses=("2001:db8::1",)),
    ])  # fmt: skip
    async def test_such_an_endpoint_is_refused(self, cluster: Cluster, endpoint: SliceEndpoint) -> None:
        async with cluster.open() as store:
            with pytest.raises(Invalid):
                await store.create(replace(slice_of(cluster.namespace), endpoints=(endpoint,)))

    async def test_a_zone_is_not_checked_and_a_node_name_may_have_dots(self, cluster: Cluster) -> None:
        endpoint = SliceEndpoint(
            addresses=("192.0.2.1",), zone="any Thing!", node_name="node.example.com", conditions=EndpointConditions()
        )
        async with cluster.open() as store:
            obj = await store.create(replace(slice_of(cluster.namespace), endpoints=(endpoint,)))
            assert obj.endpoints == (endpoint,)

    @pytest.mark.parametrize("address_type", ["ipv4", "", "IPv5"])
    async def test_there_is_no_such_address_type(self, cluster: Cluster, address_type: str) -> None:
        async with cluster.open() as store:
            with pytest.raises(Invalid):
                await store.create(replace(slice_of(cluster.namespace), address_type=address_type))

    async def test_the_address_type_is_immutable(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            obj = await store.create(slice_of(cluster.namespace))
            with pytest.raises(Invalid) as refusal:
                await store.update(replace(obj, address_type="IPv6"))
            assert [field for field, _ in refusal.value.causes] == ["addressType"]

    @pytest.mark.parametrize("labels", [{"-app": "x"}, {"app": "x" * 64}, {"app": "a b"}, {"a/b/c": "x"}])
    async def test_such_labels_are_refused(self, cluster: Cluster, labels: dict[str, str]) -> None:
        async with cluster.open() as store:
            with pytest.raises(Invalid):
                await store.create(slice_of(cluster.namespace, labels=labels))

    @pytest.mark.parametrize("name", ["a.b", "A", "a_b", "a" * 64])
    async def test_such_a_name_of_a_service_is_refused(self, cluster: Cluster, name: str) -> None:
        async with cluster.open() as store:
            with pytest.raises(Invalid):
                await store.apply_service(service_body(cluster.namespace, name), field_manager="extsync")

    async def test_the_name_of_a_service_may_begin_with_a_digit(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            await store.apply_service(service_body(cluster.namespace, "1st"), field_manager="extsync")
