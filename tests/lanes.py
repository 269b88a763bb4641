"""Runs all tests in two lanes at once: those on the control plane, which mostly wait, and all others, which compute.

``python -m tests.lanes`` prints the report of the second lane while it runs, and then that of the first. With arguments
it is one pytest with these arguments. The exit status is 0 if all tests passed, else that of a lane that failed.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTROL_PLANE_LANE = ("-m", "api", "-o", "cache_dir=.pytest_cache/api")
OTHER_LANE = ("-m", "not api")


def main(arguments: list[str]) -> int:
    pytest = (sys.executable, "-m", "pytest")
    if arguments:
        return subprocess.call((*pytest, *arguments), cwd=ROOT)
    report = ROOT / ".pytest_cache" / "api.log"
    report.parent.mkdir(exist_ok=True)
    print(f"the tests on the control plane run at the same time; their report comes last, and is written to {report}")
    sys.stdout.flush()
    with report.open("wb") as log:
        colour = {"PY_COLORS": "1"} if sys.stdout.isatty() else {}
        waiting = subprocess.Popen(
            (*pytest, *CONTROL_PLANE_LANE), cwd=ROOT, stdout=log, stderr=log, env=os.environ | colour
        )
        try:
            others = subprocess.call((*pytest, *OTHER_LANE), cwd=ROOT)
            on_the_control_plane = waiting.wait()
        except KeyboardInterrupt:  # which both lanes have got as well, and clean up
            waiting.wait()
            return 130
    print("\n---- on the control plane ----", flush=True)
    sys.stdout.buffer.write(report.read_bytes())
    sys.stdout.flush()
    return others or on_the_control_plane


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
