"""What a fault does to a request of the in-memory store: refused, slow, lost or late."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from msgspec.structs import replace

from extsync.errors import Conflict, NotFound, Unavailable
from extsync.kube.memory import Fault, MemoryStore, Served
from extsync.objects import Endpoints, EndpointSlice, KubeObject
from extsync.seams.virtual import SeededRandom, VirtualClock, virtual_time
from tests.contract.things import slice_of

CLOCK = VirtualClock()
AWAY = Unavailable("the API is away")


def make_store(verb: str, fault: Fault) -> MemoryStore:
    """A store in which one verb meets a fault."""

    def faults(asked: str, kind: type[KubeObject], key: tuple[str, str]) -> Fault | None:
        return fault if asked == verb else None

    return MemoryStore(clock=CLOCK, random=SeededRandom(), faults=faults)


def is_there(store: MemoryStore, name: str = "one") -> bool:
    try:
        store.raw(EndpointSlice, "default", name)
    except NotFound:
        return False
    return True


@virtual_time
async def test_a_refused_request_is_not_carried_out() -> None:
    store = make_store("create", Fault(before=2.0, error=AWAY))
    with pytest.raises(Unavailable, match="the API is away"):
        await store.create(slice_of("default"))
    assert CLOCK.monotonic() == 2.0
    assert not is_there(store)


@virtual_time
async def test_a_slow_request_is_carried_out_and_answered() -> None:
    store = make_store("create", Fault(before=2.0, after=3.0))
    task = asyncio.create_task(store.create(slice_of("default")))
    await CLOCK.sleep(2.5)
    assert is_there(store)
    assert (await task).metadata.name == "one"
    assert CLOCK.monotonic() == 5.0


@virtual_time
async def test_a_request_that_is_too_slow_to_arrive_is_never_carried_out() -> None:
    store = make_store("create", Fault(before=15.0))
    with pytest.raises(Unavailable, match="no answer within 10 s"):
        await store.create(slice_of("default"))
    assert CLOCK.monotonic() == 10.0
    await CLOCK.sleep(60.0)
    assert not is_there(store)


@virtual_time
async def test_a_late_request_is_carried_out_after_its_caller_gave_up() -> None:
    store = make_store("create", Fault(before=15.0, late=True))
    with pytest.raises(Unavailable):
        await store.create(slice_of("default"))
    assert not is_there(store)
    await CLOCK.sleep(5.5)
    assert is_there(store)


@pytest.mark.parametrize("fault", [Fault(lost=True), Fault(after=15.0)])
def test_a_lost_answer_leaves_the_write_behind(fault: Fault) -> None:
    @virtual_time
    async def check() -> None:
        store = make_store("create", fault)
        with pytest.raises(Unavailable):
            await store.create(slice_of("default"), timeout=4.0)
        assert CLOCK.monotonic() == 4.0
        assert is_there(store)

    check()


@virtual_time
async def test_a_refusal_can_be_lost_too() -> None:
    store = make_store("update", Fault(lost=True))
    obj = await store.create(slice_of("default"))
    stale = replace(obj, metadata=replace(obj.metadata, resource_version="1"))
    with pytest.raises(Unavailable):
        await store.update(stale)
    store.faults = None
    with pytest.raises(Conflict):
        await store.update(stale)


@virtual_time
async def test_every_verb_can_fail() -> None:
    store = MemoryStore(clock=CLOCK, random=SeededRandom())
    obj = await store.create(slice_of("default"))
    asked: list[tuple[str, str]] = []

    def faults(verb: str, kind: type[KubeObject], key: tuple[str, str]) -> Fault:
        asked.append((verb, "/".join(key)))
        return Fault(error=AWAY)

    store.faults = faults
    body = {"metadata": {"name": "svc", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}
    for request in (
        store.get(EndpointSlice, "default", "one"),
        store.list(EndpointSlice, namespace="default"),
        store.create(slice_of("default", "two")),
        store.update(obj),
        store.delete(EndpointSlice, "default", "one", uid="x"),
        store.apply_service(body, field_manager="x"),
        anext(store.watch(EndpointSlice, resource_version=None)),
    ):
        with pytest.raises(Unavailable):
            await request
    assert asked == [
        ("get", "default/one"), ("list", "default/"), ("create", "default/two"), ("update", "default/one"),
        ("delete", "default/one"), ("apply", "default/svc"), ("watch", "/"),
    ]  # fmt: skip


@virtual_time
async def test_an_event_can_be_delayed() -> None:
    store = make_store("event", Fault(before=5.0))
    await store.create(slice_of("default"))
    watch = store.watch(EndpointSlice, resource_version="100", timeout=20.0)
    async with contextlib.aclosing(watch):
        await anext(watch)
    assert CLOCK.monotonic() == 5.0


@virtual_time
async def test_an_event_that_comes_after_the_end_of_a_watch_is_for_the_next_one() -> None:
    store = make_store("event", Fault(before=30.0))
    await store.create(slice_of("default"))
    assert [event async for event in store.watch(EndpointSlice, resource_version="100", timeout=20.0)] == []
    store.faults = None
    assert (await anext(store.watch(EndpointSlice, resource_version="100"))).object is not None


@virtual_time
async def test_a_watch_can_break() -> None:
    store = make_store("event", Fault(error=AWAY))
    await store.create(slice_of("default"))
    with pytest.raises(Unavailable):
        await anext(store.watch(EndpointSlice, resource_version="100"))


@virtual_time
async def test_other_clients_meet_no_faults() -> None:
    store = MemoryStore(clock=CLOCK, random=SeededRandom(), faults=lambda *_: Fault(error=AWAY))
    store.put(Endpoints, {"metadata": {"name": "one", "namespace": "default"}})
    assert store.raw(Endpoints, "default", "one")["metadata"]["uid"]
    store.remove(Endpoints, "default", "one")
    assert store.dump(Endpoints) == ()


@virtual_time
async def test_a_request_lets_other_tasks_run() -> None:
    store = MemoryStore(clock=CLOCK, random=SeededRandom())
    order: list[str] = []

    async def request(name: str) -> None:
        order.append(f"ask {name}")
        await store.list(EndpointSlice)
        order.append(f"answered {name}")

    await asyncio.gather(request("a"), request("b"))
    assert order == ["ask a", "ask b", "answered a", "answered b"]


@virtual_time
async def test_a_late_request_of_a_caller_that_is_gone_arrives_all_the_same() -> None:
    store = make_store("create", Fault(before=2.0, late=True))
    task = asyncio.create_task(store.create(slice_of("default")))
    await CLOCK.sleep(0.5)
    task.cancel()
    await CLOCK.sleep(1.4)
    assert not is_there(store)
    await CLOCK.sleep(0.2)
    assert is_there(store)


@virtual_time
async def test_another_process_has_faults_of_its_own_and_tells_what_its_requests_came_to() -> None:
    store = make_store("create", Fault(error=AWAY))
    told: list[Served] = []
    other = store.seen_from(clock=CLOCK, faults=lambda *asked: None, served=told.append)
    made = await other.create(slice_of("default"))
    assert is_there(store)
    with contextlib.suppress(Conflict):
        await other.update(replace(made, metadata=replace(made.metadata, resource_version="99")))
    assert [(served.verb, served.key, served.late) for served in told] == [
        ("create", ("default", "one"), False),
        ("update", ("default", "one"), False),
    ]
    assert [type(served.error) for served in told] == [type(None), Conflict]
    with pytest.raises(Unavailable, match="the API is away"):
        await store.create(slice_of("default", "two"))
