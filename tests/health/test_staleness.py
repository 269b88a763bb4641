"""Verdicts that no probe has confirmed for long, in virtual time on a scripted network."""

from __future__ import annotations

import errno

import msgspec
import pytest

from extsync.health.target import Probe, Sign, Target, Timing
from extsync.model import Health
from extsync.seams.virtual import stand_still, virtual_time
from extsync.seams.virtual_net import BlackHole, Failing, Listening
from tests.health.support import HOST, LISTENING, TCP, Bench, probing, target

NO_PORT = Failing(errno.EADDRNOTAVAIL, latency=None)
TIMING = Timing(period=10.0, timeout=2.0)
SETTLED = 11.0
"""Seconds in which everything is looked at, and one more."""


def stale(bench: Bench, name: str = "a") -> tuple[bool, bool, int]:
    """What each of the three says that may be asked: evidence, verdict, count."""
    evidence = any(evidence.stale for evidence in bench.prober.evidence(name))
    return evidence, bench.prober.verdict(name).stale, bench.prober.stats.stale


@virtual_time
async def test_what_is_probed_in_its_rhythm_is_never_stale() -> None:
    async with probing() as bench:
        bench.script(LISTENING)
        bench.script(BlackHole(), port=81)
        bench.prober.upsert([target("up", timing=TIMING), target("down", port=81, timing=TIMING, immediate=False)])
        for _ in range(600):
            await bench.sleep(1)
            assert stale(bench, "up") == stale(bench, "down") == (False, False, 0)


@virtual_time
async def test_three_periods_and_a_time_out_without_a_result_make_a_verdict_stale_and_nothing_else_of_it() -> None:
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target(timing=TIMING)])
        await bench.sleep(5)
        ((_, before),) = bench.prober.drain()
        bench.script(NO_PORT)
        await bench.sleep(26.5)
        assert stale(bench) == (False, False, 0)
        await bench.sleep(1 + SETTLED)
        assert stale(bench) == (True, True, 1)
        ((name, verdict),) = bench.prober.drain()
        assert (name, verdict) == ("a", msgspec.structs.replace(before, stale=True))
        await bench.sleep(3600)
        assert bench.prober.drain() == []


@virtual_time
async def test_the_next_result_ends_it_at_once() -> None:
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target(timing=TIMING)])
        await bench.sleep(5)
        bench.script(NO_PORT)
        await bench.sleep(60)
        bench.prober.drain()
        wakes = bench.wakes
        bench.script(Failing())  # a failure, far from its threshold, is a result as well
        await bench.sleep(1.5)
        assert stale(bench) == (False, False, 0)
        assert bench.wakes == wakes + 1
        ((_, verdict),) = bench.prober.drain()
        assert (verdict.health, verdict.stale) == (Health.HEALTHY, False)


@virtual_time
async def test_an_endpoint_that_never_got_its_first_probe_becomes_stale_too() -> None:
    timing = Timing(initial_delay=60.0, period=10.0, timeout=2.0)
    async with probing() as bench:
        bench.script(NO_PORT)
        bench.prober.upsert([target(timing=timing, immediate=False)])
        await bench.sleep(60 + 32)
        assert stale(bench) == (False, False, 0)
        await bench.sleep(10 + SETTLED)
        assert stale(bench) == (True, True, 1)
        assert bench.prober.verdict("a").health is Health.UNKNOWN


@virtual_time
async def test_one_that_waits_for_room_too_long_becomes_stale_although_nothing_happens_to_it() -> None:
    async with probing(max_in_flight=1) as bench:
        bench.script(BlackHole(), port=81)
        bench.script(LISTENING)
        bench.prober.upsert([target("hog", port=81, timing=Timing(period=600.0, timeout=590.0)), target(timing=TIMING)])
        await bench.sleep(32 + SETTLED)
        assert stale(bench) == (True, True, 1)
        assert stale(bench, "hog")[:2] == (False, False)


@virtual_time
async def test_one_of_several_checks_is_enough() -> None:
    async with probing() as bench:
        bench.script(LISTENING)
        bench.script(NO_PORT, port=81)
        probes = tuple(Probe(TCP, TIMING, HOST, port) for port in (80, 81))
        bench.prober.upsert([Target("a", probes, immediate=True)])
        await bench.sleep(60)
        assert [evidence.stale for evidence in bench.prober.evidence("a")] == [False, True]
        assert stale(bench) == (True, True, 1)
        bench.prober.upsert([Target("a", probes[:1], immediate=True)])
        assert stale(bench) == (False, False, 0)


@virtual_time
async def test_what_is_left_behind_by_a_suspension_is_stale_until_it_is_probed_again() -> None:
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target(timing=TIMING, immediate=False)])
        await bench.sleep(20)
        stand_still(3600)
        assert stale(bench)[0]
        await bench.sleep(11)
        assert stale(bench) == (False, False, 0)
        assert bench.prober.verdict("a").health is Health.HEALTHY


@pytest.mark.parametrize(("stopped", "failures"), [(20.0, 3), (28.0, 2 + 3), (3600.0, 2 + 3)])
@virtual_time
async def test_failures_before_and_after_a_long_stop_are_not_in_a_row(stopped: float, failures: int) -> None:
    """Right after it, as when a laptop wakes up, the network is often not there yet."""
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target(timing=TIMING, immediate=False)])
        await bench.sleep(31)
        bench.script(Failing(errno.ECONNREFUSED))
        await bench.sleep(20)
        assert [(one.run, one.health) for one in bench.prober.evidence("a")] == [(-2, Health.HEALTHY)]
        stand_still(stopped)
        while bench.prober.verdict("a").health is Health.HEALTHY:
            await bench.sleep(1)
        assert bench.prober.evidence("a")[0].failed == failures


@virtual_time
async def test_an_attempt_that_lasted_through_a_long_stop_begins_no_run_either() -> None:
    """What was under way is answered meanwhile, and the next attempt is due at once."""
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target(timing=TIMING, immediate=False)])
        await bench.sleep(31)
        bench.script(Failing(errno.ECONNREFUSED, latency=1.0))
        while not bench.prober.stats.failed or not bench.prober.stats.in_flight:
            await bench.sleep(0.5)
        stand_still(3600)
        while bench.prober.verdict("a").health is Health.HEALTHY:
            await bench.sleep(0.5)
        assert bench.prober.evidence("a")[0].failed == 2 + 3


@virtual_time
async def test_what_failed_before_a_long_stop_and_not_after_it_is_told_to_fail_no_more() -> None:
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target(timing=TIMING, immediate=False)])
        await bench.sleep(31)
        bench.script(Failing(errno.ECONNREFUSED))
        await bench.sleep(20)
        assert bench.prober.drain_signs()[-1] == ("a", Sign(True, True))
        bench.script(LISTENING)
        stand_still(3600)
        await bench.sleep(11)
        assert bench.prober.drain_signs()[-1] == ("a", Sign(False, True))


@virtual_time
async def test_a_target_that_leaves_is_not_counted_and_one_that_comes_again_is_watched_again() -> None:
    async with probing() as bench:
        bench.script(NO_PORT)
        for _ in range(2):
            bench.prober.upsert([target(timing=TIMING)])
            await bench.sleep(60)
            assert bench.prober.stats.stale == 1
            bench.prober.remove(["a"])
            assert bench.prober.stats.stale == 0
            await bench.sleep(60)
            assert bench.prober.drain() == []


@virtual_time
async def test_a_target_that_leaves_while_others_are_looked_at_is_not_reported() -> None:
    async with probing(max_in_flight=1) as bench:
        bench.script(NO_PORT)
        names = [str(number) for number in range(3000)]
        bench.prober.upsert([target(name, timing=TIMING) for name in names])
        await bench.sleep(33)
        while not bench.prober.stats.stale:
            await bench.sleep(0.5)
        bench.prober.remove(names)
        await bench.sleep(SETTLED)
        assert bench.prober.drain() == []
        assert bench.prober.stats.stale == 0


@virtual_time
async def test_thousands_are_looked_at_in_portions_within_ten_seconds() -> None:
    async with probing() as bench:
        bench.script(Listening(latency=0.0))
        count = 25_000
        bench.prober.upsert([target(str(number), timing=TIMING) for number in range(count)])
        await bench.sleep(5)
        bench.script(NO_PORT)
        stand_still(60)
        seen = []
        for _ in range(22):
            await bench.sleep(0.5)
            seen.append(bench.prober.stats.stale)
        steps = [now - before for before, now in zip([0, *seen], seen, strict=False)]
        assert max(steps) <= 3000
        assert seen[-1] == count
