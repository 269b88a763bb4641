"""One simulated run: the real engine in virtual time, and a script of accidents drawn from a seed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

import msgspec

from extsync.seams.virtual import run
from tests.simulation.accidents import ACCIDENTS, RARE
from tests.simulation.accidents.parts import some
from tests.simulation.foreign import put_foreign_objects
from tests.simulation.invariants import Violation
from tests.simulation.process import count_steps
from tests.simulation.scenario import RESTLESS, WITHHELD
from tests.simulation.stage import SLOWEST, Stage
from tests.simulation.timely import LIMIT
from tests.simulation.wire import WEATHER

log = logging.getLogger(__name__)

ROUNDS = 2
STEPS = 12
"""Accidents of a round, after which everything calms down."""

SETTLE = 150.0
"""Seconds without accidents after which the cluster must show what is true; the longest back-off is 30 s."""
STAYS = 5.0
"""Seconds for which it must show that, once it does."""
FAIR = 0.4
"""The share of the rounds without bad weather."""
FORGOTTEN = 2.0 * WITHHELD + 5.0
"""Seconds after which nothing is left of what the guard has to know."""
IDLE = 30.0
"""Seconds in which nothing may be written then."""


class Report(msgspec.Struct):
    """What runs did: how often each fault happened, and how often it met each invariant; how many seconds they
    simulated, and how many runs they are."""

    faults: Counter[str] = msgspec.field(default_factory=Counter)
    cells: Counter[tuple[str, int]] = msgspec.field(default_factory=Counter)
    seconds: float = 0.0
    seeds: int = 0


def _silent(line: str) -> None:
    """Takes the log of a run that nobody reads."""


def simulate(seed: int, line: Callable[[str], object] = _silent) -> Report:
    """Runs the simulation of ``seed``, line by line told to ``line``; raises Violation."""

    async def main() -> Report:
        count_steps(asyncio.get_running_loop())
        stage = Stage(seed, line)
        with stage.ears.listening():
            await _play(stage)
        return Report(stage.coverage.faults, stage.coverage.cells, stage.now(), 1)

    return run(main())


async def _play(stage: Stage) -> None:
    async with stage.store.running():
        put_foreign_objects(stage.store, stage.checker)
        for feed in stage.world.feeds.values():
            feed.found(feed.members)
        for replica in stage.replicas:
            replica.start()
        try:
            await _settle(stage)
            rare = [stage.script.choice(sorted(RARE)), *[""] * (ROUNDS - 1)]
            stage.script.shuffle(rare)
            for name in rare:
                await _round(stage, [name] if name else [])
                await _calm_down(stage)
        finally:
            for replica in (*stage.replicas, stage.other):
                await replica.kill()


async def _round(stage: Stage, also: list[str]) -> None:
    """Accidents one after the other, ``also`` among them; some rounds have good weather, so that delays are nobody's
    fault but the engine's."""
    fair = stage.script.random() < FAIR
    kinds = [name for name in ACCIDENTS if not (fair and name in WEATHER)]
    names = stage.script.choices(kinds, k=STEPS) + also
    stage.script.shuffle(names)
    for name in names:
        log.info("---- %s", name)
        await (ACCIDENTS.get(name) or RARE[name])(stage)
        await stage.pass_(stage.script.choice([0.0, 0.3, 1.0, 3.0, 8.0, 20.0]))


async def _calm_down(stage: Stage) -> None:
    """All accidents end; then the cluster must become true, and after that nothing may be written."""
    log.info("---- calm")
    await stage.calm()
    for name, feed in stage.world.feeds.items():
        feed.found(some(stage, feed.members) if name in RESTLESS else feed.members)
    await _settle(stage)
    is_timely = await _fail_in_peace(stage)
    await stage.pass_(FORGOTTEN)
    await stage.look_at_pages()
    before = stage.checker.look().versions()
    await stage.pass_(IDLE)
    if (after := stage.checker.look().versions()) != before:
        changed = {name for name in before | after if before.get(name) != after.get(name)}
        raise Violation(f"4: nothing changed, and {sorted(changed)} were written")
    stage.coverage.evaluated_when_quiet(is_timely=is_timely)


async def _fail_in_peace(stage: Stage) -> bool:
    """A backend stops as soon as nothing delays anything any more, which has to show in time; whether it could."""
    before = stage.timely.total
    await stage.pass_(stage.undisturbed_in())
    await ACCIDENTS["backend stops"](stage)
    await stage.pass_(LIMIT / SLOWEST + 1.0)
    await _settle(stage)
    return stage.timely.total > before


async def _settle(stage: Stage) -> None:
    """Waits until the cluster shows what is true, and sees it stay so."""
    latest = stage.now() + SETTLE
    while True:
        gone = sorted(stage.world.disk.absent)  # a process that never knew of it removes nothing
        certain = frozenset(name for name in gone if all(stage.knows(one, name) for one in stage.replicas))
        try:
            stage.checker.quiet(certain=certain)
        except Violation:
            if stage.now() >= latest:
                raise
            await stage.pass_(1.0)
        else:
            break
    await stage.pass_(STAYS)
    stage.checker.quiet(certain=frozenset())
