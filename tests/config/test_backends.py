"""Backends as mappings and as values."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from extsync.config.backends import read_backend, read_backends, write_backends
from extsync.model import Backend, ProbeOverride, TargetRef

FULL: dict[str, Any] = {
    "address": "2001:DB8::1",
    "port": 8080,
    "ports": {"web": 80, "admin": 9000},
    "hostname": "db-1",
    "nodeName": "edge-1.example.com",
    "zone": "dc-1a",
    "group": "canary",
    "drain": True,
    "ready": False,
    "targetRef": {"kind": "Machine", "namespace": "x", "name": "y", "uid": "z"},
    "probe": {"enabled": False, "host": "127.0.0.1", "port": "web"},
}


def reasons(entry: object) -> list[tuple[tuple[int | str, ...], str]]:
    with pytest.raises(ValidationError) as caught:
        read_backend(entry)
    return [(details["loc"], details["msg"]) for details in caught.value.errors()]


def test_every_field_is_read() -> None:
    assert read_backend(FULL) == Backend(
        address="2001:db8::1",
        port=8080,
        ports=(("admin", 9000), ("web", 80)),
        hostname="db-1",
        node_name="edge-1.example.com",
        zone="dc-1a",
        group="canary",
        drain=True,
        ready=False,
        target_ref=TargetRef("Machine", "x", "y", "z"),
        probe=ProbeOverride(enabled=False, host="127.0.0.1", port="web"),
    )


def test_what_is_written_reads_as_itself() -> None:
    backends = read_backends([FULL, {"address": "192.0.2.1"}])
    assert write_backends(backends)[1] == {"address": "192.0.2.1"}
    assert read_backends(write_backends(backends)) == backends


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        ({"address": 5}, ("address",), "must be text, not a number"),
        ({"address": "127.0.0.1"}, ("address",), "loopback"),
        ({"port": 0}, ("port",), "0 is not a port"),
        ({"port": 65536}, ("port",), "65536 is not a port"),
        ({"port": True}, ("port",), "not true or false"),
        ({"port": "80"}, ("port",), "take the quotes away"),
        ({"ports": []}, ("ports",), "must be a mapping"),
        ({"ports": {"web": -1}}, ("ports", "web"), "-1 is not a port"),
        ({"ports": {"Web": 1}}, ("ports", "Web"), "'Web' is not allowed"),
        ({"hostname": "a.b"}, ("hostname",), "'a.b' is not allowed"),
        ({"nodeName": "Node"}, ("nodeName",), "'Node' is not allowed"),
        ({"zone": ""}, ("zone",), "is empty"),
        ({"zone": "a b"}, ("zone",), "'a b' is not allowed"),
        ({"group": "a b"}, ("group",), "'a b' is not allowed"),
        ({"drain": "yes"}, ("drain",), "must be true or false, not text"),
        ({"hostname": None}, ("hostname",), "is empty"),
        ({"targetRef": "x"}, ("targetRef",), "must be a mapping with kind, namespace, name, uid"),
        ({"targetRef": {"kind": ""}}, ("targetRef", "kind"), "is empty"),
        ({"probe": {"host": "db.example.com"}}, ("probe", "host"), "host name"),
        ({"probe": {"port": 0}}, ("probe", "port"), "0 is not a port"),
        ({"probe": {"enable": True}}, ("probe", "enable"), "unknown key 'enable'"),
        ({"hostnme": "x"}, ("hostnme",), "unknown key 'hostnme'"),
    ],
)
def test_a_wrong_field_is_refused_with_its_place(
    change: dict[str, Any], place: tuple[int | str, ...], words: str
) -> None:
    [(found, message)] = reasons({"address": "192.0.2.1", **change})
    assert found == place
    assert words in message


def test_every_fault_of_an_entry_is_reported() -> None:
    assert [place for place, _ in reasons({"address": "x", "port": 0, "hostname": "-", "probe": {"host": "y"}})] == [
        ("address",),
        ("port",),
        ("hostname",),
        ("probe", "host"),
    ]


@pytest.mark.parametrize("entry", ["192.0.2.1", 5, None, ["192.0.2.1"]])
def test_an_entry_that_is_no_mapping_is_refused(entry: object) -> None:
    [(place, message)] = reasons(entry)
    assert place == ()
    assert message.startswith("a backend is a mapping with an address")


def test_a_missing_address_is_reported_and_a_misspelt_one_only_as_such() -> None:
    assert reasons({}) == [(("address",), "Field required")]
    assert [place for place, _ in reasons({"adress": "192.0.2.1"})] == [("adress",)]


def test_the_same_address_with_the_same_ports_is_one_backend_declared_twice() -> None:
    same = {"address": "192.0.2.1", "ports": {"web": 80}}
    other_port = {"address": "192.0.2.1", "ports": {"web": 81}}
    assert len(read_backends([same, other_port])) == 2
    with pytest.raises(ValidationError) as caught:
        read_backends([same, other_port, {**same, "hostname": "x"}])
    assert [details["loc"] for details in caught.value.errors()] == [(2, "address")]


def test_backends_with_equal_words_share_them() -> None:
    first, second = read_backends(
        [
            {"address": address, "zone": "".join(["dc", "-1"]), "ports": {"web": 80}}
            for address in ("192.0.2.1", "192.0.2.2")
        ]
    )
    assert first.zone is second.zone
    assert first.ports is second.ports
