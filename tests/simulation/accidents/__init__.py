"""What can happen in a run. Each accident is a function of the stage, by the name of the fault under which it counts.

What lasts ends by itself; a few accidents let time pass themselves, since there is something to be seen meanwhile.
"""

from __future__ import annotations

from tests.simulation.accidents import backends, clients, disasters, manifests, processes, sources, weather
from tests.simulation.accidents.registry import ACCIDENTS, RARE

__all__ = ["ACCIDENTS", "RARE", "backends", "clients", "disasters", "manifests", "processes", "sources", "weather"]
