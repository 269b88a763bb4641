"""Runs the benchmarks in turn, each in a process of its own, and prints their figures as one table.

``python -m benchmarks [--only PART] [--short]``; 1 where a goal was missed. Ratios compare figures of one run, so that
they mean something on any machine; on a busy one they still sway by a third, and a goal that is missed there wants a
second look.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable

import msgspec

from benchmarks import (
    balancers,
    closing,
    consul,
    dns,
    engine,
    failover,
    kept,
    page,
    plan,
    probes,
    restart,
    scale,
    sources,
    startup,
    status,
    sync,
)
from benchmarks.figures import SHORT_VARIABLE, Row, all_good, print_table
from extsync.sources.file.payload import parse


def plan_rows() -> list[Row]:
    """One flip among 10,000 endpoints against a plan from nothing."""
    found = []
    for publish_endpoints, kinds in ((False, "slices"), (True, "slices and Endpoints")):
        times = plan.measure(10_000, publish_endpoints=publish_endpoints)
        for case in ("one flip", "steady"):
            found.append(
                Row(
                    part="plan",
                    what=f"plan of 10,000 endpoints, {kinds}, {case}",
                    figure=times[case],
                    unit="ms",
                    reference=times["from nothing"],
                    reference_is="from nothing",
                    goal=plan.GOAL,
                )
            )
    return found


def source_rows() -> list[Row]:
    """The file source: time and memory of reading."""
    text = msgspec.json.encode(sources.groups(sources.ENTRIES))
    _, peak = sources.memory(msgspec.json.encode(sources.groups(sources.MANY)), "t.json")
    return [
        Row(
            part="sources",
            what=f"{sources.ENTRIES:,} target groups of JSON to backends, CPU",
            figure=sources.cpu(lambda: parse(text, "t.json")) * 1000,
            unit="ms",
            reference=100.0,
            reference_is="limit",
        ),
        Row(
            part="sources",
            what=f"{sources.MANY:,} backends, most memory while they are read",
            figure=peak,
            unit="MiB",
            reference=100.0,
            reference_is="limit",
        ),
    ]


PARTS: dict[str, Callable[[], list[Row]]] = {
    "startup": startup.rows,
    "plan": plan_rows,
    "sources": source_rows,
    "dns": dns.rows,
    "consul": consul.rows,
    "probes": probes.rows,
    "balancers": balancers.rows,
    "kept": kept.rows,
    "scale": scale.rows,
    "closing": closing.rows,
    "engine": engine.rows,
    "memory": engine.memory,
    "sync": sync.rows,
    "restart": restart.rows,
    "failover": failover.rows,
    "status": status.rows,
    "page": page.rows,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Figures of speed and memory.")
    parser.add_argument("--only", choices=PARTS, action="append", help="run this part; may be given several times")
    parser.add_argument("--short", action="store_true", help="do what takes minutes small: it works, but means little")
    parser.add_argument("--rows", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rows:
        sys.stdout.buffer.write(msgspec.json.encode(PARTS[args.rows]()))
        return 0
    if args.short:
        os.environ[SHORT_VARIABLE] = "1"
    rows: list[Row] = []
    for part in args.only or PARTS:
        print(f"{part} ...", end="", file=sys.stderr, flush=True)
        started = time.monotonic()
        rows += _in_a_process(part)
        print(f" {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print_table(rows)
    return 0 if all_good(rows) else 1


def _in_a_process(part: str) -> list[Row]:
    """Runs one part apart, so that none leaves the next a fuller heap."""
    done = subprocess.run([sys.executable, "-m", "benchmarks", "--rows", part], check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(done.stdout, type=list[Row])


if __name__ == "__main__":
    sys.exit(main())
