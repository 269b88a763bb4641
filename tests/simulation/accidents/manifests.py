"""Manifests, and the file that they are in."""

from __future__ import annotations

from tests.simulation.accidents.registry import ACCIDENTS, Accident, accident
from tests.simulation.scenario import SERVICES, SLICE_LIMITS
from tests.simulation.stage import Stage


@accident("manifest changes")
async def manifest_changes(stage: Stage) -> None:
    stage.strike("manifest changes")
    stage.world.set_limit(next(limit for limit in SLICE_LIMITS if limit != stage.world.slice_limit))


def _damages(kind: str, damage: str) -> Accident:
    async def begin(stage: Stage) -> None:
        disk = stage.world.disk
        disk.damage.append(damage)
        disk.changed()

        def mend() -> None:
            disk.damage.remove(damage)
            disk.changed()

        stage.begin(kind, stage.script.uniform(1.0, 150.0), mend)

    return begin


ACCIDENTS["manifests are emptied"] = _damages("manifests are emptied", "emptied")
ACCIDENTS["manifest is broken"] = _damages("manifest is broken", "kind: ExternalService\nkinds: [")
ACCIDENTS["manifest is wrong"] = _damages("manifest is wrong", "kind: ExternalSevrice")


@accident("manifests are missing for a moment")
async def manifests_are_missing_for_a_moment(stage: Stage) -> None:
    """Shorter than the removal delay: nothing is removed."""
    disk = stage.world.disk
    names = [name for name in stage.script.sample(SERVICES, k=3) if name not in disk.absent]
    disk.absent.update(names)
    disk.changed()

    def mend() -> None:
        disk.absent.difference_update(names)
        disk.changed()

    stage.begin("manifests are missing for a moment", stage.script.uniform(1.0, 45.0), mend)


@accident("manifest is removed")
async def manifest_is_removed(stage: Stage) -> None:
    """For good, until it comes back."""
    disk = stage.world.disk
    stage.strike("manifest is removed")
    disk.absent ^= {"guest"}
    disk.changed()
