"""What happens to the prober's own process and machine: it is no evidence against any endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket

import pytest

from extsync.health.base import Check
from extsync.health.target import Evidence, Probe, Target, Timing
from extsync.model import Health
from extsync.seams import SystemClock
from tests.health.faults.apart import in_own_process
from tests.health.faults.kinds import Kinds
from tests.health.listeners import LOOPBACK, Live, answering, greeting, listening, live, silent, until
from tests.health.support import TCP, handshake, http, mysql, tcp, udp

pytestmark = pytest.mark.sockets

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
YEAR = 365.0 * 86400.0


# ---- out of descriptors ----------------------------------------------------------------------------------------------


@in_own_process
async def test_more_attempts_than_descriptors_wait_their_turn_and_leave_some_for_others() -> None:
    async with listening(greeting(b"220 ready\r\n")) as port:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
        async with live() as probing:
            once = Timing(period=600.0, timeout=0.5, failure_threshold=1)
            targets = [
                Target(f"{number}", (Probe(udp(), once, LOOPBACK, port),), immediate=True) for number in range(150)
            ]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
                mute.bind((LOOPBACK, port))
                probing.prober.upsert(targets)
                await until(lambda: probing.prober.stats.in_flight == 75)
                os.close(os.dup(0))  # there is room for files
                await until(lambda: probing.prober.stats.failed == 150)
            assert probing.prober.stats.attempts == 150


@in_own_process
async def test_without_any_descriptor_no_attempt_of_any_kind_concludes_anything() -> None:
    checks: list[Check] = [TCP, http(), handshake(), mysql(), udp(), tcp(expect="x")]
    async with listening(silent) as port, live() as probing:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
        held = []
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        timing = Timing(period=0.05, timeout=0.2, failure_threshold=1)
        for number, check in enumerate(checks):
            probing.prober.upsert([Target(f"{number}", (Probe(check, timing, LOOPBACK, port),), immediate=True)])
        await until(lambda: probing.prober.stats.skipped > 2 * len(checks))
        assert {verdict.health for _, verdict in probing.prober.drain()} <= {Health.UNKNOWN}
        assert probing.prober.evidence("0")[0].reason == "skipped: too many open files"
        assert probing.prober.stats.attempts == 0
        for descriptor in held:
            os.close(descriptor)
        await until(lambda: probing.prober.verdict("0").health is Health.HEALTHY)


# ---- clocks ----------------------------------------------------------------------------------------------------------


class Unsteady(SystemClock):
    """A clock that a test can put forward or back, or that goes on while the process stands still."""

    def __init__(self) -> None:
        self.step = 0.0
        self.slept = 0.0

    def wall(self) -> float:
        return super().wall() + self.step

    def monotonic(self) -> float:
        return super().monotonic() + self.slept


async def results(probing: Live, count: int) -> Evidence:
    """The evidence of the one probe there is after ``count`` more results."""
    wanted = probing.prober.stats.passed + probing.prober.stats.failed + count
    await until(lambda: probing.prober.stats.passed + probing.prober.stats.failed >= wanted)
    return probing.prober.evidence("it")[0]


@pytest.mark.parametrize("step", [10 * YEAR, -10 * YEAR], ids=["forward", "back"])
async def test_a_step_of_the_wall_clock_changes_no_verdict_and_no_rhythm(step: float) -> None:
    clock = Unsteady()
    async with listening(answering(OK)) as port, live(clock=clock) as probing:
        timing = Timing(period=0.02, timeout=5.0, failure_threshold=1)
        probing.prober.upsert([Target("it", (Probe(http(), timing, LOOPBACK, port),), immediate=True)])
        await results(probing, 3)
        healthy = probing.prober.verdict("it")
        clock.step = step
        evidence = await results(probing, 3)
        assert probing.prober.verdict("it") is healthy
        assert (evidence.failed, evidence.skipped) == (0, 0)
        assert evidence.latency is not None
        assert evidence.latency >= 0
        assert evidence.at is not None
        assert abs(evidence.at - clock.wall()) < YEAR  # as the clock says it now
    assert healthy.health is Health.HEALTHY


async def test_a_step_of_the_wall_clock_in_the_middle_of_an_attempt_does_not_end_it() -> None:
    clock = Unsteady()

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        clock.step = YEAR if len(steps) % 2 else -YEAR
        steps.append(clock.step)
        writer.write(OK)

    steps: list[float] = []
    async with listening(step) as port, live(clock=clock) as probing:
        assert await probing.passes(http(), port)
        assert await probing.passes(http(), port)
    assert steps == [-YEAR, YEAR]


async def test_a_certificate_is_judged_by_the_machine_s_clock_and_told_of_by_ours(kinds: Kinds) -> None:
    clock = Unsteady()
    clock.step = YEAR
    trusting = {"caFile": str(kinds.authority.certificate)}
    async with listening(greeting(b""), tls=kinds.context()) as port, live(clock=clock) as probing:
        target = Target("it", (Probe(handshake(tlsConfig=trusting), Timing(), LOOPBACK, port),), immediate=True)
        probing.prober.upsert([target])
        evidence = await results(probing, 1)
        assert evidence.health is Health.HEALTHY
        assert evidence.note.startswith("certificate expired ")


@pytest.mark.parametrize("seconds", [5.0, 86400.0])
async def test_what_a_suspended_machine_missed_is_no_evidence(seconds: float) -> None:
    clock = Unsteady()
    asked = asyncio.Event()

    async def answer_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if len(seen) != 1:
            writer.write(OK)
        else:
            asked.set()
            await reader.read()
        seen.append(1)

    seen: list[int] = []
    async with listening(answer_the_first) as port, live(clock=clock) as probing:
        timing = Timing(period=0.05, timeout=1.0, failure_threshold=1)
        probing.prober.upsert([Target("it", (Probe(http(), timing, LOOPBACK, port),), immediate=True)])
        await asked.wait()
        clock.slept = seconds  # the machine is suspended while an attempt waits for its answer
        evidence = await results(probing, 2)
        assert (evidence.failed, evidence.skipped) == (0, 1)
        assert probing.prober.verdict("it").health is Health.HEALTHY
        assert len(seen) < 20  # no burst makes up for what was missed


async def test_what_answers_while_the_process_stands_still_passes() -> None:
    clock = Unsteady()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        clock.slept = 0.7  # the deadline passes before the prober can look

    async with listening(answer) as port, live(clock=clock) as probing:
        assert await probing.passes(http(), port, timing=Timing(period=2.0, timeout=0.5, failure_threshold=1))
