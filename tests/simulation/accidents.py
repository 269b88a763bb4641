"""What can happen in a run. Each accident is a function of the stage, by the name of the fault under which it counts.

What lasts ends by itself; a few accidents let time pass themselves, since there is something to be seen meanwhile.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

from extsync.errors import Conflict
from extsync.kube.memory import Fault
from extsync.model import Observation, Outcome
from extsync.objects import SERVICE_NAME_LABEL, Endpoints, EndpointSlice, KubeObject, Lease, Service
from extsync.seams.virtual_net import Behaviour, BlackHole, Failing, Listening
from tests.simulation.feeds import PARTS, Feed
from tests.simulation.invariants import Violation
from tests.simulation.replica import Replica
from tests.simulation.scenario import GUEST, MORTAL, NAMESPACE, SERVICES, SLICE_LIMITS, WITHHELD
from tests.simulation.stage import AFTER_START, AFTER_STORM, Stage
from tests.simulation.wire import WEATHER

log = logging.getLogger(__name__)

Accident: TypeAlias = Callable[[Stage], Awaitable[None]]

NAMED = 40.0
"""Seconds in good weather after which what a source says has been written, that a part has nothing included."""

ACCIDENTS: dict[str, Accident] = {}


def accident(kind: str) -> Callable[[Accident], Accident]:
    """Enters a function into ACCIDENTS."""

    def enter(function: Accident) -> Accident:
        ACCIDENTS[kind] = function
        return function

    return enter


# ---- backends and the network ----------------------------------------------------------------------------------------


@accident("backend stops")
async def backend_stops(stage: Stage) -> None:
    """Some of those that are up; one that is silent costs the prober its time-out."""
    ways: list[Behaviour] = [Failing(), BlackHole(), Failing(errno.EHOSTUNREACH), Listening(resets=True)]
    down = stage.script.choice(ways)
    up = [address for address in MORTAL if stage.world.up[address]]
    if isinstance(down, Listening):  # accepts, and then speaks no HTTP
        up = [address for address in up if address in GUEST]
    if up:
        stage.strike("backend stops")
        _stop(stage, stage.script.choice(up), down)


@accident("backends stop together")
async def backends_stop_together(stage: Stage) -> None:
    """As a rack that loses its power; the others of a service stay up."""
    stage.strike("backends stop together")
    ways: list[Behaviour] = [Failing(), BlackHole()]
    for address in stage.script.sample(MORTAL, k=4):
        _stop(stage, address, stage.script.choice(ways))


@accident("backend flaps")
async def backend_flaps(stage: Stage) -> None:
    address = stage.script.choice(MORTAL)
    stage.strike("backend flaps")
    for _ in range(stage.script.randrange(3, 8)):
        if stage.world.up[address]:
            _stop(stage, address, Failing())
        else:
            stage.world.set_up(address, True)
        await stage.pass_(stage.script.uniform(0.5, 8.0))


@accident("backend repeats a secret")
async def backend_repeats_a_secret(stage: Stage) -> None:
    """It answers with what it was asked, and so do programs that show their requests to whoever debugs them."""

    def echo(request: bytes) -> bytes:
        head = stage.script.choice([b"", b"HTTP/1.1 401 Unauthorized\r\n\r\n", b"HTTP/1.1 500 "])
        return head + request

    address = stage.script.choice(GUEST)
    stage.strike("backend repeats a secret")
    _stop(stage, address, Listening(answer=echo, closes=True))


@accident("backends start")
async def backends_start(stage: Stage) -> None:
    log.info("backends start")
    for address in MORTAL:
        if stage.script.random() < 0.8:
            stage.world.set_up(address, True)


@accident("own link is cut")
async def own_link_is_cut(stage: Stage) -> None:
    """A replica can reach nothing for a while, and nobody may be demoted for that."""
    outages: list[Behaviour] = [BlackHole(), Failing(errno.ENETUNREACH, latency=None), Failing(errno.EHOSTUNREACH)]
    outage, replica = stage.script.choice(outages), stage.script.choice(stage.replicas)
    replica.cuts.append(outage)
    stage.world.rewire()

    def mend() -> None:
        replica.cuts.remove(outage)
        stage.world.rewire()

    stage.begin("own link is cut", stage.script.uniform(0.0, 60.0), mend, disturbs=AFTER_START)


@accident("sockets run out")
async def sockets_run_out(stage: Stage) -> None:
    """Probes are skipped, and nobody may be demoted for that."""
    replica = stage.script.choice(stage.replicas)
    if replica.io.descriptors == 0:
        return
    descriptors, replica.io.descriptors = replica.io.descriptors, 0

    def mend() -> None:
        replica.io.descriptors = descriptors

    stage.begin("sockets run out", stage.script.uniform(1.0, 30.0), mend, disturbs=AFTER_START)


# ---- sources ---------------------------------------------------------------------------------------------------------


@accident("source answers in part")
async def source_answers_in_part(stage: Stage) -> None:
    feed = _feed(stage)
    stage.strike("source answers in part")
    feed.found(some(stage, feed.members), parts=stage.script.choice([PARTS[:1], PARTS[1:]]))


@accident("source changes")
async def source_changes(stage: Stage) -> None:
    feed = _feed(stage)
    stage.strike("source changes")
    feed.found(some(stage, feed.members))


@accident("source fails")
async def source_fails(stage: Stage) -> None:
    await _source_says(stage, "source fails", Outcome.ERROR)


@accident("source is suspect")
async def source_is_suspect(stage: Stage) -> None:
    await _source_says(stage, "source is suspect", Outcome.SUSPECT)


async def _source_says(stage: Stage, kind: str, outcome: Outcome) -> None:
    feed = _feed(stage)
    feed.say(Observation(outcome, detail="scripted"), part=stage.script.choice([None, *PARTS]))
    stage.begin(kind, stage.script.uniform(1.0, 120.0), lambda: feed.found(tuple(sorted(feed.good))))


@accident("source is empty for a moment")
async def source_is_empty_for_a_moment(stage: Stage) -> None:
    """An empty answer that is taken back before its hold is over has no effect."""
    feed = _feed(stage)
    with stage.coverage.lasting("source is empty for a moment"):
        outcome = stage.script.choice([Outcome.EMPTY, Outcome.GONE])
        feed.say(Observation(outcome), part=stage.script.choice([None, *PARTS]))
        await stage.pass_(stage.script.uniform(0.0, 25.0))
        feed.found(tuple(sorted(feed.good)))


@accident("source never answers")
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


# ---- the API server and the way to it --------------------------------------------------------------------------------


def _weather(kind: str) -> Accident:
    async def begin(stage: Stage) -> None:
        replica = stage.script.choice(stage.replicas)
        chance = 1.0 if kind == "api is away" else stage.script.choice([0.1, 0.3, 0.9])
        entry = (kind, chance)
        replica.wire.weather.append(entry)
        longest = 240.0 if kind in ("api is away", "api forbids") else 60.0
        seconds = stage.script.uniform(1.0, longest)
        stage.begin(kind, seconds, lambda: replica.wire.weather.remove(entry), disturbs=AFTER_STORM)

    return begin


ACCIDENTS.update({kind: _weather(kind) for kind in WEATHER})


# ---- processes and their clocks --------------------------------------------------------------------------------------


@accident("process restarts")
async def process_restarts(stage: Stage) -> None:
    stage.strike("process restarts")
    await restart(stage, stage.script.choice(stage.replicas))


@accident("process crashes")
async def process_crashes(stage: Stage) -> None:
    """At any of its steps, while there is something to do."""
    replica = stage.script.choice(stage.replicas)
    stage.strike("process crashes")
    await stage.script.choice([backend_stops, source_changes, manifest_changes, somebody_deletes])(stage)
    replica.process.crash_in(stage.script.randrange(1, 400))
    await _until_it_ends(stage, replica)


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
    await stage.script.choice([backend_stops, source_changes, manifest_changes, somebody_deletes])(stage)
    await _until_it_ends(stage, replica)
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
    """The machine sleeps: its clocks have leapt when it goes on, with its network."""
    replica = stage.script.choice(stage.replicas)
    if not replica.cuts:
        stage.strike("process is suspended")
        stage.disturb(AFTER_START)
        replica.clock.suspend(stage.script.uniform(1.0, 50.0))


@accident("wall clock is set")
async def wall_clock_is_set(stage: Stage) -> None:
    stage.strike("wall clock is set")
    stage.script.choice(stage.replicas).clock.skew = stage.script.uniform(-1e6, 1e6)


async def restart(stage: Stage, replica: Replica) -> None:
    """Ends a process in good order and starts another, soon or later."""
    await replica.stop()
    await stage.pass_(stage.script.choice([0.0, 2.0, 15.0]))
    replica.start()


async def _until_it_ends(stage: Stage, replica: Replica) -> None:
    """Waits for the end of a process for a while, kills it if need be, and starts another."""
    for _ in range(20):
        if replica.runs:
            await stage.pass_(0.5)
    await replica.kill()
    log.info("%s ended at its step %d", replica.process.name, replica.process.steps)
    await stage.pass_(stage.script.choice([0.0, 2.0, 15.0]))
    replica.start()


# ---- other clients ---------------------------------------------------------------------------------------------------


@accident("somebody deletes objects")
async def somebody_deletes(stage: Stage) -> None:
    kinds: list[type[KubeObject]] = [EndpointSlice, EndpointSlice, Endpoints]
    kind = stage.script.choice(kinds)
    if names := stage.ours(kind):
        stage.strike("somebody deletes objects")
        name = stage.script.choice(names)
        stage.excuse(_service_of(stage, kind, name))
        log.info("%s %s", kind.__name__, name)
        stage.remove(kind, name)


@accident("somebody deletes a Service")
async def somebody_deletes_a_service(stage: Stage) -> None:
    if names := stage.ours(Service):
        stage.strike("somebody deletes a Service")
        name = stage.script.choice(names)
        stage.excuse(name)
        stage.remove(Service, name)


@accident("somebody edits objects")
async def somebody_edits(stage: Stage) -> None:
    kinds: list[type[KubeObject]] = [EndpointSlice, Endpoints]
    kind = stage.script.choice(kinds)
    if not (names := stage.ours(kind)):
        return
    stage.strike("somebody edits objects")
    body = stage.store.raw(kind, NAMESPACE, stage.script.choice(names))
    stage.excuse(_service_of(stage, kind, body["metadata"]["name"]))
    if stage.script.random() < 0.5:
        # Without the owner label Endpoints are somebody else's by the rule; a slice is known by its name too.
        kept = ("extsync.dev/owner",) if kind is Endpoints else ()
        labels = body["metadata"]["labels"]
        body["metadata"]["labels"] = {"somebody": "edited"} | {key: labels[key] for key in kept}
    else:
        body["endpoints" if kind is EndpointSlice else "subsets"] = []
    with suppress(Conflict):
        stage.store.put(kind, body)


def _service_of(stage: Stage, kind: type[KubeObject], name: str) -> str:
    if kind is Endpoints:
        return name
    labels = stage.store.raw(kind, NAMESPACE, name)["metadata"].get("labels", {})
    return str(labels.get(SERVICE_NAME_LABEL, ""))


@accident("somebody edits Leases")
async def somebody_edits_leases(stage: Stage) -> None:
    """Deletes them, or empties their holder: whoever held them goes on, and nobody else begins."""
    leases = stage.store.dump(Lease, NAMESPACE)
    if leases:
        stage.strike("somebody edits Leases")
    for body in leases:
        if stage.script.random() < 0.5:
            stage.remove(Lease, body["metadata"]["name"])
        else:
            body["spec"]["holderIdentity"] = ""
            stage.store.put(Lease, body)


# ---- manifests -------------------------------------------------------------------------------------------------------


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


# ---- parts -----------------------------------------------------------------------------------------------------------


def some(stage: Stage, addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Most of the addresses, at least one."""
    return tuple(a for a in addresses if stage.script.random() < 0.7) or addresses[:1]


def _feed(stage: Stage) -> Feed:
    return stage.world.feeds[stage.script.choice(list(stage.world.feeds))]


def _stop(stage: Stage, address: str, down: Behaviour) -> None:
    was_up = stage.world.up[address]
    stage.world.set_up(address, False, down=down)
    if was_up:
        stage.timely.failed(address)
