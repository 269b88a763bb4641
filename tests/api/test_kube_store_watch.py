"""Lists and watches of a real API server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from extsync.errors import Expired, Forbidden, Unavailable
from extsync.kube.api import KubeStore
from extsync.kube.store import WatchEvent, WatchType
from extsync.objects import KINDS, EndpointSlice, KubeObject
from tests.api.kube_stores import a_slice, kube_store
from tests.cluster.control_plane import ControlPlane


@pytest.fixture
async def store(kubeconfig: Path) -> AsyncIterator[KubeStore]:
    async with kube_store(kubeconfig) as store:
        yield store


def told(event: WatchEvent[EndpointSlice]) -> tuple[WatchType, str]:
    return event.type, event.object.metadata.name if event.object else ""


async def until_initial_end(
    events: AsyncGenerator[WatchEvent[EndpointSlice], None],
) -> list[WatchEvent[EndpointSlice]]:
    found = []
    async for event in events:
        found.append(event)
        if event.initial_end:
            break
    return found


# ---- lists ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_can_be_listed(store: KubeStore, kind: type[KubeObject]) -> None:
    assert (await store.list(kind)).resource_version.isdigit()


async def test_a_list_is_limited_to_its_namespace_and_labels(store: KubeStore, namespace: str) -> None:
    first = await store.create(a_slice(namespace, "first"))
    metadata = msgspec.structs.replace(a_slice(namespace, "second").metadata, labels={"app": "other"})
    await store.create(msgspec.structs.replace(a_slice(namespace), metadata=metadata))
    assert len((await store.list(EndpointSlice, namespace=namespace)).items) == 2
    selected = await store.list(EndpointSlice, namespace=namespace, label_selector="app=orders,!none")
    assert [item.metadata.uid for item in selected.items] == [first.metadata.uid]
    assert len((await store.list(EndpointSlice, label_selector="app in (orders, other)")).items) >= 2


async def test_a_list_of_several_pages_is_one_snapshot(kubeconfig: Path, namespace: str) -> None:
    async with kube_store(kubeconfig, page_size=2) as store:
        names = [f"orders-{number}" for number in range(5)]
        made = [await store.create(a_slice(namespace, name)) for name in names]
        listing = await store.list(EndpointSlice, namespace=namespace)
    assert [item.metadata.name for item in listing.items] == names
    assert int(listing.resource_version) >= int(made[-1].metadata.resource_version or "")


# ---- watches --------------------------------------------------------------------------------------------------------


async def test_a_watch_goes_on_where_a_list_ends(store: KubeStore, namespace: str) -> None:
    before = await store.create(a_slice(namespace, "before"))
    listing = await store.list(EndpointSlice, namespace=namespace)
    created = await store.create(a_slice(namespace, "after"))
    updated = await store.update(msgspec.structs.replace(created, endpoints=()))
    await store.delete(EndpointSlice, namespace, "before", uid=before.metadata.uid or "")
    events = store.watch(EndpointSlice, resource_version=listing.resource_version, namespace=namespace)
    async with aclosing(events):
        found = [await anext(events) for _ in range(3)]
    assert [told(event) for event in found] == [
        (WatchType.ADDED, "after"),
        (WatchType.MODIFIED, "after"),
        (WatchType.DELETED, "before"),
    ]
    versions = [int(event.resource_version) for event in found]
    assert versions == sorted(versions)
    assert found[1].object == updated
    assert versions[2] > int(before.metadata.resource_version or "")  # a deletion has a version of its own


async def test_a_watch_list_begins_with_all_objects(store: KubeStore, namespace: str) -> None:
    created = await store.create(a_slice(namespace))
    events = store.watch(EndpointSlice, resource_version=None, namespace=namespace)
    async with aclosing(events):
        initial = await until_initial_end(events)
        later = await store.create(a_slice(namespace, "later"))
        following = await anext(events)
    assert [told(event) for event in initial] == [(WatchType.ADDED, "orders-1"), (WatchType.BOOKMARK, "")]
    assert initial[0].object == created
    assert following.object == later


async def test_a_watch_tells_only_of_what_its_labels_select(store: KubeStore, namespace: str) -> None:
    events = store.watch(
        EndpointSlice, resource_version=None, namespace=namespace, label_selector="app=orders", timeout=30
    )
    async with aclosing(events):
        await until_initial_end(events)
        created = await store.create(a_slice(namespace))
        metadata = msgspec.structs.replace(created.metadata, labels={"app": "other"})
        await store.update(msgspec.structs.replace(created, metadata=metadata))
        found = [await anext(events), await anext(events)]
    # An object that is not selected any more is, to this watch, deleted.
    assert [told(event) for event in found] == [(WatchType.ADDED, "orders-1"), (WatchType.DELETED, "orders-1")]
    assert int(found[1].resource_version) > int(found[0].resource_version)


async def test_the_server_ends_a_watch_after_its_time_out(store: KubeStore, namespace: str) -> None:
    listing = await store.list(EndpointSlice, namespace=namespace)
    events = store.watch(EndpointSlice, resource_version=listing.resource_version, namespace=namespace, timeout=1)
    assert [event.object async for event in events if event.type is not WatchType.BOOKMARK] == []


async def test_a_watch_without_rights_is_forbidden(guest_kubeconfig: Path, namespace: str) -> None:
    async with kube_store(guest_kubeconfig) as guest:
        with pytest.raises(Forbidden):
            await anext(guest.watch(EndpointSlice, resource_version="1", namespace=namespace))


async def test_a_watch_breaks_with_the_server_and_its_version_expires_with_the_servers_memory(
    store: KubeStore, control_plane: ControlPlane, namespace: str
) -> None:
    events = store.watch(EndpointSlice, resource_version=None, namespace=namespace)
    async with aclosing(events):
        await until_initial_end(events)
        control_plane.stop_api()
        try:
            with pytest.raises(Unavailable):
                await anext(events)
        finally:
            control_plane.start_api()
    # A server that has just started remembers nothing from before, and says so within an answer of 200.
    with pytest.raises(Expired):
        await anext(store.watch(EndpointSlice, resource_version="1", namespace=namespace))
