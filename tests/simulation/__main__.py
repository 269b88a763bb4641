"""``python -m tests.simulation``: one simulated run (``--seed``), many, or deliberate bugs hunted (``--hunt``)."""

from __future__ import annotations

import argparse
import os
import sys
import time

from tests.simulation.coverage import missing, table
from tests.simulation.hunt import BY_NAME, hunt
from tests.simulation.invariants import Violation
from tests.simulation.many import simulate_many
from tests.simulation.simulate import Report, simulate


def main() -> int:
    """Runs what is asked for; 1 where an invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="run this one, with the engine's log")
    parser.add_argument("--seeds", type=int, default=200, help="run this many (default: 200)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: 0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)")
    parser.add_argument("--hunt", choices=["all", *BY_NAME], help="look for a seed that brings this deliberate bug out")
    args = parser.parse_args()
    if args.hunt is not None:
        return _hunt(list(BY_NAME) if args.hunt == "all" else [args.hunt], args.seeds, args.jobs)
    return _one(args.seed) if args.seed is not None else _many(args.first, args.seeds, args.jobs)


def _one(seed: int) -> int:
    try:
        simulate(seed, print)
    except Violation as violation:
        print(f"seed {seed}: invariant {violation}")
        return 1
    return 0


def _many(first: int, number: int, jobs: int) -> int:
    total, failed, began = Report(), 0, time.monotonic()
    for seed, report in simulate_many(range(first, first + number), jobs=jobs):
        if isinstance(report, str):
            failed += 1
            print(f"seed {seed}: {report}\n  python -m tests.simulation --seed {seed}", flush=True)
        else:
            total.faults += report.faults
            total.cells += report.cells
            total.seconds += report.seconds
    took = time.monotonic() - began
    print(table(total.faults, total.cells))
    for kind, invariant in missing(total.faults, total.cells, least=100 * number / 2000):
        print(f"too seldom: {kind} with invariant {invariant}")
    print(f"{number} seeds, {total.seconds / 3600:.1f} simulated hours in {took:.0f} s, {failed} violations")
    return 1 if failed else 0


def _hunt(names: list[str], seeds: int, jobs: int) -> int:
    missed = 0
    for name, seed, text in hunt(names, seeds=seeds, jobs=jobs):
        missed += seed is None
        print(f"    ({name}, {seed}, {BY_NAME[name][2]}),  # {text}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
