"""Which absolute names a name of a manifest stands for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import dns.name
from dns.exception import DNSException
from dns.name import Name

from extsync.errors import ConfigError


def candidates(text: str, search_domains: Sequence[str]) -> tuple[Name, ...]:
    """The names to try, in their order, as resolv.conf's search list has it with ``ndots:1``.

    A name with a last dot is absolute and the only one, and so is every name where there are no search domains. A name
    with a dot in it is tried as it is and then in each domain; one without, in each domain and then as it is. Raises
    ConfigError for a name that is too long, perhaps together with a domain.
    """
    name = _parse(text)
    if text.endswith(".") or not search_domains:
        return (_absolute(name),)
    in_domains = [_absolute(name, _parse(domain)) for domain in search_domains]
    ordered = [_absolute(name), *in_domains] if len(name) > 1 else [*in_domains, _absolute(name)]
    return tuple(dict.fromkeys(ordered))


def shown(name: Name) -> str:
    """The name without its last dot, as people write it."""
    return name.to_text(omit_final_dot=True)


def _parse(text: str) -> Name:
    try:
        return dns.name.from_text(text, origin=None)
    except DNSException as error:
        raise ConfigError(f"name {text!r}: {error}") from error


def _absolute(name: Name, domain: Name = dns.name.root) -> Name:
    if name.is_absolute():
        return name
    try:
        return name.concatenate(domain.derelativize(dns.name.root))
    except DNSException as error:
        raise ConfigError(f"name {name} is too long in the search domain {domain}") from error
