"""The engine under simulated accidents; a seed that fails is replayed by ``python -m tests.simulation --seed N``."""

from __future__ import annotations

import pytest

from tests.simulation.simulate import simulate


@pytest.mark.parametrize("seed", range(24))
def test_the_invariants_hold_whatever_happens(seed: int) -> None:
    simulate(seed)


def test_the_same_seed_gives_the_same_run() -> None:
    assert simulate(7) == simulate(7)
