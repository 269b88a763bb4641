"""The ``dns`` source: keeps each of its questions answered, and reports the answers of all together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final, Literal, NoReturn, Protocol

import msgspec
from dns.rdatatype import AAAA, A

from extsync.address_policy import Scope
from extsync.errors import ConfigError, ReadFailed
from extsync.model import Observation, Outcome, several
from extsync.seams import Clock
from extsync.sources.base import Emit, SourceContext
from extsync.sources.dns.admission import Admission
from extsync.sources.dns.exchange import DEFAULT_PORTS, Exchange, SystemExchange, Transport
from extsync.sources.dns.hosts import FAMILIES, HostQuestion
from extsync.sources.dns.lookup import Looked, Lookup, Parts, Question
from extsync.sources.dns.names import candidates
from extsync.sources.dns.refresh import Refresh, together
from extsync.sources.dns.resolver import Resolver
from extsync.sources.dns.servers import Nameservers, SystemNameservers, parse_server
from extsync.sources.dns.srv import ServiceQuestion

COALESCE: Final = 0.1
"""Seconds from a change to the report, so that changes of many names make few reports."""

CONFIRM_EVERY: Final = 5.0
"""Seconds between reports that say the same as the one before, which only keep the age of the source true."""

GRACE: Final = 1.0
"""Seconds that the first report waits longer than the look-ups that it waits for."""


class DnsConfig(Protocol):
    """The validated ``dns`` block of a manifest. Times are in seconds; ``nameservers`` are ``ip:port``."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def type(self) -> Literal["Host", "A", "AAAA", "SRV"]: ...
    @property
    def port(self) -> int | None: ...
    @property
    def nameservers(self) -> tuple[str, ...]: ...
    @property
    def transport(self) -> Transport: ...
    @property
    def search_domains(self) -> tuple[str, ...]: ...
    @property
    def min_ttl(self) -> float: ...
    @property
    def max_ttl(self) -> float: ...
    @property
    def timeout(self) -> float: ...


class _Asked:
    """A question, what was said last (nothing before the first answer) and when it is asked again."""

    def __init__(self, question: Question, refresh: Refresh) -> None:
        self.question = question
        self.refresh = refresh
        self.parts: Parts = ()


class DnsSource:
    """Reports the backends behind names.

    ``exchange`` speaks to the name servers, ``system`` names them where the manifest does not. Raises ConfigError for a
    name that is too long, and for a name server of the manifest that may not be asked.
    """

    def __init__(
        self,
        config: DnsConfig,
        context: SourceContext,
        *,
        exchange: Exchange | None = None,
        system: Nameservers | None = None,
    ) -> None:
        self._clock = context.clock
        self._timeout = config.timeout
        self._admission = Admission(context.clock)
        self._resolver = Resolver(
            _nameservers(
                config,
                system or SystemNameservers(self._clock, port=DEFAULT_PORTS[config.transport]),
                context.contacts,
            ),
            transport=config.transport,
            clock=self._clock,
            exchange=exchange or SystemExchange(),
        )
        self._asked = tuple(
            _Asked(question, Refresh(min_ttl=config.min_ttl, max_ttl=config.max_ttl, random=context.random))
            for question in _questions(config, self._clock)
        )
        self._report: Observation | None = None
        self._unanswered = len(self._asked)
        self._answered_at = float("-inf")
        self._read = asyncio.Event()
        self._changed = asyncio.Event()

    async def run(self, emit: Emit) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for asked in self._asked:
                    group.create_task(self._keep(asked))
                await self._tell(emit)
        except BaseExceptionGroup as failed:
            # Whoever runs the source tells of one exception.
            first: BaseException = failed
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from None

    async def _keep(self, asked: _Asked) -> NoReturn:
        """Asks a question again and again."""
        while True:
            async with self._admission.room():
                wait = await self._look(asked)
            await self._clock.sleep(together(self._clock.monotonic(), wait))

    async def _look(self, asked: _Asked) -> float:
        """Asks a question once; returns the seconds after which it is asked again."""
        lookup = Lookup(self._resolver, self._clock.monotonic() + self._timeout)
        try:
            looked = await asked.question.look(lookup)
        except ReadFailed as error:
            wait = asked.refresh.after_failure()
            self._take(asked, ((asked.question.name, Observation(Outcome.ERROR, detail=str(error))),))
        else:
            wait = self._after(asked, looked)
            self._answered_at = self._clock.monotonic()
        return wait

    def _after(self, asked: _Asked, looked: Looked) -> float:
        is_found = dict(looked.parts)[asked.question.name].outcome is Outcome.FOUND
        wait = asked.refresh.after_answer(looked.ttl, negative=not is_found, failed=looked.failed)
        self._take(asked, _refreshed(looked.parts, asked.refresh.longest))
        return wait

    def _take(self, asked: _Asked, parts: Parts) -> None:
        self._unanswered -= not asked.parts
        # Another refresh alone is no news: it counts when an answer lacks something, which then is another answer.
        if _refreshed(asked.parts, 0.0) != _refreshed(parts, 0.0):
            asked.parts = parts
            self._report = None
            self._changed.set()
        self._read.set()

    async def _tell(self, emit: Emit) -> NoReturn:
        """Reports once there is an answer to everything, and then what changes."""
        await self._first_answers()
        while True:
            self._read.clear()
            self._changed.clear()
            emit(self._together())
            await self._read.wait()
            try:
                async with self._clock.timeout(CONFIRM_EVERY):
                    await self._changed.wait()
            except TimeoutError:
                continue
            await self._clock.sleep(COALESCE)

    async def _first_answers(self) -> None:
        """Waits until each question was asked once, or as long as one look-up may take if no more answers come."""
        began = self._clock.monotonic()
        while self._unanswered:
            until = max(began, self._answered_at) + self._timeout + GRACE
            self._read.clear()
            try:
                async with self._clock.timeout(until - self._clock.monotonic()):
                    await self._read.wait()
            except TimeoutError:
                return

    def _together(self) -> Observation:
        """The report of all parts; the same object while no part has changed."""
        if self._report is None:
            unanswered = Observation(Outcome.ERROR, detail="has not been answered yet")
            self._report = several(
                part for asked in self._asked for part in asked.parts or ((asked.question.name, unanswered),)
            )
        return self._report


def _refreshed(parts: Parts, seconds: float) -> Parts:
    """The parts, where they found something as answers that count for that long."""
    return tuple(
        (name, msgspec.structs.replace(part, refresh=seconds) if part.outcome is Outcome.FOUND else part)
        for name, part in parts
    )


def _nameservers(config: DnsConfig, system: Nameservers, contacts: Scope) -> Nameservers:
    """Those of the manifest, where it has any.

    Those of the machine are not judged: they are the operator's own, and clouds have theirs at link-local addresses.
    """
    servers = tuple(parse_server(text) for text in config.nameservers)
    for server in servers:
        if reason := contacts.denied(server.address):
            raise ConfigError(f"name server {server} is not asked: {reason}")
    return (lambda: servers) if servers else system


def _questions(config: DnsConfig, clock: Clock) -> Iterator[Question]:
    """The questions of a source, each once: for a host one about each family."""
    for label in dict.fromkeys(config.names):
        names = candidates(label, config.search_domains)
        match config.type:
            case "SRV":
                yield ServiceQuestion(label, names, clock=clock)
            case "Host":
                for rdtype, sibling in zip(FAMILIES, reversed(FAMILIES), strict=True):
                    yield HostQuestion(label, names, rdtype, sibling=sibling, port=config.port)
            case _:
                rdtype = A if config.type == "A" else AAAA
                yield HostQuestion(label, names, rdtype, port=config.port)
