"""Which endpoints are probed, where and how."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from extsync.config.checks import TcpSocket
from extsync.engine.probing import STALE, Probing
from extsync.engine.rules import Rule, probes_of
from extsync.errors import ConfigError
from extsync.health.base import CheckContext, Passed, Request, Result
from extsync.health.prober import Prober
from extsync.health.target import Target, Timing
from extsync.health.tcp import TcpCheck
from extsync.model import UNKNOWN, Backend, Health, ProbeOverride, ServiceKey, State, Verdict
from extsync.plan.merge import Candidate, SourceSet, merge
from extsync.plan.ports import PortSpec
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.seams.virtual_net import Failing, Listening, ScriptedProbeIO
from tests.engine.support import CHECK, PERIOD, PORT, UP, A, B, C, key, manifest, prepared, rack

ORDERS, CARTS = key("orders"), key("carts")
PORTS = (PortSpec("http", 80, 8080), PortSpec("admin", 81, 8081))


def rules(*checks: dict[str, Any]) -> tuple[Rule, ...]:
    ports = [{"name": "http", "port": 80}, {"name": "admin", "port": 81}]
    (one,) = prepared(manifest("orders", rack(A), ports=ports, checks=list(checks or [CHECK])))
    return one.rules


def candidates(*backends: Backend | str, ports: tuple[PortSpec, ...] = PORTS) -> tuple[Candidate, ...]:
    entries = tuple(Backend(one) if isinstance(one, str) else one for one in backends)
    return merge(ports, [SourceSet("rack", entries)]).candidates


class Setup:
    """A prober on scripted backends, all up; ``told`` are the services reported, ``confirmed`` those in no hurry."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.io = ScriptedProbeIO(self.clock)
        for address in (A, B, C):
            self.io.script(address, PORT, UP)
        self.upserts: list[int] = []
        self.told: list[ServiceKey] = []
        self.prober = _Counting(self.upserts, clock=self.clock, io=self.io, wake=lambda: None)
        self.confirmed: list[ServiceKey] = []
        self.probing = Probing(self.prober, on_change=self.told.append, on_confirmed=self.confirmed.append)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.prober.start()
        try:
            yield
        finally:
            await self.prober.close()


class _Counting(Prober):
    def __init__(self, upserts: list[int], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._upserts = upserts

    def upsert(self, targets: Iterable[Target]) -> None:
        targets = list(targets)
        self._upserts.append(len(targets))
        super().upsert(targets)


def health(verdicts: tuple[Verdict | None, ...]) -> list[Health | None]:
    return [None if verdict is None else verdict.health for verdict in verdicts]


@virtual_time
async def test_verdicts_are_aligned_with_the_candidates_and_reported_once_a_service() -> None:
    setup = Setup()
    async with setup.running():
        unchecked = Backend(B, probe=ProbeOverride(enabled=False))
        found = candidates(A, unchecked, C)
        checks = rules()
        assert setup.probing.sync(ORDERS, found, checks) == (UNKNOWN, None, UNKNOWN)
        assert setup.probing.undecided() == 2
        await setup.clock.sleep(PERIOD + 1)
        setup.probing.collect(0.0)
        assert health(setup.probing.sync(ORDERS, found, checks)) == [Health.HEALTHY, None, Health.HEALTHY]
        assert setup.told == [ORDERS]
        assert setup.probing.undecided() == 0


@virtual_time
async def test_first_verdicts_that_confirm_what_is_published_are_in_no_hurry_until_the_last_one() -> None:
    setup = Setup()
    async with setup.running():
        found = candidates(A, B)
        setup.probing.sync(ORDERS, found, rules(), published={one.identity: State.READY for one in found})
        while not setup.told:
            assert setup.confirmed == [ORDERS] * (2 - setup.probing.undecided())
            await setup.clock.sleep(0.01)
            setup.probing.collect(0.0)
        assert setup.probing.undecided() == 0
        assert (setup.told, setup.confirmed) == ([ORDERS], [ORDERS])


@pytest.mark.parametrize("published", [State.NOT_READY, None])
@virtual_time
async def test_a_first_verdict_that_is_news_is_told_at_once(published: State | None) -> None:
    setup = Setup()
    async with setup.running():
        found = candidates(A, B)
        states = {} if published is None else {one.identity: published for one in found}
        setup.probing.sync(ORDERS, found, rules(), published=states)
        while not setup.told:
            await setup.clock.sleep(0.01)
            setup.probing.collect(0.0)
        assert (setup.probing.undecided(), setup.confirmed) == (1, [])


@virtual_time
async def test_an_endpoint_that_stays_keeps_its_verdict_wherever_it_stands() -> None:
    setup = Setup()
    async with setup.running():
        checks = rules()
        setup.probing.sync(ORDERS, candidates(A, B), checks)
        await setup.clock.sleep(PERIOD + 1)
        setup.probing.collect(0.0)
        verdicts = setup.probing.sync(ORDERS, candidates(C, B), checks)
        assert health(verdicts) == [Health.UNKNOWN, Health.HEALTHY]
        await setup.clock.sleep(PERIOD + 1)
        setup.probing.collect(0.0)
        assert health(setup.probing.sync(ORDERS, candidates(B, C), checks)) == [Health.HEALTHY, Health.HEALTHY]


@virtual_time
async def test_an_endpoint_that_left_is_not_probed_any_more() -> None:
    setup = Setup()
    async with setup.running():
        checks = rules()
        setup.probing.sync(ORDERS, candidates(A, B), checks)
        setup.probing.sync(ORDERS, candidates(B), checks)
        await setup.clock.sleep(PERIOD + 1)
        assert set(setup.io.connections) == {(B, PORT)}
        setup.probing.forget(ORDERS)
        setup.io.connections.clear()
        await setup.clock.sleep(2 * PERIOD)
        assert not setup.io.connections
        assert setup.prober.stats.targets == 0
        setup.probing.collect(0.0)  # the last verdict on what was forgotten
        setup.probing.forget(ORDERS)


@virtual_time
async def test_one_address_in_two_services_is_probed_for_each() -> None:
    setup = Setup()
    async with setup.running():
        checks = rules()
        setup.probing.sync(ORDERS, candidates(A), checks)
        setup.probing.sync(CARTS, candidates(A), checks)
        setup.probing.forget(ORDERS)
        await setup.clock.sleep(PERIOD + 1)
        setup.probing.collect(0.0)
        assert setup.told == [CARTS]


@virtual_time
async def test_the_same_candidates_and_rules_ask_the_prober_nothing() -> None:
    setup = Setup()
    async with setup.running():
        found, checks = candidates(A, B), rules()
        for _ in range(3):
            setup.probing.sync(ORDERS, found, checks)
    assert setup.upserts == [2]


@virtual_time
async def test_a_changed_check_starts_from_nothing() -> None:
    setup = Setup()
    async with setup.running():
        found = candidates(A)
        setup.probing.sync(ORDERS, found, rules())
        await setup.clock.sleep(PERIOD + 1)
        setup.probing.collect(0.0)
        changed = rules({**CHECK, "tcpSocket": {"port": 81}})
        assert health(setup.probing.sync(ORDERS, found, changed)) == [Health.UNKNOWN]


def where(candidate: Candidate, *checks: dict[str, Any]) -> list[tuple[str, int]]:
    return [(probe.host, probe.port) for probe in probes_of(candidate, rules(*checks))]


def check(port: int | str, **more: Any) -> dict[str, Any]:
    return {"tcpSocket": {"port": port, **more}}


@pytest.mark.parametrize(
    ("backend", "asked", "expected"),
    [
        (Backend(A), check(9), (A, 9)),
        (Backend(A), check("http"), (A, 8080)),
        (Backend(A), check("admin"), (A, 8081)),
        (Backend(A, ports=(("admin", 7),)), check("admin"), (A, 7)),
        (Backend(A), check("http", host=B), (B, 8080)),
        (Backend(A, probe=ProbeOverride(host=C)), check("http", host=B), (C, 8080)),
        (Backend(A, probe=ProbeOverride(port=7)), check("http"), (A, 7)),
        (Backend(A, probe=ProbeOverride(port="admin")), check("http"), (A, 8081)),
    ],
)
def test_what_a_backend_says_of_its_probe_wins_over_the_check(
    backend: Backend, asked: dict[str, Any], expected: tuple[str, int]
) -> None:
    (candidate,) = candidates(backend)
    assert where(candidate, asked) == [expected]


def test_several_checks_are_several_probes_of_one_target() -> None:
    (candidate,) = candidates(A)
    assert where(candidate, check("http"), check("admin")) == [(A, 8080), (A, 8081)]


def test_a_port_that_the_service_does_not_have_is_said() -> None:
    (candidate,) = candidates(A, ports=(PortSpec("web", 80), PortSpec("", 81)))
    with pytest.raises(ConfigError, match="port 'http', and the Service has web, one without a name"):
        where(candidate, check("http"))


@virtual_time
async def test_while_a_check_asks_for_a_port_that_is_missing_no_verdict_is_known_and_the_reason_is() -> None:
    setup = Setup()
    async with setup.running():
        found, checks = candidates(A), rules()
        setup.probing.sync(ORDERS, found, checks)
        await setup.clock.sleep(PERIOD + 1)
        setup.probing.collect(0.0)
        renamed = candidates(A, ports=(PortSpec("web", 80),))
        assert health(setup.probing.sync(ORDERS, renamed, rules(check("http")))) == [Health.UNKNOWN]
        assert "port 'http'" in setup.probing.fault(ORDERS)
        setup.probing.sync(ORDERS, found, checks)
        assert setup.probing.fault(ORDERS) == ""


@virtual_time
async def test_staleness_is_told_of_once_and_decides_nothing() -> None:
    setup = Setup()
    async with setup.running():
        found, checks = candidates(A, B), rules()
        setup.probing.sync(ORDERS, found, checks)
        setup.probing.sync(CARTS, candidates(C), checks)
        await setup.clock.sleep(PERIOD + 1)
        setup.probing.collect(0.0)
        before = setup.probing.sync(ORDERS, found, checks)
        setup.told.clear()
        for address in (A, B):
            setup.io.script(address, PORT, Failing(errno.EADDRNOTAVAIL, latency=None))
            for _ in range(60):  # B becomes stale when A has been for long
                await setup.clock.sleep(1)
                setup.probing.collect(0.0)
            assert setup.told == [ORDERS]
            assert setup.probing.remarks(ORDERS) == [STALE]
        assert health(setup.probing.sync(ORDERS, found, checks)) == health(before)
        assert setup.probing.remarks(CARTS) == []
        for address in (A, B):
            setup.io.script(address, PORT, UP)
            await setup.clock.sleep(2)
            setup.probing.collect(0.0)
        assert setup.told == [ORDERS, ORDERS]
        assert setup.probing.remarks(ORDERS) == []
        assert setup.probing.sync(ORDERS, found, checks) == before


@virtual_time
async def test_a_failure_is_reported_also_where_it_ends_staleness_of_one_among_others() -> None:
    setup = Setup()
    async with setup.running():
        found, checks = candidates(A, B), rules({**CHECK, "failureThreshold": 1})
        setup.probing.sync(ORDERS, found, checks)
        for address in (A, B):
            setup.io.script(address, PORT, Failing(errno.EADDRNOTAVAIL, latency=None))
        await setup.clock.sleep(60)
        setup.probing.collect(0.0)
        setup.told.clear()
        setup.io.script(A, PORT, Failing())
        await setup.clock.sleep(2)
        setup.probing.collect(0.0)
        assert setup.told == [ORDERS]
        assert health(setup.probing.sync(ORDERS, found, checks)) == [Health.UNHEALTHY, Health.UNKNOWN]
        assert setup.probing.remarks(ORDERS) == [STALE]


@virtual_time
async def test_a_stale_endpoint_that_leaves_takes_the_remark_with_it() -> None:
    setup = Setup()
    async with setup.running():
        checks = rules()
        setup.io.script(A, PORT, Failing(errno.EADDRNOTAVAIL, latency=None))
        setup.probing.sync(ORDERS, candidates(A, B), checks)
        await setup.clock.sleep(60)
        setup.probing.collect(0.0)
        assert setup.probing.remarks(ORDERS) == [STALE]
        setup.probing.sync(ORDERS, candidates(B), checks)
        assert setup.probing.remarks(ORDERS) == []
        setup.probing.sync(ORDERS, candidates(A, B), checks)
        await setup.clock.sleep(60)
        setup.probing.collect(0.0)
        assert setup.probing.remarks(ORDERS) == [STALE]


class _Expiring(TcpCheck):
    """Passes, and has something to say all the same, which changes."""

    notes: ClassVar[list[str]] = ["it expires in 2 days", "it expires tomorrow", ""]

    def request(self, host: str, port: int) -> Request:
        return Request(port, b"?", listens=True)

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        return Passed(self.notes[0]) if received else None


@virtual_time
async def test_what_a_check_has_to_say_of_a_pass_is_told_as_long_as_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Expiring, "notes", list(_Expiring.notes))
    setup = Setup()
    for address in (A, B):
        setup.io.script(address, PORT, Listening(answer=b"!"))
    check = _Expiring(TcpSocket(port=PORT), CheckContext(Path(), {}))
    ours = (Rule(check, Timing(period=1.0), PORT),)
    some = candidates(A, B)
    async with setup.running():
        setup.probing.sync(ORDERS, some, ours)
        for expected in (["it expires in 2 days"], ["it expires tomorrow"], []):
            await setup.clock.sleep(2.5)
            setup.told.clear()
            setup.probing.collect(0.0)
            assert setup.told == [ORDERS]
            assert setup.probing.remarks(ORDERS) == [f"{some[0].identity}: {note}" for note in expected]
            setup.probing.collect(0.0)
            assert setup.told == [ORDERS]  # once
            _Expiring.notes.pop(0)
