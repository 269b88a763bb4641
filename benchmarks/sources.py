"""What reading files costs: decoding, seeing that nothing changed, and memory. ``python -m benchmarks.sources``.

The goals: 10,000 entries of JSON are read in well under 100 ms, unchanged content is not parsed, and 100,000 backends
take less than 100 MiB, the memory that reading them needs for a moment included.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from extsync.model import Observation, Outcome
from extsync.sources.file.disk import look
from extsync.sources.file.payload import parse
from extsync.sources.holds import LastGood
from extsync.sources.part import HoldTimes

ENTRIES = 10_000
MANY = 100_000
ROUNDS = 7


def main() -> int:
    """Prints the figures; always succeeds."""
    print(f"{ENTRIES:,} entries, CPU, best of {ROUNDS} rounds; ratios are to msgspec.json.decode of the same text")
    for name, entries in (("our list", ours(ENTRIES)), ("target groups", groups(ENTRIES)), ("one group", one(ENTRIES))):
        text = json.dumps(entries).encode()
        decode = cpu(lambda text=text: msgspec.json.decode(text))  # type: ignore[misc]
        report(f"{name}: msgspec.json.decode", decode, decode)
        report(f"{name}: JSON to backends", cpu(lambda text=text: parse(text, "t.json")), decode)  # type: ignore[misc]
        written = yaml.dump(entries, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)).encode()
        took = cpu(lambda written=written: parse(written, "t.yml"), rounds=2)  # type: ignore[misc]
        report(f"{name}: YAML to backends", took, decode)
        if name == "target groups":
            unchanged(text, decode)
    for language, content in (("json", json.dumps(groups(MANY)).encode()), ("yml", yaml_groups(MANY))):
        kept, peak = memory(content, f"t.{language}")
        print(
            f"{MANY:,} backends from {language}: {kept:.0f} MiB kept, {peak:.0f} MiB at most while read (goal: < 100)"
        )
    return 0


def unchanged(text: bytes, decode: float) -> None:
    """What a look at an unchanged file costs, and what an equal report does."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "t.json"
        path.write_bytes(text)
        report("target groups: a look that finds nothing new", cpu(lambda: look((path,), {})), decode)
    held = LastGood(HoldTimes())
    answers = [Observation(Outcome.FOUND, parse(text, "t.json").backends) for _ in range(2)]
    held.observe(answers[0], 0)
    report("target groups: an equal report is compared", cpu(lambda: held.observe(answers[1], 1)), decode)


def addresses(count: int) -> Iterator[str]:
    return (f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}" for number in range(1, count + 1))


def ours(count: int) -> list[dict[str, Any]]:
    return [{"address": address, "port": 80, "hostname": "web", "zone": "dc-1a"} for address in addresses(count)]


def groups(count: int) -> list[dict[str, Any]]:
    return [
        {"targets": [f"{address}:80"], "labels": {"env": "prod", "host": f"web-{address}"}}
        for address in addresses(count)
    ]


def one(count: int) -> list[dict[str, Any]]:
    return [{"targets": [f"{address}:80" for address in addresses(count)], "labels": {"env": "prod"}}]


def yaml_groups(count: int) -> bytes:
    lines = (f"- targets: ['{a}:80']\n  labels: {{env: prod, host: web-{a}}}\n" for a in addresses(count))
    return "".join(lines).encode()


def cpu(work: Callable[[], object], *, rounds: int = ROUNDS) -> float:
    """The least CPU seconds that ``work`` took in some rounds."""
    best = float("inf")
    for _ in range(rounds):
        gc.collect()
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def memory(content: bytes, path: str) -> tuple[float, float]:
    """MiB that the backends of ``content`` keep, and that reading them takes at most."""
    tracemalloc.start()
    payload = parse(content, path)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(payload.backends) == MANY
    return kept / 2**20, peak / 2**20


def report(what: str, seconds: float, decode: float) -> None:
    print(f"  {what:<48} {seconds * 1e3:8.2f} ms {seconds / decode:8.1f} x")


if __name__ == "__main__":
    sys.exit(main())
