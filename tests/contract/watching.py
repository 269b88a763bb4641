"""What every Store shows to those who watch."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from msgspec.structs import replace

from extsync.errors import Expired
from extsync.kube.store import Store, WatchEvent, WatchType
from extsync.objects import EndpointSlice
from tests.contract.cluster import Cluster
from tests.contract.things import endpoints_of, slice_of

ADDED, MODIFIED, DELETED, BOOKMARK = WatchType.ADDED, WatchType.MODIFIED, WatchType.DELETED, WatchType.BOOKMARK


class Watching:
    async def test_changes_after_a_list_come_in_order(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            await store.create(slice_of(cluster.namespace, "before"))
            listing = await store.list(EndpointSlice, namespace=cluster.namespace)
            obj = await store.create(slice_of(cluster.namespace))
            changed = await store.update(replace(obj, ports=()))
            await store.delete(EndpointSlice, cluster.namespace, "one", uid=obj.metadata.uid or "")
            events = await watched(store, cluster, 3, resource_version=listing.resource_version)
            assert [(event.type, named(event)) for event in events] == [
                (ADDED, "one"), (MODIFIED, "one"), (DELETED, "one")
            ]  # fmt: skip
            assert [event.object for event in events[:2]] == [obj, changed]
            versions = [int(event.resource_version) for event in events]
            assert versions == sorted(set(versions))
            assert [event.object and event.object.metadata.resource_version for event in events] == [
                event.resource_version for event in events
            ]

    async def test_a_watch_list_gives_all_there_is_then_its_end_then_changes(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            await store.create(slice_of(cluster.namespace, "a"))
            await store.create(slice_of(cluster.namespace, "b"))
            watch = store.watch(EndpointSlice, resource_version=None, namespace=cluster.namespace, timeout=20.0)
            async with contextlib.aclosing(watch):
                initial = [await anext(watch) for _ in range(3)]
                assert sorted(named(event) for event in initial[:2]) == ["a", "b"]
                assert [event.type for event in initial] == [ADDED, ADDED, BOOKMARK]
                assert [event.initial_end for event in initial] == [False, False, True]
                await store.create(slice_of(cluster.namespace, "c"))
                assert named(await anext(watch)) == "c"

    async def test_the_end_of_a_watch_list_is_where_a_watch_can_go_on(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            (end,) = await watched(store, cluster, 1, resource_version=None)
            assert end.initial_end
            await store.create(slice_of(cluster.namespace))
            (event,) = await watched(store, cluster, 1, resource_version=end.resource_version)
            assert (event.type, named(event)) == (ADDED, "one")

    async def test_what_leaves_the_selection_is_deleted_and_what_enters_it_added(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            version = (await store.list(EndpointSlice, namespace=cluster.namespace)).resource_version
            obj = await store.create(slice_of(cluster.namespace, labels={"app": "db"}))
            for labels in ({"app": "web"}, {"app": "db"}):
                obj = await store.update(replace(obj, metadata=replace(obj.metadata, labels=labels)))
            events = await watched(store, cluster, 3, resource_version=version, label_selector="app=db")
            assert [event.type for event in events] == [ADDED, DELETED, ADDED]

    async def test_an_update_that_changes_nothing_is_no_event(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            obj = await store.create(slice_of(cluster.namespace))
            await store.update(obj)
            await store.create(slice_of(cluster.namespace, "two"))
            events = await watched(store, cluster, 1, resource_version=obj.metadata.resource_version)
            assert [named(event) for event in events] == ["two"]

    async def test_other_namespaces_and_kinds_are_not_seen(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            version = (await store.list(EndpointSlice, namespace=cluster.namespace)).resource_version
            await store.create(endpoints_of(cluster.namespace, "not-this-kind"))
            await store.create(slice_of(cluster.namespace))
            events = await watched(store, cluster, 1, resource_version=version)
            assert [named(event) for event in events] == ["one"]
            elsewhere = store.watch(EndpointSlice, resource_version=version, namespace="elsewhere", timeout=1.0)
            assert [event async for event in elsewhere if event.type is not BOOKMARK] == []

    async def test_a_version_that_is_too_old_is_expired(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            version = (await store.list(EndpointSlice, namespace=cluster.namespace)).resource_version
            await store.create(slice_of(cluster.namespace))
            cluster.forget_history()
            with pytest.raises(Expired):
                await watched(store, cluster, 1, resource_version=version)

    async def test_a_watch_ends_after_its_time(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            version = (await store.list(EndpointSlice, namespace=cluster.namespace)).resource_version
            watch = store.watch(EndpointSlice, resource_version=version, namespace=cluster.namespace, timeout=1.0)
            assert [event async for event in watch if event.type is not BOOKMARK] == []


async def watched(store: Store, cluster: Cluster, count: int, **options: Any) -> list[WatchEvent[EndpointSlice]]:
    """The first ``count`` events of a watch on slices; bookmarks count only where they end a watch-list."""
    events: list[WatchEvent[EndpointSlice]] = []
    watch = store.watch(EndpointSlice, namespace=cluster.namespace, timeout=20.0, **options)
    async with contextlib.aclosing(watch):
        async for event in watch:
            if event.type is not BOOKMARK or event.initial_end:
                events.append(event)
            if len(events) == count:
                break
    return events


def named(event: WatchEvent[EndpointSlice]) -> str:
    return event.object.metadata.name if event.object is not None else ""
