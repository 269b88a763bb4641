"""SRV records as backends (RFC 2782): the addresses of their targets with their ports, in steps by priority.

The targets are looked up by themselves. Addresses that come with the SRV records are not used: they are no answer
(RFC 2181, section 5.4.1), and those of one family do not say that there are none of the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias, cast

import dns.name
from dns.name import Name
from dns.rdata import Rdata
from dns.rdatatype import SRV, RdataType
from dns.rdtypes.IN.SRV import SRV as ServiceRecord

from extsync.addresses import check_address
from extsync.errors import ReadFailed
from extsync.model import Backend, Observation, Outcome, Rejected
from extsync.sources.dns.hosts import FAMILIES, MOST_REJECTED, NAME_LABEL, texts
from extsync.sources.dns.lookup import Answer, Looked, Lookup, nothing
from extsync.sources.dns.names import shown

TARGET_LABEL: Final = "__meta_dns_srv_record_target"
PORT_LABEL: Final = "__meta_dns_srv_record_port"

CONCURRENT: Final = 16
"""Queries about targets of one set that are under way at a time."""

_NOT_OFFERED: Final = "its SRV record says that the service is not offered (target .)"

Targets: TypeAlias = Mapping[Name, Sequence[Answer]]
"""The targets of a set, each with the answers about its families."""


class ServiceQuestion:
    """The targets of the SRV records of a name; ``label`` and ``names`` as those of a HostQuestion."""

    def __init__(self, label: str, names: tuple[Name, ...]) -> None:
        self.name = f"{label} SRV"
        self._label = label
        self._names = names

    async def look(self, lookup: Lookup) -> Looked:
        answer = await lookup.first(self._names, SRV)
        if answer.outcome is not Outcome.FOUND:
            return nothing(answer, self._names, SRV)
        records = _sorted(answer.records)
        usable = [record for record in records if not _fault(record)]
        if not usable and all(record.target == dns.name.root for record in records):
            return Looked(Observation(Outcome.EMPTY, detail=_NOT_OFFERED), answer.ttl)
        targets = await _resolve(lookup, dict.fromkeys(record.target for record in usable))
        ttls = (found.ttl for answers in targets.values() for found in answers)
        return Looked(_observation(self._label, records, targets), min((answer.ttl, *ttls)))


async def _resolve(lookup: Lookup, names: Iterable[Name]) -> Targets:
    """Looks up both families of each target; raises ReadFailed if one fails, as a set that lacks a target is no set."""
    slots = asyncio.Semaphore(CONCURRENT)

    async def one(name: Name, rdtype: RdataType) -> Answer:
        async with slots:
            return await lookup.one(name, rdtype)

    asked = [(name, rdtype) for name in names for rdtype in FAMILIES]
    answers = await asyncio.gather(*(one(*query) for query in asked), return_exceptions=True)
    targets: dict[Name, list[Answer]] = {}
    for (name, rdtype), answer in zip(asked, answers, strict=True):
        if isinstance(answer, ReadFailed):
            raise ReadFailed(f"its target {shown(name)} {rdtype.name}: {answer}") from answer
        if isinstance(answer, BaseException):
            raise answer
        targets.setdefault(name, []).append(answer)
    return targets


def _observation(label: str, records: Sequence[ServiceRecord], targets: Targets) -> Observation:
    """The backends of all records, the first priority first; an address and port that comes twice counts once."""
    steps = {priority: step for step, priority in enumerate(sorted({record.priority for record in records}))}
    backends: dict[tuple[str, int], Backend] = {}
    rejected: list[Rejected] = []
    for record in records:
        entry = f"{shown(record.target)}:{record.port}"
        fault = _fault(record) or _lacks_addresses(targets[record.target])
        if fault:
            rejected.append(Rejected(entry, fault))
            continue
        labels = ((NAME_LABEL, label), (PORT_LABEL, str(record.port)), (TARGET_LABEL, shown(record.target)))
        for text in (text for answer in targets[record.target] for text in texts(answer.records)):
            try:
                address = check_address(text)
            except ValueError as error:
                rejected.append(Rejected(entry, str(error)))
                continue
            backend = Backend(address, port=record.port, labels=labels, step=steps[record.priority])
            backends.setdefault((address, record.port), backend)
    return Observation(Outcome.FOUND, tuple(backends.values()), tuple(rejected[:MOST_REJECTED]))


def _fault(record: ServiceRecord) -> str:
    if record.target == dns.name.root:
        return "the target . stands for no machine, and only alone for a service that is not offered"
    return "" if record.port else "0 is not a port: ports are 1 to 65535"


def _lacks_addresses(answers: Sequence[Answer]) -> str:
    if any(answer.outcome is Outcome.FOUND for answer in answers):
        return ""
    gone = all(answer.outcome is Outcome.GONE for answer in answers)
    return "the target does not exist (NXDOMAIN)" if gone else "the target has no addresses"


def _sorted(records: tuple[Rdata, ...]) -> list[ServiceRecord]:
    """By priority; within one, in an order that stays the same where servers turn theirs."""
    found = [cast(ServiceRecord, record) for record in records]
    return sorted(found, key=lambda record: (record.priority, record.target, record.port, record.weight))
