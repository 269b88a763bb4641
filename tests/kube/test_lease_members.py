"""Who is alive is seen from member Leases that change, whatever they say of the time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from extsync.errors import Forbidden
from extsync.kube.cache import Cache
from extsync.kube.lease_members import LONG_DEAD, Members
from extsync.kube.lease_timing import CLIENT_GO
from extsync.kube.memory import Fault, MemoryStore
from extsync.kube.trouble import Trouble
from extsync.objects import Lease
from extsync.seams.virtual import SeededRandom, VirtualClock, virtual_time

NAMESPACE = "default"
LEASE, RETRY = CLIENT_GO.lease_duration, CLIENT_GO.retry_period


class Replica:
    """A member that runs, and a watch that feeds it."""

    def __init__(self, store: MemoryStore, clock: VirtualClock, name: str, shards: int) -> None:
        self.members = Members(
            store,
            namespace=NAMESPACE,
            owner="default",
            identity=name,
            shards=shards,
            clock=clock,
            timing=CLIENT_GO,
            trouble=Trouble(clock=clock),
        )
        self.cache = Cache(
            store,
            Lease,
            clock=clock,
            random=SeededRandom(),
            namespace=NAMESPACE,
            on_change=lambda old, new: self.members.observe((new or old).metadata.name, new),  # type: ignore[union-attr]
        )
        self.tasks = [asyncio.create_task(self.members.run()), asyncio.create_task(self.cache.run())]

    async def kill(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


class Stage:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.fault: Fault | None = None
        self.faulty: str | None = None
        """The verb that ``fault`` is of; None: of all."""
        self.store = MemoryStore(
            clock=self.clock,
            random=SeededRandom(),
            faults=lambda verb, kind, at: self.fault if self.faulty in (None, verb) else None,
        )
        self.replicas: list[Replica] = []

    def add(self, name: str, *, shards: int = 4) -> Replica:
        replica = Replica(self.store, self.clock, name, shards)
        self.replicas.append(replica)
        return replica

    def names(self) -> list[str]:
        return [str(lease["metadata"]["name"]) for lease in self.store.dump(Lease, NAMESPACE)]

    def put(self, name: str, **spec: Any) -> None:
        """A Lease that somebody left behind."""
        metadata = {"name": name, "namespace": NAMESPACE, "labels": {"extsync.dev/shards": "4"}}
        self.store.put(Lease, {"metadata": metadata, "spec": spec})


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    on = Stage()
    try:
        yield on
    finally:
        for replica in on.replicas:
            await replica.kill()


@virtual_time
async def test_replicas_see_each_other_and_since_when() -> None:
    async with stage() as on:
        a = on.add("a")
        await on.clock.sleep(30)
        b = on.add("b")
        await on.clock.sleep(60)
        assert set(a.members.alive()) == {"b"}
        assert 29.0 <= a.members.alive()["b"] <= 31.0
        assert set(b.members.alive()) == {"a"}


@virtual_time
async def test_one_that_was_killed_counts_for_the_lease_duration() -> None:
    async with stage() as on:
        a, b = on.add("a"), on.add("b")
        await on.clock.sleep(10)
        await b.kill()
        await on.clock.sleep(LEASE - RETRY - 0.1)
        assert set(a.members.alive()) == {"b"}
        await on.clock.sleep(RETRY + 0.2)
        assert a.members.alive() == {}


@virtual_time
async def test_one_that_leaves_is_gone_at_once_and_leaves_nothing_behind() -> None:
    async with stage() as on:
        a, b = on.add("a"), on.add("b")
        await on.clock.sleep(10)
        await b.kill()
        await b.members.leave(timeout=1.0)
        await on.clock.sleep(0.1)
        assert a.members.alive() == {}
        assert on.names() == ["extsync-default.member-a"]


@virtual_time
async def test_one_that_had_better_not_lead_does_not_count_and_begins_anew_afterwards() -> None:
    async with stage() as on:
        a, b = on.add("a"), on.add("b")
        await on.clock.sleep(10)
        b.members.willing = False
        await on.clock.sleep(2 * RETRY)
        assert a.members.alive() == {}
        b.members.willing = True
        await on.clock.sleep(2 * RETRY)
        assert a.members.alive()["b"] > 10.0


@virtual_time
async def test_replicas_with_another_number_of_shards_do_not_count() -> None:
    async with stage() as on:
        a = on.add("a")
        on.add("b", shards=8)
        await on.clock.sleep(30)
        assert a.members.alive() == {}


@virtual_time
async def test_a_lease_that_somebody_deletes_or_changes_is_put_right() -> None:
    async with stage() as on:
        a = on.add("a")
        b = on.add("b")
        await on.clock.sleep(10)
        on.store.remove(Lease, NAMESPACE, "extsync-default.member-b")
        await on.clock.sleep(3 * RETRY)
        assert set(a.members.alive()) == {"b"}
        on.put("extsync-default.member-b", holderIdentity="nobody")
        await on.clock.sleep(3 * RETRY)
        assert set(a.members.alive()) == {"b"}
        assert set(b.members.alive()) == {"a"}


@virtual_time
async def test_without_the_api_server_it_is_alive_again_when_that_is_back() -> None:
    async with stage() as on:
        a = on.add("a")
        on.add("b")
        await on.clock.sleep(10)
        on.fault = Fault(before=999.0)
        await on.clock.sleep(120)
        assert a.members.alive() == {}
        on.fault = None
        await on.clock.sleep(60)
        assert set(a.members.alive()) == {"b"}


@virtual_time
async def test_what_dead_replicas_and_other_shards_left_behind_is_deleted_after_an_hour_and_nothing_else() -> None:
    async with stage() as on:
        on.put("extsync-default.member-dead", holderIdentity="dead")
        on.put("extsync-default.shard-1-of-9", holderIdentity="dead")
        on.put("extsync-default", holderIdentity="4-shards")
        on.put("extsync-defaults.member-other", holderIdentity="other")
        on.add("a")
        await on.clock.sleep(LONG_DEAD - 60.0)
        assert len(on.names()) == 5
        await on.clock.sleep(120.0)
        assert on.names() == ["extsync-default", "extsync-default.member-a", "extsync-defaults.member-other"]


@virtual_time
async def test_where_it_may_not_delete_what_is_left_behind_that_is_told_once_and_done_when_it_may(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with stage() as on:
        on.fault, on.faulty = Fault(error=Forbidden('delete it: User cannot delete resource "leases"')), "delete"
        on.put("extsync-default.member-dead", holderIdentity="dead")
        on.add("a")
        await on.clock.sleep(LONG_DEAD + 600.0)
        told = [record.getMessage() for record in caplog.records]
        assert len(told) == 1
        assert "deploy/kustomize/base/role.yaml has the rights" in told[0]
        on.fault = None
        await on.clock.sleep(2 * RETRY)
        assert on.names() == ["extsync-default.member-a"]
