"""A command that runs once leaves alone what a running extsync keeps, whatever clocks and Leases seem to say."""

from __future__ import annotations

from typing import Any

import pytest

from extsync.engine.once import Once
from extsync.engine.passes import OnceOptions, ServiceResult
from extsync.engine.prune import prune
from extsync.errors import Forbidden, StoreError, Unavailable
from extsync.kube.memory import Fault
from extsync.kube.stamp import Stamp
from extsync.objects import EndpointSlice, KubeObject, Lease
from extsync.seams.virtual import virtual_time
from tests.engine.replicas import Replicas
from tests.engine.support import NAMESPACE, PERIOD, A, B, Rig, manifest, prepared, rack, ready

FIRST = 20.0
ORDERS = manifest("orders", rack(A), checks=[])
MORE = manifest("orders", rack(A, B), checks=[])


async def kept(stage: Replicas, **election: Any) -> Any:
    """A replica that has published ``ORDERS``."""
    replica = stage.start(ORDERS, **election)
    await stage.rig.until(stage.rig.agree("orders", ready(A)), within=FIRST + 15.0)
    return replica


async def applied(rig: Rig, *manifests: dict[str, Any], **options: Any) -> ServiceResult:
    [result] = await Once(rig.world, OnceOptions(**options)).run(prepared(*(manifests or (MORE,))))
    return result


def stamps(rig: Rig) -> set[str]:
    annotations = [obj["metadata"].get("annotations", {}) for obj in rig.store.dump(EndpointSlice, NAMESPACE)]
    return {found.get("extsync.dev/written-by", "") for found in annotations}


@pytest.mark.parametrize("shards", [1, 4])
@virtual_time
async def test_what_a_running_extsync_keeps_is_refused_with_its_lease_and_the_cure(shards: int) -> None:
    stage = Replicas()
    async with stage.running():
        await kept(stage, shards=shards)
        began = stage.rig.clock.monotonic()
        result = await applied(stage.rig)
        holder = "replica-0" if shards == 1 else "4-shards"
        assert result.errors == [
            f"a running extsync keeps it: Lease test/extsync-default is held by {holder}; stop it, or change the "
            "manifest there, or write all the same with --take-over"
        ]
        assert result.steps == []
        assert stage.rig.clock.monotonic() - began <= 3.0
        assert stage.rig.published("orders") == ready(A)


@virtual_time
async def test_what_a_replica_kept_that_was_killed_is_written_once_its_lease_has_run_out() -> None:
    stage = Replicas()
    async with stage.running():
        await (await kept(stage)).kill()
        assert stage.leases()["extsync-default"] == "replica-0"
        result = await applied(stage.rig)
        assert not result.failed
        assert stage.rig.published("orders") == ready(A, B)
        assert stamps(stage.rig) == {""}  # nobody elected wrote this


@virtual_time
async def test_what_a_replica_kept_that_stopped_is_written() -> None:
    stage = Replicas()
    async with stage.running():
        await (await kept(stage)).stop()
        assert not (await applied(stage.rig)).failed


@virtual_time
async def test_a_lease_on_its_way_to_the_next_holder_counts_as_held() -> None:
    stage = Replicas()
    async with stage.running():
        replica = await kept(stage)
        other = stage.start(ORDERS)
        await stage.rig.clock.sleep(2 * PERIOD)
        other.faults = lambda verb, kind, at: Fault(before=1.5) if kind is Lease and verb == "update" else None
        await replica.stop()
        assert "is held by replica-1" in (await applied(stage.rig)).errors[0]


@virtual_time
async def test_where_the_lease_has_not_run_out_in_time_nothing_is_written() -> None:
    stage = Replicas()
    async with stage.running():
        await (await kept(stage)).kill()
        result = await applied(stage.rig, timeout=5.0)
        assert "has not run out yet; give it time with --timeout" in result.errors[0]
        assert stage.rig.published("orders") == ready(A)


@pytest.mark.parametrize(
    ("error", "cure"),
    [(Forbidden("no"), "no; allow get of leases in namespace test"), (Unavailable("away"), "away; try again")],
)
@virtual_time
async def test_a_lease_that_cannot_be_read_is_a_refusal(error: StoreError, cure: str) -> None:
    stage = Replicas()
    async with stage.running():
        await kept(stage)
        stage.rig.faults = lambda verb, kind, at: Fault(error=error) if kind is Lease else None
        [said] = (await applied(stage.rig)).errors
        assert said == (
            f"it is not known whether a running extsync keeps it: {cure}, or write all the same with --take-over"
        )


@virtual_time
async def test_take_over_writes_without_a_look_and_says_in_the_stamp_who_did() -> None:
    """The stamp still names the Lease, so that the next one that does not take over is refused."""
    stage = Replicas()
    async with stage.running():
        replica = await kept(stage)
        replica.cut()  # so that it does not put it back at once
        stage.rig.faults = lambda verb, kind, at: Fault(error=Forbidden("no")) if kind is Lease else None
        result = await applied(stage.rig, take_over=True)
        assert not result.failed
        assert stage.rig.published("orders") == ready(A, B)
        [stamp] = stamps(stage.rig)
        assert stamp == "test/extsync-default/1/apply"
        assert Stamp.parse(stamp) is not None


@virtual_time
async def test_without_writing_it_is_a_warning() -> None:
    stage = Replicas()
    async with stage.running():
        await kept(stage)
        began = stage.rig.clock.monotonic()
        result = await applied(stage.rig, write=False)
        assert result.warnings == ["a running extsync seems to keep it: Lease test/extsync-default names replica-0"]
        assert not result.failed
        assert result.steps != []
        assert stage.rig.clock.monotonic() == began


@virtual_time
async def test_what_is_pruned_may_not_be_kept_either() -> None:
    stage = Replicas()
    async with stage.running():
        replica = await kept(stage)
        options = OnceOptions()

        async def pruned() -> list[ServiceResult]:
            once = Once(stage.rig.world, options)
            return await prune(stage.rig.world, once.writer, once.keepers, options, [], [NAMESPACE])

        [result] = await pruned()
        assert "is held by replica-0" in result.errors[0]
        assert stage.rig.has_service("orders")
        await replica.stop()
        [result] = await pruned()
        assert not result.failed
        assert not stage.rig.has_service("orders")


@virtual_time
async def test_where_nobody_was_elected_no_lease_is_read() -> None:
    rig = Rig()
    asked: list[type[KubeObject]] = []
    async with rig.store.running():
        assert not (await applied(rig, ORDERS)).failed
        rig.faults = lambda verb, kind, at: asked.append(kind)
        assert not (await applied(rig)).failed
    assert Lease not in asked
