"""Workers that die, hang, cannot start or are given what they cannot use: verdicts stay, and the others go on."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Hashable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from extsync.health.target import Probe, Target, Timing
from extsync.health.workers import shard
from extsync.health.workers.pool import ProberPool
from extsync.model import Health
from extsync.seams import SystemClock
from extsync.seams.child import launch
from tests.health.listeners import LOOPBACK, listening, nobody, silent, sockets_open
from tests.health.workers.checks import Crashing, Hanging, Lossy, Moody, Plain, Raising, Unpicklable
from tests.health.workers.support import PLAIN, eventually, gone, running, target

pytestmark = pytest.mark.sockets

PATIENT = Timing(period=0.2, timeout=5.0, failure_threshold=20)
QUICK = 0.2
"""Seconds between two questions whether a worker is there, where a test waits for it to be found stuck."""


async def test_a_worker_reports_verdicts_and_what_changes_them() -> None:
    async with running(workers=2) as pool:
        with nobody() as free:
            pool.pool.upsert([target("down", free)])
            verdict = await pool.becomes("down", Health.UNHEALTHY)
            assert verdict.reason.endswith("connection refused")
            async with listening(silent) as port:
                pool.pool.upsert([target(f"up {number}", port) for number in range(10)])
                for number in range(10):
                    await pool.becomes(f"up {number}", Health.HEALTHY)
            for number in range(10):
                await pool.becomes(f"up {number}", Health.UNHEALTHY)
        stats = pool.pool.stats
        assert (stats.targets, stats.workers, stats.replaced) == (11, 2, 0)
        assert pool.wakes <= len(pool.told)
        await eventually(lambda: pool.pool.stats.passed >= 10 and pool.pool.stats.failed >= 11)


async def test_a_target_that_was_killed_mid_threshold_keeps_its_verdict_and_counts_from_zero() -> None:
    async with running() as pool:
        async with listening(silent) as port:
            pool.pool.upsert([target("a", port, timing=PATIENT)])
            before = await pool.becomes("a", Health.HEALTHY)
        await pool.known("a", lambda evidence: evidence.run < 0)
        os.kill(pool.pids[0], signal.SIGKILL)
        await pool.replaced()
        assert pool.pool.verdict("a") == before
        assert pool.told == [("a", Health.HEALTHY)]
        assert (await pool.evidence("a")).failed < PATIENT.failure_threshold
        assert (await pool.evidence("a")).passed == 0
        await pool.becomes("a", Health.UNHEALTHY)
        assert (await pool.evidence("a")).failed >= PATIENT.failure_threshold
        assert pool.told == [("a", Health.HEALTHY), ("a", Health.UNHEALTHY)]


async def test_what_a_replacement_finds_as_it_was_is_no_transition() -> None:
    async with running(workers=2) as pool, listening(silent) as port:
        names = [f"t{number}" for number in range(20)]
        pool.pool.upsert([target(name, port) for name in names])
        for name in names:
            await pool.becomes(name, Health.HEALTHY)
        since = {name: pool.pool.verdict(name).since for name in names}
        pool.told.clear()
        for pid in pool.pids:
            os.kill(pid, signal.SIGKILL)
        await pool.replaced(2)
        for name in names:
            await pool.known(name, lambda evidence: evidence.passed > 0)
        pool.collect()
        assert pool.told == []
        assert {name: pool.pool.verdict(name).since for name in names} == since


async def test_a_replacement_does_not_wait_for_the_initial_delay_again() -> None:
    timing = Timing(initial_delay=3600.0, period=0.2, timeout=5.0)
    async with running() as pool, listening(silent) as port:
        pool.pool.upsert([target("a", port, timing=timing)])
        await pool.becomes("a", Health.HEALTHY)
        later = target("later", port, timing=timing)
        pool.pool.upsert([type(later)(later.id, later.probes, immediate=False)])
        assert (await pool.evidence("later")).passed == 0
        os.kill(pool.pids[0], signal.SIGKILL)
        await pool.replaced()
        await pool.becomes("later", Health.HEALTHY)


async def test_a_worker_that_is_stopped_is_killed_and_replaced() -> None:
    async with running(beat=QUICK) as pool, listening(silent) as port:
        pool.pool.upsert([target("a", port)])
        await pool.becomes("a", Health.HEALTHY)
        os.kill(pool.pids[0], signal.SIGSTOP)
        await pool.replaced()
        assert gone(pool.pids[0])
        pool.pool.upsert([target("b", port)])
        await pool.becomes("b", Health.HEALTHY)


async def test_a_worker_that_hangs_in_a_plugin_is_replaced_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(workers=2, beat=QUICK) as pool, listening(silent) as port:
        names = [f"t{number}" for number in range(20)]
        pool.pool.upsert([target("hanging", port, check=Hanging()), *(target(name, port) for name in names)])
        await eventually(lambda: pool.pool.stats.replaced > 0)
        others = [name for name in names if pool.pool._shard(name) is not pool.pool._shard("hanging")]
        for name in others:
            await pool.becomes(name, Health.HEALTHY)
        pool.pool.remove(["hanging"])
        for name in names:
            await pool.becomes(name, Health.HEALTHY)
    assert len(others) not in (0, len(names))
    assert "ended with status 1" in caplog.text or "did not answer for 1 s" in caplog.text


async def test_a_crash_loop_is_logged_spaced_out_and_stops_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    async with running(workers=2) as pool, listening(silent) as port:
        names = [f"t{number}" for number in range(20)]
        pool.pool.upsert([target("crashing", port, check=Crashing()), *(target(name, port) for name in names)])
        await eventually(lambda: pool.pool.stats.replaced >= 3)
        for name in names:
            if pool.pool._shard(name) is not pool.pool._shard("crashing"):
                await pool.becomes(name, Health.HEALTHY)
        lines = [record.getMessage() for record in caplog.records if "ended with status 3" in record.getMessage()]
        assert [line.rpartition(" in ")[2] for line in lines[:3]] == ["0.1 s", "0.2 s", "0.4 s"]
        assert len({line.split(" ended")[0] for line in lines}) == 1
        assert pool.health("crashing") is Health.UNKNOWN


async def test_a_worker_that_had_been_steady_is_replaced_at_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard, "STEADY", 0.0)
    async with running() as pool:
        for times in range(3):
            await pool.replaced(times)
            os.kill(pool.pids[-1], signal.SIGKILL)
        await pool.replaced(3)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.rpartition(" in ")[2] for line in lines] == ["0.1 s"] * 3


async def test_workers_that_cannot_be_started_are_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    refusals = [OSError(errno.ENOMEM, "Cannot allocate memory"), OSError(errno.EMFILE, "Too many open files")]
    async with running(workers=2, refusals=refusals) as pool, listening(silent) as port:
        pool.pool.upsert([target(f"t{number}", port) for number in range(10)])
        for number in range(10):
            await pool.becomes(f"t{number}", Health.HEALTHY)
    assert "cannot be started: [Errno 12] Cannot allocate memory" in caplog.text
    assert "cannot be started: [Errno 24] Too many open files" in caplog.text


async def test_of_a_launch_that_fails_nothing_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sockets_open()
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(FileNotFoundError):
        launch("extsync.health.workers")
    assert sockets_open() == before


async def test_changes_in_a_storm_while_workers_are_replaced_end_in_what_was_asked_for_last() -> None:
    async with running(workers=2) as pool, listening(silent) as port, listening(silent) as other:
        everything = [f"t{number}" for number in range(300)]
        pool.pool.upsert([target(name, port) for name in everything])
        await pool.becomes(everything[0], Health.HEALTHY)
        for turn in range(60):
            if turn in (5, 25):
                for pid in pool.pids[-2:]:
                    os.kill(pid, signal.SIGKILL)
            pool.pool.remove(everything[turn::7])
            pool.pool.upsert([target(name, other if turn % 2 else port) for name in everything[turn::5]])
            pool.pool.upsert([target(f"fleeting {turn}", port)])
            pool.pool.remove([f"fleeting {turn}"])
            await asyncio.sleep(0.02)
        pool.pool.remove(everything[::2])
        left = everything[1::2]
        pool.pool.upsert([target(name, other) for name in left])
        for name in left:
            await pool.becomes(name, Health.HEALTHY)
        assert {pool.health(name) for name in everything[::2]} == {Health.UNKNOWN}
        await eventually(lambda: sum(shard.stats.targets for shard in pool.pool._shards) == len(left))
        assert pool.pool.stats.targets == len(left)
        assert len(pool.pool._rules) == 1


async def test_a_check_that_raises_is_no_evidence_and_harms_nobody() -> None:
    async with running() as pool, listening(silent) as port:
        pool.pool.upsert([target("raising", port, check=Raising()), target("sound", port)])
        await pool.becomes("sound", Health.HEALTHY)
        await pool.known("raising", lambda evidence: evidence.skipped > 0)
        assert pool.health("raising") is Health.UNKNOWN
        assert pool.pool.stats.replaced == 0


async def test_a_check_that_cannot_be_pickled_is_one_clear_error_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    check = Unpicklable()
    async with running(workers=2) as pool, listening(silent) as port:
        pool.pool.upsert([target(f"odd {number}", port, check=check) for number in range(5)])
        pool.pool.upsert([target(f"t{number}", port) for number in range(5)])
        for number in range(5):
            await pool.becomes(f"t{number}", Health.HEALTHY)
        fault = (
            "the check tests.health.workers.checks.Unpicklable cannot be used in a worker process: TypeError: cannot"
        )
        assert pool.pool.verdict("odd 3").reason.startswith(fault)
        assert pool.health("odd 3") is Health.UNKNOWN
        [error] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert error.startswith(fault)
        assert "odd 0, and whatever else it checks, is not probed" in error
        pool.pool.upsert([target("odd 3", port)])
        await pool.becomes("odd 3", Health.HEALTHY)


async def test_a_target_that_gets_a_check_that_cannot_be_pickled_is_probed_no_longer_and_keeps_its_verdict() -> None:
    async with running() as pool:
        async with listening(silent) as port:
            pool.pool.upsert([target("a", port), target("b", port)])
            await pool.becomes("a", Health.HEALTHY)
            pool.pool.upsert([target("a", port, check=Unpicklable())])
        await pool.becomes("b", Health.UNHEALTHY)
        assert await pool.pool.evidence("a", timeout=10.0) == ()
        assert pool.health("a") is Health.UNKNOWN


async def test_a_check_that_a_worker_cannot_import_is_one_clear_error(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("only_here")
    only_here = type("OnlyHere", (Plain,), {"__module__": "only_here"})
    module.OnlyHere = only_here  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "only_here", module)
    check = only_here()
    async with running() as pool, listening(silent) as port:
        pool.pool.upsert([target("odd", port, check=check), target("odd too", port, check=check), target("a", port)])
        await pool.becomes("a", Health.HEALTHY)
        [error] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert "the check only_here.OnlyHere cannot be used in a worker process: ModuleNotFoundError" in error
        assert "ModuleNotFoundError" in pool.pool.verdict("odd too").reason
        assert pool.pool.stats.replaced == 0


async def test_a_check_that_cannot_be_loaded_for_a_while_is_loaded_later_and_what_it_said_is_stale_meanwhile(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    trouble = tmp_path / "trouble"
    check, timing = Moody(str(trouble)), Timing(period=0.1, timeout=0.1, failure_threshold=1)
    async with running(beat=3 * QUICK) as pool:
        async with listening(silent) as port:
            pool.pool.upsert([target(name, port, check=check, timing=timing) for name in ("a", "b")])
            for name in ("a", "b"):
                await pool.becomes(name, Health.HEALTHY)
            trouble.touch()
            os.kill(pool.pids[0], signal.SIGKILL)
            await eventually(lambda: "cannot be used in a worker process: OSError" in pool.pool.verdict("b").reason)
            await eventually(lambda: pool.pool.stats.stale == 2)
            verdict = pool.pool.verdict("b")
            assert (verdict.health, verdict.stale) == (Health.HEALTHY, True)
        trouble.unlink()
        for name in ("a", "b"):
            assert not (await pool.becomes(name, Health.UNHEALTHY)).stale
        assert pool.pool.stats.replaced == 1
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


async def test_of_a_target_that_fails_and_gets_other_probes_it_is_said_whether_those_fail() -> None:
    def both(name: str, one: int, other: int) -> Target:
        return Target(name, tuple(Probe(PLAIN, PATIENT, LOOPBACK, port) for port in (one, other)), immediate=True)

    async with running() as pool, listening(silent) as sound:
        async with listening(silent) as port:
            targets = [both("stays", port, sound), both("goes", port, sound)]
            pool.pool.upsert(targets)
            for one in targets:
                await pool.becomes(str(one.id), Health.HEALTHY)
        signs: dict[Hashable, bool] = {}

        def said(name: str, failing: bool) -> bool:
            signs.update((key, sign.failing) for key, sign in pool.pool.drain_signs())
            return signs.get(name) is failing

        for one in targets:
            await eventually(partial(said, str(one.id), True))
        stays, goes = targets
        pool.pool.upsert([Target("stays", stays.probes[:1]), Target("goes", goes.probes[1:])])
        await eventually(partial(said, "goes", False))
        assert said("stays", True)


async def test_a_target_that_a_worker_cannot_take_is_one_error_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as pool, listening(silent) as port:
        pool.pool.upsert([target("odd", port, check=Lossy(word="one")), target("a", port)])
        await pool.becomes("odd", Health.HEALTHY)
        pool.pool.upsert([target("odd", port, check=Lossy(word="other"))])
        await eventually(lambda: "odd cannot be probed: AttributeError" in caplog.text)
        assert pool.pool.verdict("odd").reason.startswith("AttributeError")
        pool.pool.upsert([target("b", port)])
        await pool.becomes("b", Health.HEALTHY)
        assert pool.pool.stats.replaced == 0


async def test_an_address_that_is_no_address_is_refused_as_the_prober_refuses_it() -> None:
    async with running() as pool:
        with pytest.raises(ValueError, match="'backend' is not an IP address"):
            pool.pool.upsert([target("a", 80, host="backend")])
        assert pool.pool.stats.targets == 0
        assert len(pool.pool._rules) == 0


async def test_a_source_address_that_is_not_here_is_said_in_words(caplog: pytest.LogCaptureFixture) -> None:
    pool = ProberPool(clock=SystemClock(), workers=1, wake=lambda: None, source_addresses=["192.0.2.1"])
    await pool.start()
    try:
        await eventually(lambda: "probe worker 1 cannot probe: probes cannot be sent from 192.0.2.1" in caplog.text)
    finally:
        await pool.close()


async def test_signals_that_were_meant_for_the_parent_do_not_end_a_worker() -> None:
    async with running() as pool, listening(silent) as port:
        pool.pool.upsert([target("a", port)])
        await pool.becomes("a", Health.HEALTHY)
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(pool.pids[0], number)
        pool.pool.upsert([target("b", port)])
        await pool.becomes("b", Health.HEALTHY)
        assert pool.pool.stats.replaced == 0


async def test_closing_ends_also_a_worker_that_hangs() -> None:
    async with running() as pool, listening(silent) as port:
        pool.pool.upsert([target("hanging", port, check=Hanging())])
        await eventually(lambda: bool(pool.pids) and _burns(pool.pids[0]))
    assert gone(pool.pids[0])
    assert pool.pool.stats.targets == 0


def _burns(pid: int) -> bool:
    """Whether a process has used more of the processor than its start needs."""
    with open(f"/proc/{pid}/stat") as file:
        user = int(file.read().rpartition(")")[2].split()[11])
    return user / os.sysconf("SC_CLK_TCK") > 0.6


async def test_workers_take_their_limit_of_descriptors_to_the_top_and_share_what_may_be_in_flight() -> None:
    async with running(workers=2) as pool, listening(silent) as port:
        pool.pool.upsert([target("a", port, host=LOOPBACK)])
        await pool.becomes("a", Health.HEALTHY)
        for pid in pool.pids:
            with open(f"/proc/{pid}/limits") as file:  # noqa: ASYNC230 - no file of a disk
                [line] = [line for line in file if line.startswith("Max open files")]
            soft, hard = line.split()[3:5]
            assert soft == hard
        assert pool.pool._shards[0]._setup.max_in_flight == 5000


async def test_evidence_of_a_worker_that_does_not_answer_runs_out_of_time() -> None:
    async with running() as pool, listening(silent) as port:
        pool.pool.upsert([target("a", port)])
        await pool.becomes("a", Health.HEALTHY)
        assert await pool.pool.evidence("nobody") == ()
        os.kill(pool.pids[0], signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            await pool.pool.evidence("a", timeout=0.05)
        asked = asyncio.create_task(pool.pool.evidence("a", timeout=30.0))
        await asyncio.sleep(0)
        os.kill(pool.pids[0], signal.SIGKILL)
        with pytest.raises(TimeoutError, match="probe worker 1 is being replaced"):
            await asked
