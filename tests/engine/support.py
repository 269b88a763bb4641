"""What the tests of the engine share: manifests as data, and the real engine in virtual time on scripted seams."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, NamedTuple

from extsync.config.loader import Loaded, LoadResult, load
from extsync.engine.desired import Desired
from extsync.engine.leading import Alone, Concerns, Leadership
from extsync.engine.manifests import ManifestFeed
from extsync.engine.once import Once
from extsync.engine.options import Options
from extsync.engine.passes import OnceOptions, ServiceResult
from extsync.engine.prepare import HURRY, Prepared, prepare
from extsync.engine.run import Engine
from extsync.engine.watching import Watching
from extsync.engine.world import World
from extsync.kube.memory import Fault, Faults, MemoryStore
from extsync.model import Backend, Observation, Outcome, ServiceKey
from extsync.objects import Endpoints, EndpointSlice, Event, KubeObject, Service
from extsync.seams import SystemDialer
from extsync.seams.virtual import SeededRandom, VirtualClock
from extsync.seams.virtual_net import Failing, Listening, ScriptedProbeIO
from extsync.sources import registry
from extsync.sources.base import Emit, Source, SourceContext

NAMESPACE = "test"
PORT = 80
PERIOD, THRESHOLD, TIMEOUT = 10, 3, 1
CHECK: dict[str, Any] = {
    "tcpSocket": {"port": PORT},
    "periodSeconds": PERIOD,
    "failureThreshold": THRESHOLD,
    "timeoutSeconds": TIMEOUT,
}
A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"

UP, DOWN = Listening(), Failing()


# ---- manifests -------------------------------------------------------------------------------------------------------


def key(name: str) -> ServiceKey:
    return ServiceKey(NAMESPACE, name)


def rack(*addresses: str, name: str = "rack", **more: Any) -> dict[str, Any]:
    """A static source of ``addresses``."""
    return {"name": name, "static": {"backends": [{"address": address} for address in addresses]}, **more}


def feed(name: str = "feed", **more: Any) -> dict[str, Any]:
    """A source that says what the feed of its name is told to say."""
    return {"name": name, "file": {"files": [name]}, **more}


def manifest(name: str, *sources: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A manifest of one checked service that keeps its Service; ``spec`` replaces parts, None leaves one out."""
    parts = {"service": {}, "ports": [{"port": PORT}], "sources": list(sources), "checks": [CHECK], **spec}
    return {
        "apiVersion": "extsync.dev/v1alpha1",
        "kind": "ExternalService",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {part: value for part, value in parts.items() if value is not None},
    }


def text(*manifests: dict[str, Any] | str) -> bytes:
    """Manifests as one YAML text; a str is taken as it is."""
    return "\n---\n".join(one if isinstance(one, str) else json.dumps(one) for one in manifests).encode()


def loaded(*manifests: dict[str, Any] | str) -> LoadResult:
    return load(["-"], stdin=io.BytesIO(text(*manifests)))


def prepared(*manifests: dict[str, Any], owner: str = "default") -> list[Prepared]:
    """Manifests made ready for a command that runs once."""
    result = loaded(*manifests)
    assert result.ok, [str(problem) for problem in result.problems]
    return [made_ready(one, owner=owner) for one in result.manifests]


def made_ready(one: Loaded, *, owner: str = "default") -> Prepared:
    return prepare(one.manifest, one.base_dir, owner=owner, hurry=HURRY)


class Manifests:
    """What lies in the folder of manifests; ``changed`` is set as a watch would set it."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._new: LoadResult | None = loaded()

    async def __call__(self) -> LoadResult | None:
        result, self._new = self._new, None
        return result

    def put(self, *manifests: dict[str, Any] | str) -> None:
        """Replaces everything in the folder."""
        self._new = loaded(*manifests)
        self.changed.set()


# ---- sources ---------------------------------------------------------------------------------------------------------


class Feed:
    """A scripted source: repeats what it was last told to say to every new run of itself."""

    def __init__(self) -> None:
        self.runs = 0
        self._observation: Observation | None = None
        self._emits: list[Emit] = []

    def say(self, observation: Observation) -> None:
        self._observation = observation
        for emit in self._emits:
            emit(observation)

    def found(self, *addresses: str) -> None:
        self.say(Observation(Outcome.FOUND, tuple(map(Backend, addresses))))

    def fail(self, outcome: Outcome = Outcome.ERROR) -> None:
        self.say(Observation(outcome, detail="scripted"))

    async def run(self, emit: Emit) -> None:
        self.runs += 1
        if self._observation is not None:
            emit(self._observation)
        self._emits.append(emit)
        try:
            await asyncio.Event().wait()
        finally:
            self._emits.remove(emit)


# ---- the world -------------------------------------------------------------------------------------------------------


class Request(NamedTuple):
    """One request to the store; events are told on the side, and are no writes."""

    verb: str
    kind: type[KubeObject]
    name: str

    @property
    def is_write(self) -> bool:
        return self.verb in ("create", "update", "delete", "apply") and self.kind is not Event


class OnAndOff(Alone):
    """A leadership that is given and taken by hand; at first there is none."""

    def __init__(self) -> None:
        self._leads = False
        self._changed: Callable[[Concerns], None]

    def leads(self, key: ServiceKey) -> bool:
        return self._leads

    def start(
        self, tasks: asyncio.TaskGroup, *, changed: Callable[[Concerns], None], in_doubt: Callable[[], bool]
    ) -> None:
        self._changed = changed

    def turn(self, *, on: bool) -> None:
        self._leads = on
        self._changed(lambda key: True)


class Rig:
    """A store, scripted backends and sources, and the engine or a single pass on them; for virtual time."""

    def __init__(self, *, seed: int = 0, controller_delay: float = 1.0, options: Options | None = None) -> None:
        self.clock = VirtualClock()
        self.random = SeededRandom(seed)
        self.io = ScriptedProbeIO(self.clock)
        self.manifests = Manifests()
        self.feeds: dict[str, Feed] = {}
        self.sources: dict[str, Source] = {}
        """Other sources by name, which stand in for feeds."""
        self.requests: list[Request] = []
        self.faults: Faults | None = None
        self.options = options or Options(namespaces=(NAMESPACE,))
        self.store = MemoryStore(
            clock=self.clock,
            random=self.random,
            namespaces=[NAMESPACE],
            controller_delay=controller_delay,
            faults=self._fault,
        )
        self.world = World(
            self.store,
            self.clock,
            self.random,
            SystemDialer(),
            self.io,
            self._create_source,
            Watching(self.store, clock=self.clock, random=self.random),
        )
        self.engine: Engine
        self._run: asyncio.Task[None] | None = None

    # ---- the engine --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self, *manifests: dict[str, Any] | str) -> AsyncIterator[None]:
        """Runs the store and, on ``manifests``, the engine, which must be alive at the end."""
        async with self.store.running():
            self.manifests.put(*manifests)
            self.start()
            try:
                yield
            finally:
                await self.stop()

    def start(self, *, leadership: Leadership | None = None) -> None:
        manifest_feed = ManifestFeed(
            self.manifests,
            Desired(removal_delay=60.0),
            clock=self.clock,
            poll_interval=10.0,
            hint=self.manifests.changed,
        )
        self.engine = Engine(self.world, self.options, leadership=leadership)
        self._run = asyncio.create_task(self.engine.run(manifest_feed))

    async def stop(self) -> None:
        assert self._run is not None
        if self._run.done():
            await self._run
            raise AssertionError("the engine ended by itself")
        self._run.cancel()
        with suppress(asyncio.CancelledError):
            await self._run

    async def restart(self, *manifests: dict[str, Any] | str) -> None:
        """Ends the engine as SIGTERM does, and starts a new one."""
        await self.stop()
        self.start_anew(*manifests)

    def start_anew(self, *manifests: dict[str, Any] | str) -> None:
        """Starts a new engine where none runs."""
        self.manifests.put(*manifests)
        self.start()

    # ---- one pass ----------------------------------------------------------------------------------------------------

    async def once(self, *manifests: dict[str, Any], **options: Any) -> list[ServiceResult]:
        """One pass over ``manifests``."""
        services = prepared(*manifests, owner=options.get("owner", "default"))
        return await Once(self.world, OnceOptions(**options)).run(services)

    # ---- the scripted world ------------------------------------------------------------------------------------------

    def feed(self, name: str = "feed") -> Feed:
        return self.feeds.setdefault(name, Feed())

    def up(self, *addresses: str) -> None:
        for address in addresses:
            self.io.script(address, PORT, UP)

    def down(self, *addresses: str) -> None:
        for address in addresses:
            self.io.script(address, PORT, DOWN)

    def _create_source(self, kind: str, config: Any, context: SourceContext) -> Source:
        if kind != "file":
            return registry.create(kind, config, context)
        return self.sources.get(context.name) or self.feed(context.name)

    def _fault(self, verb: str, kind: type[KubeObject], at: tuple[str, str]) -> Fault | None:
        self.requests.append(Request(verb, kind, at[1]))
        return None if self.faults is None else self.faults(verb, kind, at)

    @contextmanager
    def recorded(self) -> Iterator[list[Request]]:
        """The writes within the block but for events."""
        writes: list[Request] = []
        before = len(self.requests)
        yield writes
        writes += [request for request in self.requests[before:] if request.is_write]

    # ---- what the store shows ----------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], bool], *, within: float, step: float = 0.05) -> float:
        """Lets time pass until ``condition`` holds; returns the seconds that took, fails after ``within``."""
        began = self.clock.monotonic()
        while not condition():
            passed = self.clock.monotonic() - began
            assert passed <= within, f"still not so after {passed:.2f} s"
            await self.clock.sleep(step)
        return self.clock.monotonic() - began

    def events(self, *reasons: str, on: type[KubeObject] = Service) -> list[tuple[str, str]]:
        """Reason and message of each event on an object of that kind, of these reasons or of all."""
        return [
            (event["reason"], event["message"])
            for event in self.store.dump(Event, NAMESPACE)
            if event["involvedObject"]["kind"] == on.__name__ and (not reasons or event["reason"] in reasons)
        ]

    def slices(self, name: str) -> dict[str, bool]:
        """Readiness by address in the slices of a service, whoever manages them."""
        return {
            endpoint["addresses"][0]: endpoint["conditions"]["ready"]
            for slice_ in self.slice_objects(name)
            for endpoint in slice_.get("endpoints") or ()
        }

    def slice_objects(self, name: str) -> list[dict[str, Any]]:
        return [
            slice_
            for slice_ in self.store.dump(EndpointSlice, NAMESPACE)
            if slice_["metadata"].get("labels", {}).get("kubernetes.io/service-name") == name
        ]

    def endpoints(self, name: str) -> dict[str, bool]:
        """Readiness by address in the Endpoints of a service."""
        found: dict[str, bool] = {}
        for obj in self.store.dump(Endpoints, NAMESPACE):
            if obj["metadata"]["name"] == name:
                for subset in obj.get("subsets") or ():
                    found.update({entry["ip"]: True for entry in subset.get("addresses") or ()})
                    found.update({entry["ip"]: False for entry in subset.get("notReadyAddresses") or ()})
        return found

    def published(self, name: str) -> dict[str, bool]:
        """What slices and Endpoints show; fails where they differ."""
        shown, other = self.slices(name), self.endpoints(name)
        assert shown == other, f"slices show {shown}, Endpoints {other}"
        return shown

    def agree(self, name: str, expected: dict[str, bool]) -> Callable[[], bool]:
        """A condition: slices and Endpoints both show ``expected``."""
        return lambda: self.slices(name) == expected and self.endpoints(name) == expected

    def has_service(self, name: str) -> bool:
        return any(obj["metadata"]["name"] == name for obj in self.store.dump(Service, NAMESPACE))

    def versions(self, kinds: Iterable[type[KubeObject]] = (Service, EndpointSlice, Endpoints)) -> dict[str, str]:
        """The resourceVersion of every object."""
        return {
            f"{kind.__name__}/{obj['metadata']['name']}": obj["metadata"]["resourceVersion"]
            for kind in kinds
            for obj in self.store.dump(kind, NAMESPACE)
        }


def ready(*addresses: str) -> dict[str, bool]:
    return dict.fromkeys(addresses, True)


def not_ready(*addresses: str) -> dict[str, bool]:
    return dict.fromkeys(addresses, False)


def flat_service(name: str, **spec: Any) -> dict[str, Any]:
    """A Service as somebody else makes it, as plain JSON."""
    body: dict[str, Any] = {"ports": [{"port": PORT, "protocol": "TCP"}], **spec}
    return {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": body}
