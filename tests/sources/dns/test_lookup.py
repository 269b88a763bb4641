"""Aliases from server to server, and search domains: in virtual time, with name servers that tests script."""

from __future__ import annotations

import contextlib
from itertools import pairwise

import dns.flags
import dns.rcode
import dns.rrset
import pytest
from dns.message import Message, QueryMessage
from dns.rdatatype import AAAA, A, RdataType
from hypothesis import given
from hypothesis import strategies as st

from extsync.errors import ReadFailed
from extsync.model import Outcome
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.sources.dns.chain import MOST_ALIASES
from extsync.sources.dns.lookup import Answer, Lookup, nothing
from extsync.sources.dns.resolver import Resolver
from tests.sources.dns.scripted import (
    NEGATIVE_TTL,
    SERVER,
    Reply,
    ScriptedExchange,
    code,
    names,
    response,
    rrset,
    soa,
)

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
    assert gone.outcome is Outcome.GONE
    assert gone.detail == "no such name (NXDOMAIN): db.prod.example.com, db.example.net, db"
    assert nothing(Answer(Outcome.EMPTY, 7), NAMES[:1], AAAA).detail == "no AAAA records: db.prod.example.com"


@virtual_time
async def test_an_answer_about_another_name_only_is_a_failure() -> None:
    exchange = ScriptedExchange()
    stranger = rrset("other.example.com.", 60, "A", "192.0.2.9")
    exchange.script("www.example.com", "A", lambda query: response(query, stranger))
    with pytest.raises(ReadFailed, match=r"^the answer has no record of www\.example\.com, only of other names$"):
        await lookup(exchange).one(names("www.example.com.")[0], A)
    assert len(exchange.asked) == 1


# ---- whatever servers say --------------------------------------------------------------------------------------------

OWNERS = st.sampled_from(["a.", "b.", "c.", "d.", "x.a."])
RECORDS = st.one_of(
    st.builds(rrset, OWNERS, st.just(30), st.just("CNAME"), OWNERS),
    st.builds(rrset, OWNERS, st.just(30), st.just("A"), st.just("192.0.2.1")),
    st.builds(rrset, OWNERS, st.just(30), st.just("AAAA"), st.just("2001:db8::1")),
    st.builds(rrset, OWNERS, st.just(30), st.just("TXT"), st.just("hello")),
)


@given(
    st.lists(st.lists(RECORDS, max_size=4), min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from([dns.rcode.NOERROR, dns.rcode.NXDOMAIN]),
    st.sampled_from([A, AAAA]),
)
def test_no_answer_makes_it_ask_the_same_again_without_a_pause(
    answers: list[list[dns.rrset.RRset]], is_negative: bool, rcode: dns.rcode.Rcode, rdtype: RdataType
) -> None:
    @virtual_time
    async def asked() -> list[str]:
        exchange = ScriptedExchange()

        def reply(query: QueryMessage) -> Message:
            answer = answers[len(exchange.asked) % len(answers)]
            return response(query, *answer, authority=[soa()] if is_negative else [], rcode=rcode)

        exchange.script_server(SERVER, reply)
        with contextlib.suppress(ReadFailed):
            await lookup(exchange).one(names("a.")[0], rdtype)
        return [asked.name for asked in exchange.asked]

    questions = asked()
    assert all(one != other for one, other in pairwise(questions))
    assert len(questions) <= MOST_ALIASES + 1
