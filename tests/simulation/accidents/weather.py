"""The API server, and the way to it."""

from __future__ import annotations

from tests.simulation.accidents.registry import ACCIDENTS, Accident
from tests.simulation.stage import AFTER_STORM, Stage
from tests.simulation.wire import WEATHER


def _weather(kind: str) -> Accident:
    async def begin(stage: Stage) -> None:
        replica = stage.script.choice(stage.replicas)
        chance = 1.0 if kind in ("api is away", "quota is used up") else stage.script.choice([0.1, 0.3, 0.9])
        entry = (kind, chance)
        replica.wire.weather.append(entry)
        longest = 240.0 if kind in ("api is away", "api forbids") else 60.0
        seconds = stage.script.uniform(1.0, longest)
        stage.begin(kind, seconds, lambda: replica.wire.weather.remove(entry), disturbs=AFTER_STORM)

    return begin


ACCIDENTS.update({kind: _weather(kind) for kind in WEATHER})
