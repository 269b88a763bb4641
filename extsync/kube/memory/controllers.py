"""The controllers that extsync's objects meet in a cluster: garbage collection, mirroring, the end of namespaces.

Each is a function from what the server holds to what it should hold, called again whenever something changed.
"""

from __future__ import annotations

import contextlib

import msgspec

from extsync.errors import NotFound
from extsync.kube.memory.metadata import Json, is_namespaced
from extsync.kube.memory.mirroring import Mirror
from extsync.kube.memory.records import Record
from extsync.kube.memory.selectors import parse
from extsync.kube.memory.server import Server
from extsync.objects import KINDS
from extsync.seams import Clock, Random

_ALL = parse("")
_OWNER_KINDS = {(kind.API_VERSION, kind.__name__): kind for kind in KINDS}
_MANAGER = "kube-controller-manager"


class Controllers:
    """Runs the controllers; ``delay`` is how many seconds they take at most to react to a change."""

    def __init__(self, server: Server, *, clock: Clock, random: Random, delay: float) -> None:
        self._server = server
        self._clock = clock
        self._random = random
        self._delay = delay
        self._mirror = Mirror(server)

    async def run(self) -> None:
        """Reacts to changes for ever; reacts first to what is there."""
        while True:
            version = self._server.version
            await self._clock.sleep(self._random.uniform(0.1, 1.0) * self._delay)
            self.sync()
            if self._server.version == version:
                await self._server.history.more()

    def sync(self) -> None:
        """Makes every controller react to what is there now."""
        end_namespaces(self._server)
        collect_garbage(self._server)
        self._mirror.sync()


def end_namespaces(server: Server) -> None:
    """Deletes what is in terminating namespaces, and those that are empty."""
    for namespace in server.namespaces.terminating():
        for kind in KINDS:
            for record in server.records(kind, namespace, _ALL):
                _delete(server, record)
        if not any(server.records(kind, namespace, _ALL) for kind in KINDS):
            server.namespaces.remove(namespace)


def collect_garbage(server: Server) -> None:
    """Deletes the objects all of whose owners are gone; takes the owners that are gone from the others.

    An owner is gone when no object of its kind and name has its uid: a Service that was deleted and made again is not
    the owner any more.
    """
    for kind in KINDS:
        for record in server.records(kind, None, _ALL):
            owners: list[Json] = record.metadata.get("ownerReferences", [])
            there = [owner for owner in owners if _exists(server, owner, record)]
            if owners and not there:
                if "deletionTimestamp" not in record.metadata:
                    _delete(server, record)
            elif len(there) < len(owners):
                body = record.body()
                body["metadata"]["ownerReferences"] = there
                server.update(kind, msgspec.json.encode(body), manager=_MANAGER)


def _exists(server: Server, owner: Json, dependent: Record) -> bool:
    kind = _OWNER_KINDS.get((owner["apiVersion"], owner["kind"]))
    if kind is None:
        return True  # of a kind that this store does not serve: nobody can say, so nothing is collected
    namespace = dependent.metadata.get("namespace", "") if is_namespaced(kind) else ""
    record = server.find(kind, namespace, owner["name"])
    return record is not None and record.metadata["uid"] == owner["uid"]


def _delete(server: Server, record: Record) -> None:
    with contextlib.suppress(NotFound):  # deleting a Service deletes its Endpoints
        server.delete(record.kind, *record.key)
