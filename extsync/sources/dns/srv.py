"""SRV records as backends (RFC 2782): the addresses of their targets with their ports, in steps by priority.

The records say which targets there are. Each family of each target is a part of its own, so that one that fails or
ceases to exist is held to its own outcome and keeps back nothing of the others. A response has 64 KiB at most, and so
names some 3,000 targets at most.

The targets are looked up by themselves. Addresses that come with the SRV records are not used: they are no answer
(RFC 2181, section 5.4.1), and those of one family do not say that there are none of the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias, cast

import dns.name
import msgspec
from dns.name import Name
from dns.rdata import Rdata
from dns.rdatatype import SRV, RdataType
from dns.rdtypes.IN.SRV import SRV as ServiceRecord

from extsync.addresses import check_address
from extsync.errors import ReadFailed
from extsync.model import Backend, Observation, Outcome, Rejected
from extsync.seams import Clock
from extsync.sources.dns.admission import Admission
from extsync.sources.dns.hosts import FAMILIES, MOST_REJECTED, NAME_LABEL, texts
from extsync.sources.dns.lookup import Answer, Looked, Lookup, Parts, nothing
from extsync.sources.dns.names import shown

TARGET_LABEL: Final = "__meta_dns_srv_record_target"
PORT_LABEL: Final = "__meta_dns_srv_record_port"

CONCURRENT: Final = 16
"""Queries about targets of one set that are begun at a time."""

_NOT_OFFERED: Final = "its SRV record says that the service is not offered (target .)"

Found: TypeAlias = Mapping[tuple[Name, RdataType], Answer | ReadFailed]
"""What became of the look-up of each family of each target, in the order of the records."""


class ServiceQuestion:
    """The targets of the SRV records of a name; ``label`` and ``names`` as those of a HostQuestion."""

    def __init__(self, label: str, names: tuple[Name, ...], *, clock: Clock) -> None:
        self.name = f"{label} SRV"
        self._label = label
        self._names = names
        self._admission = Admission(clock, young=CONCURRENT)

    async def look(self, lookup: Lookup) -> Looked:
        answer = await lookup.first(self._names, SRV)
        if answer.outcome is not Outcome.FOUND:
            return Looked(((self.name, nothing(answer, self._names, SRV)),), answer.ttl)
        records = _sorted(answer.records)
        usable = [record for record in records if not _fault(record)]
        if not usable and all(record.target == dns.name.root for record in records):
            return Looked(((self.name, Observation(Outcome.EMPTY, detail=_NOT_OFFERED)),), answer.ttl)
        found = await self._resolve(lookup, dict.fromkeys(record.target for record in usable))
        answers = [one for one in found.values() if isinstance(one, Answer)]
        ttl = min((answer.ttl, *(one.ttl for one in answers)))
        return Looked(self._parts(records, usable, found), ttl, failed=len(answers) < len(found))

    async def _resolve(self, lookup: Lookup, names: Iterable[Name]) -> Found:
        """Looks up both families of each target."""

        async def one(name: Name, rdtype: RdataType) -> Answer | ReadFailed:
            async with self._admission.room():
                try:
                    return await lookup.one(name, rdtype)
                except ReadFailed as error:
                    return error

        asked = [(name, rdtype) for name in names for rdtype in FAMILIES]
        async with asyncio.TaskGroup() as group:
            tasks = {query: group.create_task(one(*query)) for query in asked}
        return {query: task.result() for query, task in tasks.items()}

    def _parts(self, records: Sequence[ServiceRecord], usable: Sequence[ServiceRecord], found: Found) -> Parts:
        """The set of records, which has no backends of its own, and a part for each family of each target."""
        rejected = [Rejected(_entry(record), fault) for record in records if (fault := _fault(record))]
        rejected += [Rejected(_entry(record), fault) for record in usable if (fault := _lacks_addresses(record, found))]
        parts = [(self.name, Observation(Outcome.FOUND, rejected=tuple(rejected[:MOST_REJECTED])))]
        steps = {priority: step for step, priority in enumerate(sorted({record.priority for record in records}))}
        records_of: dict[Name, list[ServiceRecord]] = {}
        for record in usable:
            records_of.setdefault(record.target, []).append(record)
        for (target, rdtype), answer in found.items():
            if isinstance(answer, ReadFailed):
                part = Observation(Outcome.ERROR, detail=str(answer))
            elif answer.outcome is Outcome.FOUND:
                part = self._found(records_of[target], steps, texts(answer.records))
            else:
                part = nothing(answer, (target,), rdtype)
            part = msgspec.structs.replace(part, named_by=self.name)
            parts.append((f"{self.name} {shown(target)} {rdtype.name}", part))
        return tuple(parts)

    def _found(
        self, records: Sequence[ServiceRecord], steps: Mapping[int, int], addresses: Sequence[str]
    ) -> Observation:
        """The addresses of one target with the ports of its records; a port that comes twice is of the first."""
        backends: dict[tuple[str, int], Backend] = {}
        rejected: list[Rejected] = []
        for record in records:
            labels = ((NAME_LABEL, self._label), (PORT_LABEL, str(record.port)), (TARGET_LABEL, shown(record.target)))
            for text in addresses:
                try:
                    address = check_address(text)
                except ValueError as error:
                    rejected.append(Rejected(_entry(record), str(error)))
                    continue
                backend = Backend(address, port=record.port, labels=labels, step=steps[record.priority])
                backends.setdefault((address, record.port), backend)
        return Observation(Outcome.FOUND, tuple(backends.values()), tuple(rejected[:MOST_REJECTED]))


def _entry(record: ServiceRecord) -> str:
    return f"{shown(record.target)}:{record.port}"


def _fault(record: ServiceRecord) -> str:
    if record.target == dns.name.root:
        return "the target . stands for no machine, and only alone for a service that is not offered"
    return "" if record.port else "0 is not a port: ports are 1 to 65535"


def _lacks_addresses(record: ServiceRecord, found: Found) -> str:
    """Why nothing comes of a record although its target was answered, or ""."""
    outcomes = [answer.outcome for rdtype in FAMILIES if isinstance(answer := found[record.target, rdtype], Answer)]
    if len(outcomes) < len(FAMILIES) or Outcome.FOUND in outcomes:
        return ""
    gone = all(outcome is Outcome.GONE for outcome in outcomes)
    return "the target does not exist (NXDOMAIN)" if gone else "the target has no addresses"


def _sorted(records: tuple[Rdata, ...]) -> list[ServiceRecord]:
    """By priority; within one, in an order that stays the same where servers turn theirs."""
    found = [cast(ServiceRecord, record) for record in records]
    return sorted(found, key=lambda record: (record.priority, record.target, record.port, record.weight))
