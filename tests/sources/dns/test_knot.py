"""The dns source against a real name server, whose records change, vanish and break."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from extsync.config.sources import DnsSource as Block
from extsync.model import Observation, Outcome
from extsync.sources.dns import DnsSource
from tests.cluster.processes import can_listen
from tests.servers.knot import Knot
from tests.sources.support import context, running

pytestmark = pytest.mark.sockets

MakeKnot = Callable[..., Knot]

ZONE = "one.test"
NAME = "db.one.test"


def source(knot: Knot, *names: str, host: str = "127.0.0.1", **block: Any) -> DnsSource:
    server = f"[{host}]:{knot.port}" if ":" in host else f"{host}:{knot.port}"
    block = {"names": list(names or [NAME]), "type": "A", "nameservers": [server]} | block
    return DnsSource(Block.model_validate(block), context())


def told(report: Observation) -> dict[str, tuple[Outcome, list[str]]]:
    """The outcome and the addresses of each part."""
    return {name: (part.outcome, sorted(backend.address for backend in part.backends)) for name, part in report.parts}


def found(*addresses: str) -> tuple[Outcome, list[str]]:
    return (Outcome.FOUND, list(addresses))


async def look(made: DnsSource) -> dict[str, tuple[Outcome, list[str]]]:
    async with running(made) as reports:
        return told(await reports.until(lambda report: True))


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_addresses_of_both_families_are_found(make_knot: MakeKnot, transport: str) -> None:
    knot = make_knot({ZONE: ["db 30 A 192.0.2.1", "db 30 A 192.0.2.2", "db 30 AAAA 2001:db8::1"]})
    assert await look(source(knot, type="Host", transport=transport)) == {
        "db.one.test A": found("192.0.2.1", "192.0.2.2"),
        "db.one.test AAAA": found("2001:db8::1"),
    }


async def test_srv_records_give_addresses_ports_and_steps(make_knot: MakeKnot) -> None:
    records = [
        "_db._tcp 30 SRV 20 0 3308 standby",
        "_db._tcp 30 SRV 10 0 3306 a",
        "_db._tcp 30 SRV 10 0 3307 b",
        "a 30 A 192.0.2.1",
        "b 30 AAAA 2001:db8::2",
        "standby 30 A 192.0.2.3",
    ]
    async with running(source(make_knot({ZONE: records}), "_db._tcp.one.test", type="SRV")) as reports:
        report = await reports.until(lambda report: True)
    backends = [backend for _, part in report.parts for backend in part.backends]
    assert [(backend.address, backend.port, backend.step) for backend in backends] == [
        ("192.0.2.1", 3306, 0),
        ("2001:db8::2", 3307, 0),
        ("192.0.2.3", 3308, 1),
    ]


async def test_every_answer_is_told_apart(make_knot: MakeKnot) -> None:
    knot = make_knot({ZONE: ["db 30 A 192.0.2.1", "text 30 TXT hello"], "broken.test": None})
    names = [NAME, "text.one.test", "missing.one.test", "db.broken.test", "db.elsewhere.test"]
    assert await look(source(knot, *names)) == {
        "db.one.test A": found("192.0.2.1"),
        "text.one.test A": (Outcome.EMPTY, []),
        "missing.one.test A": (Outcome.GONE, []),
        "db.broken.test A": (Outcome.ERROR, []),
        "db.elsewhere.test A": (Outcome.ERROR, []),
    }


async def test_a_large_set_is_whole(make_knot: MakeKnot) -> None:
    knot = make_knot({ZONE: [f"db 30 A 198.51.100.{number}" for number in range(200)]})
    (part,) = (await look(source(knot))).values()
    assert len(part[1]) == 200


@pytest.mark.skipif(not can_listen("::1"), reason="this machine has no IPv6")
@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_the_server_may_be_asked_over_ipv6(make_knot: MakeKnot, transport: str) -> None:
    knot = make_knot({ZONE: ["db 30 A 192.0.2.1"]})
    assert await look(source(knot, host="::1", transport=transport)) == {"db.one.test A": found("192.0.2.1")}


async def test_an_alias_into_another_zone_is_followed(make_knot: MakeKnot) -> None:
    knot = make_knot({ZONE: ["db 30 CNAME lb.two.test."], "two.test": ["lb 30 A 192.0.2.1"]})
    assert await look(source(knot)) == {"db.one.test A": found("192.0.2.1")}


async def test_an_alias_into_a_zone_that_the_server_does_not_serve_is_a_failure(make_knot: MakeKnot) -> None:
    knot = make_knot({ZONE: ["db 30 CNAME lb.elsewhere.test."]})
    async with running(source(knot)) as reports:
        report = await reports.until(lambda report: True)
    assert f"it is an alias of lb.elsewhere.test: {knot.address} answers REFUSED" in report.detail


async def test_aliases_in_a_circle_are_a_failure(make_knot: MakeKnot) -> None:
    async with running(source(make_knot({ZONE: ["db 30 CNAME b", "b 30 CNAME db"]}))) as reports:
        report = await reports.until(lambda report: True)
    assert report.outcome is Outcome.ERROR
    assert "in a circle" in report.detail


async def test_a_wildcard_answers_for_names_that_are_not_there(make_knot: MakeKnot) -> None:
    assert await look(source(make_knot({ZONE: ["* 30 A 192.0.2.1"]}))) == {"db.one.test A": found("192.0.2.1")}


async def test_a_name_is_found_in_its_search_domain(make_knot: MakeKnot) -> None:
    knot = make_knot({ZONE: ["db 30 A 192.0.2.1"], "two.test": []})
    assert await look(source(knot, "db", searchDomains=["two.test", ZONE])) == {"db A": found("192.0.2.1")}


async def test_what_becomes_of_records_is_reported(make_knot: MakeKnot) -> None:
    knot = make_knot({ZONE: ["db 1 A 192.0.2.1"]})

    async with running(source(knot, minTTL="50ms", maxTTL="100ms")) as reports:

        async def until(expected: tuple[Outcome, list[str]]) -> None:
            await reports.until(lambda report: list(told(report).values()) == [expected])

        await until(found("192.0.2.1"))
        knot.change(ZONE, add=["db 1 A 192.0.2.2"])
        await until(found("192.0.2.1", "192.0.2.2"))
        knot.change(ZONE, remove=["db A 192.0.2.1"])
        await until(found("192.0.2.2"))
        knot.change(ZONE, remove=["db A"], add=["db 1 TXT hello"])
        await until((Outcome.EMPTY, []))
        knot.change(ZONE, remove=["db"])
        await until((Outcome.GONE, []))
        knot.change(ZONE, add=["db 1 A 192.0.2.3"])
        await until(found("192.0.2.3"))
        knot.fail(ZONE)
        await until((Outcome.ERROR, []))
        knot.load(ZONE, ["db 1 A 192.0.2.4"])
        await until(found("192.0.2.4"))
        knot.kill()
        await until((Outcome.ERROR, []))
        knot.start()
        await until(found("192.0.2.4"))


async def test_what_becomes_of_one_target_of_srv_records_is_its_own_affair(make_knot: MakeKnot) -> None:
    records = ["_db._tcp 1 SRV 0 0 80 a", "_db._tcp 1 SRV 0 0 80 b.two.test."]
    knot = make_knot({ZONE: [*records, "a 1 A 192.0.2.1"], "two.test": ["b 1 A 192.0.2.2"]})
    made = source(knot, "_db._tcp.one.test", type="SRV", minTTL="50ms", maxTTL="100ms")
    async with running(made) as reports:

        async def until(**expected: tuple[Outcome, list[str]]) -> None:
            def is_so(report: Observation) -> bool:
                names = {"a": "a.one.test", "b": "b.two.test"}
                of = "_db._tcp.one.test SRV"
                parts = told(report)
                return all(parts.get(f"{of} {names[key]} A") == value for key, value in expected.items())

            await reports.until(is_so)

        await until(a=found("192.0.2.1"), b=found("192.0.2.2"))
        knot.change("two.test", remove=["b"])
        await until(a=found("192.0.2.1"), b=(Outcome.GONE, []))
        knot.fail("two.test")
        knot.change(ZONE, add=["a 1 A 192.0.2.3"])
        await until(a=found("192.0.2.1", "192.0.2.3"), b=(Outcome.ERROR, []))
        knot.load("two.test", ["b 1 A 192.0.2.4"])
        await until(b=found("192.0.2.4"))
        knot.change(ZONE, remove=["_db._tcp SRV 0 0 80 b.two.test."])
        await reports.until(lambda report: not any("b.two.test" in name for name in told(report)))
