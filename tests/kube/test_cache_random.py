"""Random histories: own writes, other clients' writes, a watch that lags and breaks.

At every moment the cache is at least as new as what this process wrote itself, and in the end it is the store's state.
"""

from __future__ import annotations

import asyncio
import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from extsync.errors import Expired, StoreError, Unavailable
from extsync.kube.cache import Cache
from extsync.kube.memory import Fault, MemoryStore
from extsync.objects import EndpointSlice, KubeObject, ObjectMeta, SliceEndpoint
from extsync.seams.virtual import SeededRandom, VirtualClock, run

NAMES = ("a", "b", "c", "d")
NAMESPACE = "default"


class History:
    """One random run. ``written`` has, by name, the uid and version of what this process wrote last."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        clock = VirtualClock()
        self.store = MemoryStore(clock=clock, random=SeededRandom(seed), history=20, faults=self.fault)
        self.cache = Cache(
            self.store,
            EndpointSlice,
            clock=clock,
            random=SeededRandom(seed),
            namespace=NAMESPACE,
            on_change=self.changed,
        )
        self.written: dict[str, tuple[str | None, int]] = {}
        self.deleted: set[str | None] = set()
        self.problems: list[str] = []
        self.calm = False

    def fault(self, verb: str, kind: type[KubeObject], key: tuple[str, str]) -> Fault | None:
        """The watch lags by up to two minutes and breaks now and then; our own requests take their time."""
        if self.calm:
            return None
        match verb, self.chance.random():
            case "event", luck if luck < 0.05:
                return Fault(error=Unavailable("cut"))
            case "event", luck if luck < 0.5:
                return Fault(before=self.chance.expovariate(1 / 5))
            case "watch", luck if luck < 0.1:
                return Fault(error=Expired("too old"))
            case "create" | "update" | "delete", luck if luck < 0.7:
                return Fault(before=self.chance.random(), after=self.chance.random() * 4)
        return None

    def changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        """What the cache takes in is not older than what this process wrote, and nothing that it deleted comes back."""
        if new is None:
            return
        uid, version = new.metadata.uid, int(new.metadata.resource_version or 0)
        written_uid, written_version = self.written.get(new.metadata.name, (None, 0))
        if uid in self.deleted or (uid == written_uid and version < written_version):
            self.problems.append(f"{new.metadata.name} went back to {version}")  # the cache would but log an assertion

    async def write(self) -> None:
        """One write of this process, from what the cache says."""
        name = self.chance.choice(NAMES)
        seen = self.cache.get(NAMESPACE, name)
        try:
            if seen is None:
                self.took_in(await self.store.create(a_slice(name)))
            elif self.chance.random() < 0.3:
                uid = seen.metadata.uid or ""
                await self.store.delete(EndpointSlice, NAMESPACE, name, uid=uid)
                self.deleted.add(uid)
                self.cache.deleted(NAMESPACE, name, uid)
            else:
                self.took_in(await self.store.update(readdressed(seen, self.chance.randrange(250))))
        except StoreError:
            return  # stale, which is the watch's business, not this write's

    def took_in(self, obj: EndpointSlice) -> None:
        self.cache.written(obj)
        self.written[obj.metadata.name] = (obj.metadata.uid, int(obj.metadata.resource_version or 0))

    def interfere(self) -> None:
        """One write of somebody else."""
        name = self.chance.choice(NAMES)
        try:
            if self.chance.random() < 0.3:
                self.store.remove(EndpointSlice, NAMESPACE, name)
            else:
                endpoints = [{"addresses": [f"198.51.100.{self.chance.randrange(250)}"]}]
                metadata = {"name": name, "namespace": NAMESPACE}
                self.store.put(
                    EndpointSlice, {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": []}
                )
        except StoreError:
            return

    async def play(self) -> None:
        task = asyncio.ensure_future(self.cache.run())
        await self.cache.synced()
        for _ in range(60):
            if self.chance.random() < 0.5:
                await self.write()
            else:
                self.interfere()
            await asyncio.sleep(self.chance.expovariate(1))
        self.calm = True
        await asyncio.sleep(1500)
        assert self.problems == []
        assert self.cache.all() == (await self.store.list(EndpointSlice, namespace=NAMESPACE)).items
        task.cancel()


def a_slice(name: str) -> EndpointSlice:
    return EndpointSlice(metadata=ObjectMeta(name=name, namespace=NAMESPACE), address_type="IPv4", endpoints=())


def readdressed(obj: EndpointSlice, last: int) -> EndpointSlice:
    return msgspec.structs.replace(obj, endpoints=(SliceEndpoint(addresses=(f"192.0.2.{last}",)),))


@settings(max_examples=60)
@given(st.integers(0, 1_000_000))
def test_the_cache_is_never_behind_our_writes_and_ends_with_the_stores_state(seed: int) -> None:
    async def play() -> None:
        await History(seed).play()

    run(play())
