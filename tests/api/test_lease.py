"""The elector on a real API server, with the rights that it needs and no more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from extsync.kube import lease_record
from extsync.kube.api import KubeStore
from extsync.kube.cache import Cache
from extsync.kube.lease import Elector
from extsync.kube.lease_names import leader_lease, new_identity
from extsync.kube.lease_timing import Timing
from extsync.objects import OWNER_LABEL, Lease, LeaseSpec, ObjectMeta
from extsync.seams import SystemClock, SystemRandom
from tests.api.kube_stores import kube_store
from tests.cluster.control_plane import ControlPlane

OWNER = "Team_A"
NAME = leader_lease(OWNER)
QUICK = Timing(lease_duration=3.0, renew_deadline=2.5, retry_period=0.5)
RELEASED: dict[str, Any] = {
    "metadata": {"name": NAME, "labels": {OWNER_LABEL: OWNER}},
    "spec": {"holderIdentity": "", "leaseDurationSeconds": 1},
}


class Replica:
    """An elector that runs, fed by a watch of the owner's Leases."""

    def __init__(self, store: KubeStore, namespace: str, changed: asyncio.Event) -> None:
        clock, random = SystemClock(), SystemRandom()
        self._changed = changed
        self.seen: tuple[str | None, str | None] = (None, None)
        self.identity = new_identity("host", random)
        self.elector = Elector(
            store,
            namespace=namespace,
            name=NAME,
            identity=self.identity,
            clock=clock,
            random=random,
            timing=QUICK,
            labels={OWNER_LABEL: OWNER},
            on_change=lambda leads: changed.set(),
        )
        cache = Cache(
            store,
            Lease,
            clock=clock,
            random=random,
            namespace=namespace,
            label_selector=f"{OWNER_LABEL}={OWNER}",
            on_change=lambda old, new: self._observe(new),
        )
        self._tasks = [asyncio.ensure_future(self.elector.run()), asyncio.ensure_future(cache.run())]

    def _observe(self, lease: Lease | None) -> None:
        self.elector.observe(lease)
        self.seen = (lease.metadata.uid, lease.spec.holder_identity) if lease else (None, None)
        self._changed.set()

    async def kill(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)


class Pair:
    """Replicas of one installation."""

    def __init__(self, store: KubeStore, namespace: str) -> None:
        self._store = store
        self._namespace = namespace
        self._changed = asyncio.Event()
        self.replicas: list[Replica] = []

    def add(self) -> Replica:
        replica = Replica(self._store, self._namespace, self._changed)
        self.replicas.append(replica)
        return replica

    async def kill(self, replica: Replica) -> None:
        """Ends a replica without a farewell."""
        self.replicas.remove(replica)
        await replica.kill()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns once ``condition`` holds; the test's own time-out bounds the wait."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()
        assert [replica.elector.leads for replica in self.replicas].count(True) <= 1


@pytest.fixture
async def pair(control_plane: ControlPlane, extsync_kubeconfig: Path, namespace: str) -> AsyncIterator[Pair]:
    """Replicas with the role of the deployment and what an election needs beside it."""
    verbs, kind = "--verb=get,list,watch,create,update", "--resource=leases.coordination.k8s.io"
    control_plane.kubectl("create", "role", "lease", verbs, kind, "-n", namespace)
    control_plane.kubectl("create", "rolebinding", "lease", "--role=lease", "--user=extsync", "-n", namespace)
    async with AsyncExitStack() as resources:
        store = await resources.enter_async_context(kube_store(extsync_kubeconfig))
        pair = Pair(store, namespace)
        yield pair
        for replica in list(pair.replicas):
            await replica.elector.release(timeout=10.0)  # then it has no request under way that would be cut off
            await pair.kill(replica)


def spec_of(control_plane: ControlPlane, namespace: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(control_plane.kubectl("get", "lease", NAME, "-n", namespace, "-o", "json"))
    return answer["spec"]  # type: ignore[no-any-return]


async def test_what_is_written_is_read_back_as_the_same(kubeconfig: Path, namespace: str) -> None:
    """A write without an answer is known again by this."""
    async with kube_store(kubeconfig) as store:
        lease = await store.create(
            Lease(metadata=ObjectMeta(name=NAME, namespace=namespace), spec=lease_record.vacant(15.0))
        )
        assert lease.spec == lease_record.vacant(15.0)
        wall = SystemClock().wall()
        for spec in (
            lease_record.held(lease.spec, "a", 15.0, wall=wall),
            lease_record.held(LeaseSpec(), "b", 15.0, wall=float(int(wall))),
            lease_record.released(lease_record.held(LeaseSpec(), "b", 15.0, wall=wall), wall=wall),
        ):
            lease = await store.update(replace(lease, spec=spec))
            assert lease.spec == spec
            assert (await store.get(Lease, namespace, NAME)).spec == spec


async def test_a_new_lease_is_made_and_taken_once_nobody_can_hold_it(
    pair: Pair, control_plane: ControlPlane, namespace: str
) -> None:
    replica = pair.add()
    await pair.until(lambda: replica.elector.leads)
    assert spec_of(control_plane, namespace)["holderIdentity"] == replica.identity
    assert 0 < replica.elector.fence() <= QUICK.renew_deadline


async def test_a_standby_follows_a_release_and_a_kill(pair: Pair, control_plane: ControlPlane, namespace: str) -> None:
    control_plane.request("POST", f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", RELEASED)
    first = pair.add()
    await pair.until(lambda: first.elector.leads)
    second = pair.add()
    first.elector.retire()
    assert await first.elector.release(timeout=10.0)
    await pair.until(lambda: second.elector.leads)
    first.elector.stand()
    await pair.kill(second)
    await pair.until(lambda: first.elector.leads)
    assert spec_of(control_plane, namespace)["leaseTransitions"] == 3


async def test_a_deleted_lease_is_made_again_by_its_holder(
    pair: Pair, control_plane: ControlPlane, namespace: str
) -> None:
    control_plane.request("POST", f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", RELEASED)
    holder = pair.add()
    await pair.until(lambda: holder.elector.leads)
    standby = pair.add()
    await pair.until(lambda: holder.seen[1] == holder.identity)
    uid, _ = holder.seen
    control_plane.kubectl("delete", "lease", NAME, "-n", namespace)
    await pair.until(lambda: holder.seen[0] != uid and holder.seen[1] == holder.identity)
    assert holder.elector.leads
    assert not standby.elector.leads
