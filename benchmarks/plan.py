"""What planning costs: from nothing, after one flip, and when nothing changed. ``python -m benchmarks.plan``.

The goal: with 10,000 endpoints one flip writes one slice, and one Endpoints object where that shows the endpoint, in at
most a tenth of the time of the plan from nothing; a steady state writes nothing.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TypeVar

import msgspec

from extsync.changes import ApplyService, Change, Delete
from extsync.model import Backend, Health, ServiceKey, Verdict
from extsync.objects import Endpoints, EndpointSlice, KubeObject, Service
from extsync.plan.guard import Guard, GuardPolicy
from extsync.plan.judge import Judged, judge
from extsync.plan.merge import Merged, SourceSet, merge
from extsync.plan.plan import Current, Plan, PlanMemo, plan
from extsync.plan.policy import PackPolicy
from extsync.plan.ports import PortSpec
from extsync.plan.published import Published
from extsync.plan.service import ServiceWish, preview
from extsync.plan.tier import TierPolicy, TierState, tier
from extsync.sources.part import backend_key

KEY = ServiceKey("default", "orders")
PORTS = (PortSpec("mysql", 3306), PortSpec("metrics", 9104))
WISH = ServiceWish(KEY, PORTS, fields={"type": "ClusterIP"})
GOAL = 0.1
T = TypeVar("T")
ROUNDS = 15


def _service() -> Service:
    made = preview(WISH)
    metadata = msgspec.structs.replace(made.metadata, uid="4a5a3b52-uid", resource_version="1")
    spec = msgspec.structs.replace(made.spec, cluster_ip="10.96.0.7", ip_families=("IPv4",))
    return msgspec.structs.replace(made, metadata=metadata, spec=spec)


SERVICE = _service()


class Scene:
    """A service with its memos, and a store that does what plans say; what it holds is decoded, as from a watch."""

    def __init__(self, backends: tuple[Backend, ...], policy: PackPolicy) -> None:
        self.sources = (SourceSet("rack", backends),)
        self.policy = policy
        self.versions = count(2)
        self.reset()

    def reset(self) -> None:
        self.judged, self.memo = Judged(), PlanMemo()
        self.current = Current(SERVICE)
        self.merged = Merged()
        self.verdicts: list[Verdict | None] = [Verdict(Health.HEALTHY) for _ in self.sources[0].backends]

    def merge(self) -> None:
        self.merged = merge(PORTS, self.sources, families=("IPv4",))

    def decide(self) -> Plan:
        candidates = self.merged.candidates
        judged = judge(candidates, self.verdicts, Published(), self.judged)
        tiers = tier(candidates, judged, TierState(), tiers=self.merged.tiers, policy=TierPolicy(), now=0.0)
        return plan(KEY, self.current, tiers.endpoints, self.policy, wish=WISH, memo=self.memo)

    def carry_out(self, planned: Plan) -> None:
        slices = {slice_.metadata.name: slice_ for slice_ in self.current.slices}
        endpoints = self.current.endpoints
        for change in planned.changes:
            obj = _stored(change, next(self.versions))
            if isinstance(obj, EndpointSlice):
                slices[obj.metadata.name] = obj
            elif isinstance(obj, Endpoints):
                endpoints = obj
        self.current = Current(SERVICE, tuple(slices.values()), endpoints)

    def flip(self, place: int) -> None:
        verdict = self.verdicts[place]
        assert verdict is not None
        other = Health.UNHEALTHY if verdict.health is Health.HEALTHY else Health.HEALTHY
        self.verdicts[place] = Verdict(other)


def _stored(change: Change, version: int) -> KubeObject:
    if isinstance(change, ApplyService | Delete):
        raise ValueError(f"the benchmark asks for no {change}")
    obj = change.obj
    metadata = msgspec.structs.replace(
        obj.metadata, uid=obj.metadata.uid or f"uid-{version}", resource_version=str(version)
    )
    stored = msgspec.structs.replace(obj, metadata=metadata)
    return msgspec.json.decode(msgspec.json.encode(stored), type=type(obj))


def measure(endpoints: int, *, publish_endpoints: bool, rounds: int = ROUNDS) -> dict[str, float]:
    """Median milliseconds of processor time of each case; the cyclic collector runs in between."""
    backends = tuple(
        Backend(f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}", hostname=f"db-{i}", zone=f"dc-{i % 3}")
        for i in range(257, 257 + endpoints)
    )
    scene = Scene(backends, PackPolicy(endpoints=publish_endpoints))
    times: dict[str, list[float]] = {"merge": [], "from nothing": [], "steady": [], "one flip": []}
    for _ in range(max(3, rounds // 3)):
        scene.reset()
        times["merge"].append(_timed(scene.merge)[0])
        took, planned = _timed(scene.decide)
        times["from nothing"].append(took)
        scene.carry_out(planned)
    scene.decide()
    for i in range(rounds):
        took, planned = _timed(scene.decide)
        _expect(planned, 0)
        times["steady"].append(took)
        scene.flip(i * 97 % endpoints)
        took, planned = _timed(scene.decide)
        # An Endpoints object that is cut to 1,000 addresses, ready ones first, does not show each flip.
        _expect(planned, 1, at_most=1 + publish_endpoints)
        times["one flip"].append(took)
        scene.carry_out(planned)
        _expect(scene.decide(), 0)
    times["guard"] = _guard_times(backends, rounds)
    return {case: statistics.median(taken) * 1000 for case, taken in times.items()}


def _guard_times(backends: tuple[Backend, ...], rounds: int) -> list[float]:
    """What the guard costs where a source names one other backend than before."""
    guard = Guard(GuardPolicy(), backend_key)
    guard.look(backends, 0.0, believed=True)
    taken = []
    for i in range(rounds):
        answer = (*backends[:i], Backend(f"192.0.2.{i}"), *backends[i + 1 :])
        taken.append(_timed(partial(guard.look, answer, float(i), believed=True))[0])
    return taken


def _timed(step: Callable[[], T]) -> tuple[float, T]:
    gc.collect()
    gc.disable()
    start = time.process_time()
    result = step()
    took = time.process_time() - start
    gc.enable()
    return took, result


def _expect(planned: Plan, number: int, *, at_most: int = 0) -> None:
    if not number <= len(planned.changes) <= max(number, at_most):
        raise AssertionError(f"{len(planned.changes)} changes instead of {number}: {planned.changes.summary}")


def main() -> int:
    reached = True
    for endpoints in (1_000, 10_000):
        for publish_endpoints in (False, True):
            figures = measure(endpoints, publish_endpoints=publish_endpoints)
            ratio = figures["one flip"] / figures["from nothing"]
            reached = reached and (endpoints < 10_000 or ratio <= GOAL)
            kinds = "slices and Endpoints" if publish_endpoints else "slices"
            print(f"{endpoints:>6} endpoints, {kinds}")
            for case, milliseconds in figures.items():
                print(f"        {case:<14}{milliseconds:9.2f} ms")
            print(f"        one flip / from nothing (without the merge) {ratio:.3f}, goal at 10,000: {GOAL}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
