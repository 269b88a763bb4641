"""Commands that run once: what the guard withholds, how it is let through, and what a run beside them makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from extsync.engine.passes import ServiceResult
from extsync.model import Observation, Outcome
from extsync.seams.virtual import virtual_time
from tests.engine.support import Rig, feed, key, manifest, rack, ready

TEN = tuple(f"192.0.2.{number}" for number in range(1, 11))
FEW = TEN[:2]
UNCHECKED: dict[str, Any] = {"checks": []}
ORDERS = manifest("orders", feed(), **UNCHECKED)
FOUND = "no source names 8 of the 10 endpoints that were found published"


async def one(rig: Rig, service: dict[str, Any] = ORDERS, **options: Any) -> ServiceResult:
    (result,) = await rig.once(service, **options)
    return result


async def published() -> Rig:
    """Ten endpoints are published, and their source names two of them now."""
    rig = Rig()
    rig.feed().found(*TEN)
    async with rig.store.running():
        assert not (await one(rig)).failed
    rig.feed().found(*FEW)
    return rig


@virtual_time
async def test_a_large_removal_is_withheld_and_listed_and_additions_are_made() -> None:
    rig = await published()
    rig.feed().found(*FEW, "192.0.2.77")
    result = await one(rig)
    assert result.failed
    assert result.plan_withheld[0] == f"{FOUND}: they stay; --allow-removal test/orders lets them go"
    assert all(address in result.plan_withheld[1] for address in TEN[2:])
    assert result.plan_remarks == []
    assert rig.published("orders") == ready(*TEN, "192.0.2.77")


@virtual_time
async def test_it_is_withheld_by_each_pass_however_long_after() -> None:
    rig = await published()
    await one(rig)
    await rig.clock.sleep(3600)
    assert (await one(rig)).failed
    assert rig.published("orders") == ready(*TEN)


@virtual_time
async def test_it_is_let_through_on_demand_for_the_service_that_is_named() -> None:
    rig = await published()
    assert (await one(rig, allow_removal=frozenset({key("other")}))).failed
    assert not (await one(rig, allow_removal=frozenset({key("orders")}))).failed
    assert rig.published("orders") == ready(*FEW)


@virtual_time
async def test_an_empty_source_is_withheld_once_and_let_through_by_one_flag() -> None:
    rig = await published()
    rig.feed().say(Observation(Outcome.EMPTY))
    result = await one(rig)
    assert [*result.withheld, *result.plan_withheld] == [
        "source 'feed' says that it has no backends: what is published stays; --allow-empty lets it go"
    ]
    assert not (await one(rig, allow_empty=True)).failed
    assert rig.published("orders") == {}


@pytest.mark.parametrize("policy", ["upsert-only", "create-only"])
@virtual_time
async def test_where_nothing_may_leave_anyway_nothing_is_withheld(policy: str) -> None:
    rig = await published()
    result = await one(rig, policy=policy)
    assert not result.failed
    assert result.plan_remarks == []
    assert rig.published("orders") == ready(*TEN)


@virtual_time
async def test_what_is_declared_in_the_manifest_leaves() -> None:
    rig = Rig()
    async with rig.store.running():
        await one(rig, manifest("orders", rack(*TEN), **UNCHECKED))
    assert not (await one(rig, manifest("orders", rack(*FEW), **UNCHECKED))).failed
    assert rig.published("orders") == ready(*FEW)


@virtual_time
async def test_two_passes_in_a_row_that_remove_less_than_half_each_count_together() -> None:
    rig = await published()
    rig.feed().found(*TEN[:6])
    assert not (await one(rig)).failed
    rig.feed().found(*TEN[:4])
    assert (await one(rig)).failed
    assert rig.published("orders") == ready(*TEN[:6])


@virtual_time
async def test_what_left_a_static_source_does_not_count_against_one_that_has_all_of_its_own() -> None:
    rig = Rig()
    rig.feed().found("198.51.100.1", "198.51.100.2")
    async with rig.store.running():
        await one(rig, manifest("orders", rack(*TEN), feed(), **UNCHECKED))
    assert not (await one(rig, manifest("orders", rack(*FEW), feed(), **UNCHECKED))).failed
    assert rig.published("orders") == ready(*FEW, "198.51.100.1", "198.51.100.2")


@virtual_time
async def test_a_small_source_beside_a_large_one_is_guarded_by_itself() -> None:
    rig = Rig()
    small = ("198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4", "198.51.100.5")
    both = manifest("orders", feed("large"), feed("small"), **UNCHECKED)
    rig.feed("large").found(*TEN)
    rig.feed("small").found(*small)
    async with rig.store.running():
        await one(rig, both)
    rig.feed("small").found(small[0])
    assert (await one(rig, both)).failed
    assert rig.published("orders") == ready(*TEN, *small)


@virtual_time
async def test_a_pass_beside_a_run_does_not_let_through_what_that_withholds() -> None:
    rig = Rig()
    rig.feed().found(*TEN)
    async with rig.running(ORDERS):
        await rig.until(rig.agree("orders", ready(*TEN)), within=2)
        rig.feed().found(*FEW)
        await rig.clock.sleep(1)
        result = await one(rig)
        assert result.failed
        await rig.clock.sleep(5)
        assert rig.published("orders") == ready(*TEN)


@virtual_time
async def test_a_run_does_not_put_back_what_a_pass_beside_it_let_through() -> None:
    rig = Rig()
    rig.feed().found(*TEN)
    async with rig.running(ORDERS):
        await rig.until(rig.agree("orders", ready(*TEN)), within=2)
        rig.feed().found(*FEW)
        await rig.clock.sleep(5)
        assert not (await one(rig, allow_removal=frozenset({key("orders")}))).failed
        with rig.recorded() as writes:
            await rig.clock.sleep(30)
        assert rig.published("orders") == ready(*FEW)
        assert [write for write in writes if write.name.startswith("orders-")] == []
