"""One replica: an engine that is started and ended, with a clock, a network and a way to the API server of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

from extsync.engine.desired import Desired
from extsync.engine.election import Elected, Election
from extsync.engine.manifests import ManifestFeed
from extsync.engine.options import Options
from extsync.engine.run import Engine
from extsync.engine.world import World as Seams
from extsync.errors import Unavailable
from extsync.kube.memory import Fault, MemoryStore, Served
from extsync.model import ServiceKey
from extsync.objects import KubeObject
from extsync.seams.virtual import SeededRandom, VirtualClock
from extsync.seams.virtual_net import ScriptedProbeIO
from tests.kube.replicas import SkewedClock
from tests.simulation.lists import ScriptedDialer
from tests.simulation.manifests import REMOVAL_DELAY, Disk
from tests.simulation.process import OWNER, Process, ProcessClock
from tests.simulation.scenario import LEASES, LIMITS, NAMESPACE, World
from tests.simulation.wire import Wire

_GONE = Fault(error=Unavailable("this process has ended"))


class Replica:
    """``process`` is its present run, or its last. ``shards`` 0: there is no election. ``served`` is told of its
    requests that arrive, and ``asked`` of each that it makes, by process. ``disk`` has its manifests, the world's
    unless another one is given."""

    def __init__(
        self,
        name: str,
        world: World,
        store: MemoryStore,
        *,
        seed: str,
        rate: float,
        shards: int,
        served: Callable[[Process, Served], None],
        asked: Callable[[Process, str, type[KubeObject], tuple[str, str]], None],
        owner: str = OWNER,
        disk: Disk | None = None,
    ) -> None:
        self.name = name
        self.owner = owner
        self.clock = ProcessClock(rate=rate)
        self.io = ScriptedProbeIO(self.clock)
        self.cuts = world.network(self.io)
        self.wire = Wire(random.Random(f"{seed}/wire"))
        self.process = Process(name, owner=owner)
        self.started_at = 0.0
        self._shards = shards
        self.engine: Engine | None = None
        self._disk = disk or world.disk
        self._asked = asked
        self._elected: Elected | None = None
        self._world = world
        self._store = store
        self._served = served
        self._seed = seed
        self._starts = 0

    @property
    def runs(self) -> bool:
        return self.process.alive

    def start(self) -> None:
        """Runs the engine, which knows nothing of the run before."""
        self._starts += 1
        process = self.process = Process(f"{self.name}.{self._starts}", owner=self.owner)

        def fault(verb: str, kind: type[KubeObject], key: tuple[str, str]) -> Fault | None:
            self._asked(process, verb, kind, key)
            return self.wire.fault(verb, kind, key) if process.alive else _GONE

        # What it has sent travels on while it is halted.
        store = self._store.seen_from(
            clock=SkewedClock(rate=self.clock.rate), faults=fault, served=lambda served: self._served(process, served)
        )
        seams = Seams(
            store=store,
            clock=self.clock,
            random=SeededRandom(random.Random(f"{self._seed}/{self._starts}").getrandbits(32)),
            dialer=ScriptedDialer(self._world.server),
            io=self.io,
            create_source=self._world.create_source,
        )
        election = Election(namespace=LEASES, owner=self.owner, identity=process.name, shards=self._shards)
        if self._shards:
            self._elected = Elected(store, election, clock=self.clock, random=seams.random, era=seams.era)
        reader = self._disk.reader()
        feed = ManifestFeed(
            reader,
            Desired(removal_delay=REMOVAL_DELAY),
            clock=self.clock,
            poll_interval=3600.0,
            hint=reader.changed,
        )
        self.started_at = VirtualClock.monotonic(self.clock)  # not by its own clock
        options = Options(owner=self.owner, instance=process.name, qps=50.0, burst=100, limits=LIMITS)
        self.engine = Engine(seams, options, leadership=self._elected)
        process.start(self.engine.run(feed))

    def leads(self, service: str) -> bool:
        """Whether the present process may write for a service."""
        return self.runs and (self._elected is None or self._elected.leads(ServiceKey(NAMESPACE, service)))

    async def stop(self, *, lingers: float = 0.0) -> None:
        """Ends the engine in good order, so many seconds after it has handed over; one that is halted hears of that
        when it goes on."""
        self.process.go_on()
        if self.process.main is not None and self.engine is not None:
            with suppress(asyncio.CancelledError):  # it may end before it has handed over
                await self.process.task(self.engine.hand_over())
            await VirtualClock().sleep(lingers)
            self.process.main.cancel()
            await self.process.ended()
        self.process.alive = False

    async def kill(self) -> None:
        """Ends the process at once."""
        self.process.die()
        await self.process.ended()
