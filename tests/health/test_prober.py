"""What the prober concludes and reports, in virtual time on a scripted network."""

from __future__ import annotations

import errno

import pytest

from extsync.health.target import Probe, Target, Timing
from extsync.model import UNKNOWN, Health
from extsync.seams.virtual import EPOCH, virtual_time
from extsync.seams.virtual_net import REFUSING, BlackHole, Failing, Listening
from tests.health.support import EVERY_SECOND, HOST, LISTENING, TCP, http, probing, target, tcp


@virtual_time
async def test_an_endpoint_that_answers_is_healthy_and_one_that_refuses_is_not() -> None:
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target("up"), target("down", port=81)])
        await bench.sleep(2.5)
        verdicts = dict(bench.prober.drain())
        assert verdicts["up"].health is Health.HEALTHY
        assert verdicts["up"].reason == "tcpSocket 192.0.2.1:80: passed"
        assert verdicts["down"].health is Health.UNHEALTHY
        assert verdicts["down"].reason == "tcpSocket 192.0.2.1:81: connection refused"
        assert verdicts["down"].since == pytest.approx(EPOCH + 2.001)


@virtual_time
async def test_a_verdict_takes_as_many_equal_results_in_a_row_as_its_threshold_says() -> None:
    timing = Timing(period=1.0, success_threshold=3, failure_threshold=2)
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target(timing=timing)])
        await bench.sleep(1.5)
        assert bench.prober.verdict("a") is UNKNOWN
        await bench.sleep(1)
        assert bench.prober.verdict("a").health is Health.HEALTHY
        bench.script(REFUSING)
        await bench.sleep(1)
        assert bench.prober.verdict("a").health is Health.HEALTHY
        await bench.sleep(1)
        assert bench.prober.verdict("a").health is Health.UNHEALTHY


@virtual_time
async def test_one_glitch_below_the_threshold_changes_nothing_and_starts_the_count_again() -> None:
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target()])
        await bench.sleep(0.5)
        bench.prober.drain()
        for _ in range(3):  # two failures, one success, and again
            bench.script(REFUSING)
            await bench.sleep(2)
            bench.script(LISTENING)
            await bench.sleep(1)
        assert bench.prober.drain() == []
        assert bench.prober.stats.failed == 6


@virtual_time
async def test_a_black_hole_fails_at_its_time_out_and_says_what_it_was_waiting_for() -> None:
    async with probing() as bench:
        bench.script(BlackHole())
        bench.script(Listening(answer=b"HTTP/1.1 200 OK\r\n"), port=81)
        bench.script(Listening(), port=82)
        bench.prober.upsert(
            [
                target("silent"),
                target("half", check=http(path="/healthz?token=secret"), port=81),
                target("mute", check=tcp(expect="+PONG"), port=82),
            ]
        )
        await bench.sleep(3.5)
        reasons = {name: verdict.reason for name, verdict in bench.prober.drain()}
        assert reasons == {
            "silent": "tcpSocket 192.0.2.1:80: timed out after 1 s connecting",
            "half": "httpGet http://192.0.2.1:81/healthz: timed out after 1 s waiting for headers",
            "mute": "tcpSocket 192.0.2.1:82: timed out after 1 s waiting for '+PONG'",
        }


@virtual_time
async def test_a_failure_shows_within_period_times_threshold_plus_time_out() -> None:
    timing = Timing(period=10.0, timeout=2.0, failure_threshold=3)
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target(timing=timing)])
        await bench.sleep(25)
        bench.prober.drain()
        bench.script(BlackHole())
        broken = bench.clock.wall()
        await bench.sleep(3 * 10 + 2.1)
        ((_, verdict),) = bench.prober.drain()
        assert verdict.health is Health.UNHEALTHY
        assert verdict.since <= broken + 3 * 10 + 2.1


@virtual_time
async def test_only_transitions_come_out_each_target_once_with_its_latest_verdict() -> None:
    timing = Timing(period=1.0, failure_threshold=1)
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target(timing=timing)])
        await bench.sleep(0.5)
        bench.script(REFUSING)
        await bench.sleep(1)
        bench.script(LISTENING)
        await bench.sleep(100)
        drained = bench.prober.drain()
        assert [(name, verdict.health) for name, verdict in drained] == [("a", Health.HEALTHY)]
        assert drained[0][1].since == pytest.approx(EPOCH + 2.001)
        assert bench.prober.drain() == []
        assert bench.prober.stats.failed == 1


@virtual_time
async def test_wake_is_called_once_until_somebody_drains() -> None:
    async with probing() as bench:
        bench.prober.upsert(
            [target(str(number), timing=Timing(period=1.0, failure_threshold=1)) for number in range(50)]
        )
        await bench.sleep(5)
        assert bench.wakes == 1
        assert len(bench.prober.drain()) == 50
        await bench.sleep(5)
        assert bench.wakes == 1
        bench.script(LISTENING)
        await bench.sleep(5)
        assert bench.wakes == 2


@virtual_time
async def test_all_probes_of_a_target_must_pass_and_the_reason_names_the_one_that_fails() -> None:
    probes = tuple(Probe(TCP, EVERY_SECOND, HOST, port) for port in (80, 81, 82))
    async with probing() as bench:
        bench.script(LISTENING)
        bench.script(LISTENING, port=81)
        bench.script(Listening(latency=0.9), port=82)
        bench.prober.upsert([Target("a", probes, immediate=True)])
        await bench.sleep(0.5)
        assert bench.prober.verdict("a").health is Health.UNKNOWN
        await bench.sleep(0.5)
        assert bench.prober.verdict("a").health is Health.HEALTHY
        assert bench.prober.verdict("a").reason == "all 3 checks pass"
        bench.script(Failing(errno.EHOSTUNREACH), port=81)
        await bench.sleep(4)
        assert bench.prober.verdict("a").health is Health.UNHEALTHY
        assert bench.prober.verdict("a").reason == "tcpSocket 192.0.2.1:81: no route to host"


@virtual_time
async def test_when_another_check_takes_over_as_the_failing_one_the_reason_changes_without_a_transition() -> None:
    timing = Timing(period=1.0, failure_threshold=1)
    probes = tuple(Probe(TCP, timing, HOST, port) for port in (80, 81))
    async with probing() as bench:
        bench.prober.upsert([Target("a", probes, immediate=True)])
        await bench.sleep(0.5)
        ((_, verdict),) = bench.prober.drain()
        assert verdict.reason == "tcpSocket 192.0.2.1:80: connection refused"
        bench.script(LISTENING)
        await bench.sleep(1)
        assert bench.prober.drain() == []
        assert bench.prober.verdict("a").reason == "tcpSocket 192.0.2.1:81: connection refused"
        assert bench.prober.verdict("a").since == verdict.since


@virtual_time
async def test_upserting_an_unchanged_target_changes_nothing() -> None:
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target()])
        await bench.sleep(0.5)
        before = bench.prober.drain()[0][1]
        for _ in range(20):
            bench.prober.upsert([target(check=tcp())])  # an equal check, made anew as by a reload
            await bench.sleep(0.5)
        assert bench.prober.verdict("a") is before
        assert bench.prober.drain() == []
        assert bench.times() == pytest.approx([float(second) for second in range(11)], abs=0.011)


@pytest.mark.parametrize(
    "changed",
    [
        target(timing=Timing(period=1.0, failure_threshold=2)),
        target(check=tcp(expect="x")),
        target(port=81),
        target(host="192.0.2.2"),
    ],
    ids=["timing", "check", "port", "host"],
)
@virtual_time
async def test_a_changed_probe_starts_from_unknown_with_thresholds_counted_from_zero(changed: Target) -> None:
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target()])
        await bench.sleep(0.5)
        bench.prober.drain()
        bench.prober.upsert([changed])
        ((_, verdict),) = bench.prober.drain()
        assert verdict.health is Health.UNKNOWN
        bench.script(REFUSING)
        bench.script(REFUSING, port=81)
        threshold = changed.probes[0].timing.failure_threshold
        await bench.sleep(threshold - 1.5)
        assert bench.prober.verdict("a").health is Health.UNKNOWN
        await bench.sleep(2)
        assert bench.prober.verdict("a").health is Health.UNHEALTHY


@virtual_time
async def test_a_probe_that_is_added_or_dropped_leaves_the_others_as_they_are() -> None:
    kept, other = Probe(TCP, EVERY_SECOND, HOST, 80), Probe(TCP, EVERY_SECOND, HOST, 81)
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([Target("a", (kept,), immediate=True)])
        await bench.sleep(10.5)
        bench.prober.upsert([Target("a", (other, kept), immediate=True)])
        assert bench.prober.verdict("a").health is Health.UNKNOWN
        await bench.sleep(5)
        assert bench.prober.verdict("a").reason == "tcpSocket 192.0.2.1:81: connection refused"
        bench.prober.upsert([Target("a", (kept,), immediate=True)])
        assert bench.prober.verdict("a").health is Health.HEALTHY
        await bench.sleep(3)
        assert bench.prober.evidence("a")[0].passed == 19
        assert bench.times() == pytest.approx([float(second) for second in range(19)], abs=0.011)
        assert len(bench.times(port=81)) == 6


@virtual_time
async def test_a_removed_target_is_no_longer_probed_nor_reported() -> None:
    async with probing() as bench:
        bench.script(BlackHole(), port=81)
        bench.script(LISTENING)
        bench.prober.upsert([target("a"), target("in flight", port=81)])
        await bench.sleep(0.5)
        assert bench.net.open_sockets == 1
        bench.prober.remove(["a", "in flight", "never heard of"])
        assert bench.net.open_sockets == 0
        assert bench.prober.drain() == []
        assert bench.prober.verdict("a") is UNKNOWN
        assert bench.prober.evidence("a") == ()
        await bench.sleep(10)
        assert bench.prober.stats.attempts == 2


@virtual_time
async def test_what_happens_on_a_connection_that_was_given_up_is_not_taken_for_its_successor() -> None:
    async with probing() as bench:
        bench.script(Listening(latency=0.5))
        bench.script(BlackHole(), port=81)
        bench.prober.upsert([target("gone")])
        await bench.sleep(0.3)
        bench.prober.remove(["gone"])
        bench.prober.upsert([target("next", port=81)])  # its socket gets the number that was free
        await bench.sleep(0.5)
        assert bench.prober.stats.passed == 0
        await bench.sleep(3)
        assert bench.prober.verdict("next").health is Health.UNHEALTHY


@virtual_time
async def test_evidence_tells_of_the_last_result_with_its_time_and_counts() -> None:
    timing = Timing(period=2.0, timeout=1.0)
    async with probing() as bench:
        bench.script(Listening(latency=0.25))
        bench.prober.upsert([target(timing=timing)])
        assert bench.prober.evidence("a")[0].reason == "not probed yet"
        await bench.sleep(3)
        bench.script(Failing(errno.ENETUNREACH))
        await bench.sleep(3)
        (evidence,) = bench.prober.evidence("a")
        assert (evidence.check, evidence.reason) == ("tcpSocket 192.0.2.1:80", "network is unreachable")
        assert (evidence.health, evidence.run) == (Health.HEALTHY, -1)
        assert (evidence.passed, evidence.failed, evidence.skipped) == (2, 1, 0)
        assert evidence.latency == pytest.approx(0.001)
        assert evidence.at == pytest.approx(EPOCH + 4.001)


@pytest.mark.parametrize("wrong", [Target("a", ()), target(host="db.example.com"), target(host="::1%lo")])
@virtual_time
async def test_a_target_that_cannot_be_probed_is_refused_and_the_one_there_is_stays(wrong: Target) -> None:
    async with probing() as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target()])
        with pytest.raises(ValueError, match="target a"):
            bench.prober.upsert([wrong])
        await bench.sleep(1.5)
        assert bench.prober.stats.passed == 2


@virtual_time
async def test_closing_ends_everything_at_once() -> None:
    async with probing() as bench:
        bench.script(BlackHole())
        bench.prober.upsert([target("a"), target("b", immediate=False)])
        await bench.sleep(0.5)
        await bench.prober.close()
        await bench.sleep(100)
        assert bench.prober.stats.attempts == 1
        assert bench.prober.drain() == []
