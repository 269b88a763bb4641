"""``run``: what probes find shows in the store in time, and only that is written."""

from __future__ import annotations

import errno

import pytest

from extsync.engine.options import Options
from extsync.engine.probing import STALE
from extsync.errors import Unavailable
from extsync.kube.memory import Fault
from extsync.model import Why
from extsync.objects import Endpoints, EndpointSlice
from extsync.plan.doubt import DoubtPolicy
from extsync.seams.virtual import virtual_time
from extsync.seams.virtual_net import Behaviour, BlackHole, Failing
from tests.engine.support import (
    CHECK,
    DOWN,
    NAMESPACE,
    PERIOD,
    PORT,
    THRESHOLD,
    TIMEOUT,
    UP,
    A,
    B,
    C,
    Rig,
    manifest,
    not_ready,
    rack,
    ready,
)

SHOWN_WITHIN = PERIOD * THRESHOLD + TIMEOUT + 1.0
UNDAMPED = {"damping": {"max": "0s"}}
PHASES = (0.0, 2.3, 4.9, 7.7, 9.6)


@pytest.mark.parametrize("down", [Failing(), Failing(latency=None), BlackHole()], ids=["refused", "at once", "silent"])
@virtual_time
async def test_a_failure_and_a_recovery_show_in_time_whatever_the_phase(down: Behaviour) -> None:
    rig = Rig()
    rig.up(A, B)
    async with rig.running(manifest("orders", rack(A, B), policy=UNDAMPED)):
        await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)
        for phase in PHASES:
            await rig.clock.sleep(2 * PERIOD + phase)
            rig.io.script(A, PORT, down)
            await rig.until(rig.agree("orders", {A: False, B: True}), within=SHOWN_WITHIN)
            await rig.clock.sleep(PERIOD - phase)
            rig.io.script(A, PORT, UP)
            await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)


@virtual_time
async def test_fewer_failures_than_the_threshold_change_nothing() -> None:
    rig = Rig()
    rig.up(A)
    async with rig.running(manifest("orders", rack(A))):
        await rig.until(rig.agree("orders", ready(A)), within=PERIOD + 1)
        with rig.recorded() as writes:
            for _ in range(5):
                rig.down(A)
                await rig.clock.sleep((THRESHOLD - 1) * PERIOD)
                rig.up(A)
                await rig.clock.sleep(2 * PERIOD)
        assert writes == []


@virtual_time
async def test_a_new_backend_is_not_ready_until_its_checks_pass() -> None:
    rig = Rig()
    async with rig.running(manifest("orders", rack(A))):
        await rig.until(rig.agree("orders", {A: False}), within=1)
        rig.up(A)
        await rig.until(rig.agree("orders", ready(A)), within=PERIOD + 1)


@virtual_time
async def test_without_checks_a_backend_is_ready_as_declared_and_never_probed() -> None:
    rig = Rig()
    async with rig.running(manifest("orders", rack(A), checks=[])):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        await rig.clock.sleep(60)
    assert not rig.io.connections


@virtual_time
async def test_black_holes_delay_no_other_service() -> None:
    """Forty silent backends of one service, and the bound for a backend of another is the same."""
    rig = Rig()
    holes = [f"198.51.100.{number}" for number in range(1, 41)]
    for address in holes:
        rig.io.script(address, PORT, BlackHole())
    rig.up(A, B)
    async with rig.running(manifest("holes", rack(*holes)), manifest("orders", rack(A, B))):
        await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)
        before = rig.io.connections[B, PORT]
        rig.down(A)
        await rig.until(rig.agree("orders", {A: False, B: True}), within=SHOWN_WITHIN)
        await rig.clock.sleep(100 - rig.clock.monotonic() % 10)
        assert rig.io.connections[B, PORT] - before >= 100 // PERIOD


@virtual_time
async def test_a_steady_state_writes_nothing_for_an_hour() -> None:
    rig = Rig()
    rig.up(A, B)
    services = (
        manifest("orders", rack(A, B, C)),
        manifest("plain", rack(A), checks=[]),
        manifest("legacy", rack(B), publish=["Endpoints"]),
        manifest("alias", service={"type": "ExternalName", "externalName": "db.example.com"}, ports=[], checks=[]),
    )
    async with rig.running(*services):
        await rig.clock.sleep(60)
        versions = rig.versions()
        with rig.recorded() as writes:
            await rig.clock.sleep(3600)
        assert writes == []
        assert rig.versions() == versions


@virtual_time
async def test_one_flip_of_250_writes_one_slice_and_the_endpoints() -> None:
    rig = Rig()
    addresses = [f"198.51.100.{number}" for number in range(1, 251)]
    rig.up(*addresses)
    async with rig.running(manifest("fleet", rack(*addresses))):
        await rig.until(rig.agree("fleet", ready(*addresses)), within=PERIOD + 3)
        assert [len(slice_["endpoints"]) for slice_ in rig.slice_objects("fleet")] == [100, 100, 50]
        await rig.clock.sleep(60)  # the writes of the start leave their minute
        before = rig.versions()
        with rig.recorded() as writes:
            rig.down(addresses[70])
            await rig.until(lambda: not rig.slices("fleet")[addresses[70]], within=SHOWN_WITHIN)
            await rig.clock.sleep(60)
        assert [(write.verb, write.kind) for write in writes] == [("update", EndpointSlice), ("update", Endpoints)]
        changed = {name for name, version in rig.versions().items() if before[name] != version}
        assert changed == {f"{write.kind.__name__}/{write.name}" for write in writes}


@virtual_time
async def test_what_falls_down_together_is_written_together() -> None:
    rig = Rig()
    addresses = [f"198.51.100.{number}" for number in range(1, 51)]
    check = {**CHECK, "periodSeconds": 1, "failureThreshold": 1}
    rig.up(*addresses)
    async with rig.running(manifest("fleet", rack(*addresses), checks=[check], publish=["EndpointSlice"])):
        await rig.until(lambda: rig.slices("fleet") == ready(*addresses), within=5)
        with rig.recorded() as writes:
            rig.down(*addresses)
            await rig.until(lambda: not any(rig.slices("fleet").values()), within=5)
        assert len(writes) < 5


@virtual_time
async def test_a_storm_of_flips_uses_up_no_budget_and_shows_in_time() -> None:
    """250 backends fail one after the other, as a rack does that loses its power."""
    rig = Rig()
    addresses = [f"198.51.100.{number}" for number in range(1, 251)]
    rig.up(*addresses)
    async with rig.running(manifest("fleet", rack(*addresses))):
        await rig.until(rig.agree("fleet", ready(*addresses)), within=PERIOD + 3)
        rig.down(*addresses)
        await rig.until(rig.agree("fleet", not_ready(*addresses)), within=SHOWN_WITHIN)


@virtual_time
async def test_a_flapping_backend_writes_no_more_than_its_budget() -> None:
    rig = Rig()
    rig.up(A)
    check = {**CHECK, "periodSeconds": 1, "failureThreshold": 1}
    service = manifest(
        "orders", rack(A), checks=[check], publish=["EndpointSlice"], policy={**UNDAMPED, "writesPerMinute": 6}
    )
    async with rig.running(service):
        await rig.until(lambda: rig.slices("orders") == ready(A), within=11)
        await rig.clock.sleep(60)
        with rig.recorded() as writes:
            for _ in range(60):
                rig.io.script(A, PORT, DOWN)
                await rig.clock.sleep(1.5)
                rig.io.script(A, PORT, UP)
                await rig.clock.sleep(1.5)
        assert 12 <= len(writes) <= 6 * 4
        await rig.until(lambda: rig.slices("orders") == ready(A), within=61)


@virtual_time
async def test_a_flapping_backend_has_to_stay_up_longer_each_time_and_goes_down_at_once() -> None:
    rig = Rig()
    rig.up(A, B)
    check = {**CHECK, "periodSeconds": 1, "failureThreshold": 1}
    async with rig.running(manifest("orders", rack(A, B), checks=[check])):
        await rig.until(rig.agree("orders", ready(A, B)), within=2)
        for held in (0.0, 10.0, 20.0, 40.0):
            rig.down(A)
            await rig.until(rig.agree("orders", {A: False, B: True}), within=4)
            rig.up(A)
            with rig.recorded() as writes:
                await rig.clock.sleep(held)
            assert writes == []
            await rig.until(rig.agree("orders", ready(A, B)), within=4)


@pytest.mark.parametrize(
    ("mode", "shown"),
    [
        ("HoldLast", {A: False, B: True, C: True}),
        ("ServeAll", ready(A, B, C)),
        ("FailClosed", not_ready(A, B, C)),
    ],
)
@virtual_time
async def test_where_too_few_endpoints_are_healthy_the_panic_mode_rules(
    mode: str, shown: dict[str, bool], caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig()
    rig.up(A, B, C)
    policy = {"panicThreshold": 50, "panicMode": mode}
    async with rig.running(manifest("orders", rack(A, B, C), policy=policy)):
        await rig.until(rig.agree("orders", ready(A, B, C)), within=PERIOD + 1)
        rig.down(A)
        await rig.until(rig.agree("orders", {A: False, B: True, C: True}), within=SHOWN_WITHIN)
        rig.down(B)
        await rig.clock.sleep(SHOWN_WITHIN)
        assert rig.agree("orders", shown)()
        assert f"panic: 1 of 3 endpoints are healthy, less than 50 %, so panicMode {mode} rules" in caplog.text
        rig.up(A, B)
        await rig.until(rig.agree("orders", ready(A, B, C)), within=2 * PERIOD)


@virtual_time
async def test_a_backend_may_be_probed_elsewhere_than_it_is_published() -> None:
    rig = Rig()
    rig.io.script("10.9.0.7", 13306, UP)
    source = {
        "name": "rack",
        "static": {
            "backends": [
                {"address": A, "probe": {"host": "10.9.0.7", "port": 13306}},
                {"address": B, "probe": {"enabled": False}},
            ]
        },
    }
    async with rig.running(manifest("orders", source)):
        await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)
    assert set(rig.io.connections) == {("10.9.0.7", 13306)}


@virtual_time
async def test_while_the_api_server_is_away_probing_goes_on_and_the_newest_state_follows_at_once() -> None:
    rig = Rig()
    rig.up(A, B)
    async with rig.running(manifest("orders", rack(A, B))):
        await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)
        away = Away(rig)
        rig.down(A, B)
        await rig.clock.sleep(120)
        rig.up(B)
        before = rig.io.connections[A, PORT]
        await rig.clock.sleep(180)
        assert rig.io.connections[A, PORT] - before == 180 // PERIOD
        assert rig.slices("orders") == ready(A, B)
        away.back()
        # The longest pause between two attempts is 30 s.
        await rig.until(rig.agree("orders", {A: False, B: True}), within=31)


@virtual_time
async def test_the_first_write_that_is_answered_again_wakes_all_services_that_wait() -> None:
    rig = Rig(options=Options(namespaces=(NAMESPACE,), doubt=DoubtPolicy(services=0)))
    names = [f"s{number}" for number in range(10)]
    addresses = {name: f"198.51.100.{number}" for number, name in enumerate(names, 1)}
    rig.up(*addresses.values())
    services = [manifest(name, rack(address), publish=["EndpointSlice"]) for name, address in addresses.items()]
    async with rig.running(*services):
        for name in names:
            await rig.until(lambda name=name: rig.slices(name) == ready(addresses[name]), within=60)  # type: ignore[misc]
        away = Away(rig)
        rig.down(*addresses.values())
        await rig.clock.sleep(300)
        away.back()
        down = {name: not_ready(address) for name, address in addresses.items()}
        await rig.until(lambda: any(rig.slices(name) == down[name] for name in names), within=31)
        await rig.until(lambda: all(rig.slices(name) == down[name] for name in names), within=2)


class Away:
    """The API server answers nothing until it is back."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        rig.faults = lambda verb, kind, at: Fault(error=Unavailable("scripted: away"))

    def back(self) -> None:
        self._rig.faults = None


@virtual_time
async def test_more_probes_than_may_be_in_flight_are_skipped_and_demote_nobody() -> None:
    rig = Rig(options=Options(namespaces=(NAMESPACE,), max_in_flight=2))
    holes = [f"198.51.100.{number}" for number in range(1, 31)]
    for address in holes:
        rig.io.script(address, PORT, BlackHole())
    rig.up(A)
    async with rig.running(manifest("orders", rack(A)), manifest("holes", rack(*holes))):
        await rig.until(rig.agree("orders", ready(A)), within=60)
        with rig.recorded() as writes:
            await rig.clock.sleep(300)
        assert [write for write in writes if write.name.startswith("orders")] == []
        assert rig.published("orders") == ready(A)


@virtual_time
async def test_a_new_backend_starts_slowly_where_its_threshold_says_so() -> None:
    check = {**CHECK, "initialDelaySeconds": 20, "successThreshold": 5, "transitionPeriodSeconds": 2}
    rig = Rig()
    rig.up(A)
    async with rig.running(manifest("orders", rack(A), checks=[check])):
        await rig.until(rig.agree("orders", not_ready(A)), within=1)
        since = rig.clock.monotonic()
        await rig.until(lambda: rig.io.connections[A, PORT] > 0, within=20 + PERIOD)
        assert rig.clock.monotonic() - since >= 19
        await rig.clock.sleep(4 * 2 - 0.5)
        assert rig.io.connections[A, PORT] == 4
        assert rig.slices("orders") == not_ready(A)
        await rig.until(rig.agree("orders", ready(A)), within=2)
        assert rig.io.connections[A, PORT] == 5


@virtual_time
async def test_what_cannot_be_probed_for_long_stays_as_it_is_and_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.up(A, B)
    async with rig.running(manifest("orders", rack(A, B))):
        await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)
        with rig.recorded() as writes:
            rig.io.script(A, PORT, Failing(errno.EADDRNOTAVAIL, latency=None))
            await rig.clock.sleep(3600)
            rig.up(A)
            await rig.clock.sleep(PERIOD)
        assert writes == []
        told = [record for record in caplog.records if record.message == f"{NAMESPACE}/orders: {STALE}"]
        assert [record.levelname for record in told] == ["WARNING"]


@virtual_time
async def test_after_a_restart_verdicts_that_confirm_what_is_published_are_looked_at_together() -> None:
    rig = Rig()
    addresses = [f"192.0.2.{number}" for number in range(1, 41)]
    rig.up(*addresses)
    orders = manifest("orders", rack(*addresses))
    async with rig.running(orders):
        await rig.until(rig.agree("orders", ready(*addresses)), within=2 * PERIOD)
        await rig.restart(orders)
        await rig.clock.sleep(PERIOD + TIMEOUT)
        assert sum(rig.engine.status().plan_seconds.counts) < 10
        ((_, decision),) = rig.engine.services().values()
        assert decision is not None
        assert {endpoint.why for endpoint in decision.judged} == {Why.HEALTHY}
