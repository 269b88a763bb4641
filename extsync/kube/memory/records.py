"""Objects as the in-memory store keeps them, and the namespaces that they are in."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import msgspec

from extsync.errors import NotFound, Terminating
from extsync.kube.memory.apply import Owners
from extsync.kube.memory.history import State
from extsync.kube.memory.metadata import Json, is_namespaced
from extsync.objects import KubeObject

Key: TypeAlias = tuple[str, str]
"""Namespace ("" for what has none) and name."""


class Record:
    """One object: its JSON, as etcd keeps it, and the decoded metadata by which lists and controllers choose."""

    __slots__ = ("data", "kind", "metadata", "owners")

    def __init__(self, kind: type[KubeObject], body: Json, owners: Owners) -> None:
        self.kind = kind
        self.data = msgspec.json.encode(body)
        self.metadata: Json = body["metadata"]
        self.owners = owners

    @property
    def key(self) -> Key:
        return self.metadata.get("namespace", ""), self.metadata["name"]

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.metadata.get("labels", {})
        return labels

    @property
    def state(self) -> State:
        return State(self.data, self.labels)

    def body(self) -> Json:
        """A copy of the object that may be changed."""
        body: Json = msgspec.json.decode(self.data)
        return body


class Backup(NamedTuple):
    """All objects of a store at one moment, by kind."""

    version: int
    objects: dict[type[KubeObject], dict[Key, Record]]


class Namespaces:
    """Which namespaces there are, and which of them are going away."""

    def __init__(self) -> None:
        self._active: dict[str, bool] = {}

    def create(self, name: str) -> None:
        """Makes a namespace where there is none."""
        self._active.setdefault(name, True)

    def terminate(self, name: str) -> None:
        """Marks a namespace as going away; the namespace controller empties and removes it."""
        if name not in self._active:
            raise NotFound(f'namespaces "{name}" not found')
        self._active[name] = False

    def terminating(self) -> list[str]:
        return [name for name, active in self._active.items() if not active]

    def remove(self, name: str) -> None:
        del self._active[name]

    def admit(self, kind: type[KubeObject], name: str) -> None:
        """Lets a create pass only where its namespace is there, and stays."""
        if not is_namespaced(kind):
            return
        if name not in self._active:
            raise NotFound(f'namespaces "{name}" not found')
        if not self._active[name]:
            raise Terminating(f"unable to create new content in namespace {name} because it is being terminated")
