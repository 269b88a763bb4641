"""Which addresses may be published and contacted: the table of docs/security.md, and every disguise of an address."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from extsync import address_policy
from extsync.address_policy import AddressPolicy, AddressRules, ClusterRanges, Lists, embedded

CLUSTER = ClusterRanges(
    pods=("10.244.0.0/16", "2001:db8:44::/48"),
    services=("10.96.0.0/12", "2001:db8:96::/108"),
    nodes=("192.0.2.7/32", "2001:db8::7/128"),
)
ANYWHERE = ("0.0.0.0/0", "::/0")


def published(*, allowed: tuple[str, ...] = (), denied: tuple[str, ...] = ()) -> address_policy.Scope:
    return AddressPolicy(AddressRules(published=Lists(allowed, denied)), CLUSTER).published("shop")


def contacted(*, allowed: tuple[str, ...] = (), denied: tuple[str, ...] = ()) -> address_policy.Scope:
    return AddressPolicy(AddressRules(contacted=Lists(allowed, denied)), CLUSTER).contacted("shop")


METADATA = (
    "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "169.254.169.254", "169.254.170.2", "169.254.0.23",
)  # fmt: skip
NO_MACHINE = ("0.0.0.0", "0.1.2.3", "::", "169.254.1.1", "fe80::1", "224.0.0.1", "ff02::1", "255.255.255.255")
OF_THE_CLUSTER = ("10.244.7.1", "10.96.0.1", "10.111.255.255", "192.0.2.7", "2001:db8:44::1", "2001:db8:96::1")
ORDINARY = ("192.0.2.8", "10.0.0.1", "8.8.8.8", "2001:db8::8", "fd12:3456::1", "64:ff9b::808:808")


@pytest.mark.parametrize("address", [*METADATA, *NO_MACHINE, *OF_THE_CLUSTER, "127.0.0.1", "127.9.9.9", "::1"])
def test_by_default_it_is_not_published(address: str) -> None:
    assert published().denied(address)


@pytest.mark.parametrize("address", [*METADATA, *NO_MACHINE])
def test_by_default_it_is_not_contacted(address: str) -> None:
    assert contacted().denied(address)


@pytest.mark.parametrize("address", ORDINARY)
def test_by_default_it_is_published(address: str) -> None:
    assert published().denied(address) == ""


@pytest.mark.parametrize("address", [*ORDINARY, *OF_THE_CLUSTER, "127.0.0.1", "::1"])
def test_by_default_it_is_contacted(address: str) -> None:
    assert contacted().denied(address) == ""


def test_a_denied_network_wins_over_an_allowed_one() -> None:
    scope = published(allowed=("10.0.0.0/8", "10.1.2.3/32"), denied=("10.1.0.0/16",))
    assert scope.denied("10.2.0.1") == ""
    assert scope.denied("10.1.2.3") == "10.1.2.3 is in 10.1.0.0/16, which deniedCidrs of the settings denies"


def test_where_networks_are_allowed_all_others_are_denied() -> None:
    scope = published(allowed=("10.0.0.0/8",))
    assert scope.denied("10.2.0.1") == ""
    assert scope.denied("11.2.0.1") == "11.2.0.1 is in none of the networks of allowedCidrs of the settings"
    assert scope.denied("2001:db8::8")


@pytest.mark.parametrize(
    ("allowed", "address", "is_allowed"),
    [
        (ANYWHERE, "10.96.0.10", False),
        (("10.0.0.0/8",), "10.96.0.10", False),
        (("10.96.0.0/12",), "10.96.0.10", True),
        (("10.96.0.10/32",), "10.96.0.10", True),
        (("10.96.0.0/24",), "10.97.0.1", False),
        ((*ANYWHERE, "192.0.2.7/32"), "192.0.2.7", True),
        ((*ANYWHERE, "192.0.2.0/24"), "192.0.2.7", False),
        ((*ANYWHERE, "192.0.2.0/24"), "192.0.2.8", True),
        ((*ANYWHERE, "100.100.100.200/32"), "100.100.100.200", True),
        ((*ANYWHERE, "100.64.0.0/10"), "100.100.100.200", False),
        ((*ANYWHERE, "169.254.169.254/32"), "169.254.169.254", True),
        ((*ANYWHERE, "169.254.169.254/32"), "64:ff9b::a9fe:a9fe", True),
        ((*ANYWHERE, "64:ff9b::/96"), "64:ff9b::a9fe:a9fe", False),
    ],
)
def test_an_allowed_network_lifts_what_is_denied_by_default_only_where_it_is_no_larger(
    allowed: tuple[str, ...], address: str, is_allowed: bool
) -> None:
    assert (published(allowed=allowed).denied(address) == "") is is_allowed


def test_a_node_within_a_pod_network_needs_an_allowance_of_its_own() -> None:
    cluster = ClusterRanges(pods=("10.244.0.0/16",), nodes=("10.244.0.1/32",))
    rules = AddressRules(published=Lists(allowed=(*ANYWHERE, "10.244.0.0/16")))
    scope = AddressPolicy(rules, cluster).published("shop")
    assert scope.denied("10.244.0.2") == ""
    assert "a node of the cluster" in scope.denied("10.244.0.1")


def test_a_namespace_has_allowances_in_place_of_the_general_ones_and_denials_on_top() -> None:
    rules = AddressRules(
        published=Lists(("10.0.0.0/8",), ("10.9.0.0/16",)),
        published_in=(("shop", Lists(("192.0.2.0/24",), ("192.0.2.128/25",))), ("bank", Lists((), ("10.1.0.0/16",)))),
    )
    policy = AddressPolicy(rules)
    verdicts = {
        (namespace, address): policy.published(namespace).denied(address)
        for namespace in ("shop", "bank", "else")
        for address in ("10.2.0.1", "10.9.0.1", "10.1.0.1", "192.0.2.1", "192.0.2.129")
    }
    allowed = {where for where, reason in verdicts.items() if not reason}
    assert allowed == {("shop", "192.0.2.1"), ("bank", "10.2.0.1"), ("else", "10.2.0.1"), ("else", "10.1.0.1")}
    assert "namespaceCidrs for this namespace (published.allowed)" in verdicts["shop", "10.2.0.1"]
    assert "namespaceCidrs for this namespace (published.denied)" in verdicts["bank", "10.1.0.1"]
    assert "which deniedCidrs of" in verdicts["bank", "10.9.0.1"]
    assert policy.contacted("shop").denied("10.9.0.1") == "", "what is contacted has lists of its own"


def test_the_reason_says_how_to_allow_it_and_nothing_else() -> None:
    assert published().denied("10.96.0.10") == (
        "10.96.0.10 is in 10.96.0.0/12, a Service network of the cluster; to allow it all the same, "
        "put 10.96.0.10/32 beside 0.0.0.0/0 and ::/0 into allowedCidrs of the settings"
    )
    told = published(allowed=("192.0.2.0/24",)).denied("192.0.2.7")
    assert told.endswith("to allow it all the same, put 192.0.2.7/32 into allowedCidrs of the settings")
    told = contacted().denied("169.254.169.254")
    assert told.endswith("put 169.254.169.254/32 beside 0.0.0.0/0 and ::/0 into contactAllowedCidrs of the settings")


@pytest.mark.parametrize("address", ["10.244.7.1", "192.0.2.7", "2001:db8:44::1"])
def test_what_the_cluster_gives_to_pods_is_published_for_pods(address: str) -> None:
    assert published().denied(address)
    assert published().denied(address, is_pod=True) == ""


@pytest.mark.parametrize("address", ["10.96.0.1", "169.254.169.254", "127.0.0.1"])
def test_a_pod_has_no_address_of_a_service_or_of_a_metadata_server(address: str) -> None:
    assert published().denied(address, is_pod=True)


def test_a_denial_holds_for_pods_as_well() -> None:
    assert published(denied=("10.244.0.0/24",)).denied("10.244.0.9", is_pod=True)


def test_what_is_no_address_is_asked_again_once_it_is_resolved() -> None:
    assert contacted(allowed=("192.0.2.0/24",)).denied("metadata.google.internal") == ""


def test_a_zone_id_hides_nothing() -> None:
    assert contacted().denied("fe80::1%eth0")
    assert contacted().denied("::ffff:169.254.169.254%1")


# ---- disguises -------------------------------------------------------------------------------------------------------


def in_low_bits(prefix: str, inner: IPv4Address) -> IPv6Address:
    return IPv6Address(int(IPv6Address(prefix)) | int(inner))


def rfc6052(prefix: str, length: int, inner: IPv4Address) -> IPv6Address:
    """The address by the table of RFC 6052, section 2.2: octet 8 is passed over."""
    octets = bytearray(IPv6Address(prefix).packed)
    at = length // 8
    for octet in inner.packed:
        at += at == 8
        octets[at] = octet
        at += 1
    return IPv6Address(bytes(octets))


def disguises(inner: IPv4Address) -> list[IPv6Address]:
    """Every form of IPv6 address that is known to lead to an IPv4 address."""
    number = int(inner)
    return [
        in_low_bits("::ffff:0:0", inner),
        in_low_bits("::", inner),
        in_low_bits("::ffff:0:0:0", inner),
        in_low_bits("64:ff9b::", inner),
        *(rfc6052("64:ff9b:1::", length, inner) for length in (48, 56, 64, 96)),
        IPv6Address(0x2002 << 112 | number << 80 | 1),
        IPv6Address(0x20010000 << 96 | number << 64 | 0x8000 << 48 | 40000 << 32 | 0x3FFF_FFFE),
        IPv6Address(0x20010000 << 96 | 0x41000001 << 64 | 0x8000 << 48 | 40000 << 32 | (number ^ 0xFFFF_FFFF)),
        in_low_bits("2001:db8::5efe:0:0", inner),
        in_low_bits("2001:db8::200:5efe:0:0", inner),
    ]


@pytest.mark.parametrize("inner", ["169.254.169.254", "10.96.0.1", "10.244.3.4", "192.0.2.7", "100.100.100.200"])
def test_no_disguise_of_a_denied_address_is_published(inner: str) -> None:
    for disguised in disguises(IPv4Address(inner)):
        assert inner in published().denied(str(disguised)), disguised
        assert inner in published().denied(disguised.exploded), disguised


def test_no_disguise_of_any_denied_address_is_contacted() -> None:
    chance = random.Random(7)
    networks = [ip_network(text) for text in (*address_policy.SPECIAL, *address_policy.METADATA)]
    for network in (network for network in networks if network.version == 4 and network.prefixlen > 8):
        for _ in range(100):
            inner = network[chance.randrange(network.num_addresses)]
            assert isinstance(inner, IPv4Address)
            for disguised in disguises(inner):
                assert contacted().denied(str(disguised)), (str(inner), str(disguised))


def test_random_addresses_are_judged_as_going_through_the_networks_one_by_one_does() -> None:
    chance = random.Random(11)
    for _ in range(300):
        lists = [tuple(network(chance) for _ in range(chance.randrange(4))) for _ in range(3)]
        ranges = ClusterRanges(services=lists[2])
        scope = AddressPolicy(AddressRules(published=Lists(lists[0], lists[1])), ranges).published("any")
        for _ in range(30):
            address = IPv4Address(10 << 24 | chance.randrange(1 << 10) << 14)
            assert (scope.denied(str(address)) == "") is is_allowed(address, *lists), (lists, address)


def network(chance: random.Random) -> str:
    length = chance.randrange(8, 19)
    return str(ip_network((10 << 24 | chance.randrange(1 << 24), length), strict=False))


def is_allowed(
    address: IPv4Address, allowed: tuple[str, ...], denied: tuple[str, ...], services: tuple[str, ...]
) -> bool:
    has = {text for text in (*allowed, *denied, *services) if address in ip_network(text)}
    if has & set(denied) or (allowed and not has & set(allowed)):
        return False
    smallest = max((ip_network(text).prefixlen for text in has & set(allowed)), default=-1)
    return all(ip_network(text).prefixlen <= smallest for text in has & set(services))


@pytest.mark.parametrize("address", ["2001:db8::1", "::1", "::", "64:ff9b:1::a01:203", "fd00::1", "192.0.2.1"])
def test_addresses_without_a_second_face_are_left_alone(address: str) -> None:
    inner = [str(one) for one in embedded(ip_address(address))]
    assert inner == (["10.1.2.3"] if address.startswith("64:") else [])


# ---- memory ----------------------------------------------------------------------------------------------------------


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_policy, "MOST_REMEMBERED", 10)
    scope = published()
    verdicts = [scope.denied(f"10.96.0.{last}") for last in range(100)]
    assert all(verdicts)
    assert len(scope._remembered) <= 10


def test_a_namespace_has_one_scope_so_that_its_services_share_what_it_remembers() -> None:
    policy = AddressPolicy()
    assert policy.published("shop") is policy.published("shop")
    assert policy.published("shop") is not policy.published("bank")


@pytest.mark.parametrize(
    "text", ["2852039166", "0251.0376.0251.0376", "169.254.43518", "169.254.169.254.", "1.2.3.4.5", "192.0.2.1."]
)
def test_what_might_be_taken_for_an_address_and_is_none_is_denied(text: str) -> None:
    assert "write four numbers" in contacted().denied(text)
