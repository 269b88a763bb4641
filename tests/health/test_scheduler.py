"""When probes start and what does not count, in virtual time on a scripted network."""

from __future__ import annotations

import asyncio
import errno
from collections import Counter

import pytest

from extsync.health.base import Failed, Request, Result
from extsync.health.target import Probe, Target, Timing
from extsync.health.tls import Tls
from extsync.model import UNKNOWN, Health
from extsync.seams.virtual import stand_still, virtual_time
from extsync.seams.virtual_net import REFUSING, BlackHole, Failing, Listening
from tests.health.support import LISTENING, TCP, Bench, probing, target

TICK = 0.0101


def hosts(count: int) -> list[str]:
    return [f"198.51.{number >> 8}.{number & 255}" for number in range(count)]


def spread(count: int, timing: Timing, *, immediate: bool = False) -> list[Target]:
    return [target(host, host=host, timing=timing, immediate=immediate) for host in hosts(count)]


async def first_starts(count: int, timing: Timing) -> list[float]:
    async with probing() as bench:
        bench.prober.upsert(spread(count, timing))
        await bench.sleep(timing.initial_delay + timing.period + 1)
        return [bench.times(host)[0] for host in hosts(count)]


@virtual_time
async def test_first_probes_are_spread_over_a_period_after_the_initial_delay() -> None:
    starts = await first_starts(2000, Timing(initial_delay=5.0, period=10.0))
    assert min(starts) >= 5.0
    assert max(starts) <= 15.0 + TICK
    by_second = Counter(int(start) for start in starts)
    assert all(120 <= by_second[second] <= 280 for second in range(5, 15))


@virtual_time
async def test_immediate_ones_are_all_probed_at_once_whatever_their_delay_and_period() -> None:
    timing = Timing(initial_delay=60.0, period=600.0)
    async with probing() as bench:
        for host in hosts(3000):
            bench.script(Listening(latency=0.001), host)
        bench.prober.upsert(spread(3000, timing, immediate=True))
        await bench.sleep(0.05)
        assert bench.prober.stats.passed == 3000
        assert bench.prober.stats.skipped == 0


@virtual_time
async def test_each_check_of_an_endpoint_has_a_place_in_the_period_of_its_own() -> None:
    timing = Timing(period=10.0)
    async with probing() as bench:
        probes = tuple(Probe(TCP, timing, "192.0.2.1", port) for port in range(1, 9))
        bench.prober.upsert([Target("a", probes)])
        await bench.sleep(11)
        starts = [bench.times(port=port)[0] for port in range(1, 9)]
        assert len({int(start) for start in starts}) >= 4
        assert max(starts) - min(starts) > 5.0


@virtual_time
async def test_probes_never_take_more_descriptors_than_the_limit_leaves_them() -> None:
    async with probing(descriptor_limit=40) as bench:
        for host in hosts(100):
            bench.script(BlackHole(), host)
        bench.prober.upsert(spread(100, Timing(period=10.0, timeout=5.0), immediate=True))
        await bench.sleep(1)
        stats = bench.prober.stats
        assert (stats.in_flight, stats.waiting, bench.net.open_sockets) == (30, 70, 30)
        await bench.sleep(20)
        assert bench.prober.stats.failed >= 100
        assert bench.net.open_sockets <= 30


@virtual_time
async def test_the_place_in_the_period_is_the_same_after_a_restart() -> None:
    timing = Timing(period=10.0)
    first = await first_starts(50, timing)
    offset = asyncio.get_running_loop().time()
    assert [start - offset for start in await first_starts(50, timing)] == pytest.approx(first, abs=TICK)


@pytest.mark.parametrize("period", [60.0, 86400.0])
@virtual_time
async def test_a_long_period_does_not_put_the_first_attempt_off_and_keeps_its_place(period: float) -> None:
    timing = Timing(period=period)
    async with probing() as bench:
        for host in hosts(50):
            bench.script(LISTENING, host)
        bench.prober.upsert(spread(50, timing))
        await bench.sleep(2.5 * period)
        times = [bench.times(host) for host in hosts(50)]
    assert all(first <= 10.0 + TICK for first, *_ in times)
    assert max(second for _, second, *_ in times) > period / 2
    assert all(third - second == pytest.approx(period, abs=TICK) for _, second, third, *_ in times)


@virtual_time
async def test_periods_do_not_drift_over_hours_whatever_an_attempt_takes() -> None:
    async with probing() as bench:
        bench.script(Listening(latency=0.737))
        bench.prober.upsert([target(timing=Timing(period=7.0), immediate=False)])
        await bench.sleep(4 * 3600)
        times = bench.times()
        assert len(times) in (2057, 2058)
        phase = times[0]
        assert all(abs(start - phase - 7.0 * number) < TICK for number, start in enumerate(times))


@virtual_time
async def test_hours_of_many_endpoints_pass_without_a_missed_or_doubled_probe() -> None:
    timing = Timing(period=30.0)
    async with probing() as bench:
        for host in hosts(50):
            bench.script(LISTENING, host)
        bench.prober.upsert(spread(50, timing))
        await bench.sleep(6 * 3600)
        assert {len(bench.times(host)) for host in hosts(50)} == {721}  # with the one that comes early
        assert bench.prober.stats.skipped == 0


@virtual_time
async def test_probes_come_faster_while_the_verdict_is_about_to_change() -> None:
    timing = Timing(period=10.0, transition_period=2.0, success_threshold=2)
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target(timing=timing)])
        await bench.sleep(25)
        assert bench.times() == pytest.approx([0, 2, 12, 22], abs=TICK)
        bench.script(REFUSING)
        await bench.sleep(35)  # fails at 32, 34 and 36
        assert bench.times()[4:] == pytest.approx([32, 34, 36, 46, 56], abs=TICK)
        assert bench.prober.verdict("a").health is Health.UNHEALTHY


@virtual_time
async def test_an_attempt_that_outlasts_its_period_is_followed_by_the_next_at_once_and_never_overlaps() -> None:
    async with probing() as bench:
        bench.script(BlackHole())
        bench.prober.upsert([target(timing=Timing(period=1.0, timeout=2.5, failure_threshold=3))])
        await bench.sleep(8)
        assert bench.times() == pytest.approx([0, 2.5, 5.0, 7.5], abs=0.05)
        assert bench.net.open_sockets == 1
        assert bench.prober.verdict("a").health is Health.UNHEALTHY


@virtual_time
async def test_a_time_out_as_long_as_the_transition_period_does_not_halve_its_pace() -> None:
    timing = Timing(period=10.0, timeout=1.0, transition_period=1.0)
    async with probing() as bench:
        bench.script(BlackHole())
        bench.prober.upsert([target(timing=timing)])
        await bench.sleep(3.2)
        assert bench.prober.verdict("a").health is Health.UNHEALTHY


@virtual_time
async def test_black_holes_delay_no_other_endpoint() -> None:
    timing = Timing(period=1.0)
    async with probing() as bench:
        bench.script(LISTENING)
        for host in hosts(500):
            bench.script(BlackHole(), host)
        bench.prober.upsert([*spread(500, timing), target("healthy", timing=timing, immediate=False)])
        await bench.sleep(100)
        times = bench.times()
        assert len(times) == 100
        assert all(abs(start - times[0] - number) < TICK for number, start in enumerate(times))
        assert bench.prober.evidence("healthy")[0].failed == 0


@virtual_time
async def test_what_exceeds_the_cap_waits_its_turn_and_is_no_evidence() -> None:
    async with probing(max_in_flight=10) as bench:
        for host in hosts(35):
            bench.script(Listening(latency=0.5), host)
        bench.prober.upsert(spread(35, Timing(period=10.0), immediate=True))
        await bench.sleep(0.25)
        assert (bench.prober.stats.in_flight, bench.prober.stats.waiting) == (10, 25)
        await bench.sleep(1.5)
        assert bench.prober.stats.passed == 30
        await bench.sleep(0.5)
        assert bench.prober.stats.passed == 35
        assert all(len(bench.times(host)) == 1 for host in hosts(35))


@virtual_time
async def test_under_a_full_outage_beyond_the_cap_skipped_probes_are_counted_and_everyone_gets_a_turn() -> None:
    async with probing(max_in_flight=20) as bench:
        for host in hosts(100):
            bench.script(BlackHole(), host)
        bench.prober.upsert(spread(100, Timing(period=1.0, timeout=1.0)))
        await bench.sleep(60)
        stats = bench.prober.stats
        assert stats.skipped > 0
        assert stats.in_flight == 20
        assert stats.attempts <= 20 * 61
        assert stats.attempts == stats.failed + stats.in_flight
        assert min(len(bench.times(host)) for host in hosts(100)) >= 8


@virtual_time
async def test_one_that_waits_can_be_removed_and_those_behind_it_move_up() -> None:
    async with probing(max_in_flight=1) as bench:
        for host in hosts(4):
            bench.script(Listening(latency=0.1), host)
        bench.prober.upsert(spread(4, Timing(period=10.0), immediate=True))
        await bench.sleep(0.05)
        bench.prober.remove(hosts(4)[:2])  # the one in flight and the first that waits
        await bench.sleep(0.12)
        assert [bench.prober.verdict(host).health for host in hosts(4)[2:]] == [Health.HEALTHY, Health.UNKNOWN]
        assert bench.times(hosts(4)[1]) == []


@virtual_time
async def test_a_herd_starts_in_portions_between_which_the_loop_runs_others() -> None:
    turn = 0
    starts: Counter[int] = Counter()

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async with probing() as bench:
        others = asyncio.create_task(count_turns())
        bench.on_start = lambda: starts.update([turn])
        bench.prober.upsert(spread(1500, Timing(period=10.0), immediate=True))
        for _ in range(20):
            await asyncio.sleep(0)
        others.cancel()
    assert sum(starts.values()) == 1500
    assert max(starts.values()) <= 256


class WithoutItsFiles:
    """A check whose TLS files have gone, as they may have where it was sent to another process."""

    def request(self, host: str, port: int) -> Request:
        return Request(port, tls=Tls(ca_file="/nonexistent/ca.pem"), server_name=host)

    judge, awaited, describe = TCP.judge, TCP.awaited, TCP.describe


@virtual_time
async def test_a_fault_of_our_own_is_no_evidence() -> None:
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target(check=WithoutItsFiles(), timing=Timing(period=10.0, failure_threshold=1))])
        await bench.sleep(30)
        (evidence,) = bench.prober.evidence("a")
        assert evidence.reason.startswith("skipped: no TLS context: ")
        assert bench.prober.verdict("a") is UNKNOWN
        assert evidence.failed == 0


class Broken:
    """A plugin with a bug in one of its methods."""

    def __init__(self, where: str) -> None:
        self._where = where

    def request(self, host: str, port: int) -> Request:
        self._fail("request")
        return Request(port, b"?", listens=True)

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        self._fail("judge")
        return Failed("no") if received == b"no" else None

    def awaited(self, request: Request, received: bytes) -> str:
        self._fail("awaited")
        return "anything"

    def describe(self, host: str, port: int) -> str:
        self._fail("describe")
        return "broken"

    def _fail(self, where: str) -> None:
        if where == self._where:
            raise ZeroDivisionError("oops")


@pytest.mark.parametrize("where", ["request", "judge"])
@virtual_time
async def test_an_error_of_a_plugin_is_no_evidence_and_harms_no_other_endpoint(where: str) -> None:
    timing = Timing(period=5.0, failure_threshold=1)
    async with probing() as bench:
        bench.script(Listening(answer=b"no"))
        bench.prober.upsert([target("broken", check=Broken(where), timing=timing)])
        bench.prober.upsert([target(str(number), timing=timing) for number in range(50)])
        await bench.sleep(12)
        assert bench.prober.verdict("broken") is UNKNOWN
        assert bench.prober.evidence("broken")[0].reason == (
            "skipped: the check itself failed: ZeroDivisionError: oops"
        )
        assert all(bench.prober.evidence(str(number))[0].passed == 3 for number in range(50))


@pytest.mark.parametrize(
    ("where", "answer", "reason"),
    [
        ("awaited", b"", "broken: timed out after 1 s (the check itself failed: ZeroDivisionError: oops)"),
        ("describe", b"no", "Broken 192.0.2.1:80: no"),
    ],
)
@virtual_time
async def test_a_plugin_that_fails_only_to_explain_itself_still_counts(where: str, answer: bytes, reason: str) -> None:
    async with probing() as bench:
        bench.script(Listening(answer=answer))
        bench.prober.upsert([target(check=Broken(where), timing=Timing(failure_threshold=1))])
        await bench.sleep(2)
        assert bench.prober.verdict("a").reason == reason


@pytest.mark.parametrize("descriptors", [0, 3])
@virtual_time
async def test_without_descriptors_nothing_is_concluded_and_nobody_storms(descriptors: int) -> None:
    async with probing(descriptors=descriptors) as bench:
        for host in hosts(50):
            bench.script(BlackHole(), host)
        bench.prober.upsert(spread(50, Timing(period=1.0, timeout=5.0)))
        await bench.sleep(4)
        stats = bench.prober.stats
        assert (stats.passed, stats.failed, stats.in_flight) == (0, 0, descriptors)
        assert stats.skipped >= 50 - descriptors
        assert stats.skipped <= 50 + 4 * 11  # every one when it was due, and a try each tenth of a second
        assert "skipped: too many open files" in {bench.prober.evidence(host)[0].reason for host in hosts(50)}


@virtual_time
async def test_once_there_are_descriptors_again_everybody_is_probed() -> None:
    async with probing(descriptors=0) as bench:
        for host in hosts(50):
            bench.script(LISTENING, host)
        bench.prober.upsert(spread(50, Timing(period=1.0)))
        await bench.sleep(3)
        bench.net.descriptors = 1000
        await bench.sleep(1)
        assert all(bench.prober.verdict(host).health is Health.HEALTHY for host in hosts(50))
        assert bench.prober.stats.waiting == 0


@virtual_time
async def test_with_no_port_left_towards_one_endpoint_that_one_is_tried_a_second_later_and_others_go_on() -> None:
    async with probing() as bench:
        bench.script(Failing(errno.EADDRNOTAVAIL, latency=None), port=81)
        bench.script(LISTENING)
        timing = Timing(period=5.0, failure_threshold=1)
        bench.prober.upsert([target("starved", port=81, timing=timing), target("other", timing=timing)])
        await bench.sleep(10.5)
        (evidence,) = bench.prober.evidence("starved")
        assert bench.prober.verdict("starved") is UNKNOWN
        assert evidence.reason == "skipped: cannot assign requested address"
        assert (evidence.failed, evidence.skipped) == (0, 11)
        assert bench.times() == pytest.approx([0, 5, 10], abs=TICK)
        assert bench.prober.stats.attempts == 3
        bench.script(LISTENING, port=81)
        await bench.sleep(1)
        assert bench.prober.verdict("starved").health is Health.HEALTHY


async def _running(bench: Bench, count: int, period: float) -> None:
    for host in hosts(count):
        bench.script(LISTENING, host)
    bench.prober.upsert(spread(count, Timing(period=period)))
    await bench.sleep(2 * period)
    bench.prober.drain()


@pytest.mark.parametrize("seconds", [30.0, 3600.0, 86_400.0])
@virtual_time
async def test_after_a_suspension_probes_go_on_in_their_phase_without_a_burst_or_a_false_failure(
    seconds: float,
) -> None:
    async with probing() as bench:
        await _running(bench, 300, 10.0)
        phases = {host: bench.times(host)[0] % 10.0 for host in hosts(300)}
        bench.script(BlackHole(), hosts(1)[0])
        stand_still(seconds)
        woken = bench.clock.monotonic()
        await bench.sleep(10.02)
        later = {host: [start for start in bench.times(host) if start >= woken] for host in hosts(300)}
        assert all(1 <= len(starts) <= 2 for starts in later.values())
        assert max(Counter(int(start * 10) for starts in later.values() for start in starts).values()) < 20
        for host, starts in later.items():
            assert abs((starts[0] - phases[host] + 5.0) % 10.0 - 5.0) < 2 * TICK
        assert {bench.prober.verdict(host).health for host in hosts(300)} == {Health.HEALTHY}
        assert bench.prober.stats.skipped >= 290


@virtual_time
async def test_a_deadline_that_passed_while_the_process_was_stopped_is_no_evidence() -> None:
    async with probing() as bench:
        bench.script(BlackHole())
        bench.prober.upsert([target(timing=Timing(period=10.0, failure_threshold=1))])
        await bench.sleep(0.5)
        stand_still(5.0)
        await bench.sleep(1)
        assert bench.prober.verdict("a") is UNKNOWN
        assert bench.prober.evidence("a")[0].reason == "skipped: the prober was held up"
        assert bench.net.open_sockets == 0
        await bench.sleep(10)
        assert bench.prober.verdict("a").health is Health.UNHEALTHY


@virtual_time
async def test_an_answer_that_came_while_the_loop_was_held_up_counts_although_its_deadline_has_passed() -> None:
    async with probing() as bench:
        bench.script(Listening(latency=0.8))
        bench.prober.upsert([target(timing=Timing(period=10.0, failure_threshold=1))])
        await bench.sleep(0.5)
        stand_still(1.2)
        await bench.sleep(0.1)
        assert bench.prober.verdict("a").health is Health.HEALTHY


@virtual_time
async def test_a_flapping_endpoint_is_reported_each_time_its_thresholds_are_met() -> None:
    timing = Timing(period=1.0, success_threshold=2, failure_threshold=2)
    async with probing() as bench:
        bench.prober.upsert([target(timing=timing)])
        seen = []
        for number in range(40):
            bench.script(LISTENING if number % 2 else REFUSING)
            await bench.sleep(3)
            seen += [verdict.health for _, verdict in bench.prober.drain()]
        assert seen == [Health.UNHEALTHY, Health.HEALTHY] * 20
