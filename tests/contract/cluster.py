"""The two clusters that the contract holds to the same behaviour: one in memory, one real.

Each gives a Store, as extsync uses it, and doors for somebody else, who goes round the Store.
"""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from http.client import HTTPSConnection
from typing import Any, Protocol
from urllib.parse import urlsplit

from extsync.errors import NotFound, StoreError
from extsync.kube.access import Access
from extsync.kube.api import KubeStore
from extsync.kube.credentials import Fixed
from extsync.kube.memory import MemoryStore
from extsync.kube.store import Store
from extsync.objects import KubeObject, Lease
from extsync.seams import Clock, SystemClock, SystemDialer
from extsync.seams.virtual import SeededRandom, VirtualClock
from tests.cluster.control_plane import ControlPlane

Json = dict[str, Any]


HISTORY = 200
"""Changes that the in-memory store remembers."""
PATIENCE = 100.0
"""Seconds that controllers are given to react: after a restart of the API server the garbage collector may need a
minute until it has read everything anew."""


class Refused(Exception):
    """Somebody else's request was answered with an error."""


class Cluster(Protocol):
    """``namespace`` is one of the test's own. The doors take and give plain JSON; they raise Refused."""

    namespace: str

    @property
    def clock(self) -> Clock: ...

    def open(self) -> AbstractAsyncContextManager[Store]:
        """The Store, with the controllers running."""
        ...

    def post(self, kind: type[KubeObject], body: Json) -> Json:
        """Creates an object in the namespace."""
        ...

    def put(self, kind: type[KubeObject], body: Json) -> Json:
        """Replaces an object of the namespace, whatever its version."""
        ...

    def remove(self, kind: type[KubeObject], name: str) -> None: ...

    def find(self, kind: type[KubeObject], name: str) -> Json | None:
        """An object of the namespace as it is stored, without managedFields; None where there is none."""
        ...

    def select(self, kind: type[KubeObject], labels: dict[str, str]) -> list[Json]:
        """The objects of the namespace that have all these labels, as they are stored."""
        ...

    def terminate(self) -> None:
        """Deletes the namespace."""
        ...

    def forget_history(self) -> None:
        """Leaves no change behind from which could be watched."""
        ...


async def eventually(cluster: Cluster, condition: Callable[[], bool]) -> None:
    """Waits until ``condition`` holds; raises TimeoutError where it does not come to."""
    async with cluster.clock.timeout(PATIENCE):
        while not condition():
            await cluster.clock.sleep(0.05)


class MemoryCluster:
    """The in-memory store in virtual time."""

    def __init__(self, *, namespace: str = "test", seed: int = 0) -> None:
        self.namespace = namespace
        self.clock = VirtualClock()
        self._store = MemoryStore(
            clock=self.clock, random=SeededRandom(seed), namespaces=[namespace, "rest"], history=HISTORY
        )

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        async with self._store.running():
            yield self._store

    def post(self, kind: type[KubeObject], body: Json) -> Json:
        return self.put(kind, body)

    def put(self, kind: type[KubeObject], body: Json) -> Json:
        inside = {**body, "metadata": {**body["metadata"], "namespace": self.namespace}}
        try:
            return self._store.put(kind, inside, field_manager="other")
        except StoreError as error:
            raise Refused(str(error)) from error

    def remove(self, kind: type[KubeObject], name: str) -> None:
        self._store.remove(kind, self.namespace, name)

    def find(self, kind: type[KubeObject], name: str) -> Json | None:
        try:
            return self._store.raw(kind, self.namespace, name)
        except NotFound:
            return None

    def select(self, kind: type[KubeObject], labels: dict[str, str]) -> list[Json]:
        return [body for body in self._store.dump(kind, self.namespace) if _has_labels(body, labels)]

    def terminate(self) -> None:
        self._store.terminate_namespace(self.namespace)

    def forget_history(self) -> None:
        for number in range(HISTORY + 1):
            self._store.put(Lease, {"metadata": {"name": f"lease-{number}", "namespace": "rest"}})


class RealCluster:
    """A namespace of a real control plane. The doors share one connection: a sequence goes through them a lot."""

    def __init__(self, control_plane: ControlPlane, namespace: str) -> None:
        self.namespace = namespace
        self.clock = SystemClock()
        self._control_plane = control_plane
        self._tls = ssl.create_default_context(cafile=control_plane.ca_file)
        self._authorization = f"Bearer {control_plane.admin_token}"
        self._door = HTTPSConnection(urlsplit(control_plane.url).netloc, timeout=10.0, context=self._tls)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        access = Access(
            self._control_plane.url,
            tls=self._tls,
            credentials=Fixed((("Authorization", self._authorization),)),
            place="the test",
        )
        store = KubeStore(access, clock=self.clock, dialer=SystemDialer())
        try:
            yield store
        finally:
            await store.close()
            self._door.close()

    def post(self, kind: type[KubeObject], body: Json) -> Json:
        return self._ask("POST", f"{self._path(kind)}?fieldManager=other", body)

    def put(self, kind: type[KubeObject], body: Json) -> Json:
        return self._ask("PUT", f"{self._path(kind)}/{body['metadata']['name']}?fieldManager=other", body)

    def remove(self, kind: type[KubeObject], name: str) -> None:
        self._ask("DELETE", f"{self._path(kind)}/{name}")

    def find(self, kind: type[KubeObject], name: str) -> Json | None:
        status, found = self._send("GET", f"{self._path(kind)}/{name}")
        if status == 404:
            return None
        found["metadata"].pop("managedFields", None)
        return found

    def select(self, kind: type[KubeObject], labels: dict[str, str]) -> list[Json]:
        found: list[Json] = self._ask("GET", self._path(kind))["items"]
        return [body for body in found if _has_labels(body, labels)]

    def terminate(self) -> None:
        self._ask("DELETE", f"/api/v1/namespaces/{self.namespace}")

    def forget_history(self) -> None:
        self._control_plane.stop_api()  # which keeps changes in its memory only
        self._control_plane.start_api()

    def _ask(self, method: str, path: str, body: Json | None = None) -> Json:
        status, answer = self._send(method, path, body)
        if status >= 400:
            raise Refused(f"{method} {path}: {status}: {answer.get('message')}")
        return answer

    def _send(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        headers = {"Authorization": self._authorization, "Content-Type": "application/json"}
        self._door.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self._door.getresponse()
        return answer.status, json.loads(answer.read())

    def _path(self, kind: type[KubeObject]) -> str:
        root = "/apis/" if "/" in kind.API_VERSION else "/api/"
        return f"{root}{kind.API_VERSION}/namespaces/{self.namespace}/{kind.PLURAL}"


def _has_labels(body: Json, labels: dict[str, str]) -> bool:
    there: dict[str, str] = body["metadata"].get("labels", {})
    return labels.items() <= there.items()
