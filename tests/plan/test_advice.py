from __future__ import annotations

import msgspec
import pytest

from extsync.model import Endpoint, PortValue, State
from extsync.plan.plan import plan
from extsync.plan.policy import PackPolicy
from tests.plan.cluster import KEY, Cluster, endpoint, many, service


def warnings(endpoints: tuple[Endpoint, ...], **spec: object) -> dict[str, str]:
    planned = plan(KEY, Cluster(service(**spec)).current, endpoints, PackPolicy())
    return {warning.code: warning.text for warning in planned.warnings}


def test_what_is_well_gets_no_warning() -> None:
    assert warnings(many(3)) == {}


@pytest.mark.parametrize("ports", [(PortValue("http", 80),), (PortValue("mysql", 3306, "UDP"),)])
def test_a_port_that_the_service_has_not_by_name_and_protocol_is_warned_of(ports: tuple[PortValue, ...]) -> None:
    assert "nothing will reach" in warnings((endpoint("10.0.0.1", ports=ports),))["PortWithoutService"]


@pytest.mark.parametrize("field", ["internal_traffic_policy", "external_traffic_policy"])
def test_a_local_traffic_policy_needs_node_names(field: str) -> None:
    endpoints = (endpoint("10.0.0.1", node_name="edge-1"), *many(2, first=2))
    assert "2 of 3" in warnings(endpoints, **{field: "Local"})["LocalWithoutNode"]
    assert warnings(endpoints[:1], **{field: "Local"}) == {}


def test_a_traffic_distribution_needs_a_zone_on_each_ready_endpoint() -> None:
    zoned, down = endpoint("10.0.0.1", zone="dc-1"), endpoint("10.0.0.2", State.NOT_READY)
    assert warnings((zoned, down), traffic_distribution="PreferSameZone") == {}
    incomplete = warnings((zoned, *many(1, first=3)), traffic_distribution="PreferClose")["HintsIncomplete"]
    assert "1 without one" in incomplete


def foreign_slice(cluster: Cluster, manager: str) -> None:
    cluster.carry_out(plan(KEY, cluster.current, many(5), PackPolicy(endpoints=False)).changes)
    slice_ = cluster.only_slice
    labels = {**slice_.labels, "endpointslice.kubernetes.io/managed-by": manager}
    cluster.put(msgspec.structs.replace(slice_, metadata=msgspec.structs.replace(slice_.metadata, labels=labels)))


def test_an_endpoint_that_a_slice_of_others_has_as_well_is_warned_of() -> None:
    cluster = Cluster()
    foreign_slice(cluster, "another.io")
    (warning,) = plan(KEY, cluster.current, many(9, first=2), PackPolicy(endpoints=False)).warnings
    assert warning.code == "PublishedTwice"
    assert "another.io" in warning.text
    assert "10.0.0.2, 10.0.0.3, 10.0.0.4, ..." in warning.text
    assert not plan(KEY, cluster.current, many(9, first=20), PackPolicy(endpoints=False)).warnings


def test_the_mirrors_slices_are_warned_of_only_where_the_endpoints_are_not_ours() -> None:
    mirror = "endpointslicemirroring-controller.k8s.io"
    cluster = Cluster()
    foreign_slice(cluster, mirror)
    assert plan(KEY, cluster.current, many(1), PackPolicy(endpoints=False)).warnings
    cluster.carry_out(plan(KEY, cluster.current, many(1), PackPolicy()).changes)
    assert not plan(KEY, cluster.current, many(1), PackPolicy()).warnings
