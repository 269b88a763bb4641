"""Which addresses an endpoint may have, and what is said of the others."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.addresses import check_address, is_address


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
        ("fd00::1", "fd00::1"),
        ("64:ff9b::192.0.2.1", "64:ff9b::c000:201"),
    ],
)
def test_an_address_comes_back_in_its_canonical_form(text: str, canonical: str) -> None:
    assert check_address(text) == canonical


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the address is empty"),
        ("192.0.2.01", "leading zero"),
        ("010.0.0.1", "leading zero"),
        ("192.0.2.256", "four numbers from 0 to 255"),
        ("192.0.2", "four numbers from 0 to 255"),
        ("::ffff:192.0.2.1", "IPv4 address in IPv6 form"),
        ("fe80::1%eth0", "zone id"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("::1", "loopback"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("ff02::1", "multicast"),
        ("ff0e::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("192.0.2.1:80", "an address and a port"),
        ("[2001:db8::1]:80", "an address and a port"),
        ("192.0.2.0/24", "not one IP address"),
        ("http://192.0.2.1", "not one IP address"),
        ("2001:db8::1::2", "is not an IP address"),
        ("two words", "is not an IP address"),
    ],
)
def test_an_address_that_no_endpoint_can_have_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_address(text)


@pytest.mark.parametrize("name", ["db.example.com", "web-1", "localhost", "_svc.example.com."])
def test_a_host_name_gets_the_two_cures(name: str) -> None:
    with pytest.raises(ValueError, match=r"use a dns source, or spec\.service\.externalName"):
        check_address(name)


@pytest.mark.parametrize("text", ["127.0.0.1", "::1"])
def test_a_probe_may_go_to_loopback(text: str) -> None:
    assert check_address(text, probe_target=True) == text


@pytest.mark.parametrize("text", ["0.0.0.0", "224.0.0.1", "169.254.0.1", "255.255.255.255", "::ffff:127.0.0.1"])
def test_a_probe_goes_nowhere_else_that_an_endpoint_cannot_be(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        check_address(text, probe_target=True)


def test_a_message_repeats_a_hostile_text_bounded_and_escaped() -> None:
    with pytest.raises(ValueError, match="is not an IP address") as caught:
        check_address("\x1b[31m" + "x" * 10_000)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 200


@given(st.text(max_size=40) | st.ip_addresses().map(str))
def test_an_address_that_is_accepted_is_canonical_and_usable(text: str) -> None:
    try:
        canonical = check_address(text)
    except ValueError:
        return
    address = ipaddress.ip_address(canonical)
    assert check_address(canonical) == canonical == str(address)
    special = (address.is_loopback, address.is_multicast, address.is_link_local, address.is_unspecified)
    assert special == (False, False, False, False)


def test_host_names_are_told_from_addresses() -> None:
    assert all(is_address(text) for text in ("192.0.2.1", "::1", "1.2"))
    assert not any(is_address(text) for text in ("db-1", "example.com", ""))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_taken_exactly_where_it_is_one_machine_s(address: ipaddress.IPv4Address) -> None:
    special = (
        address.is_unspecified
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address == ipaddress.IPv4Address("255.255.255.255")
    )
    try:
        assert check_address(str(address)) == str(address)
        assert not special
    except ValueError:
        assert special
