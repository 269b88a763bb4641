"""What happens once in a run: each begins when everything is calm, and looks itself at what has to come of it."""

from __future__ import annotations

from extsync.model import Observation, Outcome
from tests.simulation.accidents.backends import backend_stops, backends_stop_together
from tests.simulation.accidents.clients import somebody_edits_leases
from tests.simulation.accidents.manifests import manifest_changes
from tests.simulation.accidents.parts import restart, some
from tests.simulation.accidents.processes import leader_is_killed, process_restarts
from tests.simulation.accidents.registry import accident
from tests.simulation.accidents.sources import source_changes
from tests.simulation.foreign import put_foreign_objects
from tests.simulation.invariants import Violation
from tests.simulation.scenario import ESTATE, GUARD_WINDOW, NAMESPACE, WITHHELD
from tests.simulation.stage import AFTER_STORM, Stage

NAMED = 40.0
"""Seconds in good weather after which what a source says has been written, that a part has nothing included."""
LOST_FIRST, LOST_NEXT = 5, 3
"""Of the entries of "estate": each less than half of what is there, and both together more than half of what was."""


@accident("source never answers", rare=True)
async def source_never_answers(stage: Stage) -> None:
    """From a start on one source says nothing, and what the other has named since leaves when that one says so."""
    with stage.coverage.lasting("source never answers"):
        await stage.calm()
        stage.world.feeds["silent"].say(Observation(Outcome.ERROR, detail="scripted"), part=None)
        for replica in stage.replicas:
            await restart(stage, replica)
        fleet = stage.world.feeds["fleet"]
        fleet.found(fleet.members)
        await stage.pass_(NAMED)
        fleet.found(some(stage, fleet.members))
        await stage.pass_(NAMED + 2 * WITHHELD)  # what is held leaves first, and the guard may withhold it then
        if stayed := set(stage.checker.look().slices("fleet")) - fleet.good:
            raise Violation(f"7: {sorted(stayed)} of fleet stay, and only a source that never answered may have them")


@accident("registry loses entries", rare=True)
async def registry_loses_entries(stage: Stage) -> None:
    """In two steps, none of them large, and perhaps everybody starts anew in between: the second does not pass, unless
    it has lasted for as long as the guard's real times say."""
    await stage.calm()
    feed = stage.world.feeds["estate"]
    for replica in stage.replicas:
        replica.clock.skew = 0.0  # between two processes there is only the wall clock to measure the window by
    await _shows(stage, frozenset(ESTATE))
    with stage.coverage.lasting("registry loses entries"):
        order = _order_of_leaving(stage)
        first = frozenset(order[LOST_FIRST:])
        feed.found(tuple(sorted(first)))
        await _shows(stage, first)
        if stage.script.random() < 0.5:
            for replica in stage.replicas:
                await restart(stage, replica)
            await stage.pass_(NAMED / 2)
        second = frozenset(order[LOST_FIRST + LOST_NEXT :])
        feed.found(tuple(sorted(second)))
        await _stays(stage, first)
        if stage.script.random() < 0.15:
            await stage.pass_(GUARD_WINDOW)
            await _shows(stage, second)
        feed.found(ESTATE)
        await _shows(stage, frozenset(ESTATE))


def _order_of_leaving(stage: Stage) -> list[str]:
    """The members of "estate", so that neither part of it has nothing left before the last ones leave."""
    stay = {*stage.script.sample(ESTATE[::2], k=2), *stage.script.sample(ESTATE[1::2], k=2)}
    leave = [address for address in ESTATE if address not in stay]
    stage.script.shuffle(leave)
    return [*leave, *(address for address in ESTATE if address in stay)]


async def _shows(stage: Stage, addresses: frozenset[str]) -> None:
    """Waits until "estate" shows these."""
    for _ in range(int(NAMED * 2)):
        if stage.checker.look().slices("estate").keys() == addresses:
            return
        await stage.pass_(1.0)
    raise Violation(f"7: estate shows {sorted(stage.checker.look().slices('estate'))}, and true is {sorted(addresses)}")


async def _stays(stage: Stage, addresses: frozenset[str]) -> None:
    """Sees to it that "estate" loses none of these for a while."""
    for _ in range(int(NAMED)):
        await stage.pass_(1.0)
        if left := addresses - stage.checker.look().slices("estate").keys():
            raise Violation(f"1: {sorted(left)} left estate: with those that left before, more than half of it")


@accident("api server is restored", rare=True)
async def api_server_is_restored(stage: Stage) -> None:
    """It comes back with older data: what was written since is gone, Leases and the evidence of guards among it."""
    await stage.calm()
    stage.strike("api server is restored")
    backup = stage.store.backup()
    happens = (backend_stops, backends_stop_together, source_changes, manifest_changes, somebody_edits_leases)
    for _ in range(stage.script.randrange(1, 5)):
        await stage.script.choice((*happens, process_restarts, leader_is_killed))(stage)
        await stage.pass_(stage.script.uniform(0.0, 20.0))
    stage.everything_changes()
    stage.store.restore(backup)
    stage.checker.forget()
    stage.disturb(AFTER_STORM)


@accident("namespace is terminated", rare=True)
async def namespace_is_terminated(stage: Stage) -> None:
    """With all that is in it, and one of its name comes soon or later."""
    await stage.calm()
    with stage.coverage.lasting("namespace is terminated"):
        stage.checker.unprotect_all()
        stage.everything_changes()
        stage.store.terminate_namespace(NAMESPACE)
        await stage.pass_(stage.script.uniform(5.0, 60.0))
        stage.everything_changes()
        stage.disturb(AFTER_STORM)
        stage.store.create_namespace(NAMESPACE)
        put_foreign_objects(stage.store, stage.checker)
