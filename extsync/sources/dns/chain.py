"""Reads a response: what it says of a name, how long that holds, and where a chain of aliases leads. Pure."""

from __future__ import annotations

from typing import Final, cast

import dns.rcode
import msgspec
from dns.message import Message
from dns.name import Name
from dns.rdata import Rdata
from dns.rdataclass import IN
from dns.rdatatype import CNAME, SOA, RdataType
from dns.rdtypes.ANY.CNAME import CNAME as AliasRecord
from dns.rdtypes.ANY.SOA import SOA as StartOfAuthority

from extsync.errors import ReadFailed
from extsync.model import Outcome

MOST_ALIASES: Final = 16
"""The longest chain of aliases that is followed."""

TTL_WITHOUT_SOA: Final = 5.0
"""Seconds for which "there is none" counts where the server does not say for how long."""


class Step(msgspec.Struct, frozen=True):
    """What one response says.

    ``names`` are the name asked for and the aliases that it leads to, the last of them the one that ``outcome`` is
    about: FOUND with ``records``, EMPTY, GONE, or None where the response has no word on the last name: it has to be
    asked for, unless it just was. ``ttl`` is the shortest in the chain, in seconds.
    """

    names: tuple[Name, ...]
    ttl: float
    outcome: Outcome | None
    records: tuple[Rdata, ...] = ()


def read(message: Message, rdtype: RdataType, names: tuple[Name, ...]) -> Step:
    """What ``message`` says of the last of ``names``; those before it are aliases that led there.

    ``message`` is whole, and its code is NOERROR or NXDOMAIN. Raises ReadFailed for a chain that goes round or does not
    end, and for a message that contradicts itself.
    """
    ttl = float("inf")
    while True:
        records = message.get_rrset(message.answer, names[-1], IN, rdtype)
        if records is not None:
            if message.rcode() == dns.rcode.NXDOMAIN:
                raise ReadFailed(f"the answer says that {names[-1]} does not exist, and yet has records of it")
            return Step(names, min(ttl, records.ttl), Outcome.FOUND, tuple(records))
        alias = message.get_rrset(message.answer, names[-1], IN, CNAME)
        if alias is None:
            return _without_records(message, names, ttl)
        ttl = min(ttl, alias.ttl)
        names = _extended(names, cast(AliasRecord, alias[0]).target)


def _extended(names: tuple[Name, ...], target: Name) -> tuple[Name, ...]:
    if target in names:
        raise ReadFailed(f"its aliases (CNAME) lead in a circle, by way of {target}")
    if len(names) > MOST_ALIASES:
        raise ReadFailed(f"its aliases (CNAME) have not ended after {MOST_ALIASES}, at {target}")
    return (*names, target)


def _without_records(message: Message, names: tuple[Name, ...], ttl: float) -> Step:
    """EMPTY, GONE, or the way ahead (RFC 2308, section 2): the code is about the last name of the chain."""
    negative_ttl = _negative_ttl(message, names[-1])
    # Balancers that know one type only answer every question with it: of the others, the name has none.
    has_others = any(rrset.name == names[-1] and rrset.rdclass == IN for rrset in message.answer)
    if message.rcode() == dns.rcode.NXDOMAIN:
        if has_others:
            raise ReadFailed(f"the answer says that {names[-1]} does not exist, and yet has records of it")
        outcome = Outcome.GONE
    elif message.answer and negative_ttl is None and not has_others:
        # An alias, and no word on what it leads to: a server that does not know the zone of the alias.
        return Step(names, ttl, None)
    else:
        outcome = Outcome.EMPTY
    return Step(names, min(ttl, TTL_WITHOUT_SOA if negative_ttl is None else negative_ttl), outcome)


def _negative_ttl(message: Message, name: Name) -> float | None:
    """Seconds for which a negative answer counts (RFC 2308, section 5), or None where the response does not say."""
    for rrset in message.authority:
        if rrset.rdtype == SOA and name.is_subdomain(rrset.name):
            return float(min(rrset.ttl, cast(StartOfAuthority, rrset[0]).minimum))
    return None
