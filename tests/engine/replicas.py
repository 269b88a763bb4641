"""Replicas of one installation on one in-memory store, each an engine with an election, a clock, a network and faults
of its own, and everything that they wrote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import msgspec

from extsync.engine.desired import Desired
from extsync.engine.election import Elected, Election
from extsync.engine.manifests import ManifestFeed
from extsync.engine.run import Engine
from extsync.engine.watching import Watching
from extsync.kube.era import Era
from extsync.kube.memory import Fault, Served
from extsync.kube.memory.faults import Faults
from extsync.kube.stamp import Stamp
from extsync.objects import Endpoints, EndpointSlice, KubeObject, Lease
from extsync.seams.virtual import SeededRandom
from extsync.seams.virtual_net import Behaviour, ScriptedProbeIO
from tests.engine.support import DOWN, NAMESPACE, PORT, UP, Manifests, Rig, key

WRITES = ("create", "update", "delete", "apply")
OWNER = "default"


class Write(NamedTuple):
    """One write of slices or Endpoints that was carried out; ``stamp`` is what the object shows then."""

    at: float
    replica: str
    verb: str
    name: str
    stamp: Stamp | None


class Replica:
    """One process."""

    def __init__(self, stage: Replicas, name: str, election: Election, manifests: tuple[dict[str, Any], ...]) -> None:
        self.name = name
        self.faults: Faults = lambda verb, kind, at: None
        self._stage = stage
        rig = stage.rig
        clock = rig.clock
        self.io = ScriptedProbeIO(clock)
        for address, behaviour in stage.network.items():
            self.io.script(address, PORT, behaviour)
        store = rig.store.seen_from(
            clock=clock, faults=lambda verb, kind, at: self.faults(verb, kind, at), served=self._served
        )
        random = SeededRandom(len(stage.all))
        world = msgspec.structs.replace(
            rig.world,
            store=store,
            random=random,
            io=self.io,
            watcher=Watching(store, clock=clock, random=random),
            era=Era(),
        )
        self.manifests = Manifests()
        self.manifests.put(*manifests)
        feed = ManifestFeed(
            self.manifests, Desired(removal_delay=60.0), clock=clock, poll_interval=10.0, hint=self.manifests.changed
        )
        self.leadership = Elected(store, election, clock=clock, random=random, era=world.era)
        self.engine = Engine(world, rig.options, leadership=self.leadership)
        self._run = asyncio.create_task(self.engine.run(feed))

    @property
    def shares_the_lease(self) -> bool:
        """Whether it holds the leader Lease together with the others that have as many shards."""
        group = self.leadership._group
        return group is not None and group.leads

    def leads(self, service: str) -> bool:
        return self.leadership.leads(key(service))

    @property
    def is_alive(self) -> bool:
        return not self._run.done()

    def cut(self) -> None:
        """Its requests get no answer any more, neither those that are under way."""
        self.faults = lambda verb, kind, at: Fault(before=999.0)

    async def kill(self) -> None:
        """Ends it as kill -9 does."""
        assert self.is_alive, "the engine ended by itself"
        self._run.cancel()
        with suppress(asyncio.CancelledError):
            await self._run

    async def stop(self) -> None:
        """Ends it as SIGTERM does."""
        await self.engine.hand_over()
        await self.kill()

    def _served(self, served: Served) -> None:
        self._stage.note(self.name, served)


class Replicas:
    """The replicas on the store of ``rig``, and what they wrote."""

    def __init__(self, rig: Rig | None = None) -> None:
        self.rig = rig or Rig()
        self.all: list[Replica] = []
        self.writes: list[Write] = []
        self.network: dict[str, Behaviour] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs the store; at the end whoever is alive is killed."""
        async with self.rig.store.running():
            try:
                yield
            finally:
                for replica in self.alive:
                    await replica.kill()

    @property
    def alive(self) -> list[Replica]:
        return [replica for replica in self.all if replica.is_alive]

    def start(self, *manifests: dict[str, Any], **election: Any) -> Replica:
        """One more replica that keeps ``manifests``; ``election`` are fields of its Election."""
        name = f"replica-{len(self.all)}"
        chosen = Election(**{"namespace": NAMESPACE, "owner": OWNER, "identity": name, **election})
        replica = Replica(self, name, chosen, manifests)
        self.all.append(replica)
        return replica

    # ---- the backends ------------------------------------------------------------------------------------------------

    def up(self, *addresses: str) -> None:
        self._script(addresses, UP)

    def down(self, *addresses: str) -> None:
        self._script(addresses, DOWN)

    def _script(self, addresses: tuple[str, ...], behaviour: Behaviour) -> None:
        for address in addresses:
            self.network[address] = behaviour
            for replica in self.all:
                replica.io.script(address, PORT, behaviour)

    # ---- who leads ---------------------------------------------------------------------------------------------------

    def leader(self, service: str) -> Replica | None:
        """Who may write for a service; fails where several may."""
        leaders = [replica for replica in self.alive if replica.leads(service)]
        assert len(leaders) <= 1, f"{[one.name for one in leaders]} lead for {service}"
        return leaders[0] if leaders else None

    async def led(self, service: str, *, within: float) -> Replica:
        """Waits until somebody leads for a service."""
        await self.rig.until(lambda: self.leader(service) is not None, within=within)
        found = self.leader(service)
        assert found is not None
        return found

    async def moved(self, service: str, before: Replica, *, within: float) -> float:
        """Waits until another than ``before`` leads for a service; returns the seconds that took."""
        return await self.rig.until(lambda: self.leader(service) not in (None, before), within=within)

    def leases(self) -> dict[str, str]:
        """The holder of each Lease."""
        return {
            lease["metadata"]["name"]: lease["spec"].get("holderIdentity") or ""
            for lease in self.rig.store.dump(Lease, NAMESPACE)
        }

    # ---- what was written --------------------------------------------------------------------------------------------

    def note(self, replica: str, served: Served) -> None:
        kind: type[KubeObject] = served.kind
        if served.verb not in WRITES or kind not in (EndpointSlice, Endpoints) or served.error is not None:
            return
        stamp = None
        if served.verb != "delete":
            raw = self.rig.store.raw(kind, *served.key)
            stamp = Stamp.parse(raw["metadata"].get("annotations", {}).get("extsync.dev/written-by", ""))
        self.writes.append(Write(self.rig.clock.monotonic(), replica, served.verb, served.key[1], stamp))

    def since(self, at: float) -> list[Write]:
        return [write for write in self.writes if write.at >= at]


def assert_in_order(writes: list[Write]) -> None:
    """Each write bears its writer's stamp, and no term of a Lease comes after a later one."""
    latest: dict[str, int] = {}
    for write in writes:
        if write.stamp is not None:
            assert write.stamp.identity == write.replica
            assert write.stamp.transitions >= latest.get(write.stamp.lease, 0), write
            latest[write.stamp.lease] = write.stamp.transitions
