"""The labels of an instance: Prometheus's names and values."""

from __future__ import annotations

from typing import Any

from extsync.sources.consul.answer import Reading, Rules, read
from tests.sources.consul.support import body, check, instance


def labels(entry: dict[str, Any], **rules: Any) -> dict[str, str]:
    [backend] = read(body(entry), Rules(service="orders", **rules), Reading()).listing.backends
    assert list(backend.labels) == sorted(backend.labels)
    return dict(backend.labels)


def test_an_instance_has_the_labels_that_prometheus_gives_it() -> None:
    entry = instance(
        "192.0.2.1",
        8080,
        node={"Meta": {"rack": "7"}, "TaggedAddresses": {"lan": "198.51.100.1", "wan": "203.0.113.1"}},
        checks=[check("passing"), check("warning")],
        Tags=["primary", "v2"],
        Meta={"team": "shop"},
        Namespace="retail",
        Partition="east",
    )
    assert labels(entry) == {
        "__meta_consul_address": "198.51.100.1",
        "__meta_consul_dc": "dc1",
        "__meta_consul_health": "warning",
        "__meta_consul_metadata_rack": "7",
        "__meta_consul_namespace": "retail",
        "__meta_consul_node": "n1",
        "__meta_consul_partition": "east",
        "__meta_consul_service": "orders",
        "__meta_consul_service_address": "192.0.2.1",
        "__meta_consul_service_id": "orders-192.0.2.1",
        "__meta_consul_service_metadata_team": "shop",
        "__meta_consul_service_port": "8080",
        "__meta_consul_tagged_address_lan": "198.51.100.1",
        "__meta_consul_tagged_address_wan": "203.0.113.1",
        "__meta_consul_tags": ",primary,v2,",
    }


def test_a_label_without_a_value_is_left_out() -> None:
    found = labels({"Node": {"Address": "192.0.2.1"}, "Service": {"Meta": {"empty": "", "null": None}}})
    assert found == {
        "__meta_consul_address": "192.0.2.1",
        "__meta_consul_health": "passing",
        "__meta_consul_service": "orders",
        "__meta_consul_service_port": "0",
        "__meta_consul_tags": ",,",
    }


def test_keys_become_names_as_prometheus_makes_them() -> None:
    found = labels(instance(Meta={"consul-network.segment/é": "x"}))
    assert found["__meta_consul_service_metadata_consul_network_segment__"] == "x"


def test_the_separator_of_tags_can_be_another_one() -> None:
    assert labels(instance(Tags=["a", "b"]), tag_separator="|")["__meta_consul_tags"] == "|a|b|"
