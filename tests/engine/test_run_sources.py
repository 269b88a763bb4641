"""``run``: what sources say, and what may and may not follow from it."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import msgspec
import pytest

from extsync.errors import ConfigError
from extsync.model import Backend, Observation, Outcome
from extsync.seams.virtual import virtual_time
from extsync.sources.base import Emit, Source
from tests.engine.support import PERIOD, A, B, C, Rig, feed, manifest, rack, ready

UNCHECKED: dict[str, object] = {"checks": []}
HOUR = 3600.0


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.SUSPECT])
@virtual_time
async def test_a_source_that_cannot_be_read_keeps_its_set_for_hours(outcome: Outcome) -> None:
    rig = Rig()
    rig.up(A, B)
    rig.feed().found(A, B)
    async with rig.running(manifest("orders", feed())):
        await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)
        rig.feed().fail(outcome)
        await rig.clock.sleep(5 * HOUR)
        assert rig.published("orders") == ready(A, B)


@virtual_time
async def test_backends_of_a_source_that_fails_are_still_probed() -> None:
    rig = Rig()
    rig.up(A, B)
    rig.feed().found(A, B)
    async with rig.running(manifest("orders", feed())):
        await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)
        rig.feed().fail()
        rig.down(A)
        await rig.until(rig.agree("orders", {A: False, B: True}), within=32)


@pytest.mark.parametrize(("outcome", "hold"), [(Outcome.EMPTY, "nodata"), (Outcome.GONE, "nx")])
@virtual_time
async def test_an_empty_answer_takes_effect_after_its_hold(outcome: Outcome, hold: str) -> None:
    rig = Rig()
    rig.feed().found(A)
    async with rig.running(manifest("orders", feed(hold={hold: "90s"}), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        rig.feed().say(Observation(outcome))
        await rig.clock.sleep(89)
        assert rig.published("orders") == ready(A)
        await rig.until(rig.agree("orders", {}), within=2)


@virtual_time
async def test_an_answer_that_no_longer_names_a_backend_takes_it_away_at_once() -> None:
    rig = Rig()
    rig.feed().found(A, B)
    async with rig.running(manifest("orders", feed(), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A, B)), within=1)
        rig.feed().found(B)
        await rig.until(rig.agree("orders", ready(B)), within=1)


class Raising:
    """A plugin with a defect: it reports and then raises, again and again."""

    async def run(self, emit: Emit) -> None:
        emit(Observation(Outcome.FOUND, ()))
        raise ZeroDivisionError("scripted")


class Flooding:
    """A plugin that reports without end, and nonsense at that."""

    def __init__(self) -> None:
        self.reports = 0

    async def run(self, emit: Emit) -> None:
        while True:
            for _ in range(20):
                self.reports += 1
                emit(Observation(Outcome.ERROR, detail=str(self.reports)))
                emit("nonsense")  # type: ignore[arg-type]
            await asyncio.sleep(0.01)


@virtual_time
async def test_a_plugin_that_raises_touches_no_other_service() -> None:
    rig = Rig()
    rig.up(A, B)
    rig.sources["broken"] = Raising()
    async with rig.running(manifest("broken", feed("broken")), manifest("orders", rack(A, B))):
        await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)
        rig.down(A)
        await rig.until(rig.agree("orders", {A: False, B: True}), within=32)


@virtual_time
async def test_a_plugin_that_floods_touches_no_other_service() -> None:
    rig = Rig()
    rig.up(A, B)
    flooding = rig.sources["broken"] = Flooding()
    async with rig.running(manifest("broken", feed("broken")), manifest("orders", rack(A, B))):
        await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)
        rig.down(A)
        with rig.recorded() as writes:
            await rig.until(rig.agree("orders", {A: False, B: True}), within=32)
        assert [write.name for write in writes if not write.name.startswith("orders")] == []
        assert flooding.reports > 1000


@virtual_time
async def test_a_source_that_cannot_be_made_keeps_what_is_published() -> None:
    rig = Rig()
    rig.feed().found(A)
    service = manifest("orders", feed(), **UNCHECKED)
    async with rig.running(service):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        await rig.stop()
        rig.sources["feed"] = _Refusing()  # type: ignore[assignment]
        rig.manifests.put(service)
        rig.start()
        await rig.clock.sleep(60)
        assert rig.published("orders") == ready(A)


class _Refusing:
    def __bool__(self) -> bool:
        raise ConfigError("scripted: the plugin refuses its block")


@virtual_time
async def test_static_and_discovered_backends_are_published_together() -> None:
    rig = Rig()
    rig.feed().found(B, C)
    async with rig.running(manifest("orders", rack(A), feed(), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A, B, C)), within=1)
        rig.feed().found(C)
        await rig.until(rig.agree("orders", ready(A, C)), within=1)


@virtual_time
async def test_a_standby_tier_takes_over_and_hands_back() -> None:
    rig = Rig()
    rig.up(A, B)
    standby = rack(B, name="standby", priority=1)
    async with rig.running(manifest("orders", rack(A), standby, policy={"failbackDelay": "60s"})):
        await rig.until(rig.agree("orders", ready(A)), within=PERIOD + 1)
        rig.down(A)
        await rig.until(rig.agree("orders", {A: False, B: True}), within=32)
        rig.up(A)
        await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)
        await rig.clock.sleep(58)
        assert rig.published("orders") == ready(A, B)
        await rig.until(rig.agree("orders", ready(A)), within=3)


@virtual_time
async def test_a_source_that_never_answers_keeps_no_standby_for_ever() -> None:
    rig = Rig()
    rig.up(A, B)
    rig.feed().fail()
    standby = rack(B, name="standby", priority=1)
    service = manifest("orders", rack(A), standby, feed(priority=2), policy={"failbackDelay": "60s"})
    async with rig.running(service):
        await rig.until(rig.agree("orders", ready(A)), within=PERIOD + 1)
        rig.down(A)
        await rig.until(rig.agree("orders", {A: False, B: True}), within=32)
        rig.up(A)
        await rig.until(rig.agree("orders", ready(A)), within=PERIOD + 1 + 60 + 1)
        with rig.recorded() as writes:
            await rig.clock.sleep(300)
        assert writes == []


# ---- restarts --------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_restart_changes_no_object() -> None:
    rig = Rig()
    rig.up(A, B)
    rig.feed().found(B, C)
    services = (
        manifest("orders", rack(A, B, C)),
        manifest("found", feed()),
        manifest("legacy", rack(A, C), publish=["Endpoints"]),
        manifest("plain", rack(A), checks=[], publish=["EndpointSlice"]),
    )
    async with rig.running(*services):
        await rig.clock.sleep(60)
        versions = rig.versions()
        for downtime in (0.0, 45.0):
            await rig.stop()
            await rig.clock.sleep(downtime)
            rig.manifests.put(*services)
            rig.start()
            await rig.clock.sleep(120)
            assert rig.versions() == versions


@virtual_time
async def test_after_a_restart_a_source_in_error_removes_nothing_and_what_dies_is_demoted() -> None:
    rig = Rig()
    rig.up(A, B)
    rig.feed().found(A, B)
    service = manifest("orders", feed())
    async with rig.running(service):
        await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)
        rig.feed().fail()
        await rig.restart(service)
        await rig.clock.sleep(HOUR)
        assert rig.published("orders") == ready(A, B)
        rig.down(A)
        await rig.until(rig.agree("orders", {A: False, B: True}), within=32)
        rig.feed().found(B, C)
        await rig.until(rig.agree("orders", {B: True, C: False}), within=1)


@virtual_time
async def test_after_a_restart_additions_do_not_wait_for_a_source_in_error() -> None:
    rig = Rig()
    rig.up(A, B)
    rig.feed().found(A)
    async with rig.running(manifest("orders", feed())):
        await rig.until(rig.agree("orders", ready(A)), within=PERIOD + 1)
        rig.feed().fail()
        await rig.restart(manifest("orders", feed(), rack(B)))
        await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)


@virtual_time
async def test_a_backend_that_died_during_a_restart_is_demoted_by_its_own_threshold() -> None:
    rig = Rig()
    rig.up(A, B)
    service = manifest("orders", rack(A, B))
    async with rig.running(service):
        await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)
        rig.down(A)
        await rig.restart(service)
        await rig.clock.sleep(PERIOD * 2)
        assert rig.published("orders") == ready(A, B)
        await rig.until(rig.agree("orders", {A: False, B: True}), within=PERIOD + 2)


# ---- sources that change with their manifest -------------------------------------------------------------------------


@virtual_time
async def test_a_source_under_another_name_takes_nothing_away() -> None:
    rig = Rig()
    rig.up(A, B)
    async with rig.running(manifest("orders", rack(A, B, name="rack"))):
        await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)
        with rig.recorded() as writes:
            rig.manifests.put(manifest("orders", rack(A, B, name="cellar")))
            await rig.clock.sleep(60)
        assert writes == []


@virtual_time
async def test_removals_wait_for_a_source_that_takes_the_place_of_another() -> None:
    rig = Rig()
    rig.up(A, B)
    rig.feed().fail()
    async with rig.running(manifest("orders", rack(A, B))):
        await rig.until(rig.agree("orders", ready(A, B)), within=PERIOD + 1)
        rig.manifests.put(manifest("orders", feed()))
        await rig.clock.sleep(300)
        assert rig.published("orders") == ready(A, B)
        rig.feed().found(B)
        await rig.until(rig.agree("orders", ready(B)), within=1)


DEAD = feed("dead", priority=2)


@pytest.mark.parametrize("restart", [False, True])
@virtual_time
async def test_a_source_that_never_answers_stops_neither_removals_nor_failover(restart: bool) -> None:
    rig = Rig()
    rig.feed("a").found(A)
    rig.feed("b").found(B)
    rig.feed("dead").fail()
    service = manifest("orders", feed("a", hold={"nodata": "3s"}), feed("b", priority=1), DEAD, **UNCHECKED)
    async with rig.running(service):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        if restart:
            await rig.restart(service)
            await rig.clock.sleep(5)
        rig.feed("a").say(Observation(Outcome.EMPTY))
        await rig.until(rig.agree("orders", ready(B)), within=4)


@virtual_time
async def test_rotating_answers_do_not_pile_up_beside_a_source_that_never_answers() -> None:
    rig = Rig()
    service = manifest("orders", feed(hold={"obsolete": "1s"}), DEAD, **UNCHECKED)
    async with rig.running(service):
        for number in range(1, 20):
            rig.feed().found(f"198.51.100.{number}")
            await rig.clock.sleep(4)
            assert rig.published("orders") == ready(f"198.51.100.{number}")


@virtual_time
async def test_what_left_a_source_while_nothing_ran_waits_for_the_one_that_never_answers_and_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()
    rig.feed("a").found(A, B)
    service = manifest("orders", feed("a"), feed("dead"), **UNCHECKED)
    async with rig.running(service):
        await rig.until(rig.agree("orders", ready(A, B)), within=1)
        await rig.stop()
        rig.feed("a").found(B)
        rig.manifests.put(service)
        rig.start()
        await rig.clock.sleep(HOUR)
        assert rig.published("orders") == ready(A, B)
        assert caplog.text.count("removals wait for source 'dead', which has not reported since the start") == 1
        rig.feed("dead").found(C)
        await rig.until(rig.agree("orders", ready(B, C)), within=1)


@virtual_time
async def test_what_a_source_had_that_left_the_manifest_stays_until_the_one_in_its_place_answers() -> None:
    rig = Rig()
    rig.feed("old").found(A)
    rig.feed("stays").found(B, C)
    stays = feed("stays")
    async with rig.running(manifest("orders", feed("old"), stays, **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A, B, C)), within=1)
        rig.feed("new").fail()
        rig.manifests.put(manifest("orders", feed("new"), stays, **UNCHECKED))
        await rig.clock.sleep(60)
        assert rig.published("orders") == ready(A, B, C)
        rig.feed("stays").found(C)
        await rig.until(rig.agree("orders", ready(A, C)), within=1)
        rig.feed("new").found(B)
        await rig.until(rig.agree("orders", ready(B, C)), within=1)


# ---- what is logged of sources ---------------------------------------------------------------------------------------


@virtual_time
async def test_a_hold_that_runs_and_its_end_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    rig = Rig()
    rig.feed().found(A, B)
    async with rig.running(manifest("orders", feed(hold={"nx": "5s"}), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A, B)), within=1)
        caplog.clear()
        for _ in range(3):
            rig.feed().say(Observation(Outcome.GONE, detail="live is gone"))
            await rig.clock.sleep(3)
        rig.feed().found(A)
        await rig.clock.sleep(3)
    told = [record.getMessage() for record in caplog.records if "feed" in record.getMessage()]
    assert told == [
        "test/orders: source 'feed': live is gone; its 2 backends leave in 5 s",
        "test/orders: source 'feed': it has backends again",
    ]


@virtual_time
async def test_one_address_under_several_names_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.feed("one").found(A, A)
    rig.feed("two").found(A, B)
    async with rig.running(manifest("orders", feed("one"), feed("two"), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A, B)), within=1)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == []


@virtual_time
async def test_another_hold_keeps_the_set_and_counts_from_then_on() -> None:
    rig = Rig()
    rig.feed().found(A)
    async with rig.running(manifest("orders", feed(hold={"nodata": "30s"}), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        with rig.recorded() as writes:
            rig.manifests.put(manifest("orders", feed(hold={"nodata": "300s"}), **UNCHECKED))
            await rig.clock.sleep(60)
        assert writes == []
        rig.feed().say(Observation(Outcome.EMPTY))
        await rig.clock.sleep(295)
        assert rig.published("orders") == ready(A)
        await rig.until(rig.agree("orders", {}), within=6)


@virtual_time
async def test_a_source_that_did_not_change_runs_on_over_a_change_of_its_manifest() -> None:
    rig = Rig()
    rig.feed().found(A)
    async with rig.running(manifest("orders", feed(), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        rig.manifests.put(manifest("orders", feed(), rack(B), **UNCHECKED))
        await rig.until(rig.agree("orders", ready(A, B)), within=1)
        rig.manifests.put(manifest("orders", rack(B), **UNCHECKED))
        await rig.until(rig.agree("orders", ready(B)), within=1)
    assert rig.feed().runs == 1


class Keeper:
    """A source that may inherit, and what it inherited."""

    made: ClassVar[list[Keeper]] = []

    def __init__(self) -> None:
        self.heir_of: list[object] = []
        self.made.append(self)

    def inherit(self, before: Source) -> None:
        self.heir_of.append(before)

    async def run(self, emit: Emit) -> None:
        emit(Observation(Outcome.FOUND, (Backend(A),)))
        await asyncio.Event().wait()


@virtual_time
async def test_a_source_whose_block_changed_inherits_from_the_one_before_and_no_other_does() -> None:
    rig = Rig()
    rig.world = msgspec.structs.replace(rig.world, create_source=lambda *_: Keeper())
    Keeper.made.clear()
    async with rig.running(manifest("orders", feed(), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(A)), within=1)
        for changed in (feed(file={"files": ["b"]}), feed(name="other"), feed()):
            rig.manifests.put(manifest("orders", changed, **UNCHECKED))
            await rig.clock.sleep(60)
    first, second, *others = Keeper.made
    assert (first.heir_of, second.heir_of) == ([], [first])
    assert [one.heir_of for one in others] == [[], []], "another name is another source, and one that left is forgotten"
