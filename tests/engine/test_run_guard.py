"""``run``: a removal that looks like an accident is withheld, seen, and let go in the end, restarts or not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from extsync.model import Observation, Outcome
from extsync.objects import Endpoints, EndpointSlice, Event, Service
from extsync.plan.evidence import EVIDENCE_ANNOTATION
from extsync.plan.suppressed import ALLOW_ANNOTATION
from extsync.seams.virtual import virtual_time
from tests.engine.support import NAMESPACE, Rig, feed, manifest, rack, ready

TEN = tuple(f"192.0.2.{number}" for number in range(1, 11))
HUNDRED = tuple(f"198.51.100.{number}" for number in range(1, 101))
CONFIRM = 600.0
UNCHECKED: dict[str, Any] = {"checks": []}
SLICES = {"publish": ["EndpointSlice"], **UNCHECKED}


def orders(**spec: Any) -> dict[str, Any]:
    return manifest("orders", feed(hold={"nodata": "0s"}), **{**UNCHECKED, **spec})


def events(rig: Rig) -> list[tuple[str, str]]:
    return rig.events("RemovalSuppressed", "RemovalReleased")


def the_hash(rig: Rig) -> str:
    suppressed = next(decision for _, decision in rig.engine.services().values()).suppressed  # type: ignore[union-attr]
    assert suppressed is not None
    return suppressed.hash


def evidence(rig: Rig) -> dict[str, Any]:
    """The newest evidence on the objects."""
    objects = [*rig.store.dump(EndpointSlice, NAMESPACE), *rig.store.dump(Endpoints, NAMESPACE)]
    texts = [obj["metadata"].get("annotations", {}).get(EVIDENCE_ANNOTATION) for obj in objects]
    return max((json.loads(text) for text in texts if text), key=lambda one: int(one["number"]), default={})


def annotate(rig: Rig, **annotations: str) -> None:
    body = rig.store.raw(Service, NAMESPACE, "orders")
    body["metadata"].setdefault("annotations", {}).update(annotations)
    rig.store.put(Service, body)


@virtual_time
async def test_a_wiped_registry_removes_nothing_until_it_has_been_so_for_long_enough() -> None:
    rig = Rig()
    rig.feed().found(*TEN)
    async with rig.running(orders()):
        await rig.until(rig.agree("orders", ready(*TEN)), within=2)
        rig.feed().found(TEN[0], "192.0.2.99")
        await rig.until(rig.agree("orders", ready(*TEN, "192.0.2.99")), within=1)
        await rig.clock.sleep(CONFIRM - 5)
        assert rig.published("orders") == ready(*TEN, "192.0.2.99")
        await rig.until(rig.agree("orders", ready(TEN[0], "192.0.2.99")), within=10)
        await rig.clock.sleep(1)
        reasons = [reason for reason, _ in events(rig)]
        assert reasons == ["RemovalSuppressed", "RemovalReleased"]


@virtual_time
async def test_an_empty_answer_is_withheld_after_its_hold() -> None:
    rig = Rig()
    rig.feed().found(*TEN)
    async with rig.running(orders()):
        await rig.until(rig.agree("orders", ready(*TEN)), within=2)
        rig.feed().say(Observation(Outcome.EMPTY))
        await rig.clock.sleep(CONFIRM - 5)
        assert rig.published("orders") == ready(*TEN)
        await rig.until(rig.agree("orders", {}), within=10)


@virtual_time
async def test_time_in_which_the_source_fails_confirms_nothing() -> None:
    rig = Rig()
    rig.feed().found(*TEN)
    async with rig.running(orders()):
        await rig.until(rig.agree("orders", ready(*TEN)), within=2)
        rig.feed().found(TEN[0])
        await rig.clock.sleep(60)
        rig.feed().fail()
        await rig.clock.sleep(2 * CONFIRM)
        assert rig.published("orders") == ready(*TEN)
        rig.feed().found(TEN[0])
        await rig.clock.sleep(CONFIRM - 65)
        assert rig.published("orders") == ready(*TEN)
        await rig.until(rig.agree("orders", ready(TEN[0])), within=10)


@virtual_time
async def test_demotions_in_the_same_round_go_out() -> None:
    rig = Rig()
    rig.up(*TEN)
    rig.feed().found(*TEN)
    async with rig.running(manifest("orders", feed())):
        await rig.until(rig.agree("orders", ready(*TEN)), within=15)
        rig.feed().found(TEN[0])
        rig.down(*TEN[:2])
        expected = {**ready(*TEN), TEN[0]: False, TEN[1]: False}
        await rig.until(rig.agree("orders", expected), within=35)


@virtual_time
async def test_static_backends_are_never_guarded() -> None:
    rig = Rig()
    async with rig.running(manifest("orders", rack(*TEN), **UNCHECKED)):
        await rig.until(rig.agree("orders", ready(*TEN)), within=2)
        rig.manifests.put(manifest("orders", rack(TEN[0]), **UNCHECKED))
        await rig.until(rig.agree("orders", ready(TEN[0])), within=1)
        await rig.restart(manifest("orders", rack(TEN[1]), **UNCHECKED))
        await rig.until(rig.agree("orders", ready(TEN[1])), within=2)


@virtual_time
async def test_the_annotation_on_the_service_lets_exactly_that_removal_through() -> None:
    rig = Rig()
    rig.feed().found(*TEN)
    async with rig.running(orders()):
        await rig.until(rig.agree("orders", ready(*TEN)), within=2)
        rig.feed().found(*TEN[:2])
        await rig.clock.sleep(1)
        first = the_hash(rig)
        rig.feed().found(TEN[0])
        await rig.clock.sleep(1)
        annotate(rig, **{ALLOW_ANNOTATION: first})
        await rig.clock.sleep(1)
        assert rig.published("orders") == ready(*TEN)
        annotate(rig, **{ALLOW_ANNOTATION: the_hash(rig)})
        await rig.until(rig.agree("orders", ready(TEN[0])), within=1)
        rig.feed().found(*TEN)
        await rig.until(rig.agree("orders", ready(*TEN)), within=1)
        await rig.clock.sleep(5)
        rig.feed().found(TEN[0])
        await rig.clock.sleep(5)
        assert rig.published("orders") == ready(*TEN), "the same removal at another time has another name"


@pytest.mark.parametrize("publish", [["EndpointSlice"], ["Endpoints"], ["EndpointSlice", "Endpoints"]])
@virtual_time
async def test_a_suppression_costs_one_write_at_its_beginning(publish: list[str]) -> None:
    rig = Rig()
    rig.feed().found(*HUNDRED)
    async with rig.running(orders(publish=publish)):
        await rig.until(lambda: len(rig.slices("orders")) == len(HUNDRED), within=5)
        await rig.clock.sleep(5)
        with rig.recorded() as writes:
            rig.feed().found(HUNDRED[0])
            await rig.clock.sleep(CONFIRM - 10)
        assert [write.verb for write in writes if write.kind is not Event] == ["update"]
        assert len(rig.slices("orders")) == len(HUNDRED)
        with rig.recorded() as writes:
            rig.feed().found(*HUNDRED)
            await rig.clock.sleep(30)
        assert [write.verb for write in writes if write.kind is not Event] == ["update"]
        assert "withheld" not in evidence(rig)
        with rig.recorded() as writes:
            await rig.clock.sleep(2 * CONFIRM)
        assert writes == []


@virtual_time
async def test_a_source_that_says_now_this_now_that_costs_few_writes_and_is_taken_for_no_other_manager() -> None:
    rig = Rig()
    rig.feed().found(*TEN)
    async with rig.running(orders()):
        await rig.until(rig.agree("orders", ready(*TEN)), within=2)
        with rig.recorded() as writes:
            for _ in range(120):
                rig.feed().found(*TEN[:2])
                await rig.clock.sleep(5)
                assert rig.published("orders") == ready(*TEN)
                rig.feed().found(*TEN)
                await rig.clock.sleep(5)
        assert len([write for write in writes if write.kind is not Event]) <= 2 * 1200 / (0.2 * CONFIRM) + 2
        assert {reason for reason, _ in events(rig)} <= {"RemovalSuppressed", "RemovalReleased"}


@virtual_time
async def test_a_registry_wiped_while_extsync_was_away_removes_nothing() -> None:
    rig = Rig()
    rig.feed().found(*TEN)
    async with rig.running(orders()):
        await rig.until(rig.agree("orders", ready(*TEN)), within=2)
        await rig.stop()
        rig.feed().say(Observation(Outcome.EMPTY))
        await rig.clock.sleep(3600)
        rig.start_anew(orders())
        await rig.clock.sleep(CONFIRM - 5)
        assert rig.published("orders") == ready(*TEN)
        await rig.until(rig.agree("orders", {}), within=10)


@pytest.mark.parametrize("spec", [UNCHECKED, SLICES])
@virtual_time
async def test_killed_every_minute_it_still_confirms_a_removal_in_about_its_time(spec: dict[str, Any]) -> None:
    rig = Rig()
    rig.feed().found(*TEN)
    async with rig.running(orders(**spec)):
        await rig.until(lambda: rig.slices("orders") == ready(*TEN), within=2)
        await rig.clock.sleep(3)
        rig.feed().found(TEN[0])
        for _ in range(9):
            await rig.clock.sleep(60)
            assert rig.slices("orders") == ready(*TEN)
            await rig.restart(orders(**spec))
        await rig.until(lambda: rig.slices("orders") == ready(TEN[0]), within=65)


@virtual_time
async def test_two_steps_with_a_restart_between_count_together() -> None:
    rig = Rig()
    rig.feed().found(*HUNDRED)
    async with rig.running(orders()):
        await rig.until(rig.agree("orders", ready(*HUNDRED)), within=2)
        rig.feed().found(*HUNDRED[:55])
        await rig.until(rig.agree("orders", ready(*HUNDRED[:55])), within=2)
        await rig.restart(orders())
        await rig.clock.sleep(5)
        rig.feed().found(*HUNDRED[:30])
        await rig.clock.sleep(5)
        assert rig.published("orders") == ready(*HUNDRED[:55])


@virtual_time
async def test_two_steps_while_it_was_away_and_since_count_together() -> None:
    rig = Rig()
    rig.feed().found(*HUNDRED)
    async with rig.running(orders()):
        await rig.until(rig.agree("orders", ready(*HUNDRED)), within=2)
        await rig.clock.sleep(3)
        rig.feed().found(*HUNDRED[:55])
        await rig.until(rig.agree("orders", ready(*HUNDRED[:55])), within=2)
        await rig.stop()
        rig.feed().found(*HUNDRED[:30])
        rig.start_anew(orders())
        await rig.clock.sleep(5)
        assert rig.published("orders") == ready(*HUNDRED[:55])


@virtual_time
async def test_the_hash_of_a_removal_outlives_a_restart() -> None:
    rig = Rig()
    rig.feed().found(*TEN)
    async with rig.running(orders()):
        await rig.until(rig.agree("orders", ready(*TEN)), within=2)
        rig.feed().found(TEN[0])
        await rig.clock.sleep(5)
        known = the_hash(rig)
        await rig.restart(orders())
        await rig.clock.sleep(5)
        assert the_hash(rig) == known
        annotate(rig, **{ALLOW_ANNOTATION: known})
        await rig.until(rig.agree("orders", ready(TEN[0])), within=1)


@virtual_time
async def test_a_removal_is_told_once_also_where_extsync_is_restarted_meanwhile() -> None:
    rig = Rig()
    rig.feed().found(*TEN)
    async with rig.running(orders()):
        await rig.until(rig.agree("orders", ready(*TEN)), within=2)
        rig.feed().found(TEN[0])
        await rig.clock.sleep(5)
        await rig.restart(orders())
        await rig.clock.sleep(5)
        assert [reason for reason, _ in events(rig)] == ["RemovalSuppressed"]
        rig.feed().found(*TEN)
        await rig.clock.sleep(5)
        assert [reason for reason, _ in events(rig)] == ["RemovalSuppressed", "RemovalReleased"]


@virtual_time
async def test_what_is_over_when_a_new_process_has_looked_is_told_to_be_over() -> None:
    rig = Rig()
    rig.feed().found(*TEN)
    async with rig.running(orders()):
        await rig.until(rig.agree("orders", ready(*TEN)), within=2)
        rig.feed().found(TEN[0])
        await rig.clock.sleep(5)
        await rig.stop()
        rig.feeds.clear()
        rig.start_anew(orders())
        await rig.clock.sleep(5)
        assert [reason for reason, _ in events(rig)] == ["RemovalSuppressed"], "the source has said nothing yet"
        rig.feed().found(*TEN)
        await rig.clock.sleep(5)
        assert [reason for reason, _ in events(rig)] == ["RemovalSuppressed", "RemovalReleased"]


@virtual_time
async def test_time_in_which_the_source_fails_counts_for_nothing_after_a_restart_either() -> None:
    rig = Rig()
    rig.feed().found(*TEN)
    async with rig.running(orders()):
        await rig.until(rig.agree("orders", ready(*TEN)), within=2)
        rig.feed().found(TEN[0])
        await rig.clock.sleep(60)
        rig.feed().fail()
        with rig.recorded() as writes:
            await rig.clock.sleep(CONFIRM - 70)
        assert [write.verb for write in writes if write.kind is not Event] == ["update"]
        await rig.stop()
        rig.feed().found(TEN[0])
        rig.start_anew(orders())
        await rig.clock.sleep(CONFIRM - 60 - 0.2 * CONFIRM)
        assert rig.published("orders") == ready(*TEN)
        await rig.until(rig.agree("orders", ready(TEN[0])), within=0.2 * CONFIRM + 70)


@virtual_time
async def test_a_flip_while_a_removal_is_withheld_writes_one_slice_and_one_endpoints() -> None:
    rig = Rig()
    rig.up(*HUNDRED)
    rig.feed().found(*HUNDRED)
    async with rig.running(manifest("orders", feed(), policy={"maxEndpointsPerSlice": 10})):
        await rig.until(lambda: list(rig.slices("orders").values()) == [True] * 100, within=20)
        rig.feed().found(HUNDRED[0])
        await rig.clock.sleep(70)
        rig.down(HUNDRED[55])
        with rig.recorded() as writes:
            await rig.until(lambda: not rig.slices("orders")[HUNDRED[55]], within=35)
            await rig.clock.sleep(20)
        assert sorted(write.kind.__name__ for write in writes) == ["EndpointSlice", "Endpoints"]
