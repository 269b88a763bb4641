"""Name servers that say what a test has them say, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from dns.message import Message, QueryMessage
from dns.name import Name

from extsync.seams.virtual import VirtualClock
from extsync.sources.dns.exchange import Server, Transport

SERVER: Final = Server("192.0.2.53", 53)
SECOND: Final = Server("192.0.2.54", 53)
NEGATIVE_TTL: Final = 7

Reply: TypeAlias = "Callable[[QueryMessage], Message] | Exception | None"
"""What a server does with a query: it makes a response, the exchange raises, or (None) there is silence."""


class Asked(NamedTuple):
    """One query, and the virtual time of it."""

    at: float
    name: str
    rdtype: str
    server: Server
    transport: Transport


class ScriptedExchange:
    """Answers as a resolver would that knows just the records a test has given it; every other name is NXDOMAIN."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.latency = 0.0
        self._records: dict[str, dict[str, tuple[int, tuple[str, ...]]]] = {}
        self._replies: dict[tuple[str, str], Reply] = {}
        self._servers: dict[Server, Reply] = {}
        self._clock = VirtualClock()

    def have(self, name: str, rdtype: str, *records: str, ttl: int = 30) -> None:
        """The records of a name from now on; with none, the name exists and has nothing of the type."""
        self._records.setdefault(name, {})[rdtype] = (ttl, records)

    def forget(self, name: str) -> None:
        del self._records[name]

    def script(self, name: str, rdtype: str, reply: Reply) -> None:
        """What happens to one question from now on."""
        self._replies[name, rdtype] = reply

    def mend(self, name: str, rdtype: str) -> None:
        del self._replies[name, rdtype]

    def script_server(self, server: Server, reply: Reply) -> None:
        """What happens to all questions to one server from now on."""
        self._servers[server] = reply

    def mend_server(self, server: Server) -> None:
        del self._servers[server]

    def times(self, name: str, rdtype: str) -> list[float]:
        """When a question was asked."""
        return [asked.at for asked in self.asked if (asked.name, asked.rdtype) == (name, rdtype)]

    async def __call__(self, query: QueryMessage, server: Server, transport: Transport, /) -> Message:
        question = query.question[0]
        name, rdtype = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append(Asked(self._clock.monotonic(), name, rdtype, server, transport))
        if self.latency:
            await self._clock.sleep(self.latency)
        reply = self._servers.get(server, self._replies.get((name, rdtype), self._known))
        if reply is None:
            await asyncio.Event().wait()
        if isinstance(reply, Exception):
            raise reply
        assert reply is not None
        return reply(query)

    def _known(self, query: QueryMessage) -> Message:
        question = query.question[0]
        name, rdtype = question.name, dns.rdatatype.to_text(question.rdtype)
        answer: list[dns.rrset.RRset] = []
        while (kinds := self._records.get(name.to_text(omit_final_dot=True))) is not None:
            kind = "CNAME" if "CNAME" in kinds else rdtype
            ttl, records = kinds.get(kind, (0, ()))
            if not records:
                return response(query, *answer, authority=[soa()])
            answer.append(dns.rrset.from_text(name, ttl, "IN", kind, *records))
            if kind == rdtype:
                return response(query, *answer)
            name = answer[-1][0].target
        return response(query, *answer, authority=[soa()], rcode=dns.rcode.NXDOMAIN)


def response(
    query: QueryMessage,
    *answer: dns.rrset.RRset,
    authority: list[dns.rrset.RRset] | None = None,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    flags: dns.flags.Flag = dns.flags.RA,
) -> Message:
    """A response, as a server that resolves for others sends it."""
    message = dns.message.make_response(query)
    message.flags |= flags
    message.set_rcode(rcode)
    message.answer = list(answer)
    message.authority = authority or []
    # Over the wire, so that what a test says is what a server could say.
    return dns.message.from_wire(message.to_wire(max_size=65535))


def code(rcode: dns.rcode.Rcode) -> Callable[[QueryMessage], Message]:
    """A reply with nothing but a code."""
    return lambda query: response(query, rcode=rcode)


def rrset(name: str, ttl: int, rdtype: str, *records: str) -> dns.rrset.RRset:
    return dns.rrset.from_text(name, ttl, "IN", rdtype, *records)


def soa(zone: str = ".", *, ttl: int = 3600, minimum: int = NEGATIVE_TTL) -> dns.rrset.RRset:
    return rrset(zone, ttl, "SOA", f"ns.example. hostmaster.example. 1 3600 600 86400 {minimum}")


def query(name: str, rdtype: str = "A") -> QueryMessage:
    return dns.message.make_query(name, rdtype)


def names(*texts: str) -> tuple[Name, ...]:
    return tuple(dns.name.from_text(text) for text in texts)
