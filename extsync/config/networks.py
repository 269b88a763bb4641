"""Networks, directories and variables as settings name them."""

from __future__ import annotations

import json
import os
import re
from ipaddress import IPv6Network, ip_network
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

from extsync.config.block import Block
from extsync.config.faults import shown
from extsync.config.values import Items

_MAPPED_BITS = 96
_VARIABLE = re.compile(r"[A-Za-z_*][A-Za-z0-9_*]*")


def cidr(text: str) -> str:
    """A network in its canonical form; one address is a network too. Raises ValueError with the cure."""
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(_why_no_network(text)) from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        address, length = network.network_address.ipv4_mapped, network.prefixlen - _MAPPED_BITS
        raise ValueError(f"{shown(text)} is an IPv4 network in IPv6 form: write {address}/{max(0, length)}")
    return str(network)


def _why_no_network(text: str) -> str:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return f"{shown(text)} is no network: write 10.0.0.0/8, 2001:db8::/32 or one address"
    return f"{shown(text)} is an address within a network: write {network} for the network"


def directory(text: str) -> str:
    """The absolute path of a directory, which need not be there yet."""
    if not os.path.isabs(text):
        raise ValueError(f"{shown(text)} is no absolute path, and what it is relative to could be anything")
    return os.path.normpath(text)


def variable(text: str) -> str:
    """The name of an environment variable, or a pattern for such names; raises ValueError for what can be none."""
    if not _VARIABLE.fullmatch(text):
        raise ValueError(f"{shown(text)} is no name of a variable: write NAME, or a pattern such as EXTSYNC_SECRET_*")
    return text


def from_json(value: object) -> object:
    """In a variable a mapping is written as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError('is no JSON: write it as {"shop": {"published": {"allowed": ["10.0.0.0/8"]}}}') from None


Cidr: TypeAlias = Annotated[str, AfterValidator(cidr)]
Directory: TypeAlias = Annotated[str, AfterValidator(directory)]
Variable: TypeAlias = Annotated[str, AfterValidator(variable)]


class NetworkLists(Block):
    """Allowed and denied networks."""

    allowed: Items[Cidr] = ()
    denied: Items[Cidr] = ()


class NamespaceNetworks(Block):
    """What holds for the manifests of one namespace, besides what holds for all."""

    published: NetworkLists = Field(default_factory=NetworkLists)
    contacted: NetworkLists = Field(default_factory=NetworkLists)
