"""``extsync demo``: the whole of extsync on this machine, with no cluster and no network beyond loopback.

Real HTTP and TCP backends on loopback are kept in the in-memory store, by the engine that also keeps clusters. Some of
them are stopped and started again, and what extsync makes of it is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress

from extsync.cli import logs
from extsync.cli.demo_backends import DemoBackend
from extsync.cli.output import table
from extsync.cli.world import world_of
from extsync.config.loader import LoadResult, load
from extsync.engine.desired import Desired
from extsync.engine.manifests import ManifestFeed
from extsync.engine.options import Options
from extsync.engine.run import Engine
from extsync.engine.telling import because, place, state_word
from extsync.errors import ConfigError, ExtsyncError
from extsync.kube.memory import MemoryStore
from extsync.model import State
from extsync.objects import Endpoints, EndpointSlice, KubeObject, Service
from extsync.seams import SystemClock, SystemRandom
from extsync.web.server import serving

STEP_SECONDS = 30.0
"""How long one step of the demo may take; each takes two or three seconds."""

PAUSE_SECONDS = 4.0
"""How long a state stays before the next one, when the demo goes on until it is stopped."""

PAGE_PORT = 9440

MANIFESTS = """\
apiVersion: extsync.dev/v1alpha1
kind: ExternalService
metadata: {{name: web, namespace: demo, labels: {{app: web}}}}
spec:
  service: {{}}
  ports: [{{name: http, port: 80, targetPort: 8080}}]
  sources:
  - name: rack
    static:
      backends:
      - {{address: 192.0.2.11, hostname: web-1, zone: rack-a, probe: {{host: 127.0.0.1, port: {0}}}}}
      - {{address: 192.0.2.12, hostname: web-2, zone: rack-b, probe: {{host: 127.0.0.1, port: {1}}}}}
      - {{address: 192.0.2.13, hostname: web-3, zone: rack-b, probe: {{host: 127.0.0.1, port: {2}}}}}
  checks:
  - {{httpGet: {{path: /healthz, port: http}}, periodSeconds: 1, failureThreshold: 2}}
  policy: {{damping: {{max: 0s}}}}  # the same backends go down again and again
---
apiVersion: extsync.dev/v1alpha1
kind: ExternalService
metadata: {{name: orders-db, namespace: demo, labels: {{app: orders}}}}
spec:
  service: {{clusterIP: None}}
  ports: [{{name: mysql, port: 3306}}]
  sources:
  - name: primary-site
    static:
      backends: [{{address: 198.51.100.21, hostname: db-1, probe: {{host: 127.0.0.1, port: {3}}}}}]
  - name: second-site
    priority: 1
    static:
      backends: [{{address: 203.0.113.21, hostname: db-2, probe: {{host: 127.0.0.1, port: {4}}}}}]
  checks:
  - {{tcpSocket: {{port: mysql}}, periodSeconds: 1, failureThreshold: 2}}
  policy: {{failbackDelay: 2s, damping: {{max: 0s}}}}
"""

INTRODUCTION = """\
Five backends listen on loopback: three web servers and a database on each of two sites. Two manifests name them.
extsync probes them every second and keeps Services, EndpointSlices and Endpoints in an in-memory store that behaves
like a Kubernetes API server. Addresses are from the ranges for documentation; the probes go to 127.0.0.1."""


def main(args: argparse.Namespace) -> int:
    """Runs the demo; 0 when it came to its end or was stopped."""
    logs.configure(level="error", form="text", verbose=args.verbose)
    return asyncio.run(_demo(once=args.once))


async def _demo(*, once: bool) -> int:
    async with AsyncExitStack() as resources:
        stage = await _Stage.build(resources)
        stopped = asyncio.create_task(_stop_signal())
        print(INTRODUCTION)
        if not once:
            print(f"The page: http://127.0.0.1:{await stage.show_page(resources)}/")
        play = asyncio.create_task(_play(stage, once=once))
        done, _ = await asyncio.wait([stopped, play, stage.engine], return_when=asyncio.FIRST_COMPLETED)
        for task in (stopped, play):
            task.cancel()
        for task in done:
            task.result()  # raises what went wrong
    return 0


async def _stop_signal() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


async def _play(stage: _Stage, *, once: bool) -> None:
    """One round after another: all up, some down, all up."""
    with stage.screen(once) as screen:
        await screen.until("all backends are up", lambda: stage.ready == {"web": 3, "orders-db": 1})
        while True:
            for backend in (stage.web[1], stage.databases[0]):
                await backend.stop()
            await screen.until(
                "web-2 and db-1 were stopped: the second site's database takes over",
                lambda: stage.ready == {"web": 2, "orders-db": 1} and "203.0.113.21" in stage.addresses("orders-db"),
            )
            for backend in (stage.web[1], stage.databases[0]):
                await backend.start()
            await screen.until(
                "both were started again: the first site's database is back",
                lambda: stage.ready == {"web": 3, "orders-db": 1} and "198.51.100.21" in stage.addresses("orders-db"),
            )
            if once:
                return


class _Stage:
    """The backends, the store and the engine."""

    def __init__(
        self, web: list[DemoBackend], databases: list[DemoBackend], store: MemoryStore, engine: Engine
    ) -> None:
        self.web = web
        self.databases = databases
        self.store = store
        self._engine = engine
        self.engine: asyncio.Task[None]

    @classmethod
    async def build(cls, resources: AsyncExitStack) -> _Stage:
        web = [DemoBackend(http=True) for _ in range(3)]
        databases = [DemoBackend(http=False) for _ in range(2)]
        for backend in (*web, *databases):
            await backend.start()
            resources.push_async_callback(backend.stop)
        clock, random = SystemClock(), SystemRandom()
        store = MemoryStore(clock=clock, random=random, namespaces=["demo"], controller_delay=0.2)
        await resources.enter_async_context(store.running())
        stage = cls(web, databases, store, Engine(world_of(store), Options(qps=100.0, burst=100)))
        text = MANIFESTS.format(*(backend.port for backend in (*web, *databases)))
        feed = ManifestFeed(_Manifests(text), Desired(removal_delay=60.0), clock=clock, poll_interval=3600.0)
        stage.engine = asyncio.create_task(stage._engine.run(feed))
        resources.push_async_callback(_cancel, stage.engine)
        return stage

    async def show_page(self, resources: AsyncExitStack) -> int:
        """Serves the page; returns its port, which is any free one where the usual one is taken."""
        clock = SystemClock()
        try:
            return await resources.enter_async_context(
                serving(self._engine, host="127.0.0.1", port=PAGE_PORT, clock=clock)
            )
        except ConfigError:
            return await resources.enter_async_context(serving(self._engine, host="127.0.0.1", port=0, clock=clock))

    @property
    def ready(self) -> dict[str, int]:
        """How many endpoints of each service are published as ready."""
        return {
            key.name: sum(endpoint.state is State.READY for endpoint in decision.endpoints)
            for key, (_, decision) in self._engine.services().items()
            if decision is not None
        }

    def addresses(self, service: str) -> list[str]:
        """The published, ready addresses of one service."""
        return [
            endpoint.address
            for key, (_, decision) in self._engine.services().items()
            if key.name == service and decision is not None
            for endpoint in decision.endpoints
            if endpoint.state is State.READY
        ]

    def rows(self) -> Iterator[tuple[str, ...]]:
        """One row for each endpoint, also for those that stand by."""
        for key, (_, decision) in self._engine.services().items():
            if decision is None:
                continue
            published = set(map(id, decision.endpoints))
            for endpoint, verdict in zip(decision.judged, decision.verdicts, strict=True):
                shown = id(endpoint) in published
                state = state_word(endpoint.state) if shown else f"standby ({state_word(endpoint.state)})"
                yield str(key), place(endpoint), endpoint.hostname or "", state, because(endpoint, verdict)

    async def objects(self) -> list[tuple[str, ...]]:
        """One row for each object in the store."""
        rows: list[tuple[str, ...]] = []
        for kind in (Service, EndpointSlice, Endpoints):
            for obj in (await self.store.list(kind)).items:
                name = f"{kind.__name__.lower()}/{obj.metadata.name}"
                rows.append((name, str(obj.metadata.resource_version), _content(obj)))
        return rows

    def screen(self, once: bool) -> _Screen:
        return _Screen(self, pause=0.0 if once else PAUSE_SECONDS)


class _Manifests:
    """The demo's manifests, which never change."""

    def __init__(self, text: str) -> None:
        self._text: str | None = text

    async def __call__(self) -> LoadResult | None:
        if self._text is None:
            return None
        text, self._text = self._text, None
        return load(["-"], stdin=io.BytesIO(text.encode()))


class _Screen:
    """Shows the tables: live on a terminal, after each step where nobody watches."""

    def __init__(self, stage: _Stage, *, pause: float) -> None:
        self._stage = stage
        self._pause = pause
        self._live = sys.stdout.isatty()
        self._lines = 0

    def __enter__(self) -> _Screen:
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()

    async def until(self, title: str, reached: Callable[[], bool]) -> None:
        """Shows the state under ``title`` until ``reached`` says yes; raises ExtsyncError where that takes too long."""
        try:
            async with asyncio.timeout(STEP_SECONDS):
                while not reached():
                    await self._show(title, live_only=True)
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise ExtsyncError(f"the demo is stuck: {title} was not reached within {STEP_SECONDS:.0f} s") from None
        await asyncio.sleep(0.3)  # the last write
        await self._show(title)
        self._lines = 0
        if self._live:
            await asyncio.sleep(self._pause)

    async def _show(self, title: str, *, live_only: bool = False) -> None:
        if live_only and not self._live:
            return
        endpoints = table(("service", "endpoint", "hostname", "state", "why"), self._stage.rows())
        objects = table(("object", "version", "content"), await self._stage.objects())
        text = f"\n== {title}\n\n{endpoints}\n\n{objects}\n"
        if self._lines:
            sys.stdout.write(f"\x1b[{self._lines}A\x1b[J")
        sys.stdout.write(text)
        sys.stdout.flush()
        self._lines = text.count("\n") if self._live else 0


def _content(obj: KubeObject) -> str:
    ready: list[str] = []
    other: list[str] = []
    match obj:
        case Service():
            return "headless" if obj.spec.cluster_ip == "None" else f"ClusterIP {obj.spec.cluster_ip}"
        case EndpointSlice():
            for endpoint in obj.endpoints or ():
                (ready if endpoint.conditions.ready else other).append(endpoint.addresses[0])
        case Endpoints():
            for subset in obj.subsets or ():
                ready += [address.ip for address in subset.addresses or ()]
                other += [address.ip for address in subset.not_ready_addresses or ()]
    return f"ready: {', '.join(ready) or 'none'}; not ready: {', '.join(other) or 'none'}"


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
