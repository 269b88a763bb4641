"""Aliases from server to server, and search domains: in virtual time, with name servers that tests script."""

from __future__ import annotations

import dns.flags
import dns.rcode
import pytest
from dns.message import Message, QueryMessage
from dns.rdatatype import AAAA, A, RdataType

from extsync.errors import ReadFailed
from extsync.model import Outcome
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.sources.dns.lookup import Answer, Lookup, nothing
from extsync.sources.dns.resolver import Resolver
from tests.sources.dns.scripted import NEGATIVE_TTL, SERVER, Reply, ScriptedExchange, code, names, response, rrset

CLOCK = VirtualClock()
NAMES = names("db.prod.example.com.", "db.example.net.", "db.")
FIRST, SECOND, LAST = (name.to_text(omit_final_dot=True) for name in NAMES)


def lookup(exchange: ScriptedExchange) -> Lookup:
    resolver = Resolver(lambda: (SERVER,), transport="UDP", clock=CLOCK, exchange=exchange)
    return Lookup(resolver, CLOCK.monotonic() + 5)


async def first(exchange: ScriptedExchange, rdtype: RdataType = A, sibling: RdataType | None = None) -> Answer:
    return await lookup(exchange).first(NAMES, rdtype, sibling=sibling)


def alias(target: str, ttl: int = 40) -> Reply:
    """A reply of a server that knows the alias and nothing of where it leads."""

    def reply(query: QueryMessage) -> Message:
        made = rrset(query.question[0].name.to_text(), ttl, "CNAME", target)
        return response(query, made, flags=dns.flags.AA)

    return reply


@virtual_time
async def test_an_alias_that_leaves_the_zone_is_followed() -> None:
    exchange = ScriptedExchange()
    exchange.script("www.example.com", "A", alias("lb.example.net.", ttl=20))
    exchange.have("lb.example.net", "A", "192.0.2.1", ttl=60)
    answer = await lookup(exchange).one(names("www.example.com.")[0], A)
    assert (answer.outcome, answer.ttl) == (Outcome.FOUND, 20)
    assert [asked.name for asked in exchange.asked] == ["www.example.com", "lb.example.net"]


@virtual_time
async def test_an_alias_of_what_does_not_exist_is_gone() -> None:
    exchange = ScriptedExchange()
    exchange.script("www.example.com", "A", alias("lb.example.net."))
    answer = await lookup(exchange).one(names("www.example.com.")[0], A)
    assert (answer.outcome, answer.ttl) == (Outcome.GONE, NEGATIVE_TTL)


@virtual_time
async def test_where_an_alias_cannot_be_resolved_the_target_is_told() -> None:
    exchange = ScriptedExchange()
    exchange.script("www.example.com", "A", alias("lb.example.net."))
    exchange.script("lb.example.net", "A", code(dns.rcode.REFUSED))
    with pytest.raises(ReadFailed, match=r"^it is an alias of lb\.example\.net: 192\.0\.2\.53:53 answers REFUSED"):
        await lookup(exchange).one(names("www.example.com.")[0], A)


@virtual_time
async def test_servers_that_send_one_another_in_a_circle_are_left() -> None:
    exchange = ScriptedExchange()
    exchange.script("a", "A", alias("b."))
    exchange.script("b", "A", alias("a."))
    with pytest.raises(ReadFailed, match="circle"):
        await lookup(exchange).one(names("a.")[0], A)
    assert len(exchange.asked) == 2


@virtual_time
async def test_the_first_name_that_has_something_counts() -> None:
    exchange = ScriptedExchange()
    exchange.have(SECOND, "A", "192.0.2.1")
    exchange.have(LAST, "A", "192.0.2.2")
    answer = await first(exchange)
    assert [str(record) for record in answer.records] == ["192.0.2.1"]
    assert [asked.name for asked in exchange.asked] == [FIRST, SECOND]


@virtual_time
async def test_an_answer_holds_no_longer_than_the_absence_of_the_names_before_it() -> None:
    exchange = ScriptedExchange()
    exchange.have(SECOND, "A", "192.0.2.1", ttl=600)
    assert (await first(exchange)).ttl == NEGATIVE_TTL


@virtual_time
async def test_there_is_nothing_once_every_name_was_answered() -> None:
    exchange = ScriptedExchange()
    assert (await first(exchange)).outcome is Outcome.GONE
    exchange.have(SECOND, "A")
    assert (await first(exchange)).outcome is Outcome.EMPTY


@pytest.mark.parametrize("failing", [FIRST, LAST])
@virtual_time
async def test_a_name_that_cannot_be_resolved_leaves_no_word_on_the_others(failing: str) -> None:
    exchange = ScriptedExchange()
    exchange.script(failing, "A", code(dns.rcode.SERVFAIL))
    with pytest.raises(ReadFailed, match=f"^{failing}: 192.0.2.53:53 answers SERVFAIL"):
        await first(exchange)


@virtual_time
async def test_a_later_name_does_not_stand_in_for_one_that_cannot_be_resolved() -> None:
    exchange = ScriptedExchange()
    exchange.script(FIRST, "A", code(dns.rcode.SERVFAIL))
    exchange.have(SECOND, "A", "192.0.2.1")
    with pytest.raises(ReadFailed):
        await first(exchange)


@virtual_time
async def test_both_families_are_those_of_one_name() -> None:
    exchange = ScriptedExchange()
    exchange.have(FIRST, "A", "192.0.2.1")
    exchange.have(SECOND, "AAAA", "2001:db8::1")
    assert (await first(exchange, A, AAAA)).outcome is Outcome.FOUND
    assert (await first(exchange, AAAA, A)).outcome is Outcome.EMPTY
    assert (await first(exchange, AAAA)).outcome is Outcome.FOUND


@virtual_time
async def test_a_name_without_addresses_of_either_family_is_passed_over() -> None:
    exchange = ScriptedExchange()
    exchange.have(FIRST, "TXT", "hello")
    exchange.have(SECOND, "AAAA", "2001:db8::1")
    assert (await first(exchange, AAAA, A)).outcome is Outcome.FOUND


@virtual_time
async def test_the_other_family_is_not_asked_for_where_there_is_one_name_only() -> None:
    exchange = ScriptedExchange()
    exchange.have("db", "A")
    assert (await lookup(exchange).first(names("db."), AAAA, sibling=A)).outcome is Outcome.EMPTY
    assert [asked.rdtype for asked in exchange.asked] == ["AAAA"]


def test_an_answer_without_records_tells_what_was_asked() -> None:
    gone = nothing(Answer(Outcome.GONE, 7), NAMES, A)
    assert gone.observation.detail == "no such name (NXDOMAIN): db.prod.example.com, db.example.net, db"
    assert gone.ttl == 7
    assert nothing(Answer(Outcome.EMPTY, 7), NAMES[:1], AAAA).observation.detail == (
        "no AAAA records: db.prod.example.com"
    )
