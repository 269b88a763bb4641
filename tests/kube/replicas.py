"""Replicas that stand for one Lease in an in-memory store, each with a clock of its own, and who watches them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from copy import copy
from typing import Any

from extsync.errors import Fenced
from extsync.kube.cache import Cache
from extsync.kube.lease import Elector
from extsync.kube.lease_timing import CLIENT_GO, Timing
from extsync.kube.memory import Fault, MemoryStore
from extsync.objects import KubeObject, Lease
from extsync.seams import Timer
from extsync.seams.virtual import SeededRandom, VirtualClock

NAMESPACE = "default"
NAME = "extsync-default"


class SkewedClock(VirtualClock):
    """A clock that runs at ``rate`` times the speed of virtual time and began at some other moment."""

    def __init__(self, *, rate: float = 1.0, ahead: float = 0.0) -> None:
        super().__init__()
        self.rate = rate
        self._ahead = ahead

    def suspend(self, seconds: float) -> None:
        """Time that passes at once: nothing ran meanwhile."""
        self._ahead += seconds

    def monotonic(self) -> float:
        return self._ahead + super().monotonic() * self.rate

    def wall(self) -> float:
        return super().wall() - super().monotonic() + self.monotonic()

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / self.rate)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        return super().timeout(None if seconds is None else seconds / self.rate)

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        return super().call_later(seconds / self.rate, callback, *args)


class Replica:
    """One process: its elector, and a watch that feeds it where ``watches``. ``name`` is its identity."""

    def __init__(self, name: str, stage: Stage, *, clock: VirtualClock, timing: Timing, watches: bool) -> None:
        self.name = name
        self.clock = clock
        self._stage = stage
        self.store = copy(stage.store)  # the same objects behind faults of this replica's own
        self.store.faults = self._fault
        self.faults: Callable[[str], Fault | None] = lambda verb: None
        self.requests: list[tuple[float, str]] = []
        random = SeededRandom(stage.seed * 100 + len(stage.replicas))
        self.elector = Elector(
            self.store,
            namespace=NAMESPACE,
            name=NAME,
            identity=name,
            clock=clock,
            random=random,
            timing=timing,
            on_change=self._changed,
        )
        self._cache = Cache(
            self.store,
            Lease,
            clock=clock,
            random=random,
            namespace=NAMESPACE,
            on_change=lambda old, new: self.elector.observe(new),
        )
        self.told: list[tuple[float, bool]] = []
        self._tasks = [asyncio.create_task(self.elector.run())]
        if watches:
            self._tasks.append(asyncio.create_task(self._cache.run()))

    @property
    def may_write(self) -> bool:
        """Whether the fence is open."""
        try:
            return self.elector.fence() > 0
        except Fenced:
            return False

    async def kill(self) -> None:
        """Ends the process as kill -9 would; its fence is as closed as it is gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self._stage.replicas.remove(self)

    async def stop(self) -> bool:
        """Ends the process in good order; whether the Lease is known to be released."""
        self.elector.retire()
        released = await self.elector.release(timeout=2.0)
        await self.kill()
        return released

    def writes(self) -> list[str]:
        return [verb for _, verb in self.requests if verb in ("create", "update")]

    def _fault(self, verb: str, kind: type[KubeObject], key: tuple[str, str]) -> Fault | None:
        if verb != "event":
            self.requests.append((self._stage.now, verb))
        return self.faults(verb)

    def _changed(self, leads: bool) -> None:
        self.told.append((self._stage.now, leads))
        self._stage.changed()


class Stage:
    """A store and the replicas on it. ``violations`` are the moments at which two fences were open.

    A fence opens only when its replica is told that it leads, so to look at these moments is to look at all of them.
    """

    def __init__(self, *, seed: int = 0, released: bool = True) -> None:
        """``released``: there is a Lease that its last holder gave up."""
        self.seed = seed
        self.clock = VirtualClock()
        self.store = MemoryStore(clock=self.clock, random=SeededRandom(seed), namespaces=[NAMESPACE])
        self.replicas: list[Replica] = []
        self.gains: list[tuple[float, str]] = []
        self.violations: list[str] = []
        if released:
            self.edit(holderIdentity="", leaseDurationSeconds=1, leaseTransitions=4)

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    def add(
        self,
        name: str,
        *,
        clock: VirtualClock | None = None,
        timing: Timing = CLIENT_GO,
        watches: bool = True,
    ) -> Replica:
        replica = Replica(name, self, clock=clock or self.clock, timing=timing, watches=watches)
        self.replicas.append(replica)
        return replica

    def changed(self) -> None:
        writers = [replica.name for replica in self.replicas if replica.may_write]
        if len(writers) > 1:
            self.violations.append(f"{writers} may write at {self.now:.3f} s")
        if len(writers) == 1 and (not self.gains or self.gains[-1][1] != writers[0]):
            self.gains.append((self.now, writers[0]))

    @property
    def leader(self) -> Replica | None:
        return next((replica for replica in self.replicas if replica.may_write), None)

    async def until(self, condition: Callable[[], bool], *, within: float) -> float:
        """Waits for ``condition`` and returns the seconds that it took, looked at every 50 ms of virtual time."""
        began = self.now
        while not condition():
            assert self.now - began <= within, f"not within {within:g} s"
            await self.clock.sleep(0.05)
        return self.now - began

    def spec(self) -> dict[str, Any]:
        found: dict[str, Any] = self.store.raw(Lease, NAMESPACE, NAME)["spec"]
        return found

    @property
    def is_there(self) -> bool:
        return any(body["metadata"]["name"] == NAME for body in self.store.dump(Lease))

    @property
    def is_held(self) -> bool:
        return self.is_there and bool(self.spec().get("holderIdentity"))

    def edit(self, **fields: Any) -> None:
        """What a person does to the Lease with kubectl."""
        body: Any = {"metadata": {"name": NAME, "namespace": NAMESPACE}, "spec": {}}
        if self.is_there:
            body = self.store.raw(Lease, NAMESPACE, NAME)
        body["metadata"].pop("resourceVersion", None)
        body["spec"] |= fields
        self.store.put(Lease, body)

    def delete(self) -> None:
        self.store.remove(Lease, NAMESPACE, NAME)

    async def end(self) -> None:
        """Ends all replicas; raises where two could write at once."""
        for replica in list(self.replicas):
            await replica.kill()
        assert self.violations == []
