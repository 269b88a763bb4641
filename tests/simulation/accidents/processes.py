"""Processes and their clocks."""

from __future__ import annotations

from functools import partial

from extsync.kube.memory import Fault
from tests.simulation.accidents.backends import backend_stops, backends_stop_together
from tests.simulation.accidents.clients import somebody_deletes
from tests.simulation.accidents.manifests import manifest_changes
from tests.simulation.accidents.parts import restart, until_it_ends
from tests.simulation.accidents.registry import accident
from tests.simulation.accidents.sources import source_changes
from tests.simulation.process import Process
from tests.simulation.scenario import SERVICES
from tests.simulation.stage import AFTER_START, Stage
from tests.simulation.wire import LATEST

CAUSES = (backend_stops, source_changes, manifest_changes, somebody_deletes)
"""After each of them there is something to write."""


@accident("process restarts")
async def process_restarts(stage: Stage) -> None:
    stage.strike("process restarts")
    await restart(stage, stage.script.choice(stage.replicas))


@accident("process crashes")
async def process_crashes(stage: Stage) -> None:
    """At any of its steps, while there is something to do."""
    replica = stage.script.choice(stage.replicas)
    stage.strike("process crashes")
    await stage.script.choice(CAUSES)(stage)
    replica.process.crash_in(stage.script.randrange(1, 400))
    await until_it_ends(stage, replica)


@accident("process crashes in a write")
async def process_crashes_in_a_write(stage: Stage) -> None:
    """Before the request has arrived, which it may do all the same, or before the answer has."""
    replica = stage.script.choice(stage.replicas)
    process = replica.process
    late, answered = stage.script.random() < 0.7, stage.script.random() < 0.5
    travels = stage.script.uniform(0.1, 20.0)

    def write() -> Fault:
        stage.clock.call_later(0.05, process.die)
        return Fault(after=1.0) if answered else Fault(before=travels, late=late)

    stage.strike("process crashes in a write")
    replica.wire.on_write = write
    await stage.script.choice(CAUSES)(stage)
    await until_it_ends(stage, replica)
    replica.wire.on_write = None


@accident("leader is killed")
async def leader_is_killed(stage: Stage) -> None:
    """While backends change, and nobody starts it again before another one leads, if there is one."""
    replica = stage.leader(stage.script.choice(SERVICES)) or stage.script.choice(stage.replicas)
    stage.strike("leader is killed")
    await backends_stop_together(stage)
    await stage.pass_(stage.script.uniform(0.0, 6.0))
    await replica.kill()
    await stage.pass_(stage.script.uniform(0.0, 25.0))
    replica.start()


@accident("process is suspended")
async def process_is_suspended(stage: Stage) -> None:
    """Nothing of it runs, and others may take over meanwhile; what it had sent arrives."""
    process = stage.script.choice(stage.replicas).process
    if not process.alive or process.is_halted:
        return
    process.halt()
    seconds = stage.script.uniform(1.0, 50.0)
    stage.begin("process is suspended", seconds, partial(_resume, stage, process), disturbs=AFTER_START)


def _resume(stage: Stage, process: Process) -> None:
    process.go_on()
    stage.world.show_what_is_down()


@accident("process is suspended in a write")
async def process_is_suspended_in_a_write(stage: Stage) -> None:
    """Its request may arrive when another process leads, and the answer when its time-out is over."""
    process, wire = (replica := stage.script.choice(stage.replicas)).process, replica.wire
    if not process.alive or process.is_halted:
        return
    travels, seconds = stage.script.uniform(0.1, LATEST), stage.script.uniform(1.0, 50.0)

    def halt() -> None:
        if process.alive and not process.is_halted:
            process.halt()
            resume = partial(_resume, stage, process)
            stage.begin("process is suspended in a write", seconds, resume, disturbs=AFTER_START)

    def write() -> Fault:
        stage.clock.call_later(0.05, halt)
        return Fault(before=travels, late=True)

    wire.on_write = write
    await stage.script.choice(CAUSES)(stage)
    await stage.pass_(3.0)
    if wire.on_write is write:
        wire.on_write = None


@accident("wall clock is set")
async def wall_clock_is_set(stage: Stage) -> None:
    stage.strike("wall clock is set")
    stage.script.choice(stage.replicas).clock.skew = stage.script.uniform(-1e6, 1e6)


@accident("process restarts in a write")
async def process_restarts_in_a_write(stage: Stage) -> None:
    """It is told to end while a request travels, and leaves its Leases to others when that has ended."""
    replica = stage.leader(stage.script.choice(SERVICES)) or stage.script.choice(stage.replicas)
    travels = stage.script.uniform(0.5, 2.5)  # it waits for 3 s
    sent = False

    def write() -> Fault:
        nonlocal sent
        sent = True
        return Fault(before=travels, late=True)

    stage.strike("process restarts in a write")
    replica.wire.on_write = write
    await stage.script.choice(CAUSES)(stage)
    for _ in range(60):
        if not sent:
            await stage.pass_(0.1)
    replica.wire.on_write = None
    await restart(stage, replica, lingers=3.0)
