"""Objects survive the way through JSON, and what extsync does not know of them survives an update."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from extsync.errors import Expired, Unavailable
from extsync.kube import codec, unknown
from extsync.kube.store import WatchType
from extsync.objects import (
    KINDS,
    EndpointConditions,
    Endpoints,
    EndpointSlice,
    KubeObject,
    Lease,
    ObjectMeta,
    Service,
    SliceEndpoint,
    SlicePort,
)

SLICE: dict[str, Any] = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {
        "name": "orders-1",
        "namespace": "shop",
        "uid": "5f1c",
        "resourceVersion": "812",
        "generation": 3,
        "creationTimestamp": "2026-11-23T06:00:00Z",
        "labels": {"kubernetes.io/service-name": "orders"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "orders", "uid": "aa"}],
    },
    "addressType": "IPv4",
    "endpoints": [
        {"addresses": ["192.0.2.1"], "conditions": {"ready": True}, "zone": "a"},
        {"addresses": ["192.0.2.2"], "conditions": {"ready": False}},
    ],
    "ports": [{"name": "mysql", "protocol": "TCP", "port": 3306}],
}


def raw(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode()


def carried(kind: type[KubeObject], stored: dict[str, Any], new: KubeObject) -> Any:
    return json.loads(unknown.carry(kind, raw(stored), codec.encode(new)))


# ---- decoding and encoding ------------------------------------------------------------------------------------------


def test_an_object_comes_back_as_it_was() -> None:
    assert json.loads(codec.encode(codec.decode(EndpointSlice, raw(SLICE)))) == SLICE


def test_an_object_is_sent_with_its_kind_also_where_a_list_left_that_out() -> None:
    item = {name: value for name, value in SLICE.items() if name not in ("apiVersion", "kind")}
    encoded = json.loads(codec.encode(codec.decode(EndpointSlice, raw(item))))
    assert (encoded["apiVersion"], encoded["kind"]) == ("discovery.k8s.io/v1", "EndpointSlice")


def test_lists_that_the_api_reads_back_as_null_are_none() -> None:
    found = codec.decode(EndpointSlice, raw(SLICE | {"endpoints": None, "ports": None}))
    assert (found.endpoints, found.ports) == (None, None)


def test_a_page_has_its_items_its_version_and_the_token_of_the_next() -> None:
    content = {"metadata": {"resourceVersion": "900", "continue": "more"}, "items": [SLICE, SLICE]}
    page = codec.decode_list(EndpointSlice, raw(content))
    assert [item.metadata.name for item in page.items] == ["orders-1", "orders-1"]
    assert (page.resource_version, page.next) == ("900", "more")


def test_an_empty_list_of_the_api_is_null() -> None:
    page = codec.decode_list(Service, raw({"metadata": {"resourceVersion": "900"}, "items": None}))
    assert (page.items, page.next) == ((), "")


def test_an_event_has_its_type_its_object_and_its_version() -> None:
    event = codec.decode_event(EndpointSlice, raw({"type": "DELETED", "object": SLICE}))
    assert (event.type, event.resource_version) == (WatchType.DELETED, "812")
    assert event.object is not None
    assert event.object.key == ("shop", "orders-1")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bookmark_needs_nothing_of_the_object_but_its_version(kind: type[KubeObject]) -> None:
    bookmark = {"metadata": {"resourceVersion": "77", "creationTimestamp": None}, "addressType": "", "endpoints": None}
    event = codec.decode_event(kind, raw({"type": "BOOKMARK", "object": bookmark}))
    assert (event.type, event.resource_version, event.object) == (WatchType.BOOKMARK, "77", None)
    assert not event.initial_end


def test_the_bookmark_that_ends_the_initial_events_is_told_apart() -> None:
    bookmark = {"metadata": {"resourceVersion": "77", "annotations": {"k8s.io/initial-events-end": "true"}}}
    assert codec.decode_event(Service, raw({"type": "BOOKMARK", "object": bookmark})).initial_end


def test_an_expired_watch_is_told_inside_the_stream() -> None:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 1 (99)"}
    with pytest.raises(Expired, match="too old resource version"):
        codec.decode_event(Service, raw({"type": "ERROR", "object": status}))


def test_any_other_error_inside_the_stream_promises_nothing() -> None:
    with pytest.raises(Unavailable):
        codec.decode_event(Service, raw({"type": "ERROR", "object": {"code": 500, "message": "etcdserver: no leader"}}))


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"metadata": 1}',
        b"<html>",
        b'{"type": "NEW", "object": {"metadata": {}}}',
        b'{"type": "ADDED", "object": {"metadata": {"name": "\xff"}}}',
        pytest.param(b'{"type": "ADDED", "object": {"x": ' + DEEP + b"}}", id="nested without an end"),
    ],
)
def test_what_is_not_an_event_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        codec.decode_event(Service, data)


@pytest.mark.parametrize("content", [{}, {"metadata": {}}, {"metadata": {"resourceVersion": "1"}}, {"items": []}])
def test_what_is_not_a_list_does_not_pass_for_an_empty_one(content: dict[str, Any]) -> None:
    with pytest.raises(msgspec.DecodeError):
        codec.decode_list(Service, raw(content))


def test_an_object_of_another_kind_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError, match="expected a Lease, got a Status"):
        codec.decode(Lease, raw({"kind": "Status", "metadata": {}}))


# ---- unknown fields -------------------------------------------------------------------------------------------------


def test_an_object_of_known_fields_alone_needs_nothing_carried() -> None:
    assert not unknown.has_unknown(EndpointSlice, raw(SLICE))


@pytest.mark.parametrize(
    "stored",
    [
        SLICE | {"future": 1},
        SLICE | {"metadata": SLICE["metadata"] | {"future": 1}},
        SLICE | {"endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": True, "future": True}}]},
        SLICE | {"ports": [{"port": 1, "future": 1}]},
    ],
)
def test_an_unknown_field_is_found_at_any_depth(stored: dict[str, Any]) -> None:
    assert unknown.has_unknown(EndpointSlice, raw(stored))


def test_unknown_fields_stay_with_the_endpoint_that_has_them() -> None:
    stored = SLICE | {
        "future": {"a": [1]},
        "endpoints": [
            {"addresses": ["192.0.2.1"], "conditions": {"ready": True, "warm": True}, "weight": 5},
            {"addresses": ["192.0.2.2"], "conditions": {"ready": False}, "weight": 7},
            {"addresses": ["192.0.2.3"], "conditions": {"ready": True}, "weight": 9},
        ],
        "ports": [{"name": "mysql", "port": 3306, "protocol": "TCP", "priority": 1}],
    }
    old = codec.decode(EndpointSlice, raw(stored))
    new = msgspec.structs.replace(
        old,
        endpoints=(
            SliceEndpoint(addresses=("192.0.2.9",), conditions=EndpointConditions(ready=True)),
            SliceEndpoint(addresses=("192.0.2.2",), conditions=EndpointConditions(ready=True)),
            SliceEndpoint(addresses=("192.0.2.1",)),
        ),
        ports=(SlicePort(name="mysql", port=3307, protocol="TCP"),),
    )
    merged = carried(EndpointSlice, stored, new)
    assert merged["future"] == {"a": [1]}
    assert merged["endpoints"] == [
        {"addresses": ["192.0.2.9"], "conditions": {"ready": True}},
        {"addresses": ["192.0.2.2"], "conditions": {"ready": True}, "weight": 7},
        {"addresses": ["192.0.2.1"], "conditions": {"warm": True}, "weight": 5},
    ]
    assert merged["ports"] == [{"name": "mysql", "port": 3307, "protocol": "TCP", "priority": 1}]


def test_a_known_field_that_is_gone_stays_gone() -> None:
    stored = SLICE | {"future": 1}
    new = msgspec.structs.replace(codec.decode(EndpointSlice, raw(stored)), ports=None)
    new = msgspec.structs.replace(new, metadata=ObjectMeta(name="orders-1", namespace="shop"))
    merged = carried(EndpointSlice, stored, new)
    assert "ports" not in merged
    assert merged["metadata"] == {"name": "orders-1", "namespace": "shop"}


def test_another_target_does_not_inherit_the_fields_of_the_one_before() -> None:
    def stored(pod: str) -> dict[str, Any]:
        target = {"kind": "Pod", "name": pod, "namespace": "shop", "uid": pod, "fieldPath": "spec"}
        return SLICE | {"endpoints": [{"addresses": ["192.0.2.1"], "targetRef": target}]}

    same = carried(EndpointSlice, stored("a"), codec.decode(EndpointSlice, raw(stored("a"))))
    other = carried(EndpointSlice, stored("a"), codec.decode(EndpointSlice, raw(stored("b"))))
    assert same["endpoints"][0]["targetRef"]["fieldPath"] == "spec"
    assert "fieldPath" not in other["endpoints"][0]["targetRef"]


def test_unknown_fields_of_endpoints_and_leases_are_carried_too() -> None:
    endpoints = {
        "metadata": {"name": "orders"},
        "subsets": [{"addresses": [{"ip": "192.0.2.1", "future": 1}], "ports": [{"port": 80, "future": 2}]}],
    }
    assert carried(Endpoints, endpoints, codec.decode(Endpoints, raw(endpoints)))["subsets"] == endpoints["subsets"]
    lease = {"metadata": {"name": "extsync"}, "spec": {"holderIdentity": "a", "strategy": "OldestEmulationVersion"}}
    assert carried(Lease, lease, codec.decode(Lease, raw(lease)))["spec"] == lease["spec"]


def test_lists_of_structs_of_every_kind_that_is_updated_have_an_identity() -> None:
    """Without one the unknown fields of a new struct's items would be lost without a word."""

    def lists(cls: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
        nested = [(field.type, unknown._nested(field.type)) for field in msgspec.structs.fields(cls)]
        below = [inner for _, found in nested if found for inner in lists(found)]
        return [found for annotation, found in nested if found and "tuple[" in str(annotation)] + below

    for kind in (EndpointSlice, Endpoints, Lease):
        assert [cls for cls in lists(kind) if cls not in unknown._IDENTITY] == []
