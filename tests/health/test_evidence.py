"""What is known of a probe: its latest results and changes in words, in virtual time on a scripted network."""

from __future__ import annotations

import errno
import itertools
import pickle

import msgspec
import pytest

from extsync.health.base import Failed, Request, Result
from extsync.health.history import CHANGES, FORGOTTEN, RESULTS, TEXTS
from extsync.health.target import Evidence, Timing
from extsync.model import Health
from extsync.seams.virtual import EPOCH, virtual_time
from extsync.seams.virtual_net import REFUSING, BlackHole, Failing, Listening
from tests.health.support import TCP, Bench, http, probing, target


def evidence_of(bench: Bench, name: str = "a") -> Evidence:
    (evidence,) = bench.prober.evidence(name)
    return evidence


@virtual_time
async def test_each_result_is_told_with_its_time_its_latency_and_its_error_in_words() -> None:
    timing = Timing(period=10.0, timeout=2.0)
    async with probing() as bench:
        bench.script(Listening(latency=0.25))
        bench.prober.upsert([target(timing=timing)])
        await bench.sleep(5)
        bench.script(Failing(errno.EHOSTUNREACH, latency=0.125))
        await bench.sleep(10)
        bench.script(BlackHole())
        await bench.sleep(10)
        results = evidence_of(bench).results
        assert [result.failure for result in results] == [
            None,
            "no route to host",
            "timed out after 2 s connecting",
        ]
        assert [result.latency for result in results] == pytest.approx([0.25, 0.125, 2.0], abs=0.015)
        assert [result.at for result in results] == pytest.approx([EPOCH + 0.25, EPOCH + 10.125, EPOCH + 22], abs=0.03)


@virtual_time
async def test_only_the_latest_results_are_kept_and_they_agree_with_the_summary() -> None:
    async with probing() as bench:
        bench.script(Listening(answer=b"HTTP/1.1 503 Busy\r\n\r\n"))
        bench.prober.upsert([target(check=http(), timing=Timing(period=1.0))])
        await bench.sleep(60)
        evidence = evidence_of(bench)
        assert len(evidence.results) == RESULTS
        assert {result.failure for result in evidence.results} == {"503, expected 200-399"}
        last = evidence.results[-1]
        assert (last.at, last.latency, last.failure) == (evidence.at, evidence.latency, evidence.reason)


@virtual_time
async def test_what_was_skipped_is_no_result() -> None:
    async with probing() as bench:
        bench.script(Failing(errno.EADDRNOTAVAIL, latency=None))
        bench.prober.upsert([target()])
        await bench.sleep(5)
        evidence = evidence_of(bench)
        assert evidence.skipped > 0
        assert (evidence.results, evidence.changes, evidence.at, evidence.latency) == ((), (), None, None)


@virtual_time
async def test_changes_of_health_are_told_with_their_time_and_the_result_that_made_them() -> None:
    timing = Timing(period=1.0, failure_threshold=2)
    async with probing() as bench:
        bench.script(Listening(latency=0.0))
        bench.prober.upsert([target(timing=timing)])
        await bench.sleep(4.5)
        bench.script(Failing(latency=0.0))
        await bench.sleep(4)
        bench.script(Listening(latency=0.0))
        await bench.sleep(4)
        changes = evidence_of(bench).changes
        assert [(change.health, change.reason) for change in changes] == [
            (Health.HEALTHY, "passed"),
            (Health.UNHEALTHY, "connection refused"),
            (Health.HEALTHY, "passed"),
        ]
        assert [change.at for change in changes] == pytest.approx([EPOCH, EPOCH + 6, EPOCH + 9], abs=0.02)


@virtual_time
async def test_of_an_endpoint_that_flaps_the_latest_changes_are_kept() -> None:
    async with probing() as bench:
        bench.prober.upsert([target(timing=Timing(period=1.0, failure_threshold=1))])
        await bench.sleep(0.5)
        for number in range(40):
            bench.script(REFUSING if number % 2 else Listening())
            await bench.sleep(1)
        changes = evidence_of(bench).changes
        assert len(changes) == CHANGES
        assert [change.health for change in changes] == [Health.UNHEALTHY, Health.HEALTHY] * 2 + [Health.UNHEALTHY]


class Unrepeatable:
    """A plugin that fails with something new each time."""

    numbers = itertools.count()
    request, awaited, describe = TCP.request, TCP.awaited, TCP.describe

    def __init__(self) -> None:
        self.request = lambda host, port: Request(port, b"?", listens=True)  # type: ignore[method-assign]

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        return Failed(f"request {next(self.numbers)} took too long: {'x' * 100}")


@virtual_time
async def test_errors_without_end_are_forgotten_but_for_the_latest_of_each_probe() -> None:
    check = Unrepeatable()
    timing = Timing(period=1.0, failure_threshold=1)
    async with probing() as bench:
        bench.script(Listening(answer=b"!"))
        count = TEXTS // 4
        bench.prober.upsert([target(str(number), check=check, timing=timing) for number in range(count)])
        await bench.sleep(7.5)
        oldest, *_, latest = (result.failure for result in evidence_of(bench, "0").results)
        assert oldest == FORGOTTEN
        assert latest is not None
        assert latest.startswith("request ")
        assert evidence_of(bench, "0").reason == latest


@virtual_time
async def test_evidence_can_be_sent_to_another_process() -> None:
    async with probing() as bench:
        bench.script(Listening())
        bench.prober.upsert([target()])
        await bench.sleep(3.5)
        bench.script(REFUSING)
        await bench.sleep(5)
        evidence = evidence_of(bench)
        assert pickle.loads(pickle.dumps(evidence)) == evidence
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(evidence), type=Evidence) == evidence


@virtual_time
async def test_a_step_of_the_wall_clock_moves_all_times_together_and_no_probe() -> None:
    async with probing() as bench:
        bench.script(Listening(latency=0.0))
        bench.prober.upsert([target(timing=Timing(period=10.0))])
        await bench.sleep(35)
        bench.clock.skew = -86_400.0
        await bench.sleep(30)
        bench.clock.skew = 3600.0
        await bench.sleep(10)
        evidence = evidence_of(bench)
        assert bench.times() == pytest.approx([10.0 * number for number in range(8)], abs=0.011)
        assert [result.at for result in evidence.results] == pytest.approx(
            [EPOCH + 3600 + 10.0 * number for number in range(8)], abs=0.011
        )
        assert bench.prober.verdict("a").health is Health.HEALTHY
        assert not evidence.stale
        assert (evidence.failed, evidence.skipped, bench.prober.stats.stale) == (0, 0, 0)
