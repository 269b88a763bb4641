"""A store that counts what is asked of it and what becomes of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from extsync.errors import StoreError
from extsync.histogram import Histogram
from extsync.kube.store import Listing, Store, WatchEvent
from extsync.objects import K, KubeObject, Service
from extsync.seams import Clock


class Requests:
    """The counts of a store's requests by verb and kind: all of them, the failed ones by code, and those that wrote.

    Each only ever grows: what is under way is neither failed nor written.

    ``write_seconds`` are the durations of requests that change something, failed ones included.
    """

    def __init__(self) -> None:
        self.sent: Counter[tuple[str, str]] = Counter()
        self.failed: Counter[tuple[str, str, str]] = Counter()
        self.written: Counter[tuple[str, str]] = Counter()
        self.write_seconds = Histogram.of(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metered:
    """Counts in ``requests`` what passes through to ``store``."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.requests = Requests()

    async def list(
        self, kind: type[K], *, namespace: str | None = None, label_selector: str = "", timeout: float = 30.0
    ) -> Listing[K]:
        with self._counted("list", kind):
            return await self._store.list(kind, namespace=namespace, label_selector=label_selector, timeout=timeout)

    async def watch(
        self,
        kind: type[K],
        *,
        resource_version: str | None,
        namespace: str | None = None,
        label_selector: str = "",
        timeout: float = 300.0,
    ) -> AsyncGenerator[WatchEvent[K], None]:
        with self._counted("watch", kind):
            events = self._store.watch(
                kind,
                resource_version=resource_version,
                namespace=namespace,
                label_selector=label_selector,
                timeout=timeout,
            )
            async with aclosing(events):
                async for event in events:
                    yield event

    async def version(self, kind: type[KubeObject], *, namespace: str | None = None, timeout: float = 10.0) -> str:
        with self._counted("list", kind):
            return await self._store.version(kind, namespace=namespace, timeout=timeout)

    async def get(self, kind: type[K], namespace: str, name: str, *, timeout: float = 10.0) -> K:
        with self._counted("get", kind):
            return await self._store.get(kind, namespace, name, timeout=timeout)

    async def create(self, obj: K, *, timeout: float = 10.0) -> K:
        with self._counted("create", type(obj), writes=True):
            return await self._store.create(obj, timeout=timeout)

    async def update(self, obj: K, *, timeout: float = 10.0) -> K:
        with self._counted("update", type(obj), writes=True):
            return await self._store.update(obj, timeout=timeout)

    async def delete(
        self,
        kind: type[K],
        namespace: str,
        name: str,
        *,
        uid: str,
        resource_version: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        with self._counted("delete", kind, writes=True):
            await self._store.delete(kind, namespace, name, uid=uid, resource_version=resource_version, timeout=timeout)

    async def apply_service(
        self, service: dict[str, Any], *, field_manager: str, dry_run: bool = False, timeout: float = 10.0
    ) -> Service:
        with self._counted("apply", Service, writes=True):
            return await self._store.apply_service(
                service, field_manager=field_manager, dry_run=dry_run, timeout=timeout
            )

    async def close(self) -> None:
        await self._store.close()

    @contextmanager
    def _counted(self, verb: str, kind: type[KubeObject], *, writes: bool = False) -> Iterator[None]:
        asked = verb, kind.__name__
        self.requests.sent[asked] += 1
        began = self._clock.monotonic()
        try:
            yield
        except StoreError as error:
            self.requests.failed[*asked, error.code] += 1
            raise
        else:
            self.requests.written[asked] += writes
        finally:
            if writes:
                self.requests.write_seconds.observe(self._clock.monotonic() - began)
