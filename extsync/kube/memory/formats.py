"""The formats that Kubernetes 1.36 gives to names, label values, ports and addresses.

Each function returns what is wrong with a text, in words, or "" where it is right. They are the server's side of
the matter and deliberately know nothing of the rules by which a plan is made.
"""

from __future__ import annotations

import functools
import ipaddress
import re

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")

INT32 = range(-1 << 31, 1 << 31)
"""The integers that the API reads at all."""


def dns_label(text: str) -> str:
    """An RFC 1123 label."""
    return _matches(_LABEL, text, 63, "a lowercase RFC 1123 label")


def dns_subdomain(text: str) -> str:
    """An RFC 1123 subdomain."""
    return _matches(_SUBDOMAIN, text, 253, "a lowercase RFC 1123 subdomain")


def path_segment(text: str) -> str:
    """What may stand in a URL, for the names that have no stricter rule."""
    if text in (".", "..") or "/" in text or "%" in text:
        return "must not be '.' or '..' and must not contain '/' or '%'"
    return ""


def qualified_name(text: str) -> str:
    """A name of at most 63 characters, after a DNS subdomain and "/" if need be: keys of labels, appProtocol."""
    prefix, slash, name = text.rpartition("/")
    if slash and (problem := dns_subdomain(prefix)):
        return f"its prefix: {problem}"
    return _matches(_NAME, name, 63, "alphanumeric characters, '-', '_' or '.'")


def label_value(text: str) -> str:
    return _matches(_NAME, text, 63, "alphanumeric characters, '-', '_' or '.', or empty") if text else ""


def port_name(text: str) -> str:
    """An IANA service name (RFC 6335), as a target port may be."""
    return _matches(_PORT_NAME, text, 15, "lowercase letters, digits and single hyphens with at least one letter")


def port_number(number: int) -> str:
    return "" if 1 <= number <= 65535 else "must be between 1 and 65535, inclusive"


def full_domain(text: str) -> str:
    """A fully qualified domain name, as slices of the addressType FQDN have."""
    name = text.removesuffix(".")
    if "." not in name:
        return "should be a domain with at least two segments separated by dots"
    return dns_subdomain(name) or next(filter(None, map(dns_label, name.split("."))), "")


@functools.lru_cache(maxsize=1 << 16)
def endpoint_ip(text: str) -> str:
    """An IP address that an endpoint may have.

    Beside what is no address, refused are leading zeros and IPv4-mapped addresses (strict parsing, on by default from
    1.36 on), zones, and special addresses. Other multicast and the broadcast address pass: it is the API's rule.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "must be a valid IP address without leading zeros"
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return "must be a valid IP address"
        if address.ipv4_mapped is not None:
            return "must not be an IPv4-mapped IPv6 address"
    if address.is_unspecified:
        return f"may not be unspecified ({text})"
    if address.is_loopback:
        return "may not be in the loopback range (127.0.0.0/8, ::1/128)"
    if address.is_link_local:
        return "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
    if _is_link_local_multicast(address):
        return "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
    return ""


@functools.lru_cache(maxsize=1 << 16)
def canonical_ip(text: str) -> str:
    """An IP address in the one spelling that RFC 5952 gives it."""
    canonical = str(ipaddress.ip_address(text))
    return "" if canonical == text else f"must be in canonical form ({canonical})"


def family(text: str) -> str:
    """The family of a valid address, in the API's word."""
    return "IPv6" if ":" in text else "IPv4"


def _is_link_local_multicast(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    packed = address.packed
    if isinstance(address, ipaddress.IPv4Address):
        return packed[:3] == b"\xe0\x00\x00"
    return packed[0] == 0xFF and packed[1] & 0x0F == 0x02


def _matches(pattern: re.Pattern[str], text: str, limit: int, description: str) -> str:
    if len(text) > limit:
        return f"must be no more than {limit} characters"
    return "" if pattern.fullmatch(text) else f"must be {description}"
