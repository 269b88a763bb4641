"""The writer makes changes in their order, and none that could lose an endpoint or outlast the fence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from extsync.changes import ApplyService, Change, Create, Delete, Update
from extsync.errors import (
    AlreadyExists,
    Conflict,
    Fenced,
    FieldConflict,
    Forbidden,
    Invalid,
    NotFound,
    StoreError,
    TooManyRequests,
    Unavailable,
)
from extsync.kube.flow import TokenBucket
from extsync.kube.memory import Fault, MemoryStore
from extsync.kube.stamp import Stamp, stamp_of
from extsync.kube.writer import OLD_PLAN, Deferred, Done, Failed, Skipped, Writer, Written, object_key, verb
from extsync.objects import WRITTEN_BY_ANNOTATION, EndpointSlice, KubeObject, Service, SlicePort
from extsync.seams.virtual import SeededRandom, VirtualClock, virtual_time
from tests.contract.things import service_body, slice_of

UNAVAILABLE = Unavailable("the API is away")


class Scene:
    """A writer on an in-memory store, with what it told its cache and what it asked of the store."""

    def __init__(self, *, qps: float = 1000.0, burst: int = 1000, timeout: float = 10.0) -> None:
        self.clock = VirtualClock()
        self.faults: dict[str, Fault] = {}
        """By verb and name, such as "create a"."""
        self.store = MemoryStore(clock=self.clock, random=SeededRandom(), faults=self._fault)
        self.requests: list[str] = []
        self.left: Callable[[], float | None] = lambda: None
        self.told: list[str] = []
        self.writer = Writer(
            self.store,
            clock=self.clock,
            limiter=TokenBucket(clock=self.clock, qps=qps, burst=burst),
            written=lambda obj: self.told.append(f"written {obj.metadata.name} {obj.metadata.resource_version}"),
            deleted=lambda kind, namespace, name, uid: self.told.append(f"deleted {name} {uid}"),
            timeout=timeout,
        )

    async def slice(self, name: str) -> EndpointSlice:
        """A slice that is there."""
        return await self.store.create(slice_of("default", name, "192.0.2.1"))

    async def write(self, *changes: Change, **options: Any) -> Written:
        self.requests.clear()
        return await self.writer.write(changes, fence=lambda: self.left(), **options)

    def _fault(self, verb: str, kind: type[KubeObject], key: tuple[str, str]) -> Fault | None:
        self.requests.append(f"{verb} {key[1]}")
        return self.faults.get(f"{verb} {key[1]}")

    def fail(self, request: str, error: StoreError) -> None:
        self.faults[request] = Fault(error=error)


def create(name: str) -> Create:
    return Create(slice_of("default", name, "192.0.2.1"))


def update(obj: EndpointSlice, *, adds: bool = True, takes_away: bool = True) -> Update:
    return Update(replace(obj, endpoints=()), adds=adds, takes_away=takes_away)


def flip(obj: EndpointSlice) -> Update:
    return update(obj, adds=False, takes_away=False)


def delete(obj: KubeObject) -> Delete:
    return Delete(type(obj), *obj.key, uid=obj.metadata.uid or "")


def names(written: Written) -> dict[str, list[str]]:
    """The changes in each of the four lists, in short."""
    lists: dict[str, Iterable[Done | Failed | Deferred | Skipped]] = {
        "done": written.done,
        "failed": written.failed,
        "deferred": written.deferred,
        "skipped": written.skipped,
    }
    short = {
        name: [f"{verb(one.change)} {object_key(one.change)[2]}" for one in found] for name, found in lists.items()
    }
    return {name: found for name, found in short.items() if found}


class TestOrder:
    @virtual_time
    async def test_changes_are_made_in_their_order_and_told_to_the_cache(self) -> None:
        scene = Scene()
        a, b = await scene.slice("a"), await scene.slice("b")
        apply = ApplyService(service_body("default", "svc"))
        written = await scene.write(apply, create("c"), update(a), delete(b))
        assert scene.requests == ["get svc", "apply svc", "create c", "update a", "delete b"]
        assert written.complete
        assert written.counts == {"apply": 1, "create": 1, "update": 1, "delete": 1}
        versions = [done.obj and f"written {done.obj.metadata.name} {done.obj.metadata.resource_version}"
                    for done in written.done]  # fmt: skip
        assert scene.told == [*versions[:3], f"deleted b {b.metadata.uid}"]

    @virtual_time
    async def test_requests_keep_to_the_rate(self) -> None:
        scene = Scene(qps=2.0, burst=1)
        await scene.write(*(create(name) for name in "abcde"))
        assert scene.clock.monotonic() == 2.0

    @virtual_time
    async def test_a_cancelled_write_ends_at_once(self) -> None:
        scene = Scene()
        scene.faults["create a"] = Fault(before=5.0)
        task = asyncio.create_task(scene.write(create("a"), create("b")))
        await scene.clock.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert scene.requests == ["create a"]

    @virtual_time
    async def test_an_old_plan_is_not_written_to_its_end(self) -> None:
        scene = Scene(qps=1.0, burst=1)
        written = await scene.write(*(create(name) for name in "abcd"), is_superseded=lambda: True)
        assert OLD_PLAN < 2.0  # the third is on its way by then
        assert names(written) == {"done": ["create a", "create b", "create c"], "skipped": ["create d"]}


class TestStalePlans:
    @virtual_time
    async def test_a_conflict_ends_the_round_and_shows_the_cache_what_is_there(self) -> None:
        scene = Scene()
        a = await scene.slice("a")
        current = await scene.store.update(replace(a, ports=(SlicePort(port=81),)))
        written = await scene.write(update(a), create("b"))
        assert names(written) == {"failed": ["update a"], "skipped": ["create b"]}
        assert written.stale
        assert isinstance(written.stopped, Conflict)
        assert scene.told == [f"written a {current.metadata.resource_version}"]

    @virtual_time
    async def test_an_object_to_update_that_is_gone_ends_the_round(self) -> None:
        scene = Scene()
        a = await scene.slice("a")
        scene.store.remove(EndpointSlice, "default", "a")
        written = await scene.write(update(a), create("b"))
        assert names(written) == {"failed": ["update a"], "skipped": ["create b"]}
        assert written.stale
        assert scene.told == [f"deleted a {a.metadata.uid}"]

    @virtual_time
    async def test_a_create_whose_answer_was_lost_is_found_by_the_next_one(self) -> None:
        scene = Scene()
        scene.faults["create a"] = Fault(lost=True)
        first = await scene.write(create("a"))
        assert names(first) == {"failed": ["create a"]}
        assert not first.stale
        scene.faults.clear()
        second = await scene.write(create("a"))
        assert isinstance(second.stopped, AlreadyExists)
        assert second.stale
        there = await scene.store.get(EndpointSlice, "default", "a")
        assert scene.told == [f"written a {there.metadata.resource_version}"]

    @virtual_time
    async def test_a_delete_of_what_is_gone_is_done(self) -> None:
        scene = Scene()
        a = await scene.slice("a")
        scene.store.remove(EndpointSlice, "default", "a")
        written = await scene.write(delete(a))
        assert names(written) == {"done": ["delete a"]}
        assert scene.told == [f"deleted a {a.metadata.uid}"]

    @virtual_time
    async def test_a_delete_of_what_was_made_again_is_a_conflict(self) -> None:
        scene = Scene()
        a = await scene.slice("a")
        scene.store.remove(EndpointSlice, "default", "a")
        again = await scene.slice("a")
        written = await scene.write(delete(a))
        assert written.stale
        assert await scene.store.get(EndpointSlice, "default", "a") == again

    @virtual_time
    async def test_a_read_that_fails_after_a_conflict_leaves_it_to_the_watch(self) -> None:
        scene = Scene()
        a = await scene.slice("a")
        await scene.store.update(replace(a, ports=()))
        scene.fail("get a", UNAVAILABLE)
        written = await scene.write(update(a))
        assert written.stale
        assert scene.told == []


class TestFailures:
    @virtual_time
    async def test_what_fails_does_not_stop_the_others(self) -> None:
        scene = Scene()
        a, b = await scene.slice("a"), await scene.slice("b")
        scene.fail("update a", Invalid("refused"))
        written = await scene.write(flip(a), flip(b), create("c"))
        assert names(written) == {"failed": ["update a"], "done": ["update b", "create c"]}
        assert not written.complete
        assert not written.stale

    @pytest.mark.parametrize("error", [Invalid("x"), Forbidden("x"), UNAVAILABLE])
    @virtual_time
    async def test_nothing_is_taken_away_after_a_create_that_failed(self, error: StoreError) -> None:
        scene = Scene()
        a, b, c = [await scene.slice(name) for name in "abc"]
        scene.fail("create new", error)
        written = await scene.write(create("new"), flip(a), update(b), delete(c))
        assert names(written) == {
            "failed": ["create new"], "done": ["update a"], "skipped": ["update b", "delete c"]
        }  # fmt: skip
        assert "create of default/new" in written.skipped[0].reason

    @virtual_time
    async def test_nothing_is_taken_away_after_an_update_that_adds_has_failed(self) -> None:
        scene = Scene()
        a, b = await scene.slice("a"), await scene.slice("b")
        scene.fail("update a", Invalid("refused"))
        written = await scene.write(update(a, takes_away=False), delete(b))
        assert names(written) == {"failed": ["update a"], "skipped": ["delete b"]}

    @virtual_time
    async def test_a_flip_that_failed_keeps_nothing_back(self) -> None:
        scene = Scene()
        a, b = await scene.slice("a"), await scene.slice("b")
        scene.fail("update a", Invalid("refused"))
        written = await scene.write(flip(a), delete(b))
        assert names(written) == {"failed": ["update a"], "done": ["delete b"]}

    @virtual_time
    async def test_a_field_that_somebody_else_owns_concerns_the_service_alone(self) -> None:
        scene = Scene()
        a = await scene.slice("a")
        await scene.store.apply_service(service_body("default", "svc", labels={"x": "1"}), field_manager="somebody")
        found = await scene.store.get(Service, "default", "svc")
        change = ApplyService.of(found, service_body("default", "svc", labels={"x": "2"}), "")
        written = await scene.write(change, delete(a))
        assert names(written) == {"failed": ["apply svc"], "done": ["delete a"]}
        assert isinstance(written.failed[0].error, FieldConflict)
        assert not written.stale

    @virtual_time
    async def test_a_service_that_somebody_made_meanwhile_is_not_taken_over(self) -> None:
        scene = Scene()
        theirs = await scene.store.apply_service(service_body("default", "svc"), field_manager="somebody")
        written = await scene.write(ApplyService(service_body("default", "svc")), create("a"))
        assert names(written) == {"failed": ["apply svc"], "skipped": ["create a"]}
        assert written.stale
        assert await scene.store.get(Service, "default", "svc") == theirs
        assert scene.told == [f"written svc {theirs.metadata.resource_version}"]

    @virtual_time
    async def test_a_service_that_was_changed_or_made_anew_meanwhile_is_looked_at_once_more(self) -> None:
        scene = Scene()
        body = service_body("default", "svc")
        known = await scene.store.apply_service(body, field_manager="extsync")
        change = ApplyService.of(known, service_body("default", "svc", labels={"ours": "x"}), "")
        theirs = await scene.store.update(replace(known, metadata=replace(known.metadata, labels={"theirs": "y"})))
        written = await scene.write(change)
        assert written.stale
        assert await scene.store.get(Service, "default", "svc") == theirs
        await scene.store.delete(Service, "default", "svc", uid=known.metadata.uid or "")
        written = await scene.write(change)
        assert written.stale
        assert scene.told[-1] == f"deleted svc {known.metadata.uid}"
        with pytest.raises(NotFound):
            await scene.store.get(Service, "default", "svc")

    @virtual_time
    async def test_a_missing_namespace_is_a_failure(self) -> None:
        scene = Scene()
        written = await scene.write(Create(slice_of("nowhere", "a")))
        assert isinstance(written.failed[0].error, NotFound)
        assert not written.stale

    @virtual_time
    async def test_a_terminating_namespace_leaves_nothing_to_do(self) -> None:
        scene = Scene()
        scene.store.terminate_namespace("default")
        written = await scene.write(create("a"), create("b"))
        assert names(written) == {"skipped": ["create a", "create b"]}
        assert written.complete
        assert written.terminating

    @virtual_time
    async def test_what_never_reached_the_server_need_not_be_looked_for(self) -> None:
        scene = Scene()
        scene.fail("create a", Unavailable("refused", connected=False))
        scene.fail("create b", UNAVAILABLE)
        written = await scene.write(create("a"), create("b"))
        assert written.unanswered == (create("b"),)

    @virtual_time
    async def test_a_server_that_is_busy_ends_the_round_and_says_for_how_long(self) -> None:
        scene = Scene()
        scene.fail("create b", TooManyRequests("busy", retry_after=7.0))
        written = await scene.write(create("a"), create("b"), create("c"))
        assert names(written) == {"done": ["create a"], "failed": ["create b"], "skipped": ["create c"]}
        assert written.retry_after == 7.0

    @virtual_time
    async def test_a_429_that_asks_for_no_time_is_of_its_object_alone_unless_the_next_one_meets_it_too(self) -> None:
        scene = Scene()
        scene.fail("create b", TooManyRequests("a rule"))
        written = await scene.write(create("a"), create("b"), create("c"))
        assert names(written) == {"done": ["create a", "create c"], "failed": ["create b"]}
        assert written.retry_after is None
        for name in "xy":
            scene.fail(f"create {name}", TooManyRequests("a proxy"))
        assert names(await scene.write(create("x"), create("y"), create("z")))["skipped"] == ["create z"]

    @virtual_time
    async def test_two_requests_in_a_row_without_an_answer_end_the_round(self) -> None:
        scene = Scene()
        for name in "ac":
            scene.fail(f"create {name}", UNAVAILABLE)
        one_by_one = await scene.write(*(create(name) for name in "abcd"))
        assert names(one_by_one) == {"failed": ["create a", "create c"], "done": ["create b", "create d"]}
        for name in "wx":
            scene.fail(f"create {name}", UNAVAILABLE)
        in_a_row = await scene.write(*(create(name) for name in "wxyz"))
        assert names(in_a_row) == {"failed": ["create w", "create x"], "skipped": ["create y", "create z"]}
        assert not in_a_row.stale


class TestBudget:
    @virtual_time
    async def test_an_object_over_its_budget_is_put_off_and_the_others_are_not(self) -> None:
        scene = Scene()
        a, b = await scene.slice("a"), await scene.slice("b")
        first = await scene.write(flip(a), writes_per_minute=1)
        assert first.complete
        await scene.clock.sleep(20.0)
        again = await scene.store.get(EndpointSlice, "default", "a")
        second = await scene.write(Update(replace(again, ports=())), flip(b), writes_per_minute=1)
        assert names(second) == {"deferred": ["update a"], "done": ["update b"]}
        assert not second.complete
        assert second.retry_after == 40.0
        assert scene.requests == ["update b"]
        await scene.clock.sleep(40.0)
        third = await scene.write(Update(replace(again, ports=())), writes_per_minute=1)
        assert third.complete

    @virtual_time
    async def test_nothing_is_taken_away_while_something_that_adds_is_put_off(self) -> None:
        scene = Scene()
        a, b = await scene.slice("a"), await scene.slice("b")
        await scene.write(flip(a), writes_per_minute=1)
        again = await scene.store.get(EndpointSlice, "default", "a")
        written = await scene.write(Update(replace(again, ports=())), delete(b), writes_per_minute=1)
        assert names(written) == {"deferred": ["update a"], "skipped": ["delete b"]}

    @virtual_time
    async def test_a_write_that_failed_counts_too(self) -> None:
        scene = Scene()
        scene.fail("create a", Invalid("refused"))
        await scene.write(create("a"), writes_per_minute=1)
        assert names(await scene.write(create("a"), writes_per_minute=1)) == {"deferred": ["create a"]}


class TestFence:
    @virtual_time
    async def test_a_request_ends_before_the_fence_closes(self) -> None:
        scene = Scene()
        scene.left = lambda: 4.0 - scene.clock.monotonic()
        scene.faults["create a"] = Fault(before=60.0)
        written = await scene.write(create("a"))
        assert isinstance(written.failed[0].error, Unavailable)
        assert scene.clock.monotonic() < 4.0

    @virtual_time
    async def test_no_request_is_sent_that_could_outlast_the_fence(self) -> None:
        scene = Scene()
        scene.left = lambda: 0.9
        written = await scene.write(create("a"), create("b"))
        assert scene.requests == []
        assert isinstance(written.stopped, Fenced)
        assert names(written) == {"failed": ["create a"], "skipped": ["create b"]}

    @virtual_time
    async def test_the_fence_is_asked_before_each_request_and_after_the_wait_for_the_rate(self) -> None:
        scene = Scene(qps=1.0, burst=1)
        scene.left = lambda: 2.5 - scene.clock.monotonic()
        written = await scene.write(*(create(name) for name in "abcd"))
        assert names(written) == {
            "done": ["create a", "create b"], "failed": ["create c"], "skipped": ["create d"]
        }  # fmt: skip

    @virtual_time
    async def test_a_closed_fence_ends_the_round(self) -> None:
        scene = Scene()

        def closed() -> float:
            raise Fenced("somebody else leads")

        scene.left = closed
        written = await scene.write(create("a"), Delete(Service, "default", "x", uid="1"))
        assert scene.requests == []
        assert str(written.stopped) == "somebody else leads"


STAMP = Stamp(namespace="extsync", lease="extsync-default", transitions=4, identity="host-1f")


class TestStamp:
    @virtual_time
    async def test_what_is_created_and_updated_bears_the_stamp_of_that_moment(self) -> None:
        scene = Scene()
        old = await scene.slice("a")
        stamps = iter([STAMP, replace(STAMP, transitions=6)])
        await scene.write(flip(old), create("b"), stamp=lambda: next(stamps))
        assert [stamp_of(await scene.store.get(EndpointSlice, "default", name)) for name in "ab"] == [
            STAMP,
            replace(STAMP, transitions=6),
        ]

    @virtual_time
    async def test_other_annotations_stay(self) -> None:
        scene = Scene()
        old = await scene.slice("a")
        noted = replace(old, metadata=replace(old.metadata, annotations={"note": "mine"}))
        await scene.write(flip(noted), stamp=lambda: STAMP)
        there = await scene.store.get(EndpointSlice, "default", "a")
        assert there.annotations == {"note": "mine", WRITTEN_BY_ANNOTATION: "extsync/extsync-default/4/host-1f"}

    @virtual_time
    async def test_a_write_without_a_stamp_takes_off_the_one_of_another(self) -> None:
        scene = Scene()
        await scene.write(create("a"), stamp=lambda: STAMP)
        await scene.write(flip(await scene.store.get(EndpointSlice, "default", "a")))
        assert (await scene.store.get(EndpointSlice, "default", "a")).metadata.annotations is None

    @virtual_time
    async def test_a_service_is_not_stamped(self) -> None:
        scene = Scene()
        await scene.write(ApplyService(service_body("default", "svc")), stamp=lambda: STAMP)
        assert stamp_of(await scene.store.get(Service, "default", "svc")) is None


@pytest.mark.parametrize("text", ["", "a/b/c", "a/b/x/d", "a//1/d", "a/b/1/d/e", "a/b/-1/d"])
def test_what_is_no_stamp_is_not_read_as_one(text: str) -> None:
    assert Stamp.parse(text) is None
