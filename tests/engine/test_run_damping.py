"""``run``: what flaps is damped, and damping takes nothing down that works."""

from __future__ import annotations

import errno

import pytest

from extsync.objects import Endpoints, EndpointSlice
from extsync.seams.virtual import virtual_time
from extsync.seams.virtual_net import Failing
from tests.engine.support import CHECK, PERIOD, PORT, A, B, C, Rig, manifest, rack, ready

QUICK = {**CHECK, "periodSeconds": 1, "failureThreshold": 1}
UNREACHABLE = Failing(errno.ENETUNREACH, latency=None)


async def flap(rig: Rig, *addresses: str, times: int, down: float, up: float) -> int:
    """Has backends go down and up; returns for how many seconds of those that passed the service had none ready."""
    empty = 0
    for _ in range(times):
        rig.down(*addresses)
        await rig.clock.sleep(down)
        rig.up(*addresses)
        for _ in range(int(up)):
            await rig.clock.sleep(1)
            empty += not any(rig.slices("orders").values())
    return empty


@virtual_time
async def test_backends_with_a_flapping_dependency_in_common_serve_as_soon_as_they_pass(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()
    rig.up(A, B)
    check = {**CHECK, "periodSeconds": 2, "failureThreshold": 2}
    async with rig.running(manifest("orders", rack(A, B), checks=[check])):
        await rig.until(lambda: rig.slices("orders") == ready(A, B), within=PERIOD)
        empty = await flap(rig, A, B, times=8, down=20, up=40)
        assert empty <= 8 * 4  # a period and what it takes to be written
        assert sum(rig.slices("orders").values()) == 1
        await rig.until(lambda: rig.slices("orders") == ready(A, B), within=300)
    assert "are not held back: too few others are ready" in caplog.text


@virtual_time
async def test_a_service_all_of_whose_backends_flap_writes_no_more_than_it_may() -> None:
    rig = Rig()
    rig.up(A)
    spec = manifest("orders", rack(A), checks=[QUICK], policy={"writesPerMinute": 6})
    async with rig.running(spec):
        await rig.until(lambda: rig.slices("orders") == ready(A), within=PERIOD)
        with rig.recorded() as writes:
            await flap(rig, A, times=150, down=2, up=2)
        for kind in (EndpointSlice, Endpoints):
            assert sum(write.kind is kind for write in writes) <= 6 * 10 + 6
        await rig.until(lambda: rig.slices("orders") == ready(A), within=20)


@pytest.mark.parametrize("drain", [False, True], ids=["serves", "drains"])
@virtual_time
async def test_one_backend_that_flaps_makes_few_writes(drain: bool) -> None:
    rig = Rig()
    rig.up(A, B, C)
    backends = [{"address": A, "drain": drain}, {"address": B}, {"address": C}]
    spec = manifest("orders", {"name": "rack", "static": {"backends": backends}}, checks=[QUICK])
    async with rig.running(spec):
        await rig.until(lambda: bool(rig.slices("orders").get(B)), within=PERIOD)
        with rig.recorded() as writes:
            await flap(rig, A, times=150, down=2, up=2)
        assert 0 < sum(write.kind is EndpointSlice for write in writes) <= 4


@virtual_time
async def test_what_self_doubt_takes_back_is_ready_at_once_however_often_that_happens() -> None:
    rig = Rig()
    services = {f"s{i}": [f"192.0.2.{10 * i + j}" for j in range(1, 6)] for i in range(1, 6)}
    everything = [address for addresses in services.values() for address in addresses]
    check = {**CHECK, "failureThreshold": 1}

    def demoted() -> int:
        return sum(not up for name in services for up in rig.slices(name).values())

    rig.up(*everything)
    async with rig.running(*(manifest(name, rack(*some), checks=[check]) for name, some in services.items())):
        await rig.until(lambda: all(rig.slices(n) == ready(*some) for n, some in services.items()), within=2 * PERIOD)
        for _ in range(5):
            for address in everything:
                rig.io.script(address, PORT, UNREACHABLE)
            await rig.until(lambda: demoted() > 0, within=PERIOD)
            await rig.until(lambda: demoted() == 0, within=PERIOD)
            await rig.clock.sleep(2 * PERIOD)
            rig.up(*everything)
            await rig.clock.sleep(60)
            assert demoted() == 0
