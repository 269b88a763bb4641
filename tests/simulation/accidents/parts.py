"""What accidents have in common."""

from __future__ import annotations

from extsync.seams.virtual_net import Behaviour
from tests.simulation.replica import Replica
from tests.simulation.stage import Stage


def some(stage: Stage, addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Most of the addresses, at least one."""
    return tuple(a for a in addresses if stage.script.random() < 0.7) or addresses[:1]


def stop(stage: Stage, address: str, down: Behaviour) -> None:
    """A backend is down from now on, as ``down`` says."""
    was_up = stage.world.up[address]
    stage.world.set_up(address, False, down=down)
    if was_up:
        stage.timely.failed(address)


async def restart(stage: Stage, replica: Replica, *, lingers: float = 0.0) -> None:
    """Ends a process in good order and starts another, soon or later; ``lingers`` as for ``Replica.stop``."""
    await replica.stop(lingers=lingers)
    await stage.pass_(stage.script.choice([0.0, 2.0, 15.0]))
    replica.start()


async def until_it_ends(stage: Stage, replica: Replica) -> None:
    """Waits for the end of a process for a while, kills it if need be, and starts another."""
    for _ in range(20):
        if replica.runs:
            await stage.pass_(0.5)
    await replica.kill()
    stage.say(f"{replica.process.name} ended at its step {replica.process.steps}")
    await stage.pass_(stage.script.choice([0.0, 2.0, 15.0]))
    replica.start()
