"""Which IP addresses an endpoint or a probe may have. Pure.

The rule is the API server's (ValidateNonSpecialIP and the slices' canonical form), and stricter where the server takes
an address that no endpoint can have: all of multicast and the limited broadcast address.
"""

from __future__ import annotations

import ipaddress
import re

_DOTTED = re.compile(r"[0-9.]+")
_LEADING_ZERO = re.compile(r"(^|\.)0[0-9]")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
_LONGEST_SHOWN = 64
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_ORDINARY = re.compile(rf"(?!0\.|127\.|169\.254\.|22[4-9]\.|2[3-5][0-9]\.){_OCTET}(?:\.{_OCTET}){{3}}")
"""A canonical IPv4 address of one machine, as most are: it is told by its text in a tenth of the time."""


def check_address(text: str, *, probe_target: bool = False, name_server: bool = False) -> str:
    """Returns ``text`` as a canonical IP address (IPv6 compressed, in lower case).

    With ``probe_target`` the address is one that extsync connects to and never publishes: loopback is allowed then.
    A ``name_server`` may be at a link-local IPv4 address too, as those on each node are (169.254.20.10): whether it is
    asked is for ``address_policy``.
    Raises ValueError with the reason and, where there is one, the cure.
    """
    if _ORDINARY.fullmatch(text):
        return text
    address = _parse(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise ValueError(f"{text} is an IPv4 address in IPv6 form, which Kubernetes refuses: {address.ipv4_mapped}")
    reason = _special(address, probe_target=probe_target or name_server, name_server=name_server)
    if reason:
        raise ValueError(f"{text} is {reason}")
    return str(address)


def is_address(text: str) -> bool:
    """Whether ``text`` is written as an IP address, allowed or not, rather than as a host name."""
    return _DOTTED.fullmatch(text) is not None or ":" in text


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if "%" in text:
        raise ValueError(
            f"{_shown(text)} has a zone id, which no other machine understands: leave out the part from % on"
        )
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(_why_not_an_address(text)) from None


def _why_not_an_address(text: str) -> str:
    shown = _shown(text)
    if not text:
        return "the address is empty"
    if _DOTTED.fullmatch(text):
        if _LEADING_ZERO.search(text):
            return f"{shown} has a leading zero, which some programs read as octal: leave it out"
        return f"{shown} is not an IP address: IPv4 is four numbers from 0 to 255"
    host, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and _is_ip(host.removeprefix("[").removesuffix("]")):
        return f"{shown} is an address and a port: the port is a field of its own"
    if "/" in text:
        return f"{shown} is not one IP address: networks and URLs are not accepted here"
    if ":" not in text and _HOST_NAME.fullmatch(text):
        return (
            f"{shown} is a host name, and an endpoint is an IP address: "
            "use a dns source, or spec.service.externalName to publish the name itself"
        )
    return f"{shown} is not an IP address"


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _special(address: ipaddress.IPv4Address | ipaddress.IPv6Address, *, probe_target: bool, name_server: bool) -> str:
    """Why ``address`` cannot be used, or "" where it can."""
    if address.is_unspecified:
        return "the unspecified address: write the machine's own address"
    if address.is_loopback and not probe_target:
        return "a loopback address, which on each node is the node itself: write an address that nodes can reach"
    if address.is_link_local and not (name_server and address.version == 4):
        return "a link-local address, which is valid on one network link only: write a routable address"
    if address.is_multicast:
        return "a multicast address: an endpoint is one machine"
    if address == _BROADCAST:
        return "the broadcast address: an endpoint is one machine"
    return ""


def _shown(text: str) -> str:
    """The text as a message repeats it: bounded, and with nothing that could upset a terminal."""
    cut = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."
    return cut if cut.isprintable() and " " not in cut else repr(cut)
