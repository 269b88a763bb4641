"""Pods and nodes for the tests of the pods source, and a watcher that shows what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

from extsync.objects import (
    ZONE_LABEL,
    K,
    KubeObject,
    Node,
    ObjectMeta,
    OwnerReference,
    Pod,
    PodCondition,
    PodIP,
    PodSpec,
    PodStatus,
)
from extsync.sources.base import Watched

NAMESPACE = "default"


def pod(
    name: str,
    *ips: str,
    ready: bool | None = True,
    phase: str = "Running",
    node: str | None = "node-1",
    hostname: str | None = None,
    terminating: bool = False,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    owners: tuple[OwnerReference, ...] = (),
) -> Pod:
    """A pod with these addresses; ``ready`` None: it has no condition Ready yet."""
    conditions = () if ready is None else (PodCondition(type="Ready", status=str(ready)),)
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=NAMESPACE,
            uid=f"uid-{name}",
            deletion_timestamp="2027-01-15T08:00:30Z" if terminating else None,
            labels=labels,
            annotations=annotations,
            owner_references=owners or None,
        ),
        spec=PodSpec(node_name=node, hostname=hostname),
        status=PodStatus(
            phase=phase,
            host_ip="192.0.2.250",
            conditions=conditions,
            pod_ip=ips[0] if ips else None,
            pod_ips=tuple(PodIP(ip=ip) for ip in ips) or None,
        ),
    )


def node(name: str, zone: str | None = None) -> Node:
    return Node(metadata=ObjectMeta(name=name, labels=None if zone is None else {ZONE_LABEL: zone}))


class Shown:
    """What one watch shows; ``show`` and ``fail`` are what a test has happen."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], KubeObject] = {}
        self.is_synced = False
        self.error: Exception | None = None
        self.listeners: list[Callable[[], None]] = []

    def all(self) -> tuple[Any, ...]:
        return tuple(self.objects[key] for key in sorted(self.objects))

    def show(self, *objects: KubeObject) -> None:
        """These are all the objects there are, and they have been read."""
        self.objects = {obj.key: obj for obj in objects}
        self.is_synced, self.error = True, None
        self._tell()

    def fail(self, error: Exception | None) -> None:
        self.error = error
        self._tell()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()


class Question(NamedTuple):
    """What a watch was opened for."""

    kind: type[KubeObject]
    namespace: str | None
    label_selector: str


class ScriptedWatcher:
    """A cluster that shows the pods and nodes that a test puts into ``pods`` and ``nodes``."""

    def __init__(self) -> None:
        self.pods = Shown()
        self.nodes = Shown()
        self.open: list[Question] = []

    @asynccontextmanager
    async def watch(
        self, kind: type[K], *, namespace: str | None, label_selector: str = "", on_change: Callable[[], None]
    ) -> AsyncIterator[Watched[K]]:
        question = Question(kind, namespace, label_selector)
        shown = self.pods if kind is Pod else self.nodes
        self.open.append(question)
        shown.listeners.append(on_change)
        try:
            yield cast(Watched[K], shown)
        finally:
            shown.listeners.remove(on_change)
            self.open.remove(question)
