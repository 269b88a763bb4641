"""Servers that make every fault, on real sockets: what is no answer is never believed."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from dnslib import RCODE, RR, DNSRecord

from extsync.config.sources import DnsSource as Block
from extsync.model import Observation, Outcome
from extsync.seams import SystemClock
from extsync.sources.dns import DnsSource
from extsync.sources.dns.exchange import Server, SystemExchange
from extsync.sources.supervise import first_report
from tests.cluster.processes import can_listen, free_ports
from tests.health.certificates import Authority, server_context
from tests.sources.dns.faulty import HOST, cut_off, datagrams, framed, packed, reply, serving, zone
from tests.sources.support import GENEROUS, context

pytestmark = pytest.mark.sockets

NAME = "db.example.com"
RECORD = f"{NAME} 30 A 192.0.2.1"
WRONG = f"{NAME} 30 A 192.0.2.66"
SHORT = "300ms"
"""The time of look-ups that wait for what never comes."""


async def report(
    *servers: Server, timeout: str = "30s", trust: ssl.SSLContext | None = None, **block: Any
) -> Observation:
    """The first report on the name's IPv4 addresses, or what ``block`` asks for."""
    block = {"names": [NAME], "type": "A", "nameservers": list(map(str, servers)), "timeout": timeout} | block
    source = DnsSource(Block.model_validate(block), context(), exchange=SystemExchange(tls=trust))
    return await first_report(source, SystemClock(), GENEROUS)


async def look(*servers: Server, **block: Any) -> Observation:
    """The same where it has one part."""
    ((_, observation),) = (await report(*servers, **block)).parts
    return observation


async def srv(service: str, server: Server) -> tuple[Observation, list[str]]:
    """What is said of a set of SRV records, and the addresses of its targets."""
    (_, records), *targets = (await report(server, names=[service], type="SRV")).parts
    return records, [backend.address for _, target in targets for backend in target.backends]


def found(observation: Observation) -> list[str]:
    assert observation.outcome is Outcome.FOUND, observation
    return [backend.address for backend in observation.backends]


def failed(observation: Observation) -> str:
    assert observation.outcome is Outcome.ERROR, observation
    return observation.detail


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_an_answer_is_found(transport: str) -> None:
    async with serving(zone(RECORD)) as server:
        assert found(await look(server, transport=transport)) == ["192.0.2.1"]


@pytest.mark.skipif(not can_listen("::1"), reason="this machine has no IPv6")
@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_a_server_may_be_asked_over_ipv6(transport: str) -> None:
    async with serving(zone(RECORD), host="::1") as server:
        assert found(await look(server, transport=transport)) == ["192.0.2.1"]


async def test_a_query_that_is_lost_is_sent_again() -> None:
    asked = 0

    def drops_the_first(query: DNSRecord, over: str) -> Iterable[bytes]:
        nonlocal asked
        asked += 1
        return [reply(query, RECORD)] if asked > 1 else []

    async with serving(drops_the_first) as server:
        assert found(await look(server, timeout="3s")) == ["192.0.2.1"]


async def test_where_nobody_listens_the_next_server_is_asked_at_once() -> None:
    (port,) = free_ports(1)
    nobody = Server(HOST, port)
    async with serving(zone(RECORD)) as server:
        assert found(await look(nobody, server, timeout="30s")) == ["192.0.2.1"]
    for transport in ("UDP", "TCP"):
        assert (
            failed(await look(nobody, transport=transport)) == f"{nobody} refuses the connection: is it running there?"
        )


async def test_a_reply_to_something_else_is_passed_over() -> None:
    def confused(query: DNSRecord, over: str) -> Iterable[bytes]:
        yield reply(query, WRONG, id=query.header.id ^ 1)
        other = DNSRecord.question("other.example.com")
        other.header.id = query.header.id
        yield packed(other.reply())
        yield packed(query)
        yield b"no message at all"
        yield b""
        yield reply(query, RECORD)

    async with serving(confused) as server:
        assert found(await look(server)) == ["192.0.2.1"]


async def test_a_reply_from_another_place_is_passed_over() -> None:
    here, there = (Server(HOST, port) for port in free_ports(2))
    other = await datagrams(lambda query, over: [], there)
    server = await datagrams(lambda query, over: [reply(query, WRONG)], here, through=other)
    assert "gave no valid answer in time" in failed(await look(here, timeout=SHORT))
    server.close()
    other.close()


@pytest.mark.parametrize("garbage", [b"", b"\0", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(range(250))])
async def test_nothing_but_garbage_is_no_answer(garbage: bytes) -> None:
    async with serving(lambda query, over: [garbage if over == "udp" else framed(garbage)]) as server:
        assert "gave no valid answer in time" in failed(await look(server, timeout=SHORT))
        assert f"{server} " in failed(await look(server, timeout=SHORT, transport="TCP"))


async def test_a_large_set_is_read_over_tcp_and_never_in_part() -> None:
    records = [f"{NAME} 30 A 198.51.100.{number}" for number in range(250)]
    async with serving(zone(*records)) as server:
        assert len(found(await look(server))) == 250


async def test_an_answer_that_is_cut_off_even_over_tcp_is_none() -> None:
    async with serving(lambda query, over: [framed(cut_off(query)) if over == "tcp" else cut_off(query)]) as server:
        assert failed(await look(server)) == f"{server} sends an answer that is cut off even over TCP"


async def test_a_truncated_answer_whose_server_does_not_speak_tcp_is_none() -> None:
    async with serving(lambda query, over: [cut_off(query)] if over == "udp" else []) as server:
        assert failed(await look(server)) == (
            f"{server} answers over UDP, but over TCP, which an answer of this length needs, "
            "closes the connection without an answer"
        )


async def test_a_truncated_answer_whose_server_has_no_tcp_says_what_is_missing() -> None:
    (port,) = free_ports(1)
    server = Server(HOST, port)
    transport = await datagrams(lambda query, over: [cut_off(query)], server)
    told = failed(await look(server))
    transport.close()
    assert told == (
        f"{server} answers over UDP, but over TCP, which an answer of this length needs, "
        "refuses the connection: is TCP to it allowed?"
    )


@pytest.mark.parametrize("kind", ["Host", "AAAA", "SRV"])
async def test_a_balancer_that_answers_everything_with_its_address_is_asked_once_a_ttl(kind: str) -> None:
    asked: list[tuple[str, int]] = []

    def balancer(query: DNSRecord, over: str) -> Iterable[bytes]:
        asked.append((str(query.q.qname), query.q.qtype))
        made = query.reply()
        made.add_answer(*RR.fromZone(f"{query.q.qname} 30 A 192.0.2.1"))
        yield packed(made)

    async with serving(balancer) as server:
        parts = dict((await report(server, type=kind)).parts)
    others = [part for name, part in parts.items() if name != f"{NAME} A"]
    assert [part.outcome for part in others] == [Outcome.EMPTY]
    assert len(asked) == len(parts)


async def test_a_server_that_answers_with_another_name_only_is_no_answer() -> None:
    def stranger(query: DNSRecord, over: str) -> Iterable[bytes]:
        made = query.reply()
        made.add_answer(*RR.fromZone("other.example.com 30 A 192.0.2.66"))
        yield packed(made)

    async with serving(stranger) as server:
        assert failed(await look(server)) == f"the answer has no record of {NAME}, only of other names"


async def test_a_stream_that_ends_in_the_middle_is_no_answer() -> None:
    async with serving(lambda query, over: [framed(reply(query, RECORD))[:-3]]) as server:
        assert "closes the connection" in failed(await look(server, transport="TCP"))


async def test_a_stream_that_goes_on_for_ever_ends_at_the_deadline() -> None:
    async with serving(lambda query, over: [b"\xff\xff", b"x" * 1000]) as server:
        assert failed(await look(server, transport="TCP", timeout=SHORT))


@pytest.mark.parametrize("rcode", ["FORMERR", "SERVFAIL", "NOTIMP", "REFUSED", "YXDOMAIN", "NOTAUTH", "NOTZONE"])
async def test_any_other_code_is_no_answer(rcode: str) -> None:
    async with serving(lambda query, over: [reply(query, rcode=getattr(RCODE, rcode))]) as server:
        assert failed(await look(server)).startswith(f"{server} answers {rcode}")


async def test_nxdomain_and_nodata_are_told_apart() -> None:
    async with serving(lambda query, over: [reply(query, rcode=RCODE.NXDOMAIN)]) as server:
        assert (await look(server)).outcome is Outcome.GONE
    async with serving(zone()) as server:
        assert (await look(server)).outcome is Outcome.EMPTY


async def test_a_server_without_edns_is_asked_without() -> None:
    def old(query: DNSRecord, over: str) -> Iterable[bytes]:
        known = not query.ar
        yield reply(query, RECORD) if known else reply(query, rcode=RCODE.FORMERR)

    async with serving(old) as server:
        assert found(await look(server)) == ["192.0.2.1"]


async def test_aliases_are_followed_and_circles_left() -> None:
    records = (f"{NAME} 30 CNAME lb.example.net.", "lb.example.net 30 A 192.0.2.1")
    circle = ("a.example.com 30 CNAME b.example.com.", "b.example.com 30 CNAME a.example.com.")
    async with serving(zone(*records, *circle)) as server:
        assert found(await look(server)) == ["192.0.2.1"]
        assert "in a circle" in failed(await look(server, names=["a.example.com"]))


async def test_aliases_that_never_end_are_left() -> None:
    def endless(query: DNSRecord, over: str) -> Iterable[bytes]:
        yield reply(query, f"{query.q.qname} 30 CNAME x.{query.q.qname}")

    async with serving(endless) as server:
        assert "have not ended after 16" in failed(await look(server))


async def test_srv_targets_without_addresses_are_told_and_the_others_count() -> None:
    service = "_db._tcp.example.com"
    records = (f"{service} 30 SRV 1 1 3306 {NAME}.", f"{service} 30 SRV 1 1 3306 bare.example.com.", RECORD)
    async with serving(zone(*records)) as server:
        said, addresses = await srv(service, server)
    assert addresses == ["192.0.2.1"]
    assert said.rejected[0].reason == "the target has no addresses"


async def test_addresses_that_come_along_with_srv_records_are_not_believed() -> None:
    service = "_db._tcp.example.com"

    def generous(query: DNSRecord, over: str) -> Iterable[bytes]:
        made = DNSRecord.parse(reply(query, f"{service} 30 SRV 1 1 3306 {NAME}.", RECORD))
        made.add_ar(*RR.fromZone(WRONG))
        yield packed(made)

    async with serving(generous) as server:
        assert (await srv(service, server))[1] == ["192.0.2.1"]


class TestTLS:
    """DNS over TLS (RFC 7858): the server's certificate has to be for its address."""

    @staticmethod
    def trust(authority: Authority) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=authority.certificate)

    async def test_a_server_with_a_certificate_for_its_address_is_believed(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        async with serving(zone(RECORD), tls=server_context(authority.issue("server"))) as server:
            assert found(await look(server, transport="TLS", trust=self.trust(authority))) == ["192.0.2.1"]

    async def test_one_for_another_address_is_not(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        certificate = authority.issue("server", names="IP:192.0.2.53,DNS:localhost")
        async with serving(zone(RECORD), tls=server_context(certificate)) as server:
            told = failed(await look(server, transport="TLS", trust=self.trust(authority)))
        assert "IP address mismatch" in told
        assert "it must be for the IP address that is asked" in told

    async def test_one_that_has_expired_is_not(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        async with serving(zone(RECORD), tls=server_context(authority.issue("server", days=0))) as server:
            told = failed(await look(server, transport="TLS", trust=self.trust(authority)))
        assert "certificate has expired" in told

    async def test_one_of_an_authority_that_the_system_does_not_know_is_not(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        async with serving(zone(RECORD), tls=server_context(authority.issue("server"))) as server:
            told = failed(await look(server, transport="TLS"))
        assert f"{server} has a certificate that does not verify (unable to get local issuer certificate)" in told

    async def test_a_server_that_speaks_no_tls_is_told_of(self) -> None:
        async with serving(lambda query, over: [], tls=None) as server:
            assert failed(await look(server, transport="TLS", timeout=SHORT)).startswith(f"{server} ")
