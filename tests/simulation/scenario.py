"""The scripted world of a simulation: manifests, sources that say what they are told, backends that go up and down.

Three services show three ways of publishing: "rack" is static and checked, and publishes slices and Endpoints; "fleet"
comes from two discovered sources, one of which has nothing and may say nothing, is checked and published in small
slices; "legacy" comes from a discovered source, is
not checked and published as Endpoints alone, which the mirroring controller makes slices of. The routers are static and
checked, and never down: there has to be something to compare when the network of extsync itself fails.
"""

from __future__ import annotations

import asyncio
import io
from typing import Any

from extsync.config.loader import LoadResult, load
from extsync.model import Backend, Observation, Outcome, several
from extsync.seams import Clock
from extsync.seams.virtual_net import Behaviour, BlackHole, Failing, Listening, ScriptedProbeIO
from extsync.sources import registry
from extsync.sources.base import Emit, Source, SourceContext

NAMESPACE = "sim"
ROUTERS = {f"router-{number}": (f"192.0.2.{250 + number}",) for number in range(1, 4)}
SERVICES = ("rack", "fleet", "legacy", *ROUTERS)
PORT = 80
PERIOD, THRESHOLD, TIMEOUT = 2, 2, 1
SLICE_LIMITS = (3, 2)
"""What the manifest of "fleet" says in turn; a lowered limit splits slices."""

RACK = tuple(f"192.0.2.{number}" for number in range(1, 6))
FLEET = tuple(f"198.51.100.{number}" for number in range(1, 11))
LEGACY = tuple(f"203.0.113.{number}" for number in range(1, 6))
PARTS = ("even", "odd")
"""The parts of each discovered source."""
STATIC = {"rack": RACK, **ROUTERS}
MORTAL = (*RACK, *FLEET)
"""Backends that go up and down."""
CHECKED = (*MORTAL, *(address for addresses in ROUTERS.values() for address in addresses))

_TIMES = f"periodSeconds: {PERIOD}, failureThreshold: {THRESHOLD}, timeoutSeconds: {TIMEOUT}"
_CHECK = f"[{{tcpSocket: {{port: {PORT}}}, {_TIMES}}}]"
_GUARD = "{window: 15s, confirmAfter: 15s}"
"""Short, so that what the script removes has left when things are quiet."""
_MANIFESTS = f"""
apiVersion: extsync.dev/v1alpha1
kind: ExternalService
metadata: {{name: rack, namespace: {NAMESPACE}}}
spec:
  service: {{}}
  ports: [{{port: {PORT}}}]
  sources: [{{name: rack, static: {{backends: [{", ".join(f"{{address: {address}}}" for address in RACK)}]}}}}]
  checks: {_CHECK}
  policy: {{damping: {{max: 30s}}}}
---
apiVersion: extsync.dev/v1alpha1
kind: ExternalService
metadata: {{name: fleet, namespace: {NAMESPACE}}}
spec:
  service: {{}}
  ports: [{{port: {PORT}}}]
  sources:
  - {{name: fleet, hold: {{nodata: 30s}}, file: {{files: [fleet]}}}}
  - {{name: silent, file: {{files: [silent]}}}}
  checks: {_CHECK}
  publish: [EndpointSlice]
  policy: {{maxEndpointsPerSlice: LIMIT, damping: {{max: 30s}}, guard: {_GUARD}}}
---
apiVersion: extsync.dev/v1alpha1
kind: ExternalService
metadata: {{name: legacy, namespace: {NAMESPACE}}}
spec:
  service: {{}}
  ports: [{{port: {PORT}}}]
  sources: [{{name: legacy, file: {{files: [legacy]}}}}]
  publish: [Endpoints]
  policy: {{guard: {_GUARD}}}
"""

_ROUTER = f"""
---
apiVersion: extsync.dev/v1alpha1
kind: ExternalService
metadata: {{name: NAME, namespace: {NAMESPACE}}}
spec:
  service: {{}}
  ports: [{{port: {PORT}}}]
  sources: [{{name: router, static: {{backends: [{{address: ADDRESS}}]}}}}]
  checks: {_CHECK}
"""
_MANIFESTS += "".join(_ROUTER.replace("NAME", name).replace("ADDRESS", *one) for name, one in ROUTERS.items())


class Feed:
    """What one discovered source says; it goes on saying it to every new run of the source.

    It asks two questions, as if each were about every other one of its members.
    """

    def __init__(self, addresses: tuple[str, ...], clock: Clock) -> None:
        self.members = addresses
        self.named_since: dict[str, float] = {}
        self._clock = clock
        self._good: dict[str, frozenset[str]] = {part: frozenset() for part in PARTS}
        self._answers = dict.fromkeys(PARTS, Observation(Outcome.ERROR, detail="nothing yet"))
        self._observation = Observation(Outcome.ERROR, detail="nothing yet")
        self._changed = asyncio.Condition()

    @property
    def good(self) -> frozenset[str]:
        """The members that the last good answers name."""
        return frozenset().union(*self._good.values())

    async def found(self, addresses: tuple[str, ...], *, parts: tuple[str, ...] = PARTS) -> None:
        """Names, of the members that these parts are about, those in ``addresses``."""
        for part in parts:
            named = [a for a in self.members[PARTS.index(part) :: len(PARTS)] if a in addresses]
            outcome = Outcome.FOUND if named else Outcome.EMPTY
            self._answers[part] = Observation(outcome, tuple(map(Backend, named)))
            self._good[part] = frozenset(named)
        now = self._clock.monotonic()
        self.named_since = {address: self.named_since.get(address, now) for address in sorted(self.good)}
        await self._say(several(self._answers.items()))

    async def say(self, observation: Observation, *, part: str | None) -> None:
        """Reports an ``observation`` that names nothing from now on, for one part or, with None, for the source."""
        if part is None:
            await self._say(observation)
        else:
            self._answers[part] = observation
            await self._say(several(self._answers.items()))

    async def run(self, emit: Emit) -> None:
        """The source's own run."""
        while True:
            emit(self._observation)
            async with self._changed:
                await self._changed.wait()

    async def _say(self, observation: Observation) -> None:
        self._observation = observation
        async with self._changed:
            self._changed.notify_all()


class World:
    """The scripted parts of one simulation."""

    def __init__(self, io_: ScriptedProbeIO) -> None:
        self.feeds = {"fleet": Feed(FLEET, io_.clock), "legacy": Feed(LEGACY, io_.clock), "silent": Feed((), io_.clock)}
        self.up = dict.fromkeys(CHECKED, True)
        self.up_since = dict.fromkeys(CHECKED, 0.0)
        self.manifests = Manifests()
        self._down: dict[str, Behaviour] = {}
        self._cut: Behaviour | None = None
        self._io = io_
        for address in CHECKED:
            self.set_up(address, True)

    def set_up(self, address: str, up: bool, *, black_hole: bool = False) -> None:
        """Starts or stops a backend; one that is down refuses, or says nothing at all."""
        if up and not self.up[address]:
            self.up_since[address] = self._io.clock.monotonic()
        self.up[address] = up
        self._down[address] = BlackHole() if black_hole else Failing()
        self._script(address)

    def cut_off(self, how: Behaviour | None) -> None:
        """The network of extsync itself fails, in one way or the other, or is back: None."""
        self._cut = how
        for address in CHECKED:
            self._script(address)

    def _script(self, address: str) -> None:
        state = Listening() if self.up[address] else self._down[address]
        self._io.script(address, PORT, self._cut or state)

    def create_source(self, kind: str, config: Any, context: SourceContext) -> Source:
        """Stands for ``sources.registry.create``: a ``file`` source here says what its feed says."""
        return self.feeds[context.name] if kind == "file" else registry.create(kind, config, context)

    def desired(self, service: str) -> frozenset[str]:
        """The addresses that belong into a service."""
        return frozenset(STATIC[service]) if service in STATIC else self.feeds[service].good

    def named_for(self, service: str, address: str) -> float:
        """The seconds for which ``address`` has belonged into a service without a break; 0 where it does not."""
        now = self._io.clock.monotonic()
        return now if service in STATIC else now - self.feeds[service].named_since.get(address, now)

    def up_for(self, address: str) -> float:
        """The seconds for which a backend has been up; for ever, where nothing checks it, and 0 where it is not."""
        if address not in self.up:
            return float("inf")
        return self._io.clock.monotonic() - self.up_since[address] if self.up[address] else 0.0


class Manifests:
    """The manifests as they are on disk; ``changed`` is set as a watch would set it."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.slice_limit = SLICE_LIMITS[0]
        self._fresh = True

    def change_limit(self) -> None:
        """Somebody changes the limit of the slices of "fleet"."""
        self.slice_limit = next(limit for limit in SLICE_LIMITS if limit != self.slice_limit)
        self.reread()

    def reread(self) -> None:
        """A new process reads them anew."""
        self._fresh = True
        self.changed.set()

    async def __call__(self) -> LoadResult | None:
        if not self._fresh:
            return None
        self._fresh = False
        text = _MANIFESTS.replace("LIMIT", str(self.slice_limit))
        result = load(["-"], stdin=io.BytesIO(text.encode()))
        assert result.ok, result.problems
        return result
