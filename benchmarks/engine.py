"""What the whole engine costs: CPU per check, memory, and what it writes. ``python -m benchmarks.engine``.

Engine, file source, in-memory store and plan are in this process, the listeners and the usual way (streams of asyncio)
in processes of their own. Published addresses are made up; probes go to addresses of this machine.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from benchmarks import probes
from benchmarks.figures import Row, print_table
from extsync.engine.desired import Desired
from extsync.engine.manifests import FileManifests, ManifestFeed
from extsync.engine.options import Options
from extsync.engine.run import Engine
from extsync.engine.world import World
from extsync.kube.memory import MemoryStore
from extsync.model import Health
from extsync.objects import Endpoints, EndpointSlice, KubeObject, Service
from extsync.plan.doubt import DoubtPolicy
from extsync.seams import SystemClock, SystemDialer, SystemProbeIO, SystemRandom
from extsync.seams.probe_io import ProbeSocket

PART = "engine"
ENDPOINTS = 10_000
LAYOUTS = ((1, 10_000), (100, 100))
PERIOD = 2
ROUNDS = 5
WINDOW = 1.2
QUIET = 1.5
"""Seconds without a write after which the engine counts as settled; slices are written within milliseconds."""
LOOK = 0.25
SETTLING = 120.0
"""Seconds after which an engine that does not settle is given up."""
GOAL_TCP = 0.35

MANY = 100_000
MANY_SERVICES = 100
MEMORY_LIMIT = 400.0


class CountingIO(SystemProbeIO):
    """The system's sockets, counted: one for each check."""

    def __init__(self) -> None:
        super().__init__()
        self.sockets = 0

    def socket(self, family: int) -> ProbeSocket:
        self.sockets += 1
        return super().socket(family)


class Bench:
    """An engine at work on a folder of manifests, and what it writes."""

    def __init__(self, folder: Path) -> None:
        clock, random = SystemClock(), SystemRandom()
        self.io = CountingIO()
        self.writes: Counter[str] = Counter()
        self.store = MemoryStore(clock=clock, random=random, faults=self._count)
        world = World(store=self.store, clock=clock, random=random, dialer=SystemDialer(), io=self.io)
        # Where everything refuses at once self-doubt would believe none of it.
        self.engine = Engine(world, Options(qps=200.0, burst=200, doubt=DoubtPolicy(services=0)))
        self.manifests = FileManifests([str(folder)])
        self._feed = ManifestFeed(self.manifests, Desired(removal_delay=60.0), clock=clock, poll_interval=3600.0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Bench]:
        task = asyncio.create_task(self.engine.run(self._feed))
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.manifests.close()

    async def settled(self, *, services: int, up: int = 0, down: int = 0) -> None:
        """Returns when so many services are kept, so many endpoints found up and down, and nothing is written."""
        quiet, before = 0.0, -1
        async with asyncio.timeout(SETTLING):
            while quiet < QUIET:
                await asyncio.sleep(LOOK)
                now = self.writes.total()
                reached = len(self.engine.services()) == services and self.found == (up, down)
                quiet = quiet + LOOK if reached and now == before else 0.0
                before = now

    @property
    def found(self) -> tuple[int, int]:
        """How many endpoints probing has found to be up, and down."""
        verdicts = [
            verdict.health
            for _, decision in self.engine.services().values()
            if decision is not None
            for verdict in decision.verdicts
            if verdict is not None
        ]
        return verdicts.count(Health.HEALTHY), verdicts.count(Health.UNHEALTHY)

    def _count(self, verb: str, kind: type[KubeObject], key: tuple[str, str]) -> None:
        if verb in ("create", "update", "delete", "apply"):
            self.writes[f"{verb} {kind.__name__}"] += 1


def write_inputs(folder: Path, services: int, each: int, hosts: Iterator[tuple[str, int]], **timing: int) -> None:
    """A manifest and a file of backends a service; ``hosts`` are the addresses and ports to probe."""
    for number in range(services):
        name = f"service-{number}"
        backends = [
            {
                "address": f"10.{number}.{index >> 8}.{index & 255}",
                "hostname": f"host-{index}",
                "zone": f"zone-{index % 3}",
                "probe": dict(zip(("host", "port"), next(hosts), strict=True)),
            }
            for index in range(each)
        ]
        (folder / f"{name}.backends").write_text(json.dumps(backends))
        manifest = {
            "apiVersion": "extsync.dev/v1alpha1",
            "kind": "ExternalService",
            "metadata": {"name": name},
            "spec": {
                "service": {},
                "ports": [{"name": "tcp", "port": 80}],
                "sources": [{"name": "inventory", "file": {"files": [f"{name}.backends"]}}],
                "checks": [{"tcpSocket": {"port": "tcp"}, "timeoutSeconds": int(probes.TIMEOUT), **timing}],
                "policy": {"writesPerMinute": 6000},
            },
        }
        (folder / f"{name}.json").write_text(json.dumps(manifest))


# ---- CPU and writes --------------------------------------------------------------------------------------------------


async def at_work(services: int, each: int, port: int) -> list[Row]:
    """The engine in its stride: CPU per check, writes while nothing changes, and the writes of one flip."""
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0), backlog=64) as flips:
        folder = Path(name)
        hosts = [(host, port) for host in probes.hosts(ENDPOINTS)]
        hosts[0] = flips.getsockname()
        # Three failures, because on a busy machine the listeners are late now and then.
        write_inputs(folder, services, each, iter(hosts), periodSeconds=PERIOD, failureThreshold=3)
        accepting = asyncio.create_task(_accept(flips))
        async with Bench(folder).running() as bench:
            await bench.settled(services=services, up=ENDPOINTS)
            bench.writes.clear()
            ours, theirs = await _interleaved(bench, port)
            steady = bench.writes.total()
            accepting.cancel()
            flips.close()
            await bench.settled(services=services, up=ENDPOINTS - 1, down=1)
            flip = dict(bench.writes)
    layout = f"{services} x {each}"
    slices, endpoints = flip.pop("update EndpointSlice", 0), flip.pop("update Endpoints", 0)
    return [
        Row(
            part=PART,
            what=f"TCP check, {layout} endpoints, CPU",
            figure=ours,
            unit="us",
            reference=theirs,
            reference_is="asyncio.open_connection",
            goal=GOAL_TCP,
        ),
        _writes(f"writes while nothing changes, {layout}", steady, 0),
        _writes(f"slices written for one flip, {layout}", slices, 1),
        _writes(f"Endpoints written for one flip, {layout}", endpoints, 1),
        _writes(f"other writes for one flip, {layout}", sum(flip.values()), 0),
    ]


def _writes(what: str, number: int, wanted: int) -> Row:
    return Row(part=PART, what=what, figure=number, unit="writes", reference=wanted, reference_is="wanted")


async def _interleaved(bench: Bench, port: int) -> tuple[float, float]:
    """Microseconds of CPU per check: the engine's and those of streams, medians of rounds in turn."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        checks, started = bench.io.sockets, probes.cpu()
        await asyncio.sleep(WINDOW)
        ours.append((probes.cpu() - started) / (bench.io.sockets - checks) * 1e6)
        usual = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.engine", "streams", str(port), stdout=subprocess.PIPE
        )
        out, _ = await usual.communicate()
        theirs.append(float(out) * 1e6)
    return statistics.median(ours), statistics.median(theirs)


async def _accept(listener: socket.socket) -> None:
    """Accepts and closes, for the one backend that will flip."""
    listener.setblocking(False)
    while True:
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        connection.close()


# ---- memory ----------------------------------------------------------------------------------------------------------


async def many() -> dict[str, float]:
    """MiB with 100,000 endpoints over 100 services, each with a verdict: the most ever, at rest, the store's share."""
    each = MANY // MANY_SERVICES
    with tempfile.TemporaryDirectory() as name, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listening: every connection is refused
        folder = Path(name)
        hosts = ((host, taken.getsockname()[1]) for host in probes.hosts(MANY))
        write_inputs(folder, MANY_SERVICES, each, hosts, periodSeconds=20, failureThreshold=1)
        async with Bench(folder).running() as bench:
            await bench.settled(services=MANY_SERVICES, down=MANY)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            rest = _resident()
            copy = MemoryStore(clock=SystemClock(), random=SystemRandom())
            kinds: tuple[type[KubeObject], ...] = (Service, EndpointSlice, Endpoints)
            for kind in kinds:
                for obj in bench.store.dump(kind):
                    # Without owner references, uids and versions, which another store would not accept.
                    obj["metadata"] = {key: obj["metadata"][key] for key in ("name", "namespace", "labels")}
                    copy.put(kind, obj)
            return {"peak": peak, "rest": rest, "store": _resident() - rest}


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def memory() -> list[Row]:
    """``many`` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.engine", "many"]
    measured = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return [
        Row(
            part="memory",
            what=what,
            figure=figure,
            unit="MiB",
            reference=MEMORY_LIMIT,
            reference_is="limit",
        )
        for what, figure in (
            (f"{MANY:,} endpoints, {MANY_SERVICES} services, most ever resident", measured["peak"]),
            ("... at rest", measured["rest"]),
            ("... at rest without the in-memory store's objects", measured["rest"] - measured["store"]),
        )
    ]


def rows() -> list[Row]:
    """The figures of the engine at work."""
    with probes.listeners() as port:
        return [row for layout in LAYOUTS for row in asyncio.run(at_work(*layout, port))]


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    match sys.argv[1:]:
        case ["streams", port]:
            print(asyncio.run(probes.streams(int(port))))
        case ["many"]:
            print(json.dumps(asyncio.run(many())))
        case _:
            print_table([*rows(), *memory()])
