"""A and AAAA records as backends."""

from __future__ import annotations

from dns.rdatatype import AAAA, A

from extsync.model import Backend, Observation, Outcome
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.sources.dns.hosts import MOST_REJECTED, HostQuestion
from extsync.sources.dns.lookup import Looked, Lookup
from extsync.sources.dns.resolver import Resolver
from tests.sources.dns.scripted import SERVER, ScriptedExchange, names

CLOCK = VirtualClock()
NAME = "db.example.com"


async def look(exchange: ScriptedExchange, question: HostQuestion) -> Looked:
    resolver = Resolver(lambda: (SERVER,), transport="UDP", clock=CLOCK, exchange=exchange)
    return await question.look(Lookup(resolver, CLOCK.monotonic() + 5))


async def observed(exchange: ScriptedExchange, question: HostQuestion) -> Observation:
    ((name, observation),) = (await look(exchange, question)).parts
    assert name == question.name
    return observation


@virtual_time
async def test_each_address_is_a_backend_that_knows_its_name() -> None:
    exchange = ScriptedExchange()
    exchange.have(NAME, "A", "192.0.2.1", ttl=45)
    looked = await look(exchange, HostQuestion(NAME, names(NAME), A, port=3306))
    backends = (Backend("192.0.2.1", port=3306, labels=(("__meta_dns_name", NAME),)),)
    assert looked.parts == ((f"{NAME} A", Observation(Outcome.FOUND, backends)),)
    assert looked.ttl == 45


@virtual_time
async def test_the_order_of_records_says_nothing() -> None:
    exchange = ScriptedExchange()
    question = HostQuestion(NAME, names(NAME), A)
    exchange.have(NAME, "A", "192.0.2.1", "192.0.2.2", "192.0.2.3")
    before = await look(exchange, question)
    exchange.have(NAME, "A", "192.0.2.3", "192.0.2.1", "192.0.2.2")
    assert await look(exchange, question) == before


@virtual_time
async def test_addresses_that_no_endpoint_can_have_are_set_aside() -> None:
    exchange = ScriptedExchange()
    exchange.have(NAME, "A", "0.0.0.0", "127.0.0.1", "169.254.1.1", "192.0.2.1")
    observation = await observed(exchange, HostQuestion(NAME, names(NAME), A))
    assert [backend.address for backend in observation.backends] == ["192.0.2.1"]
    assert [entry.entry for entry in observation.rejected] == ["0.0.0.0", "127.0.0.1", "169.254.1.1"]
    assert "loopback" in observation.rejected[1].reason


@virtual_time
async def test_ipv6_is_published_in_its_canonical_form() -> None:
    exchange = ScriptedExchange()
    exchange.have(NAME, "AAAA", "2001:0DB8:0::1", "::ffff:192.0.2.1")
    observation = await observed(exchange, HostQuestion(NAME, names(NAME), AAAA))
    assert [backend.address for backend in observation.backends] == ["2001:db8::1"]
    assert "IPv4 address in IPv6 form" in observation.rejected[0].reason


@virtual_time
async def test_what_is_told_of_unusable_addresses_is_bounded() -> None:
    exchange = ScriptedExchange()
    exchange.have(NAME, "A", *(f"127.0.{n >> 8}.{n & 255}" for n in range(MOST_REJECTED + 5)))
    observation = await observed(exchange, HostQuestion(NAME, names(NAME), A))
    assert len(observation.rejected) == MOST_REJECTED
