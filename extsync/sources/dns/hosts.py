"""A and AAAA records as backends."""

from __future__ import annotations

from typing import Final, cast

from dns.name import Name
from dns.rdata import Rdata
from dns.rdatatype import AAAA, A, RdataType
from dns.rdtypes.IN.A import A as AddressRecord

from extsync.addresses import check_address
from extsync.model import Backend, Observation, Outcome, Rejected
from extsync.sources.dns.lookup import Looked, Lookup, nothing

NAME_LABEL: Final = "__meta_dns_name"

FAMILIES: Final = (A, AAAA)

MOST_REJECTED: Final = 1000
"""Records of one answer set aside that are told one by one."""


class HostQuestion:
    """The addresses of one family of a name.

    ``label`` is the name as the manifest has it, ``names`` the absolute ones that it may stand for. ``sibling`` is the
    other family where the source asks for both. ``port`` is that of all backends.
    """

    def __init__(
        self,
        label: str,
        names: tuple[Name, ...],
        rdtype: RdataType,
        *,
        sibling: RdataType | None = None,
        port: int | None = None,
    ) -> None:
        self.name = f"{label} {rdtype.name}"
        self._names = names
        self._rdtype = rdtype
        self._sibling = sibling
        self._port = port
        self._labels = ((NAME_LABEL, label),)

    async def look(self, lookup: Lookup) -> Looked:
        answer = await lookup.first(self._names, self._rdtype, sibling=self._sibling)
        if answer.outcome is not Outcome.FOUND:
            return Looked(((self.name, nothing(answer, self._names, self._rdtype)),), answer.ttl)
        backends, rejected = [], []
        for text in texts(answer.records):
            try:
                backends.append(Backend(check_address(text), port=self._port, labels=self._labels))
            except ValueError as error:
                rejected.append(Rejected(text, str(error)))
        found = Observation(Outcome.FOUND, tuple(backends), tuple(rejected[:MOST_REJECTED]))
        return Looked(((self.name, found),), answer.ttl)


def texts(records: tuple[Rdata, ...]) -> list[str]:
    """The addresses of A or AAAA records, sorted: servers turn the order, which says nothing."""
    return sorted(cast(AddressRecord, record).address for record in records)
