"""A longer run of the fuzzed tests: ``python -m tests.fuzz --seconds 600``.

It prints how many dialogues each subject has had and what the slowest one cost. What breaks a property ends it, with
the bytes as a test can have them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.fuzz.mutations import edited, random_edits
from tests.fuzz.properties import hold
from tests.fuzz.subjects import Subject, with_tls, without_tls

_BATCH = 200


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, in all (60)")
    parser.add_argument(
        "--seed", type=int, default=None, help="of the random numbers; by default another one each time"
    )
    parser.add_argument("--only", default="", help="subjects whose names contain this")
    arguments = parser.parse_args()
    seed = Random().getrandbits(32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tls = with_tls(Path(folder)) if shutil.which("openssl") else []
        subjects = [subject for subject in (*without_tls(), *tls) if arguments.only in subject.name]
        if not subjects:
            parser.error(f"no subject has a name with {arguments.only!r}")
        for subject in subjects:
            if not _fuzz(subject, Random(f"{seed}/{subject.name}"), arguments.seconds / len(subjects)):
                return 1
    return 0


def _fuzz(subject: Subject, random: Random, seconds: float) -> bool:
    stop = time.monotonic() + seconds
    count, slowest, slow_data = 0, 0.0, b""
    while time.monotonic() < stop:
        for _ in range(_BATCH):
            data = edited(random.choice(subject.seeds), random_edits(random))
            if not random.getrandbits(3):
                data += edited(random.choice(subject.seeds), random_edits(random))
            cuts = [random.getrandbits(16) for _ in range(random.getrandbits(3))]
            began = time.process_time()
            try:
                hold(subject, data, cuts)
            except Exception as error:
                print(
                    f"{subject.name}: {type(error).__name__}: {error}\n  data {data!r}\n  cuts {cuts}", file=sys.stderr
                )
                return False
            count += 1
            if (spent := time.process_time() - began) > slowest:
                slowest, slow_data = spent, data
    print(f"{subject.name:20} {count:8} dialogues, the slowest {slowest * 1000:.1f} ms: {slow_data[:60]!r}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
