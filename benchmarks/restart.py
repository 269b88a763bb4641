"""What a restart and a failover write, on a real API server. ``python -m benchmarks.restart``.

1,000 services with 20 endpoints each are kept, every endpoint probed, until nothing changes any more. Then the engine
is stopped and another one begins with nothing but the manifests and the cluster. The goals: it writes nothing, and it
is in step, which means that it has a verdict on every endpoint, within the time of one list of the objects and one
round of probes (a period and a time-out). Then another one takes over half of it, and writes nothing either.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import cluster, probes
from benchmarks.figures import SHORT, Row, all_good, print_table
from benchmarks.servers import MissingError
from extsync.engine.desired import Desired
from extsync.engine.manifests import FileManifests, ManifestFeed
from extsync.engine.options import Options
from extsync.engine.run import Engine
from extsync.engine.service import Decision
from extsync.engine.world import World
from extsync.kube.api import KubeStore
from extsync.model import Health, ServiceKey
from extsync.objects import Endpoints, EndpointSlice, K, Service
from extsync.plan.doubt import DoubtPolicy
from extsync.seams import SystemClock, SystemDialer, SystemProbeIO, SystemRandom
from tests.cluster.control_plane import ControlPlane

PART = "restart"
NAMESPACE = "checked"
LOOK = 0.1
QUIET = 1.0
"""Seconds without a write after which nothing is under way any more."""
GIVEN_UP = 120.0


@dataclass(frozen=True)
class Size:
    """Half of the services fail over. ``period`` and ``timeout`` are the checks'."""

    services: int = 1_000
    each: int = 20
    period: int = 10
    timeout: int = 1


SIZE = Size()
SHORT_SIZE = Size(services=20, each=5, period=1)


class CountingStore(KubeStore):
    """Counts what is asked of the API to change."""

    writes = 0

    async def create(self, obj: K, *, timeout: float = 10.0) -> K:
        self.writes += 1
        return await super().create(obj, timeout=timeout)

    async def update(self, obj: K, *, timeout: float = 10.0) -> K:
        self.writes += 1
        return await super().update(obj, timeout=timeout)

    async def delete(self, *args: Any, **options: Any) -> None:
        self.writes += 1
        await super().delete(*args, **options)

    async def apply_service(self, *args: Any, **options: Any) -> Service:
        self.writes += 1
        return await super().apply_service(*args, **options)


class Keeping:
    """An engine at work on manifests, and what it asks of the API."""

    def __init__(self, store: CountingStore, engine: Engine, services: int) -> None:
        self.store = store
        self._engine = engine
        self._services = services

    async def in_step(self) -> None:
        """Returns when probing has found every endpoint of every service up or down."""
        async with asyncio.timeout(GIVEN_UP):
            found: dict[ServiceKey, None] = {}
            while len(found) < self._services:
                await asyncio.sleep(LOOK)
                services = self._engine.services()
                found.update((key, None) for key in services if key not in found and _known(services[key][1]))

    async def quiet(self) -> None:
        """Returns when nothing has been written for a while."""
        before = -1
        async with asyncio.timeout(GIVEN_UP):
            while before != self.store.writes:
                before = self.store.writes
                await asyncio.sleep(QUIET)


@contextlib.asynccontextmanager
async def keeping(plane: ControlPlane, folder: Path, services: int) -> AsyncIterator[Keeping]:
    """A fresh engine on the manifests of ``folder``, without client limits."""
    clock, random, dialer = SystemClock(), SystemRandom(), SystemDialer()
    async with cluster.store(plane, CountingStore) as store:
        assert isinstance(store, CountingStore)
        world = World(store=store, clock=clock, random=random, dialer=dialer, io=SystemProbeIO())
        # Nothing fails here, but on a busy machine a listener may be late for everything at once.
        engine = Engine(world, Options(qps=1e6, burst=1_000_000, doubt=DoubtPolicy(services=0)))
        manifests = FileManifests([str(folder)])
        feed = ManifestFeed(manifests, Desired(removal_delay=60.0), clock=clock, poll_interval=3600.0)
        task = asyncio.create_task(engine.run(feed))
        try:
            yield Keeping(store, engine, services)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            manifests.close()


def _known(decision: Decision | None) -> bool:
    """Whether there is a verdict on every endpoint."""
    if decision is None or not decision.verdicts:
        return False
    return all(verdict is not None and verdict.health is not Health.UNKNOWN for verdict in decision.verdicts)


def rows(size: Size | None = None) -> list[Row]:
    """The figures of one restart and one failover; none where no control plane can be had here."""
    size = size or (SHORT_SIZE if SHORT else SIZE)
    try:
        with (
            tempfile.TemporaryDirectory() as name,
            cluster.control_plane() as plane,
            probes.listeners() as port,
        ):
            return asyncio.run(_measure(plane, Path(name), port, size))
    except MissingError as error:
        print(f"without a control plane: {error}", file=sys.stderr)
        return []


async def _measure(plane: ControlPlane, folder: Path, port: int, size: Size) -> list[Row]:
    half = size.services // 2
    await cluster.fill(plane, NAMESPACE, size.services)
    for name, services in (("all", size.services), ("half", half)):
        _write_manifests(folder / name, services, port, size)
    async with keeping(plane, folder / "all", size.services) as first:
        await first.in_step()
        await first.quiet()
    listing = await _list_seconds(plane)
    began = time.monotonic()
    async with keeping(plane, folder / "all", size.services) as second:
        await second.in_step()
        took = time.monotonic() - began
        await second.quiet()
    async with keeping(plane, folder / "half", half) as third:
        await third.in_step()
        await third.quiet()
    load = f"{size.services:,} x {size.each} endpoints"
    return [
        _writes(f"restart, {load}, nothing changed: writes", second.store.writes),
        Row(
            part=PART,
            what=f"restart, {load}: in step",
            figure=took,
            unit="s",
            reference=listing + size.period + size.timeout,
            reference_is=f"one list ({listing:.2f} s) and one probe round",
        ),
        _writes(f"failover of {half * size.each:,} endpoints, nothing changed: writes", third.store.writes),
    ]


def _writes(what: str, number: int) -> Row:
    return Row(part=PART, what=what, figure=number, unit="writes", reference=0, reference_is="wanted")


def _write_manifests(folder: Path, services: int, port: int, size: Size) -> None:
    hosts = iter(probes.hosts(services * size.each))
    cluster.write_manifests(
        folder,
        NAMESPACE,
        services,
        size.each,
        ({"host": host, "port": port} for host in hosts),
        checks=[
            {
                "tcpSocket": {"port": "tcp"},
                "periodSeconds": size.period,
                "timeoutSeconds": size.timeout,
            }
        ],
    )


async def _list_seconds(plane: ControlPlane) -> float:
    """Seconds that reading all Services, slices and Endpoints takes, all three at once."""
    async with cluster.store(plane) as store:
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for kind in (Service, EndpointSlice, Endpoints):
                tasks.create_task(store.list(kind))
        return time.monotonic() - began


def main() -> int:
    found = rows()
    print_table(found)
    return 0 if all_good(found) else 1


if __name__ == "__main__":
    sys.exit(main())
