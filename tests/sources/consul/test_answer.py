"""How a body becomes backends: addresses, ports, what is set aside, and what need not be decoded again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.model import Backend, Rejected
from extsync.sources.consul import answer
from extsync.sources.consul.answer import MAX_REJECTED, Listing, Reading, Rules, read
from tests.sources.consul.support import body, instance


def listing(content: bytes, **rules: Any) -> Listing:
    return read(content, Rules(service="orders", **rules), Reading()).listing


def places(content: bytes, **rules: Any) -> list[tuple[str, int | None]]:
    return [(backend.address, backend.port) for backend in listing(content, **rules).backends]


def refusal(*instances: Any, **rules: Any) -> str:
    found = listing(body(*instances), **rules)
    assert not found.backends
    [entry] = found.rejected
    return f"{entry.entry}: {entry.reason}"


# ---- addresses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        (instance("192.0.2.7", 80), ("192.0.2.7", 80)),
        (instance("", 80), ("198.51.100.1", 80)),
        (instance("2001:DB8:0::7", 80), ("2001:db8::7", 80)),
        (instance("192.0.2.7", 0), ("192.0.2.7", None)),
        (instance("192.0.2.7", None), ("192.0.2.7", None)),  # type: ignore[arg-type]
    ],
    ids=["its own", "its node's", "IPv6", "port 0", "no port"],
)
def test_an_instance_has_its_own_address_or_that_of_its_node(
    entry: dict[str, Any], place: tuple[str, int | None]
) -> None:
    assert places(body(entry)) == [place]


WAN = {"wan": {"Address": "203.0.113.1", "Port": 8080}}
NODE_WAN = {"TaggedAddresses": {"lan": "198.51.100.1", "wan": "203.0.113.9"}}


@pytest.mark.parametrize(
    ("entry", "tag", "place"),
    [
        (instance(TaggedAddresses=WAN), "wan", ("203.0.113.1", 8080)),
        (instance(TaggedAddresses={"wan": {"Address": "203.0.113.1", "Port": 0}}), "wan", ("203.0.113.1", 80)),
        (
            instance(TaggedAddresses={"wan_ipv6": {"Address": "2001:db8::1", "Port": 81}}),
            "wan",
            ("2001:db8::1", 81),
        ),
        (
            instance(TaggedAddresses=WAN | {"wan_ipv4": {"Address": "203.0.113.2", "Port": 82}}),
            "wan_ipv4",
            ("203.0.113.2", 82),
        ),
        (instance("", node=NODE_WAN), "wan", ("203.0.113.9", 80)),
        (instance("", node=NODE_WAN, TaggedAddresses=WAN), "wan", ("203.0.113.1", 8080)),
    ],
    ids=["its own port", "the service's port", "by family", "exactly this one", "the node's", "before the node's"],
)
def test_a_tagged_address_comes_with_its_own_port(
    entry: dict[str, Any], tag: str, place: tuple[str, int | None]
) -> None:
    assert places(body(entry), tagged_address=tag) == [place]


@pytest.mark.parametrize(
    "entry",
    [instance(), instance(TaggedAddresses=None), instance(TaggedAddresses={"lan": {}}), instance(node=NODE_WAN)],
    ids=["none", "null", "another", "only the node, which is another machine"],
)
def test_an_instance_without_the_tagged_address_is_set_aside_rather_than_reached_elsewhere(
    entry: dict[str, Any],
) -> None:
    assert refusal(entry, tagged_address="wan") == "orders-192.0.2.1 on n1: it has no tagged address 'wan'"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (instance("db.example.com"), "db.example.com is a host name, and an endpoint is an IP address"),
        (instance("127.0.0.1"), "127.0.0.1 is a loopback address"),
        (instance("", node={"Address": ""}), "neither it nor its node has an address"),
        (instance(port=65536), "65536 is not a port"),
        (instance(port=-1), "-1 is not a port"),
        ({"Node": {}, "Service": {}}, "an instance without an ID on a node without a name: neither it nor"),
        ({"Service": {}}, "instance 1: is not as Consul writes it: Object missing required field `Node`"),
        (instance(Port="80"), "instance 1: is not as Consul writes it: Expected `int | null`, got `str`"),
        (None, "instance 1: is not as Consul writes it"),
    ],
)
def test_an_instance_that_cannot_be_used_is_set_aside_with_its_reason(entry: Any, reason: str) -> None:
    assert reason in refusal(entry)


def test_one_instance_that_cannot_be_used_keeps_back_no_other() -> None:
    found = listing(body(instance("192.0.2.1"), instance("db.example.com"), instance("192.0.2.3")))
    assert [backend.address for backend in found.backends] == ["192.0.2.1", "192.0.2.3"]
    assert found.keys == {("192.0.2.1", 80), ("192.0.2.3", 80)}
    assert len(found.rejected) == 1
    assert not found.is_unusable


def test_a_flood_of_unusable_instances_is_counted() -> None:
    found = listing(body(*[instance(port=-1)] * (MAX_REJECTED + 7)))
    assert len(found.rejected) == MAX_REJECTED + 1
    assert found.rejected[-1] == Rejected("the rest", "7 further instances cannot be used either")
    assert found.is_unusable


# ---- bodies --------------------------------------------------------------------------------------------------------


def test_what_other_versions_leave_out_or_add_does_not_matter() -> None:
    sparse = {"Node": {"Address": "192.0.2.1"}, "Service": {}, "Checks": None, "New": {"Deep": [1, None]}}
    nulls = instance(
        Tags=None, Meta=None, Weights=None, TaggedAddresses=None, node={"Meta": None, "TaggedAddresses": None}
    )
    partly = instance("192.0.2.2", Meta={"a": None}, Weights={})
    assert [b.ready for b in listing(body(sparse, nulls, partly)).backends] == [True] * 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not JSON: "),
        (b"[", "is not JSON: "),
        (b'[{"Node": \xff}]', "is not JSON: "),
        (b'"\xff"', "is "),
        (b"<!DOCTYPE html><html>", "is an HTML page: is this the URL of Consul's API"),
        (b" \r\n<HTML>", "is an HTML page"),
        (b"{}", "is no list of instances: Expected `array`, got `object`"),
        (b"null", "is no list of instances"),
        (b"[" * 1_000_000, "is "),
    ],
)
def test_a_body_that_is_no_list_of_instances_is_refused_as_a_whole(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match="is ") as refused:
        listing(content)
    assert str(refused.value).startswith(reason)
    assert str(refused.value).isprintable()


def test_more_instances_than_there_can_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "MAX_BACKENDS", 2)
    with pytest.raises(ValueError, match="lists more than 2 instances"):
        listing(body(*[instance()] * 3))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["Node", "Service", "Checks", "Address", "Port", "Meta", "Tags", "Status"]), inner
            )
        ),
    )
)
def test_whatever_json_comes_is_read_or_refused(content: Any) -> None:
    try:
        found = listing(json.dumps(content).encode())
    except ValueError:
        assert not isinstance(content, list)
    else:
        assert len(found.backends) + len(found.rejected) == len(content)


# ---- what was read before ------------------------------------------------------------------------------------------

RULES = Rules(service="orders")


def test_the_same_body_is_not_decoded_again() -> None:
    first = read(body(instance()), RULES, Reading())
    assert read(body(instance()), RULES, first) is first


def test_another_body_that_says_the_same_gives_the_same_listing() -> None:
    """The output of checks changes all the time, and nothing here depends on it."""
    first = read(body(instance(checks=[{"Status": "passing", "Output": "took 2 ms"}])), RULES, Reading())
    second = read(body(instance(checks=[{"Status": "passing", "Output": "took 3 ms"}])), RULES, first)
    assert second is not first
    assert second.listing is first.listing


def test_only_instances_that_changed_are_decoded_again() -> None:
    first = read(body(instance("192.0.2.1"), instance("192.0.2.2")), RULES, Reading())
    second = read(body(instance("192.0.2.2"), instance("192.0.2.1", Tags=["new"])), RULES, first)
    assert second.listing.backends[0] is first.listing.backends[1]
    assert second.listing.backends[1] != first.listing.backends[0]
    assert len(second.parts) == 2


def test_what_left_is_not_remembered() -> None:
    full = read(body(instance("192.0.2.1"), instance("192.0.2.2")), RULES, Reading())
    assert read(body(), RULES, full).parts == {}


@given(st.lists(st.lists(st.integers(1, 6), max_size=6), max_size=6))
def test_what_was_read_before_never_changes_what_a_body_says(answers: list[list[int]]) -> None:
    reading = Reading()
    for numbers in answers:
        content = body(*[instance(f"192.0.2.{number}", port=number % 3 - 1) for number in numbers])
        reading = read(content, RULES, reading)
        assert reading.listing == read(content, RULES, Reading()).listing


def test_backends_are_what_the_gate_and_the_registry_compare() -> None:
    [backend] = listing(body(instance("192.0.2.1", 80))).backends
    assert isinstance(backend, Backend)
    assert (backend.hostname, backend.node_name, backend.zone, backend.step) == (None, None, None, 0)
