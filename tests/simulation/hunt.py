"""Looks for seeds that bring a deliberate bug out."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from tests.simulation.invariants import Violation
from tests.simulation.mutations import MUTATIONS
from tests.simulation.simulate import simulate

BY_NAME = {mutation.__name__: (mutation, seed, invariant) for mutation, seed, invariant in MUTATIONS}


def hunt(names: Sequence[str], *, seeds: int, jobs: int) -> Iterator[tuple[str, int | None, str]]:
    """For each bug the first of ``seeds`` seeds, its own before the others, that shows the invariant it is to violate.

    None where there is no such seed; the text is what was violated, or what was instead.
    """
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(partial(_hunt, seeds=seeds), names, chunksize=1)


def _hunt(name: str, *, seeds: int) -> tuple[str, int | None, str]:
    mutation, known, invariant = BY_NAME[name]
    others: list[str] = []
    for seed in (known, *range(seeds)):
        with pytest.MonkeyPatch.context() as patch:
            mutation(patch)
            try:
                simulate(seed)
            except Violation as violation:
                if str(violation).startswith(f"{invariant}: "):
                    return name, seed, str(violation)
                others.append(f"seed {seed}: {violation}")
    return name, None, others[0] if others else "no violation"
