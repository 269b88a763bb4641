"""Which server's word counts: in virtual time, with name servers that tests script."""

from __future__ import annotations

import errno
import os
import ssl

import dns.flags
import dns.message
import dns.rcode
import pytest
from dns.message import Message, QueryMessage, Truncated
from dns.rdatatype import A

from extsync.errors import ReadFailed
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.sources.dns.exchange import Server, Transport
from extsync.sources.dns.resolver import SILENCE, Resolver
from tests.sources.dns.scripted import SECOND, SERVER, Reply, ScriptedExchange, code, names, response, rrset, soa

CLOCK = VirtualClock()
TIMEOUT = 6.0
SHORT = dns.message.ShortHeader()  # type: ignore[no-untyped-call]
(NAME,) = names("db.example.com.")


def resolver(exchange: ScriptedExchange, *servers: Server, transport: Transport = "UDP") -> Resolver:
    exchange.have("db.example.com", "A", "192.0.2.1")
    found = servers or (SERVER,)
    return Resolver(lambda: found, transport=transport, clock=CLOCK, exchange=exchange)


async def ask(one: Resolver) -> Message:
    return await one.ask(NAME, A, deadline=CLOCK.monotonic() + TIMEOUT)


async def failure(one: Resolver) -> str:
    with pytest.raises(ReadFailed) as caught:
        await ask(one)
    return str(caught.value)


@virtual_time
async def test_the_first_server_is_asked_and_no_other() -> None:
    exchange = ScriptedExchange()
    assert (await ask(resolver(exchange, SERVER, SECOND))).answer
    assert [asked.server for asked in exchange.asked] == [SERVER]


@virtual_time
async def test_nxdomain_of_the_first_server_is_an_answer() -> None:
    exchange = ScriptedExchange()
    one = resolver(exchange, SERVER, SECOND)
    exchange.forget("db.example.com")
    assert (await ask(one)).rcode() == dns.rcode.NXDOMAIN
    assert [asked.server for asked in exchange.asked] == [SERVER]


def lame(query: QueryMessage) -> Message:
    return response(query, authority=[rrset(".", 60, "NS", "a.root.example.")], flags=dns.flags.RA)


def not_for_others(query: QueryMessage) -> Message:
    return response(query, flags=dns.flags.Flag(0))


def cut_off(query: QueryMessage) -> Message:
    return response(query, flags=dns.flags.RA | dns.flags.TC)


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (code(dns.rcode.SERVFAIL), "answers SERVFAIL: it could not find out; its own log says why"),
        (code(dns.rcode.REFUSED), "answers REFUSED: it serves other names or other clients"),
        (code(dns.rcode.NOTAUTH), "answers NOTAUTH"),
        (cut_off, "cut off even over TCP"),
        (lame, "refers to other servers"),
        (not_for_others, "refers to other servers"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), "refuses the connection: is it running there?"),
        (OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH)), "cannot be reached: Network is unreachable"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "too many files open"),
        (EOFError("EOF"), "closes the connection without an answer"),
        (SHORT, "sends what is no answer: The DNS packet passed to from_wire() is too short."),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "fails in TLS"),
        (
            None,
            "gave no valid answer in time: is it running, and can it be reached over UDP, and TCP for long answers?",
        ),
    ],
)
@virtual_time
async def test_a_server_without_an_answer_is_passed_over_and_told_of(reply: Reply, told: str) -> None:
    exchange = ScriptedExchange()
    exchange.script_server(SERVER, reply)
    assert (await ask(resolver(exchange, SERVER, SECOND))).answer
    text = await failure(resolver(exchange, SERVER))
    assert text.startswith("192.0.2.53:53 ")
    assert told in text


@virtual_time
async def test_what_each_server_said_is_told_in_their_order() -> None:
    exchange = ScriptedExchange()
    exchange.script_server(SERVER, None)
    exchange.script_server(SECOND, code(dns.rcode.REFUSED))
    one = resolver(exchange, SERVER, SECOND)
    told = await failure(one)
    assert told.startswith("192.0.2.53:53 gave no valid answer in time")
    assert "; 192.0.2.54:53 answers REFUSED" in told
    assert await failure(one) == told


@pytest.mark.parametrize("transport", ["UDP", "TCP", "TLS"])
@virtual_time
async def test_silence_ends_at_the_deadline(transport: Transport) -> None:
    exchange = ScriptedExchange()
    for server in (SERVER, SECOND):
        exchange.script_server(server, None)
    await failure(resolver(exchange, SERVER, SECOND, transport=transport))
    assert CLOCK.monotonic() == pytest.approx(TIMEOUT)
    assert len(exchange.asked) == (4 if transport == "UDP" else 2)


@virtual_time
async def test_a_lost_datagram_is_sent_again() -> None:
    exchange = ScriptedExchange()
    exchange.script_server(SERVER, None)
    CLOCK.call_later(1.0, exchange.mend_server, SERVER)
    assert (await ask(resolver(exchange))).answer
    assert CLOCK.monotonic() == pytest.approx(TIMEOUT / 3)


@virtual_time
async def test_a_server_that_has_spoken_is_not_asked_again() -> None:
    exchange = ScriptedExchange()
    exchange.script_server(SERVER, code(dns.rcode.SERVFAIL))
    exchange.script_server(SECOND, None)
    await failure(resolver(exchange, SERVER, SECOND))
    assert [asked.server for asked in exchange.asked] == [SERVER, SECOND, SECOND]


@virtual_time
async def test_a_silent_server_delays_one_question_and_then_comes_last_for_a_while() -> None:
    exchange = ScriptedExchange()
    exchange.script_server(SERVER, None)
    one = resolver(exchange, SERVER, SECOND)
    await ask(one)
    delayed_until = CLOCK.monotonic()
    await ask(one)
    assert CLOCK.monotonic() == delayed_until
    assert exchange.asked[-1].server == SECOND
    exchange.mend_server(SERVER)
    await CLOCK.sleep(SILENCE)
    await ask(one)
    assert exchange.asked[-1].server == SERVER


@virtual_time
async def test_no_server_is_held_silent_for_a_deadline_that_had_passed() -> None:
    exchange = ScriptedExchange()
    one = resolver(exchange, SERVER, SECOND)
    with pytest.raises(ReadFailed, match="in time"):
        await one.ask(NAME, A, deadline=CLOCK.monotonic())
    assert exchange.asked == []
    await ask(one)
    assert exchange.asked[-1].server == SERVER


@virtual_time
async def test_a_server_that_does_not_know_edns_is_asked_without() -> None:
    def old(query: QueryMessage) -> Message:
        return known(query) if query.edns < 0 else plain(query, dns.rcode.FORMERR)

    def plain(query: QueryMessage, rcode: dns.rcode.Rcode) -> Message:
        made = dns.message.make_response(query)
        made.use_edns(False)
        made.set_rcode(rcode)
        return made

    def known(query: QueryMessage) -> Message:
        return response(query, rrset("db.example.com.", 30, "A", "192.0.2.1"))

    exchange = ScriptedExchange()
    exchange.script_server(SERVER, old)
    assert (await ask(resolver(exchange))).answer


@virtual_time
async def test_an_empty_answer_of_a_server_that_knows_is_no_referral() -> None:
    exchange = ScriptedExchange()
    exchange.script_server(SERVER, lambda query: response(query, flags=dns.flags.AA))
    assert (await ask(resolver(exchange))).answer == []
    exchange.script_server(SERVER, lambda query: response(query, authority=[soa(), *lame(query).authority]))
    assert (await ask(resolver(exchange))).answer == []


def truncated(tcp: Reply) -> ScriptedExchange:
    """A server whose answers are too long for a datagram, and that does ``tcp`` over TCP."""
    exchange = ScriptedExchange()

    def too_long(query: QueryMessage) -> Message:
        exchange.script_server(SERVER, tcp)
        raise Truncated(message=cut_off(query))  # type: ignore[no-untyped-call]

    exchange.script_server(SERVER, too_long)
    return exchange


@pytest.mark.parametrize(
    ("tcp", "told"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), "refuses the connection: is TCP to it allowed?"),
        (OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH)), "cannot be reached: No route to host"),
        (None, "gave no answer in time: is TCP to it allowed?"),
    ],
)
@virtual_time
async def test_a_server_that_answers_over_udp_and_not_over_tcp_is_told_of_as_that(tcp: Reply, told: str) -> None:
    exchange = truncated(tcp)
    text = await failure(resolver(exchange, SERVER))
    assert text == f"192.0.2.53:53 answers over UDP, but over TCP, which an answer of this length needs, {told}"
    # Known to be too long, it is not asked for over UDP again.
    assert [asked.transport for asked in exchange.asked] == ["UDP", "TCP"] + ["TCP"] * (tcp is None)


@virtual_time
async def test_what_does_not_fit_a_datagram_is_asked_for_over_tcp() -> None:
    exchange = truncated(lambda query: response(query, rrset("db.example.com.", 30, "A", "192.0.2.1")))
    assert (await ask(resolver(exchange, SERVER))).answer
