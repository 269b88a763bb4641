"""What is asked, and what the status and headers of an answer say."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from multidict import CIMultiDict

from extsync.errors import ReadFailed
from extsync.sources.consul.query import Heading, Query, read_heading
from tests.sources.consul.support import SERVER, block


def query(service: str = "orders", **keys: Any) -> Query:
    return Query(block(**keys), service)


def parameters(asked: Query, *, index: int | None = None, consistent: bool = False) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(asked.url(index=index, consistent=consistent)).query, keep_blank_values=True)


# ---- URLs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "service", "url"),
    [
        ({}, "orders", f"{SERVER}/v1/health/service/orders"),
        ({"server": "consul:8500"}, "orders", "http://consul:8500/v1/health/service/orders"),
        ({"server": "https://a/"}, "orders", "https://a/v1/health/service/orders"),
        ({"server": "https://a/b/"}, "orders", "https://a/b/v1/health/service/orders"),
        ({"pathPrefix": "/consul/east/"}, "orders", f"{SERVER}/consul/east/v1/health/service/orders"),
        ({"pathPrefix": "a b"}, "orders", f"{SERVER}/a%20b/v1/health/service/orders"),
        ({}, "a/b?c=ü", f"{SERVER}/v1/health/service/a%2Fb%3Fc%3D%C3%BC"),
    ],
)
def test_the_path_is_that_of_the_health_endpoint(keys: dict[str, Any], service: str, url: str) -> None:
    assert query(service, allowStale=False, **keys).url(index=None, consistent=False) == url


def test_everything_that_chooses_instances_is_asked_for() -> None:
    asked = query(
        datacenter="dc2",
        namespace="retail",
        partition="east",
        tags=["primary", "a&b"],
        nodeMeta={"rack": "7", "os": "x:y"},
        filter='"ssd" in Service.Tags',
    )
    assert parameters(asked) == [
        ("dc", "dc2"),
        ("ns", "retail"),
        ("partition", "east"),
        ("tag", "primary"),
        ("tag", "a&b"),
        ("node-meta", "os:x:y"),
        ("node-meta", "rack:7"),
        ("filter", '"ssd" in Service.Tags'),
        ("stale", ""),
    ]


def test_the_modes_are_stale_the_default_and_consistent() -> None:
    assert parameters(query()) == [("stale", "")]
    assert parameters(query(allowStale=False)) == []
    assert parameters(query(), consistent=True) == [("consistent", "")]
    assert parameters(query(allowStale=False), consistent=True) == [("consistent", "")]


def test_a_query_with_an_index_waits() -> None:
    assert parameters(query(wait="90s"), index=7)[1:] == [("index", "7"), ("wait", "90000ms")]
    assert parameters(query(wait="500ms"), index=7)[1:] == [("index", "7"), ("wait", "500ms")]


def test_no_query_waits_longer_than_consul_does() -> None:
    asked = query(wait="2h")
    assert asked.wait == 600.0
    assert parameters(asked, index=7)[-1] == ("wait", "600000ms")


@pytest.mark.parametrize(
    ("keys", "narrowed"),
    [
        ({}, False),
        ({"datacenter": "dc2", "namespace": "a", "partition": "b"}, False),
        ({"tags": ["a"]}, True),
        ({"nodeMeta": {"a": "b"}}, True),
        ({"filter": "Service.ID == a"}, True),
    ],
)
def test_a_narrowed_query_may_be_empty_although_the_service_exists(keys: dict[str, Any], narrowed: bool) -> None:
    assert query(**keys).is_narrowed is narrowed


def test_the_url_in_messages_names_what_was_asked_and_no_more() -> None:
    asked = query(datacenter="dc2", filter="secret in Service.Meta", tags=["a"])
    assert asked.shown == f"{SERVER}/v1/health/service/orders?dc=dc2"


# ---- headers and statuses ------------------------------------------------------------------------------------------


def heading(**headers: str) -> Heading:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_heading(200, CIMultiDict({"X-Consul-Index": "7"} | named), b"[]")


def test_headers_that_are_missing_say_nothing_bad() -> None:
    assert heading() == Heading(7, known_leader=True, last_contact=0.0, filtered=False)


def test_the_headers_are_read_in_consul_s_own_spelling() -> None:
    found = heading(
        **{"X-Consul-Knownleader": "false", "X-Consul-Lastcontact": "7300", "X-Consul-Results-Filtered-By-Acls": "true"}
    )
    assert found == Heading(7, known_leader=False, last_contact=7.3, filtered=True)


def test_a_last_contact_that_is_no_number_says_nothing() -> None:
    assert heading(X_Consul_LastContact="never").last_contact == 0.0


@pytest.mark.parametrize(
    ("status", "text", "told"),
    [
        (403, b"Permission denied", "(Permission denied): the token needs service:read on the service and node:read"),
        (403, b"ACL not found", "(ACL not found): there is no such token, or no longer"),
        (400, b"Failed to create filter: oops", "(Failed to create filter: oops): check filter, tags"),
        (500, b"Failed to create boolean expression evaluator: 1:1\n", "evaluator: 1:1): check filter"),
        (500, b"No cluster leader", "(No cluster leader): the servers have to elect a leader first"),
        (500, b"rpc error making call: No cluster leader", "elect a leader first"),
        (500, b"No path to datacenter", "(No path to datacenter): check datacenter"),
        (500, b"boom", "(boom): look into the log of the agent"),
        (503, b"<html><h1>Sorry</h1>", "has status 503: look into the log of the agent"),
        (429, b"", "has status 429: the servers limit the rate of requests"),
        (404, b"404 page not found", "(404 page not found): is this Consul's API? A proxy in front of it may need"),
        (301, b"", "has status 301: is this Consul's API?"),
        (500, b"a\nb\x00c\xff" + b"d" * 5000, "(a b c " + "d" * 194 + "...): look"),
    ],
)
def test_a_refusal_is_one_line_with_consul_s_words_and_the_cure(status: int, text: bytes, told: str) -> None:
    with pytest.raises(ReadFailed) as failed:
        read_heading(status, {}, text)
    assert told in str(failed.value)
    assert str(failed.value).startswith(f"has status {status}")
    assert str(failed.value).isprintable()


@pytest.mark.parametrize("index", ["", "-1", "1.5", "abc"])
def test_an_answer_without_an_index_is_not_consul_s(index: str) -> None:
    with pytest.raises(ReadFailed, match="has no X-Consul-Index: is this Consul's API"):
        read_heading(200, {"X-Consul-Index": index}, b"[]")
