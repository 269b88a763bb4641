"""The cache on a real API server: it follows what others do, and survives the server's restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from extsync.kube.api import KubeStore
from extsync.kube.cache import Cache
from extsync.objects import EndpointSlice
from extsync.seams import SystemClock, SystemRandom
from tests.api.kube_stores import a_slice, kube_store
from tests.cluster.control_plane import ControlPlane

SLICES = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices"
BODY: dict[str, Any] = {"metadata": {"name": "orders-1"}, "addressType": "IPv4", "endpoints": []}


class Watched:
    """A running cache, and a way to wait for what it shall become."""

    def __init__(self, store: KubeStore, namespace: str) -> None:
        self.store = store
        self._changed = asyncio.Event()
        self.cache = Cache(
            store,
            EndpointSlice,
            clock=SystemClock(),
            random=SystemRandom(),
            namespace=namespace,
            on_change=lambda old, new: self._changed.set(),
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns once ``condition`` holds; the test's own time-out bounds the wait."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()


@pytest.fixture
async def watched(kubeconfig: Path, namespace: str) -> AsyncIterator[Watched]:
    async with kube_store(kubeconfig) as store:
        watched = Watched(store, namespace)
        task = asyncio.ensure_future(watched.cache.run())
        await watched.cache.synced()
        yield watched
        task.cancel()
        await asyncio.wait([task])


async def test_what_others_do_is_followed(watched: Watched, control_plane: ControlPlane, namespace: str) -> None:
    cache = watched.cache
    slices = SLICES.format(namespace)
    control_plane.request("POST", slices, BODY)
    await watched.until(lambda: cache.get(namespace, "orders-1") is not None)
    control_plane.request("DELETE", f"{slices}/orders-1")
    await watched.until(lambda: cache.get(namespace, "orders-1") is None)


async def test_own_writes_are_confirmed_by_the_watch(watched: Watched, namespace: str) -> None:
    cache = watched.cache
    created = await watched.store.create(a_slice(namespace))
    cache.written(created)
    updated = await watched.store.update(msgspec.structs.replace(created, endpoints=()))
    cache.written(updated)
    assert cache.all() == (updated,)
    later = await watched.store.update(msgspec.structs.replace(updated, ports=()))
    await watched.until(lambda: cache.all() == (later,))
    cache.deleted(namespace, "orders-1", created.metadata.uid or "")
    assert cache.all() == ()


async def test_what_happened_around_a_restart_of_the_server_is_found(
    watched: Watched, control_plane: ControlPlane, namespace: str
) -> None:
    cache = watched.cache
    created = await watched.store.create(a_slice(namespace))
    await watched.until(lambda: cache.all() == (created,))
    control_plane.stop_api()
    control_plane.start_api()
    slices = SLICES.format(namespace)
    control_plane.request("DELETE", f"{slices}/orders-1")
    control_plane.request("POST", slices, BODY | {"metadata": {"name": "orders-2"}})
    await watched.until(lambda: [found.metadata.name for found in cache.all()] == ["orders-2"])
