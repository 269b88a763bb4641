"""One simulated run: the real engine in virtual time, and a script of accidents drawn from a seed."""

from __future__ import annotations

import asyncio
import errno
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from extsync.engine.desired import Desired
from extsync.engine.manifests import ManifestFeed
from extsync.engine.options import Options
from extsync.engine.run import Engine
from extsync.engine.world import World as Seams
from extsync.errors import Conflict, TooManyRequests, Unavailable
from extsync.kube.memory import Fault, MemoryStore
from extsync.model import Observation, Outcome
from extsync.objects import Endpoints, EndpointSlice, KubeObject, Service
from extsync.seams import SystemDialer
from extsync.seams.virtual import SeededRandom, VirtualClock, run
from extsync.seams.virtual_net import Behaviour, BlackHole, Failing, ScriptedProbeIO
from tests.simulation.invariants import Checker, Violation
from tests.simulation.scenario import MORTAL, NAMESPACE, PARTS, World

log = logging.getLogger(__name__)

STEPS = 30
LOOK = 0.25
"""Seconds of simulated time between two looks at the store."""
COLLECTED = 5.0
"""Seconds in which the garbage collector takes away what belonged to something deleted."""
UNSEEN = 60.0
"""Seconds for which, in bad weather, the engine may plan from how things were before somebody changed them."""

NAMED = 40.0
"""Seconds in good weather after which what a source says has been written, that a part has nothing included."""

SETTLE = 150.0
"""Seconds without accidents after which the cluster must show what is true; the longest back-off is 30 s."""


class Simulation:
    """One run. ``counts`` says how often each kind of accident happened."""

    def __init__(self, seed: int) -> None:
        self._script = random.Random(seed)
        self._clock = VirtualClock()
        self._random = SeededRandom(seed)
        self._io = ScriptedProbeIO(self._clock)
        self._world = World(self._io)
        self._weather = 0.0
        self.counts: Counter[str] = Counter()
        self._store = MemoryStore(
            clock=self._clock, random=self._random, namespaces=[NAMESPACE], history=200, faults=self._fault
        )
        self._checker = Checker(self._store, self._world)
        self._engine: asyncio.Task[None] | None = None

    async def play(self) -> None:
        """Plays the script; raises Violation where an invariant does not hold."""
        async with self._store.running():
            self._put_foreign_objects()
            for feed in self._world.feeds.values():
                await feed.found(feed.members)
            self._start()
            try:
                await self._pass(SETTLE)
                self._checker.quiet()
                silent_at = self._script.randrange(STEPS)
                for number in range(STEPS):
                    await self._step(number == silent_at)
                await self._calm_down()
            finally:
                await self._stop()

    async def _step(self, is_silent: bool) -> None:
        """One accident and some time; ``is_silent``: the one that happens once in a run, as it lasts long."""
        accidents: list[Callable[[], Awaitable[None]]] = [
            self._flip,
            self._flip,
            self._own_link_fails,
            self._source_answers,
            self._source_fails,
            self._source_is_empty,
            self._bad_weather,
            self._good_weather,
            self._restart,
            self._somebody_deletes,
            self._somebody_edits,
            self._manifest_changes,
        ]
        accident = self._source_never_answers if is_silent else self._script.choice(accidents)
        name = accident.__name__.strip("_")
        self.counts[name] += 1
        log.info("---- %.2f s: %s", self._clock.monotonic(), name)
        await accident()
        await self._pass(self._script.choice([0.0, 0.3, 1.0, 3.0, 8.0, 20.0]))

    async def _pass(self, seconds: float) -> None:
        """Lets time pass and looks at the store all the while."""
        end = self._clock.monotonic() + seconds
        while True:
            self._checker.step(self._clock.monotonic())
            if self._engine is not None and self._engine.done():
                await self._engine
                raise Violation("7: the engine ended")
            if self._clock.monotonic() >= end:
                return
            await self._clock.sleep(LOOK)

    async def _calm_down(self) -> None:
        """All accidents end; then the cluster must become true, and after that nothing may be written."""
        self._weather = 0.0
        for feed in self._world.feeds.values():
            await feed.found(self._some(feed.members))
        await self._pass(SETTLE)
        self._checker.quiet()
        before = self._checker.versions()
        await self._pass(120.0)
        if (after := self._checker.versions()) != before:
            changed = {name for name in before | after if before.get(name) != after.get(name)}
            raise Violation(f"4: nothing changed, and {sorted(changed)} were written")

    # ---- accidents ---------------------------------------------------------------------------------------------------

    async def _flip(self) -> None:
        address = self._script.choice(MORTAL)
        self._world.set_up(address, not self._world.up[address], black_hole=self._script.random() < 0.3)

    async def _own_link_fails(self) -> None:
        """Nothing can be reached for a while, and nobody may be demoted for that."""
        outages: list[Behaviour] = [BlackHole(), Failing(errno.ENETUNREACH, latency=None)]
        self._world.cut_off(self._script.choice(outages))
        await self._pass(self._script.uniform(0.0, 60.0))
        self._world.cut_off(None)

    async def _source_answers(self) -> None:
        feed = self._world.feeds[self._script.choice(list(self._world.feeds))]
        parts = self._script.choice([PARTS, PARTS[:1], PARTS[1:]])
        await feed.found(self._some(feed.members), parts=parts)

    async def _source_fails(self) -> None:
        feed = self._world.feeds[self._script.choice(list(self._world.feeds))]
        outcome = self._script.choice([Outcome.ERROR, Outcome.SUSPECT])
        await feed.say(Observation(outcome, detail="scripted"), part=self._script.choice([None, *PARTS]))

    async def _source_is_empty(self) -> None:
        """An empty answer that is taken back before its hold is over has no effect."""
        feed = self._world.feeds[self._script.choice(list(self._world.feeds))]
        await feed.say(Observation(Outcome.EMPTY), part=self._script.choice([None, *PARTS]))
        await self._pass(self._script.uniform(0.0, 25.0))
        await feed.found(tuple(feed.good))

    async def _bad_weather(self) -> None:
        self._weather = self._script.choice([0.05, 0.3, 0.9, 1.0])

    async def _good_weather(self) -> None:
        self._weather = 0.0

    async def _restart(self) -> None:
        await self._stop()
        await self._pass(self._script.choice([0.0, 2.0, 15.0]))
        self._start()

    async def _source_never_answers(self) -> None:
        """From a start on one source says nothing, and what the other has named since leaves when that one says so."""
        await self._world.feeds["silent"].say(Observation(Outcome.ERROR, detail="scripted"), part=None)
        await self._restart()
        weather, self._weather = self._weather, 0.0
        fleet = self._world.feeds["fleet"]
        await fleet.found(fleet.members)
        await self._pass(NAMED)
        await fleet.found(self._some(fleet.members))
        await self._pass(NAMED)
        if stayed := set(self._checker.slices("fleet")) - fleet.good:
            raise Violation(f"7: {sorted(stayed)} of fleet stay, and only a source that never answered may have them")
        self._weather = weather

    async def _somebody_deletes(self) -> None:
        kinds: list[type[KubeObject]] = [EndpointSlice, EndpointSlice, Endpoints, Service]
        kind = self._script.choice(kinds)
        names = self._ours(kind)
        if names:
            name = self._script.choice(names)
            self._excuse()
            log.info("somebody deletes %s %s", kind.__name__, name)
            self._store.remove(kind, NAMESPACE, name)

    async def _somebody_edits(self) -> None:
        kinds: list[type[KubeObject]] = [EndpointSlice, Endpoints]
        kind = self._script.choice(kinds)
        names = self._ours(kind)
        if names:
            body = self._store.raw(kind, NAMESPACE, self._script.choice(names))
            self._excuse()
            if self._script.random() < 0.5:
                # Without the owner label Endpoints are somebody else's by the rule; a slice is known by its name too.
                kept = ("extsync.dev/owner",) if kind is Endpoints else ()
                labels = body["metadata"]["labels"]
                body["metadata"]["labels"] = {"somebody": "edited"} | {key: labels[key] for key in kept}
            else:
                body["endpoints" if kind is EndpointSlice else "subsets"] = []
            with suppress(Conflict):
                self._store.put(kind, body)

    def _excuse(self) -> None:
        self._checker.excuse(self._clock.monotonic() + (UNSEEN if self._weather else COLLECTED))

    async def _manifest_changes(self) -> None:
        self._world.manifests.change_limit()

    def _fault(self, verb: str, kind: type[KubeObject], key: tuple[str, str]) -> Fault | None:
        """The weather between the engine and the API server."""
        if self._script.random() >= self._weather:
            return None
        faults = [
            Fault(error=Unavailable("scripted: 503")),
            Fault(error=TooManyRequests("scripted: 429", retry_after=2.0)),
            Fault(before=1.0),
        ]
        if verb not in ("watch", "event"):  # a silent watch is KubeStore's own affair: it has an inactivity time-out
            faults += [Fault(after=30.0), Fault(lost=True)]
        fault = self._script.choice(faults)
        self.counts[f"api {verb}"] += 1
        return fault

    # ---- parts -------------------------------------------------------------------------------------------------------

    def _put_foreign_objects(self) -> None:
        """Objects of somebody else, which look much like extsync's."""
        port = [{"port": 80, "protocol": "TCP"}]
        metadata = {"name": "theirs", "namespace": NAMESPACE}
        self._store.put(Service, {"metadata": metadata, "spec": {"ports": port}})
        self._store.put(
            EndpointSlice,
            {
                "metadata": {
                    "name": "rack-theirs",
                    "namespace": NAMESPACE,
                    "labels": {"kubernetes.io/service-name": "rack"},
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["198.18.0.1"], "conditions": {"ready": True}}],
                "ports": [{"name": "theirs", "port": 81, "protocol": "TCP"}],
            },
        )
        self._checker.protect(Service, "theirs")
        self._checker.protect(EndpointSlice, "rack-theirs")

    def _ours(self, kind: type[KubeObject]) -> list[str]:
        """The names of objects that extsync made."""
        return [
            obj["metadata"]["name"]
            for obj in self._store.dump(kind, NAMESPACE)
            if obj["metadata"].get("labels", {}).get("extsync.dev/owner") == "default"
        ]

    def _some(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(a for a in addresses if self._script.random() < 0.7) or addresses[:1]

    def _start(self) -> None:
        seams = Seams(
            store=self._store,
            clock=self._clock,
            random=self._random,
            dialer=SystemDialer(),
            io=self._io,
            create_source=self._world.create_source,
        )
        manifests = self._world.manifests
        manifests.reread()
        feed = ManifestFeed(
            manifests, Desired(removal_delay=60.0), clock=self._clock, poll_interval=3600.0, hint=manifests.changed
        )
        self._engine = asyncio.create_task(Engine(seams, Options(qps=50.0, burst=100)).run(feed))

    async def _stop(self) -> None:
        if self._engine is not None:
            self._engine.cancel()
            with suppress(asyncio.CancelledError):
                await self._engine
            self._engine = None


def simulate(seed: int) -> Counter[str]:
    """Runs the simulation of ``seed`` and returns how often each kind of accident happened; raises Violation."""

    async def main() -> Counter[str]:
        simulation = Simulation(seed)
        await simulation.play()
        return simulation.counts

    return run(main())
