"""``python -m tests.simulation [--seed N] [--seeds N]``: one simulated run, or many."""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter

from tests.simulation.invariants import Violation
from tests.simulation.simulate import simulate


def main() -> int:
    """Runs what is asked for; 1 where an invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="run this one, with the engine's log")
    parser.add_argument("--seeds", type=int, default=200, help="run seeds 0 to N-1 (default: 200)")
    args = parser.parse_args()
    if args.seed is not None:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    else:
        logging.disable(logging.WARNING)
    total: Counter[str] = Counter()
    failed = 0
    for seed in [args.seed] if args.seed is not None else range(args.seeds):
        try:
            total += simulate(seed)
        except Violation as violation:
            failed += 1
            print(f"seed {seed}: invariant {violation}")
    print("accidents: " + ", ".join(f"{name} {number}" for name, number in sorted(total.items())))
    return 1 if failed else 0


sys.exit(main())
