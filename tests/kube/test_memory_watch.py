"""Watches of the in-memory store: bookmarks, and what becomes of those who cannot keep up.

What it has in common with a real API server is tested in tests/contract.
"""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from extsync.errors import Expired, Invalid, Unavailable
from extsync.kube.memory import MemoryStore
from extsync.kube.store import WatchEvent, WatchType
from extsync.objects import EndpointSlice
from extsync.seams.virtual import SeededRandom, VirtualClock, virtual_time
from tests.contract.things import slice_of


def make_store(*, history: int = 1000, history_bytes: int = 1 << 20) -> MemoryStore:
    return MemoryStore(
        clock=VirtualClock(), random=SeededRandom(), history=history, history_bytes=history_bytes
    )  # fmt: skip


async def create(store: MemoryStore, name: str) -> EndpointSlice:
    return await store.create(slice_of("default", name, "192.0.2.1"))


@virtual_time
async def test_bookmarks_come_each_minute_and_shortly_before_the_end() -> None:
    store = make_store()
    version = (await create(store, "a")).metadata.resource_version
    times = []
    async for event in store.watch(EndpointSlice, resource_version=version, timeout=150.0):
        assert (event.type, event.resource_version) == (WatchType.BOOKMARK, version)
        times.append(VirtualClock().monotonic())
    assert times == [60.0, 120.0, 148.0]
    assert VirtualClock().monotonic() == 150.0


@virtual_time
async def test_a_bookmark_moves_the_version_on_past_changes_of_other_kinds() -> None:
    store = make_store()
    version = (await create(store, "a")).metadata.resource_version
    await store.apply_service(
        {"metadata": {"name": "a", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}, field_manager="x"
    )
    watch = store.watch(EndpointSlice, resource_version=version, timeout=100.0)
    async with contextlib.aclosing(watch):
        event = await anext(watch)
    assert (event.type, event.resource_version) == (WatchType.BOOKMARK, "102")


@virtual_time
async def test_what_changes_while_an_event_is_looked_at_is_not_missed() -> None:
    store = make_store()
    seen: list[str] = []
    version = (await create(store, "a")).metadata.resource_version
    await create(store, "b")
    watch = store.watch(EndpointSlice, resource_version=version, timeout=10.0)
    async with contextlib.aclosing(watch):
        async for event in watch:
            if event.object is not None:
                seen.append(event.object.metadata.name)
            if seen == ["b"]:
                await create(store, "c")
            if seen == ["b", "c"]:
                break
    assert VirtualClock().monotonic() == 0.0


@virtual_time
async def test_all_who_watch_see_the_same() -> None:
    store = make_store()
    seen: list[list[WatchEvent[EndpointSlice]]] = [[], []]

    async def watch(events: list[WatchEvent[EndpointSlice]]) -> None:
        async for event in store.watch(EndpointSlice, resource_version="100", timeout=10.0):
            events.append(event)

    tasks = [asyncio.create_task(watch(events)) for events in seen]
    for name in "abc":
        await create(store, name)
        await VirtualClock().sleep(1.0)
    await asyncio.gather(*tasks)
    assert seen[0] == seen[1]
    assert len(seen[0]) == 4  # and a bookmark


@virtual_time
async def test_who_reads_too_slowly_has_to_list_again() -> None:
    store = make_store(history=5)
    watch = store.watch(EndpointSlice, resource_version=None, timeout=100.0)
    async with contextlib.aclosing(watch):
        assert (await anext(watch)).initial_end
        for number in range(6):
            await create(store, f"a{number}")
        with pytest.raises(Expired):
            await anext(watch)


@virtual_time
async def test_history_is_bounded_in_number_and_in_bytes() -> None:
    for store in (make_store(history=5), make_store(history_bytes=2000)):
        versions = [(await create(store, f"a{number}")).metadata.resource_version for number in range(20)]
        with pytest.raises(Expired):
            await anext(store.watch(EndpointSlice, resource_version=versions[0]))
        event = await anext(store.watch(EndpointSlice, resource_version=versions[-2]))
        assert event.resource_version == versions[-1]


@virtual_time
async def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(Invalid):
        await anext(make_store().watch(EndpointSlice, resource_version="latest"))


@virtual_time
async def test_a_selector_that_is_none_is_refused() -> None:
    with pytest.raises(Invalid):
        await make_store().list(EndpointSlice, label_selector="app=(db")


@virtual_time
async def test_a_restored_backup_breaks_watches_and_is_silent_about_what_is_in_its_future() -> None:
    store = make_store()
    await create(store, "a")
    backup = store.backup()
    version = (await create(store, "b")).metadata.resource_version
    watch = store.watch(EndpointSlice, resource_version=version)
    async with contextlib.aclosing(watch):
        cut = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(1)
        store.restore(backup)
        with pytest.raises(Unavailable):
            await cut
    assert [slice_.metadata.name for slice_ in (await store.list(EndpointSlice)).items] == ["a"]
    assert await store.version(EndpointSlice) == "101"
    later = store.watch(EndpointSlice, resource_version=version, timeout=100.0)
    async with contextlib.aclosing(later):
        assert (await create(store, "c")).metadata.resource_version == version
        await create(store, "d")
        event = await anext(later)
    assert event.object is not None
    assert event.object.metadata.name == "d"
