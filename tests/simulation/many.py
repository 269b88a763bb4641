"""Many simulated runs, in as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Iterator, Sequence

from tests.simulation.invariants import Violation
from tests.simulation.simulate import Report, simulate


def simulate_many(seeds: Sequence[int], *, jobs: int) -> Iterator[tuple[int, Report | str]]:
    """Each seed, in order, with the report of its run or what was violated."""
    if jobs == 1:
        yield from map(_attempt, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(_attempt, seeds, chunksize=4)


def _attempt(seed: int) -> tuple[int, Report | str]:
    try:
        return seed, simulate(seed)
    except Violation as violation:
        return seed, f"invariant {violation}"
    except Exception:  # a defect of the simulation or a dead end of the engine: no reason to lose the other seeds
        return seed, traceback.format_exc()
