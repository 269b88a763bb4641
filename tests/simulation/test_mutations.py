"""The simulation catches bugs: with any of these in the code under test it must find a violation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.invariants import Violation
from tests.simulation.mutations import MUTATIONS
from tests.simulation.simulate import simulate

pytestmark = pytest.mark.timeout(240)  # several runs of a second or two each, four times as long where much else runs

OTHER_SEEDS = 6


@pytest.mark.parametrize(
    ("mutation", "seed", "invariant"), [pytest.param(*entry, id=entry[0].__name__) for entry in MUTATIONS]
)
def test_a_bug_is_caught(
    mutation: Callable[[pytest.MonkeyPatch], None], seed: int, invariant: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    assert any(_violates(invariant, one) for one in (seed, *range(OTHER_SEEDS)))


def _violates(invariant: int, seed: int) -> bool:
    """Should the seed no longer bring the bug out, since what comes before it has changed, others have their turn."""
    try:
        simulate(seed)
    except Violation as violation:
        return str(violation).startswith(f"{invariant}: ")
    return False
