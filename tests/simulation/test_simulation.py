"""The engine under simulated accidents; a seed that fails is replayed by ``python -m tests.simulation --seed N``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.accidents import ACCIDENTS, RARE
from tests.simulation.coverage import missing
from tests.simulation.simulate import Report, simulate

pytestmark = pytest.mark.timeout(120)  # a run takes a second or two, and four times as long where much else runs

SEEDS = 200
ENOUGH = 100 / 2000
"""Of the runs, in which each fault has to meet each invariant."""

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def total() -> Report:
    """What all runs of this module did together."""
    return Report()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_invariants_hold_whatever_happens(seed: int, total: Report) -> None:
    report = simulate(seed)
    total.faults += report.faults
    total.cells += report.cells
    total.seeds += 1


def test_every_fault_meets_every_invariant(total: Report) -> None:
    if total.seeds < SEEDS:
        pytest.skip("only some of the seeds were run")
    # Of few runs some have less than their share by chance; ``make simulate SEEDS=2000`` looks at all of it.
    faults = [kind for kind in (*ACCIDENTS, *RARE) if kind != "backends start"]
    assert missing(faults, total.cells, least=ENOUGH * SEEDS / 2) == []


def test_a_seed_gives_the_same_run_byte_for_byte_in_every_process() -> None:
    logs = [_log_of(7, hash_seed=hash_seed) for hash_seed in ("1", "2")]
    assert logs[0].count(b"\n") > 100
    assert logs[0] == logs[1]


def _log_of(seed: int, *, hash_seed: str) -> bytes:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True).stdout


def test_what_met_too_seldom_is_listed() -> None:
    assert missing(["a"], Counter({("a", 1): 5}), least=5) == [("a", number) for number in range(2, 12)]
