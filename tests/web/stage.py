"""A small town of services for whoever looks at the page: the real engine and status port on scripted backends.

Time is real here, since a browser's is. ``python -m tests.web.stage [PORT]`` shows it.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from extsync.engine.desired import Desired
from extsync.engine.leading import Alone, LeaseStatus
from extsync.engine.manifests import ManifestFeed
from extsync.engine.options import Options
from extsync.engine.run import Engine
from extsync.engine.world import World
from extsync.kube.memory import MemoryStore
from extsync.model import Backend, Observation, Outcome, Rejected, ServiceKey
from extsync.plan.doubt import DoubtPolicy
from extsync.seams import SystemClock, SystemDialer, SystemRandom
from extsync.seams.virtual_net import Failing, Listening, ScriptedProbeIO
from extsync.sources import registry
from extsync.sources.base import Source, SourceContext
from extsync.web.server import serving
from tests.engine.support import Feed, Manifests

PORT = 8080


def manifest(namespace: str, name: str, addresses: Iterable[str] = (), *, checked: bool = True) -> dict[str, Any]:
    """A service whose backends stand at ``addresses``, or are what the feed of its name says."""
    backends = [{"address": address, "zone": f"rack-{'ab'[place % 2]}"} for place, address in enumerate(addresses)]
    source: dict[str, Any] = {"name": "rack", "static": {"backends": backends}}
    if not backends:
        source = {"name": "inventory", "file": {"files": [f"{namespace}.{name}"]}}
    check = {"tcpSocket": {"port": PORT}, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 2}
    return {
        "apiVersion": "extsync.dev/v1alpha1",
        "kind": "ExternalService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "service": {},
            "ports": [{"name": "main", "port": PORT}],
            "sources": [source],
            "checks": [check] if checked else [],
            "policy": {"writesPerMinute": 6000},
        },
    }


class Shards(Alone):
    """Three Leases, of which this replica holds two."""

    def leases(self) -> tuple[LeaseStatus, ...]:
        holders = ("extsync-7d9c4-x2kpl", "extsync-7d9c4-x2kpl", "extsync-7d9c4-m8v6q")
        return tuple(
            LeaseStatus(f"extsync-default.shard-{number}-of-3", holder == holders[0], holder)
            for number, holder in enumerate(holders)
        )


class Stage:
    """An engine on a store in memory, whose backends do as they are told."""

    def __init__(self, namespaces: Iterable[str], *, leadership: Alone | None = None) -> None:
        self.clock = SystemClock()
        self.io = ScriptedProbeIO(self.clock)
        self.feeds: dict[str, Feed] = {}
        self._manifests = Manifests()
        self._all: dict[str, dict[str, Any]] = {}
        random = SystemRandom()
        self._store = MemoryStore(clock=self.clock, random=random, namespaces=list(namespaces))
        world = World(self._store, self.clock, random, SystemDialer(), self.io, self._source)
        options = Options(
            instance="extsync-7d9c4-x2kpl", qps=1e6, burst=1_000_000, doubt=DoubtPolicy(services=0), concurrency=16
        )
        self.engine = Engine(world, options, leadership=leadership)

    def put(self, *manifests: dict[str, Any]) -> None:
        """Adds services, or replaces them."""
        self._all.update({f"{one['metadata']['namespace']}/{one['metadata']['name']}": one for one in manifests})
        self._load()

    def drop(self, name: str) -> None:
        """Takes away the manifest of NAMESPACE/NAME."""
        del self._all[name]
        self._load()

    def up(self, *addresses: str, latency: float = 0.001) -> None:
        for address in addresses:
            self.io.script(address, PORT, Listening(latency))

    def down(self, *addresses: str) -> None:
        for address in addresses:
            self.io.script(address, PORT, Failing())

    def feed(self, namespace: str, name: str) -> Feed:
        return self.feeds.setdefault(f"{namespace}.{name}", Feed())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The engine runs; it must be alive at the end."""
        feed = ManifestFeed(
            self._manifests,
            Desired(removal_delay=0.5),
            clock=self.clock,
            poll_interval=0.5,
            hint=self._manifests.changed,
        )
        async with self._store.running():
            run = asyncio.create_task(self.engine.run(feed))
            try:
                yield
                assert not run.done(), "the engine ended by itself"
            finally:
                run.cancel()
                with suppress(asyncio.CancelledError):
                    await run

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[str]:
        """The status port is open; yields where."""
        async with serving(self.engine, host="127.0.0.1", port=port, clock=self.clock) as number:
            yield f"http://127.0.0.1:{number}"

    async def settled(self, services: int) -> None:
        """Returns once so many services are published."""
        await self.until(lambda: self._published() == services)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns once ``condition`` holds; the test has a deadline."""
        while not condition():
            await self.clock.sleep(0.05)

    def _published(self) -> int:
        statuses = map(self.engine.service_status, self.engine.service_keys())
        return sum(one is not None and one.ready + one.not_ready + one.draining > 0 for one in statuses)

    def ready(self, name: str) -> int:
        """How many endpoints of NAMESPACE/NAME are ready."""
        namespace, _, service = name.partition("/")
        status = self.engine.service_status(ServiceKey(namespace, service))
        return 0 if status is None else status.ready

    def _load(self) -> None:
        self._manifests.put(*self._all.values())

    def _source(self, kind: str, config: Any, context: SourceContext) -> Source:
        if kind != "file":
            return registry.create(kind, config, context)
        [name] = config.files
        return self.feeds.setdefault(str(name), Feed())


# ---- the town --------------------------------------------------------------------------------------------------------

TOWN = {
    "shop": ("orders-db", "cart-redis", "search", "catalogue", "mail-relay"),
    "payments": ("ledger-db", "card-gateway", "fraud-scoring", "hsm"),
    "identity": ("ldap", "sso", "radius"),
    "platform": ("artifacts", "vault", "ntp", "build-farm", "metrics-edge"),
    "legacy": ("mainframe-bridge", "as400", "fax-gateway"),
    "data": ("kafka-edge", "warehouse", "object-store", "geo-index"),
}


def town() -> Stage:
    """Services as they are on a day on which not all is well."""
    stage = Stage(TOWN, leadership=Shards())
    names = [(namespace, name) for namespace, some in TOWN.items() for name in some]
    for number, (namespace, name) in enumerate(names, 1):
        addresses = [f"198.51.{100 + number}.{last}" for last in range(11, 11 + 2 + number * 7 % 11)]
        for place, address in enumerate(addresses):
            stage.up(address, latency=0.0006 + 0.0019 * (place * 5 % 7))
        stage.feed(namespace, name).say(Observation(Outcome.FOUND, tuple(map(_backend, itertools.count(1), addresses))))
        stage.put(manifest(namespace, name))
    return stage


def _backend(number: int, address: str, **more: Any) -> Backend:
    return Backend(address, hostname=f"node-{number}", zone=f"rack-{'abc'[number % 3]}", **more)


async def trouble(stage: Stage) -> None:
    """What goes wrong in the town, in some seconds."""
    number = {name: place for place, name in enumerate((name for some in TOWN.values() for name in some), 1)}

    def addresses(name: str) -> list[str]:
        return [f"198.51.{100 + number[name]}.{last}" for last in range(11, 11 + 2 + number[name] * 7 % 11)]

    stage.feed("identity", "ldap").say(
        Observation(Outcome.ERROR, detail="https://inventory.example.com/ldap: no answer within 5 s")
    )
    search = addresses("search")
    stage.feed("shop", "search").say(
        Observation(
            Outcome.FOUND,
            tuple(map(_backend, itertools.count(1), search)),
            (Rejected("db-9.example.com", "it is no IP address"),),
        )
    )
    stores = addresses("object-store")[:3]
    stage.feed("data", "object-store").say(Observation(Outcome.FOUND, tuple(map(_backend, (1, 2, 3), stores))))
    catalogue = (_backend(place, one, drain=place == 1) for place, one in enumerate(addresses("catalogue"), 1))
    stage.feed("shop", "catalogue").say(Observation(Outcome.FOUND, tuple(catalogue)))
    stage.down(*addresses("fax-gateway"))
    stage.down(search[3])
    await stage.clock.sleep(4.0)
    stage.down(addresses("card-gateway")[1])
    stage.up(search[3], latency=0.004)
    await stage.clock.sleep(4.0)
    stage.down(search[1])
    await stage.clock.sleep(6.0)


async def main(port: int) -> None:
    stage = town()
    async with stage.running(), stage.serving(port) as url:
        print(url, flush=True)
        await trouble(stage)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 9440))
