"""Chance: jitter from a generator that a test can seed, and offsets that are stable across restarts."""

from __future__ import annotations

import random
from hashlib import blake2b
from typing import Protocol


class Random(Protocol):
    """The part of ``random.Random`` that the core uses."""

    def random(self) -> float:
        """A number in [0, 1)."""
        ...

    def uniform(self, a: float, b: float) -> float: ...


class SystemRandom(random.Random):
    """A generator seeded by the operating system, for jitter (not for secrets)."""


def stable_fraction(key: str) -> float:
    """Maps ``key`` to a number in [0, 1), the same in every process.

    It spreads the probes of many endpoints over their period, so that neither a start nor a restart makes a herd.
    """
    return int.from_bytes(blake2b(key.encode(), digest_size=6).digest(), "big") / (1 << 48)
