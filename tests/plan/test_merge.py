from __future__ import annotations

from typing import Any

import pytest

from extsync.model import Backend, Identity, PortValue, Rejected
from extsync.plan.merge import SourceSet, merge
from extsync.plan.ports import PortSpec

MYSQL = (PortSpec("mysql", 3306),)
TWO = (PortSpec("http", 80), PortSpec("admin", 9000))


def source(*backends: Backend, name: str = "rack", group: str = "", priority: int = 0) -> SourceSet:
    return SourceSet(name, backends, group, priority)


def reason_for(backend: Backend, families: tuple[str, ...] = ()) -> str:
    good = Backend("10.0.0.9")
    merged = merge(MYSQL, [source(backend, good)], families=families)
    assert [candidate.backend for candidate in merged.candidates] == [good], "the others are served"
    ((name, rejected),) = merged.rejected
    assert name == "rack"
    return rejected.reason


def test_a_candidate_says_where_it_comes_from() -> None:
    backend = Backend("10.0.0.1", hostname="db-1")
    merged = merge(MYSQL, [SourceSet("rack", (backend,), "blue", 2, health="probe")])
    (candidate,) = merged.candidates
    assert candidate.identity == Identity("10.0.0.1", (PortValue("mysql", 3306),))
    assert candidate.backend is backend
    assert (candidate.source, candidate.group, candidate.tier, candidate.health) == ("rack", "blue", (2, 0), "probe")


def test_a_group_of_the_backend_wins_over_that_of_its_source() -> None:
    own, none, empty = Backend("10.0.0.1", group="canary"), Backend("10.0.0.2"), Backend("10.0.0.3", group="")
    merged = merge(MYSQL, [source(own, none, empty, group="stable")])
    assert [candidate.group for candidate in merged.candidates] == ["canary", "stable", ""]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("0.0.0.0", "unspecified"),
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("239.1.1.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("db.example.org", "dns source"),
        ("10.0.0.01", "leading zero"),
        ("::ffff:10.0.0.1", "IPv4"),
    ],
)
def test_an_address_that_no_endpoint_can_have_is_set_aside(address: str, reason: str) -> None:
    assert reason in reason_for(Backend(address))


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        (Backend("10.0.0.1", group="-canary"), "group '-canary'"),
        (Backend("10.0.0.1", port=0), "0 is not a port"),
        (Backend("10.0.0.1", ports=(("mysqlx", 33060),)), "mysqlx"),
    ],
)
def test_a_field_that_the_api_or_kube_proxy_cannot_take_is_set_aside(backend: Backend, reason: str) -> None:
    assert reason in reason_for(backend)


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ({"hostname": "DB_1"}, "hostname 'DB_1' of 10.0.0.1 port 3307"),
        ({"hostname": "a" * 64}, f"hostname '{'a' * 64}' of 10.0.0.1 port 3307"),
        ({"node_name": "Edge 1"}, "nodeName 'Edge 1' of 10.0.0.1 port 3307"),
        ({"zone": "dc/1"}, "zone 'dc/1' of 10.0.0.1 port 3307"),
        ({"zone": "z" * 64}, f"zone '{'z' * 64}' of 10.0.0.1 port 3307"),
    ],
)
def test_a_name_that_the_api_or_kube_proxy_cannot_take_is_left_out_and_the_backend_served(
    name: dict[str, Any], entry: str
) -> None:
    merged = merge(MYSQL, [source(Backend("10.0.0.1", port=3307, drain=True, **name))])
    assert [candidate.backend for candidate in merged.candidates] == [Backend("10.0.0.1", port=3307, drain=True)]
    ((_, remark),) = merged.rejected
    assert remark.entry == entry
    assert remark.reason.endswith("; the backend is served without it")


def test_of_several_names_those_that_fit_are_kept() -> None:
    given = Backend("10.0.0.1", hostname="DB_1", node_name="edge-1", zone="dc/1", group="blue")
    merged = merge(MYSQL, [source(given)])
    (candidate,) = merged.candidates
    assert candidate.backend == Backend("10.0.0.1", node_name="edge-1", group="blue")
    assert [remark.entry for _, remark in merged.rejected] == ["hostname 'DB_1' of 10.0.0.1", "zone 'dc/1' of 10.0.0.1"]
    (again,) = merge(MYSQL, [source(given)]).candidates
    assert again.backend is candidate.backend, "what is made of one backend is one object"


def test_a_name_without_end_is_told_in_short() -> None:
    ((_, remark),) = merge(MYSQL, [source(Backend("10.0.0.1", hostname="x" * 100_000))]).rejected
    assert len(remark.entry) < 300


def test_of_a_backend_that_is_set_aside_no_name_is_told() -> None:
    merged = merge(MYSQL, [source(Backend("127.0.0.1", hostname="DB_1"))])
    assert len(merged.rejected) == 1


def test_an_address_of_a_family_that_the_service_has_not_is_set_aside() -> None:
    assert "IPv6 address" in reason_for(Backend("2001:db8::1"), families=("IPv4",))
    both = merge(MYSQL, [source(Backend("2001:db8::1"), Backend("10.0.0.1"))], families=("IPv6", "IPv4"))
    assert len(both.candidates) == 2


def test_a_rejected_backend_is_recognised_by_its_address_and_name() -> None:
    merged = merge(MYSQL, [source(Backend("127.0.0.1", port=3307, hostname="db-1"))])
    assert merged.rejected[0][1] == Rejected("127.0.0.1 port 3307 (db-1)", merged.rejected[0][1].reason)


def test_an_address_is_published_in_its_canonical_form() -> None:
    merged = merge(MYSQL, [source(Backend("2001:DB8:0::1"))])
    assert merged.candidates[0].identity.address == "2001:db8::1"


def test_of_two_reports_of_one_endpoint_the_first_source_wins_and_the_other_is_remembered() -> None:
    first, second = Backend("10.0.0.1", hostname="a"), Backend("10.0.0.1", hostname="b")
    merged = merge(MYSQL, [source(first, name="rack"), source(second, name="consul", priority=1)])
    assert [candidate.backend for candidate in merged.candidates] == [first]
    (duplicate,) = merged.duplicates
    assert (duplicate.backend, duplicate.source, duplicate.first_source) == (second, "consul", "rack")
    assert "source rack" in duplicate.reason
    assert merged.tiers == ((0, 0),)


def test_an_entry_twice_in_one_source_is_published_once() -> None:
    merged = merge(MYSQL, [source(Backend("10.0.0.1"), Backend("10.0.0.1", group="canary"))])
    assert len(merged.candidates) == 1
    assert "this source" in merged.duplicates[0].reason


def test_one_address_with_other_numbers_is_another_endpoint() -> None:
    merged = merge(MYSQL, [source(Backend("10.0.0.1", port=3306), Backend("10.0.0.1", port=3307))])
    assert [c.identity.ports[0].port for c in merged.candidates] == [3306, 3307]


def test_port_sets_that_overlap_in_part_are_never_both_published() -> None:
    first = Backend("10.0.0.1", ports=(("http", 8080), ("admin", 9000)))
    apart = Backend("10.0.0.1", ports=(("http", 8081), ("admin", 9001)))
    partly = Backend("10.0.0.1", ports=(("http", 8082), ("admin", 9001)))
    merged = merge(TWO, [source(first, apart, partly)])
    assert [candidate.backend for candidate in merged.candidates] == [first, apart]
    assert [duplicate.backend for duplicate in merged.duplicates] == [partly]


def test_equal_numbers_under_other_names_do_not_overlap() -> None:
    merged = merge(
        TWO,
        [
            source(
                Backend("10.0.0.1", ports=(("http", 8080), ("admin", 9000))),
                Backend("10.0.0.1", ports=(("http", 9000), ("admin", 8080))),
            )
        ],
    )
    assert len(merged.candidates) == 2


def test_equal_port_sets_are_the_same_object_over_all_sources() -> None:
    merged = merge(MYSQL, [source(Backend("10.0.0.1")), source(Backend("10.0.0.2", port=3306), name="other")])
    one, other = merged.candidates
    assert one.identity.ports is other.identity.ports


def test_the_tiers_of_candidates_are_told_in_order() -> None:
    merged = merge(
        MYSQL,
        [
            source(Backend("10.0.0.2"), name="late", priority=5),
            source(Backend("10.0.0.1"), name="first"),
            source(Backend("127.0.0.1"), name="useless", priority=3),
        ],
    )
    assert merged.tiers == ((0, 0), (5, 0))


def test_a_headless_service_without_ports_has_each_address_once() -> None:
    merged = merge((), [source(Backend("10.0.0.1"), Backend("10.0.0.1"), Backend("10.0.0.2"))])
    assert [candidate.identity for candidate in merged.candidates] == [
        Identity("10.0.0.1", ()),
        Identity("10.0.0.2", ()),
    ]
