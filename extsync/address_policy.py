"""Which addresses may be published and which may be contacted, whoever asks for them. Pure.

Whoever may edit a manifest, or what a source reports, decides where the traffic of a Service goes (CVE-2021-25740) and
whom extsync itself connects to. The settings of the process say what is allowed, and these rules judge by them. In this
order, the first that applies decides:

1. An address in a denied network is denied, that of all namespaces or of its own.
2. Where there are allowed networks, an address in none of them is denied. A namespace with allowed networks of its own
   has these in place of the general ones.
3. An address in a reserved network (``SPECIAL``, ``METADATA``, and for what is published ``LOOPBACK`` and the ranges of
   the cluster) is denied, unless an allowed network that has it lies within that reserved network: 0.0.0.0/0 allows no
   metadata server, 100.100.100.200/32 does.
4. Everything else is allowed.

An IPv6 address that stands for an IPv4 address on some way (``embedded``) is denied where that one is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

T = TypeVar("T")

SPECIAL: Final[Mapping[str, str]] = {
    "0.0.0.0/8": "which means this machine itself",
    "::/128": "which means this machine itself",
    "169.254.0.0/16": "the link-local addresses, among which clouds have their metadata servers",
    "fe80::/10": "the link-local addresses",
    "224.0.0.0/4": "the multicast addresses",
    "ff00::/8": "the multicast addresses",
    "255.255.255.255/32": "the broadcast address",
}
"""What is no single machine beyond this one (RFC 6890)."""

METADATA: Final[Mapping[str, str]] = {
    "fd00:ec2::/32": "where AWS has its metadata server",
    "fd20:ce::254/128": "the metadata server of Google Cloud",
    "fd00:42::42/128": "the metadata server of Scaleway",
    "100.100.100.200/32": "the metadata server of Alibaba Cloud",
    "168.63.129.16/32": "the platform server of Azure",
    "192.0.0.192/32": "the metadata server of Oracle Cloud",
}
"""Servers that hand out a machine's credentials, as the documentation of each cloud names them. Those at
169.254.169.254 and the like are link-local."""

LOOPBACK: Final[Mapping[str, str]] = {
    "127.0.0.0/8": "the loopback addresses",
    "::1/128": "the loopback address",
}

ANYWHERE: Final = ("0.0.0.0/0", "::/0")

MOST_REMEMBERED: Final = 131_072
"""Verdicts that a scope keeps."""

_TRANSLATED: Final = 0xFFFF << 48
_NAMESPACES: Final = "namespaceCidrs for this namespace"
_NAT64: Final = 0x0064_FF9B << 96
_NAT64_LOCAL: Final = 0x0064_FF9B_0001
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)
_LOW: Final = 0xFFFF_FFFF


class Lists(msgspec.Struct, frozen=True):
    """The allowed and denied networks of a setting, as text."""

    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()


class ClusterRanges(msgspec.Struct, frozen=True):
    """The addresses of the cluster itself, as text, without doubles."""

    pods: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()

    def joined(self, other: ClusterRanges) -> ClusterRanges:
        """The ranges of both."""
        return ClusterRanges(
            tuple(dict.fromkeys(self.pods + other.pods)),
            tuple(dict.fromkeys(self.services + other.services)),
            tuple(dict.fromkeys(self.nodes + other.nodes)),
        )


class AddressRules(msgspec.Struct, frozen=True):
    """What the settings say: the lists for all namespaces, and by namespace those for it alone."""

    published: Lists = Lists()
    contacted: Lists = Lists()
    published_in: tuple[tuple[str, Lists], ...] = ()
    contacted_in: tuple[tuple[str, Lists], ...] = ()


NO_RULES: Final = AddressRules()
NO_RANGES: Final = ClusterRanges()


class _Names(NamedTuple):
    """How the settings of one kind of use are called."""

    allowed: str
    denied: str
    key: str


_PUBLISHED: Final = _Names("allowedCidrs", "deniedCidrs", "published")
_CONTACTED: Final = _Names("contactAllowedCidrs", "contactDeniedCidrs", "contacted")


class AddressPolicy:
    """The rules for every namespace, with the ranges of one cluster."""

    def __init__(self, rules: AddressRules = NO_RULES, cluster: ClusterRanges = NO_RANGES) -> None:
        self.rules = rules
        self.cluster = cluster
        self._published: dict[str, Scope] = {}
        self._contacted: dict[str, Scope] = {}

    def published(self, namespace: str) -> Scope:
        """What may be published for the Services of a namespace."""
        if (scope := self._published.get(namespace)) is None:
            own = dict(self.rules.published_in).get(namespace, Lists())
            scope = Scope(_PUBLISHED, self.rules.published, own, self._fixed, self._of_pods)
            self._published[namespace] = scope
        return scope

    def contacted(self, namespace: str) -> Scope:
        """What may be probed or asked for the manifests of a namespace."""
        if (scope := self._contacted.get(namespace)) is None:
            own = dict(self.rules.contacted_in).get(namespace, Lists())
            scope = Scope(_CONTACTED, self.rules.contacted, own, _contact_table(), _Table(()))
            self._contacted[namespace] = scope
        return scope

    @cached_property
    def _fixed(self) -> _Table[str]:
        """What no backend may have."""
        services = ((network, "a Service network of the cluster") for network in self.cluster.services)
        return _Table([*SPECIAL.items(), *METADATA.items(), *LOOPBACK.items(), *services])

    @cached_property
    def _of_pods(self) -> _Table[str]:
        """What no backend may have but one of a source of pods; pods of the host's network have their node's."""
        nodes = ((network, "an address of a node of the cluster") for network in self.cluster.nodes)
        pods = ((network, "a pod network of the cluster") for network in self.cluster.pods)
        return _Table([*pods, *nodes])


class Scope:
    """The rules in one namespace for one kind of use. Verdicts are remembered: asking again costs a look-up."""

    def __init__(self, names: _Names, general: Lists, own: Lists, fixed: _Table[str], of_pods: _Table[str]) -> None:
        self._names = names
        self._is_own = bool(own.allowed)
        self._allowed = _Table((network, network) for network in own.allowed or general.allowed)
        of_own = f"{_NAMESPACES} ({names.key}.denied)"
        self._denied = _Table(
            [*((one, of_own) for one in own.denied), *((one, names.denied) for one in general.denied)]
        )
        self._fixed = fixed
        self._of_pods = of_pods
        self._remembered: dict[tuple[str, bool], str] = {}

    def denied(self, address: str, *, is_pod: bool = False) -> str:
        """Why ``address`` (canonical, or as a URL has it) is denied, with the cure; "" where it is allowed.

        ``is_pod``: the cluster itself says that a pod has it. What is no IP address is allowed: it has to be asked
        again once it is resolved.
        """
        known = self._remembered.get((address, is_pod))
        if known is None:
            if len(self._remembered) >= MOST_REMEMBERED:
                self._remembered.clear()
            known = self._remembered[address, is_pod] = self._judge(address, is_pod)
        return known

    def _judge(self, text: str, is_pod: bool) -> str:
        try:
            address = ip_address(text.partition("%")[0])
        except ValueError:
            # "2852039166", "169.254.43518" and "0251.0376.0251.0376" are no names, which have letters in their last
            # part: whoever connects to them may take them for numbers (inet_aton), and ask no resolver.
            is_number = text.replace(".", "").isdigit()
            return f"{text} is no address as it is written: write four numbers from 0 to 255" if is_number else ""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # no other way leads there: it is that very address
        if (reason := self._why(address, is_pod)) or (reason := self._not_allowed(address)):
            return reason
        for inner in embedded(address):
            if reason := self._why(inner, is_pod):
                return f"{address} leads to {inner}: {reason}"
        return ""

    def _why(self, address: Address, is_pod: bool) -> str:
        """The first and third rule."""
        if (found := self._denied.find(address)) is not None:
            return f"{address} is in {found.network(address)}, which {found.what} of the settings denies"
        allowed = self._allowed.find(address)
        for table in (self._fixed,) if is_pod else (self._fixed, self._of_pods):
            found = table.find(address)
            if found is not None and (allowed is None or allowed.prefix < found.prefix):
                return f"{address} is in {found.network(address)}, {found.what}; {self._cure(address)}"
        return ""

    def _not_allowed(self, address: Address) -> str:
        """The second rule."""
        if self._allowed.is_empty or self._allowed.find(address) is not None:
            return ""
        return f"{address} is in none of the networks of {self._setting} of the settings"

    @property
    def _setting(self) -> str:
        return f"{_NAMESPACES} ({self._names.key}.allowed)" if self._is_own else self._names.allowed

    def _cure(self, address: Address) -> str:
        one = f"{address}/{address.max_prefixlen}"
        besides = f" beside {' and '.join(ANYWHERE)}" if self._allowed.is_empty else ""
        return f"to allow it all the same, put {one}{besides} into {self._setting} of the settings"


class _Found(NamedTuple, Generic[T]):
    """What was found, and the length of the prefix of its network."""

    what: T
    prefix: int

    def network(self, address: Address) -> str:
        return str(ip_network((address, self.prefix), strict=False))


class _Table(Generic[T]):
    """Networks, to be found by an address: one look-up for each length that a prefix has, the longest first."""

    def __init__(self, entries: Iterable[tuple[str, T]]) -> None:
        tables: dict[int, dict[int, dict[int, T]]] = {4: {}, 6: {}}
        for text, what in entries:
            network = ip_network(text)
            tables[network.version].setdefault(network.prefixlen, {})[int(network.network_address)] = what
        self._lengths = {
            version: [
                (length, (32 if version == 4 else 128) - length, of_length)
                for length, of_length in sorted(lengths.items(), reverse=True)
            ]
            for version, lengths in tables.items()
        }
        self.is_empty = not any(self._lengths.values())

    def find(self, address: Address) -> _Found[T] | None:
        """The smallest network that has ``address``, None where none has it."""
        number = int(address)
        for length, shift, of_length in self._lengths[address.version]:
            what = of_length.get(number >> shift << shift)
            if what is not None:
                return _Found(what, length)
        return None


@lru_cache(maxsize=1)
def _contact_table() -> _Table[str]:
    return _Table([*SPECIAL.items(), *METADATA.items()])


def embedded(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that packets for an IPv6 address may be led to, by its form alone.

    IPv4-compatible (RFC 4291, 2.5.5.1), IPv4-translated (RFC 2765), NAT64 (RFC 6052 and RFC 8215, for each length that
    a prefix may have there), 6to4 (RFC 3056), Teredo (RFC 4380) and ISATAP (RFC 5214). IPv4-mapped ones are no IPv6
    addresses but another way to write IPv4.
    """
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    high, low = number >> 32, number & _LOW
    if (high == 0 and low > 1) or high in (_TRANSLATED >> 32, _NAT64 >> 32) or (high & _LOW) in _ISATAP:
        yield IPv4Address(low)
    elif number >> 80 == _NAT64_LOCAL:
        yield from _by_local_nat64(number)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo


def _by_local_nat64(number: int) -> Iterator[IPv4Address]:
    """Nobody but the network knows which length its prefix has; what is in 0.0.0.0/8 then is none of it."""
    of_48 = (number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF
    of_56 = (number >> 64 & 0xFF) << 24 | number >> 32 & 0xFFFFFF
    of_64 = number >> 24 & _LOW
    of_96 = number & _LOW
    yield from (IPv4Address(inner) for inner in dict.fromkeys((of_96, of_48, of_56, of_64)) if inner >> 24)
