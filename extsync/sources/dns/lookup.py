"""One look-up of a question: follows its aliases from server to server, and tries its search domains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

import msgspec
from dns.name import Name
from dns.rdata import Rdata
from dns.rdatatype import RdataType

from extsync.errors import ReadFailed
from extsync.model import Observation, Outcome
from extsync.sources.dns.chain import read
from extsync.sources.dns.names import shown
from extsync.sources.dns.resolver import Resolver


class Answer(msgspec.Struct, frozen=True):
    """What DNS says: FOUND with its ``records``, EMPTY or GONE. ``ttl`` is how long that holds, in seconds."""

    outcome: Outcome
    ttl: float
    records: tuple[Rdata, ...] = ()


Parts: TypeAlias = tuple[tuple[str, Observation], ...]
"""Observations with their names, as ``Observation.parts`` has them."""


class Looked(NamedTuple):
    """What a look-up ended with, and the seconds for which it holds.

    ``parts`` are that of the question, under its name, and those that it led to; ``failed`` is whether one of the
    latter could not be answered.
    """

    parts: Parts
    ttl: float
    failed: bool = False


class Question(Protocol):
    """What is asked of DNS, and what is made of the answer: one part of a source, or one that names further parts."""

    @property
    def name(self) -> str:
        """What tells it from the other questions of the source, and people what is asked."""
        ...

    async def look(self, lookup: Lookup) -> Looked:
        """Asks; raises ReadFailed."""
        ...


class Lookup:
    """All queries of one look-up, which end by one ``deadline`` (monotonic seconds)."""

    def __init__(self, resolver: Resolver, deadline: float) -> None:
        self._resolver = resolver
        self._deadline = deadline

    async def one(self, name: Name, rdtype: RdataType) -> Answer:
        """What there is of ``name``, or of what it is an alias of; raises ReadFailed."""
        names: tuple[Name, ...] = (name,)
        ttl = float("inf")
        while True:
            try:
                message = await self._resolver.ask(names[-1], rdtype, deadline=self._deadline)
            except ReadFailed as error:
                if len(names) == 1:
                    raise
                raise ReadFailed(f"it is an alias of {shown(names[-1])}: {error}") from error
            step = read(message, rdtype, names)
            ttl = min(ttl, step.ttl)
            if step.outcome is not None:
                return Answer(step.outcome, ttl, step.records)
            if step.names == names:  # to ask the same again at once would go on for ever
                raise ReadFailed(f"the answer has no record of {shown(names[-1])}, only of other names")
            names = step.names

    async def first(self, names: Sequence[Name], rdtype: RdataType, *, sibling: RdataType | None = None) -> Answer:
        """What there is of the first of ``names`` that has something.

        A name with records of type ``sibling`` has something too, and then the answer is EMPTY: addresses of both
        families are those of one name. That there is nothing, or only something of a later name, holds only where each
        name before has been answered; otherwise it raises ReadFailed.
        """
        if len(names) == 1:
            return await self.one(names[0], rdtype)
        ttl = float("inf")
        outcome = Outcome.GONE
        for name in names:
            answer = await self._named(name, rdtype)
            ttl = min(ttl, answer.ttl)
            if answer.outcome is Outcome.FOUND:
                return msgspec.structs.replace(answer, ttl=ttl)
            if answer.outcome is Outcome.EMPTY:
                outcome = Outcome.EMPTY
                other = None if sibling is None else await self._named(name, sibling)
                if other is not None and other.outcome is Outcome.FOUND:
                    return Answer(Outcome.EMPTY, min(ttl, other.ttl))
        return Answer(outcome, ttl)

    async def _named(self, name: Name, rdtype: RdataType) -> Answer:
        try:
            return await self.one(name, rdtype)
        except ReadFailed as error:
            raise ReadFailed(f"{shown(name)}: {error}") from error


def nothing(answer: Answer, names: Sequence[Name], rdtype: RdataType) -> Observation:
    """The observation of an answer without records."""
    tried = ", ".join(map(shown, names))
    if answer.outcome is Outcome.GONE:
        detail = f"no such name (NXDOMAIN): {tried}"
    else:
        detail = f"no {rdtype.name} records: {tried}"
    return Observation(answer.outcome, detail=detail)
