"""Where an instance is reached: the choice among its addresses. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from extsync.addresses import check_address
from extsync.sources.consul.wire import Entry, Node, Service

HIGHEST_PORT: Final = 65535

_SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "lan": ("lan", "lan_ipv4", "lan_ipv6"),
    "wan": ("wan", "wan_ipv4", "wan_ipv6"),
}
"""Consul itself writes the two addresses that every node has under either of these names."""

# The answer comes again and again with the same addresses in it.
_address = lru_cache(maxsize=65536)(check_address)


def locate(entry: Entry, *, tagged: str | None) -> tuple[str, int | None]:
    """The canonical IP address and the port of an instance; a port of 0 is how Consul says that there is none.

    With ``tagged`` it is the address of that name, and an instance that has none is not reachable where the manifest
    wants it: another address would be a wrong one. An instance without an address of its own has those of its node.
    Without ``tagged`` it is the instance's address, or else its node's. Raises ValueError with the reason.
    """
    host, port = _tagged(entry, tagged) if tagged else _plain(entry)
    if not host:
        raise ValueError("neither it nor its node has an address")
    if port is not None and not 0 <= port <= HIGHEST_PORT:
        raise ValueError(f"{port} is not a port: ports are 1 to {HIGHEST_PORT}")
    return _address(host), port or None


def _plain(entry: Entry) -> tuple[str | None, int | None]:
    return entry.service.address or entry.node.address, entry.service.port


def _tagged(entry: Entry, name: str) -> tuple[str | None, int | None]:
    for spelling in _SPELLINGS.get(name, (name,)):
        found = _find(entry.service, entry.node, spelling)
        if found is not None:
            return found
    raise ValueError(f"it has no tagged address {name!r}")


def _find(service: Service, node: Node, name: str) -> tuple[str, int | None] | None:
    own = (service.tagged_addresses or {}).get(name)
    if own is not None and own.address:
        return own.address, own.port or service.port
    address = (node.tagged_addresses or {}).get(name)
    return (address, service.port) if address and not service.address else None
