"""SRV records as backends: in virtual time, with name servers that tests script."""

from __future__ import annotations

import dns.rcode

from extsync.model import Backend, Observation, Outcome
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.sources.dns.lookup import Looked, Lookup
from extsync.sources.dns.resolver import Resolver
from extsync.sources.dns.srv import CONCURRENT, ServiceQuestion
from tests.sources.dns.scripted import NEGATIVE_TTL, SERVER, ScriptedExchange, code, names

CLOCK = VirtualClock()
NAME = "_mysql._tcp.example.com"
SET = f"{NAME} SRV"


def exchange(*records: str, ttl: int = 30) -> ScriptedExchange:
    """A set of SRV records, and two targets: ``a`` with IPv4 and ``b`` with both."""
    made = ScriptedExchange()
    made.have(NAME, "SRV", *records, ttl=ttl)
    made.have("a.example.com", "A", "192.0.2.1", ttl=60)
    made.have("a.example.com", "AAAA")
    made.have("b.example.com", "A", "192.0.2.2", ttl=60)
    made.have("b.example.com", "AAAA", "2001:db8::2", ttl=60)
    return made


async def look(made: ScriptedExchange) -> Looked:
    resolver = Resolver(lambda: (SERVER,), transport="UDP", clock=CLOCK, exchange=made)
    return await ServiceQuestion(NAME, names(NAME), clock=CLOCK).look(Lookup(resolver, CLOCK.monotonic() + 5))


def records(looked: Looked) -> Observation:
    """What is said of the SRV records themselves."""
    name, observation = looked.parts[0]
    assert name == SET
    assert (observation.backends, observation.named_by) == ((), "")
    return observation


def target(looked: Looked, name: str) -> Observation:
    """What is said of one family of one target."""
    observation = dict(looked.parts)[f"{SET} {name}"]
    assert observation.named_by == SET
    return observation


def endpoints(looked: Looked) -> list[tuple[str, int | None, int]]:
    backends = [backend for _, part in looked.parts for backend in part.backends]
    return [(backend.address, backend.port, backend.step) for backend in backends]


@virtual_time
async def test_a_backend_has_the_address_of_the_target_and_the_port_of_the_record() -> None:
    looked = await look(exchange("0 5 3306 a.example.com."))
    labels = (
        ("__meta_dns_name", NAME),
        ("__meta_dns_srv_record_port", "3306"),
        ("__meta_dns_srv_record_target", "a.example.com"),
    )
    assert records(looked) == Observation(Outcome.FOUND)
    assert target(looked, "a.example.com A").backends == (Backend("192.0.2.1", port=3306, labels=labels),)


@virtual_time
async def test_ports_vary_by_record_and_both_families_count() -> None:
    looked = await look(exchange("0 5 3306 a.example.com.", "0 5 3307 b.example.com."))
    assert endpoints(looked) == [("192.0.2.1", 3306, 0), ("192.0.2.2", 3307, 0), ("2001:db8::2", 3307, 0)]


@virtual_time
async def test_the_rank_of_a_priority_is_the_step() -> None:
    looked = await look(exchange("20 5 3306 a.example.com.", "10 5 3306 b.example.com.", "700 5 9 a.example.com."))
    assert endpoints(looked) == [
        ("192.0.2.2", 3306, 0), ("2001:db8::2", 3306, 0), ("192.0.2.1", 3306, 1), ("192.0.2.1", 9, 2),
    ]  # fmt: skip


@virtual_time
async def test_an_endpoint_that_two_records_name_is_of_the_first_priority() -> None:
    looked = await look(exchange("20 5 3306 a.example.com.", "10 5 3306 a.example.com."))
    assert endpoints(looked) == [("192.0.2.1", 3306, 0)]


@virtual_time
async def test_a_target_is_looked_up_once_however_many_records_name_it() -> None:
    made = exchange("0 5 3306 a.example.com.", "0 5 3307 a.example.com.")
    assert len(endpoints(await look(made))) == 2
    assert [asked.rdtype for asked in made.asked] == ["SRV", "A", "AAAA"]


@virtual_time
async def test_the_shortest_ttl_of_set_and_targets_counts() -> None:
    made = exchange("0 5 3306 b.example.com.", ttl=30)
    assert (await look(made)).ttl == 30
    made.have("b.example.com", "AAAA", "2001:db8::2", ttl=20)
    assert (await look(made)).ttl == 20
    made.have("b.example.com", "AAAA")
    assert (await look(made)).ttl == NEGATIVE_TTL


@virtual_time
async def test_a_target_that_fails_is_told_of_and_keeps_back_nothing_of_the_others() -> None:
    made = exchange("0 5 3306 a.example.com.", "0 5 3306 b.example.com.")
    made.script("b.example.com", "AAAA", code(dns.rcode.SERVFAIL))
    looked = await look(made)
    assert endpoints(looked) == [("192.0.2.1", 3306, 0), ("192.0.2.2", 3306, 0)]
    failed = target(looked, "b.example.com AAAA")
    assert failed.outcome is Outcome.ERROR
    assert failed.detail.startswith("192.0.2.53:53 answers SERVFAIL")
    assert looked.failed
    assert records(looked).rejected == ()


@virtual_time
async def test_silent_targets_keep_none_of_the_others_from_being_asked() -> None:
    silent = [f"s{number}.example.com" for number in range(3 * CONCURRENT)]
    made = exchange(*(f"0 5 3306 {name}." for name in silent), "9 5 3306 a.example.com.")
    for name in silent:
        made.script(name, "A", None)
        made.script(name, "AAAA", None)
    assert endpoints(await look(made)) == [("192.0.2.1", 3306, 1)]


@virtual_time
async def test_a_target_that_does_not_exist_is_gone_and_told_of() -> None:
    looked = await look(exchange("0 5 3306 a.example.com.", "0 5 3306 gone.example.com."))
    assert endpoints(looked) == [("192.0.2.1", 3306, 0)]
    gone = target(looked, "gone.example.com A")
    assert (gone.outcome, gone.detail) == (Outcome.GONE, "no such name (NXDOMAIN): gone.example.com")
    (entry,) = records(looked).rejected
    assert (entry.entry, entry.reason) == ("gone.example.com:3306", "the target does not exist (NXDOMAIN)")
    assert not looked.failed


@virtual_time
async def test_a_target_without_addresses_is_set_aside() -> None:
    made = exchange("0 5 3306 a.example.com.", "0 5 3306 bare.example.com.")
    made.have("bare.example.com", "TXT", "nothing")
    looked = await look(made)
    assert target(looked, "bare.example.com A").outcome is Outcome.EMPTY
    (entry,) = records(looked).rejected
    assert (entry.entry, entry.reason) == ("bare.example.com:3306", "the target has no addresses")


@virtual_time
async def test_where_no_target_has_addresses_each_is_gone_and_told_of() -> None:
    looked = await look(exchange("0 5 3306 gone.example.com.", "0 5 3307 gone.example.com."))
    assert [part.outcome for _, part in looked.parts] == [Outcome.FOUND, Outcome.GONE, Outcome.GONE]
    assert len(records(looked).rejected) == 2


@virtual_time
async def test_port_0_is_set_aside() -> None:
    looked = await look(exchange("0 5 0 a.example.com.", "0 5 1 a.example.com."))
    assert endpoints(looked) == [("192.0.2.1", 1, 0)]
    assert records(looked).rejected[0].reason == "0 is not a port: ports are 1 to 65535"


@virtual_time
async def test_an_unusable_address_of_a_target_is_set_aside() -> None:
    made = exchange("0 5 3306 a.example.com.")
    made.have("a.example.com", "A", "127.0.0.1", "192.0.2.1")
    looked = await look(made)
    assert endpoints(looked) == [("192.0.2.1", 3306, 0)]
    assert target(looked, "a.example.com A").rejected[0].entry == "a.example.com:3306"


@virtual_time
async def test_the_target_dot_alone_says_that_there_is_no_service() -> None:
    made = exchange("0 0 0 .")
    looked = await look(made)
    assert records(looked).outcome is Outcome.EMPTY
    assert "not offered" in records(looked).detail
    assert looked.ttl == 30
    assert [asked.rdtype for asked in made.asked] == ["SRV"]


@virtual_time
async def test_the_target_dot_beside_others_is_set_aside() -> None:
    looked = await look(exchange("0 0 0 .", "0 0 1 a.example.com."))
    assert endpoints(looked) == [("192.0.2.1", 1, 0)]
    assert records(looked).rejected[0].entry == ".:0"


@virtual_time
async def test_no_such_name_is_gone_and_one_without_srv_is_empty() -> None:
    made = exchange("0 5 3306 a.example.com.")
    made.forget(NAME)
    assert records(await look(made)).outcome is Outcome.GONE
    made.have(NAME, "TXT", "hello")
    assert records(await look(made)).outcome is Outcome.EMPTY


@virtual_time
async def test_the_order_of_records_says_nothing() -> None:
    one = await look(exchange("0 5 3306 a.example.com.", "0 5 3306 b.example.com."))
    assert await look(exchange("0 5 3306 b.example.com.", "0 5 3306 a.example.com.")) == one


@virtual_time
async def test_targets_are_looked_up_together_but_not_too_many_at_once() -> None:
    made = exchange(*(f"0 5 3306 t{n}.example.com." for n in range(CONCURRENT)))
    made.latency = 0.125
    await look(made)
    assert sorted(asked.at for asked in made.asked) == [0.0] + [0.125] * CONCURRENT + [0.25] * CONCURRENT
