"""The table of accidents, by the name of the fault under which each counts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tests.simulation.stage import Stage

Accident: TypeAlias = Callable[[Stage], Awaitable[None]]

ACCIDENTS: dict[str, Accident] = {}
RARE: dict[str, Accident] = {}
"""Those that last long, or for which everything else has to be calm: a run has one or two of them."""


def accident(kind: str, *, rare: bool = False) -> Callable[[Accident], Accident]:
    """Enters a function into ACCIDENTS, or into RARE."""

    def enter(function: Accident) -> Accident:
        (RARE if rare else ACCIDENTS)[kind] = function
        return function

    return enter
