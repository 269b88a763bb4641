"""What a start of the command costs, beyond a bare Python. ``python -m benchmarks.startup``.

The reference is ``import kubernetes_asyncio``, which every tool around that client pays before it does anything. Rounds
are interleaved, so that what else the machine does falls on all of them alike; CPU of the child processes is counted.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.figures import Row, print_table

ROUNDS = 7
EXAMPLE = Path(__file__).parents[1] / "config" / "manifests" / "external-database.yaml"
EXTSYNC = Path(sys.executable).with_name("extsync")
CLIENT = "import kubernetes_asyncio"
COMMANDS: dict[str, tuple[str | Path, ...]] = {
    "bare": (sys.executable, "-c", "pass"),
    CLIENT: (sys.executable, "-c", CLIENT),
    "extsync --help": (EXTSYNC, "--help"),
    "extsync validate": (EXTSYNC, "validate", "-f", EXAMPLE),
}
GOALS = {"extsync --help": 0.25, "extsync validate": 0.75}


def rows() -> list[Row]:
    """Median milliseconds of CPU of each command beyond a bare Python."""
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(ROUNDS + 1):
        for name, command in COMMANDS.items():
            seconds = _cpu(command)
            if number:  # the first round fills the caches of files
                taken[name].append(seconds * 1000)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    return [
        Row(
            part="startup",
            what=f"{name}, CPU beyond a bare Python",
            figure=medians[name] - medians["bare"],
            unit="ms",
            reference=medians[CLIENT] - medians["bare"],
            reference_is=CLIENT,
            goal=goal,
        )
        for name, goal in GOALS.items()
    ]


def _cpu(command: tuple[str | Path, ...]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    print_table(rows())
