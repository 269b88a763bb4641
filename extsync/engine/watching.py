"""Watches for sources that live in the cluster: what several of them ask for is read once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeAlias

import msgspec

from extsync.kube.cache import Cache
from extsync.kube.era import Era
from extsync.kube.store import Store
from extsync.objects import ZONE_LABEL, K, KubeObject, Node, ObjectMeta, Pod
from extsync.seams import Clock, Random
from extsync.sources.base import Watched

log = logging.getLogger(__name__)

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""An annotation that holds the whole object once more."""

_Question: TypeAlias = tuple[type[KubeObject], str | None, str]
"""Kind, namespace and label selector."""


class Watching:
    """Watches on one store (a ``Watcher``). A watch is open for as long as somebody is within its block."""

    def __init__(self, store: Store, *, clock: Clock, random: Random, era: Era | None = None) -> None:
        """``era`` is that of all who read from ``store``; None: of these watches."""
        self._store = store
        self._clock = clock
        self._random = random
        self._era = era or Era()
        self._open: dict[_Question, _Shared[Any]] = {}

    @asynccontextmanager
    async def watch(
        self, kind: type[K], *, namespace: str | None, label_selector: str = "", on_change: Callable[[], None]
    ) -> AsyncIterator[Watched[K]]:
        """See ``sources.base.Watcher``."""
        question = (kind, namespace, label_selector)
        shared = self._open.get(question)
        if shared is None or shared.is_dead:
            shared = self._open[question] = self._share(question)
        listener = shared.join(on_change)
        try:
            yield shared
        finally:
            shared.leave(listener)
            if not shared.is_wanted:
                if self._open.get(question) is shared:
                    del self._open[question]
                await shared.close()

    def _share(self, question: _Question) -> _Shared[Any]:
        return _Shared(self._store, question, clock=self._clock, random=self._random, era=self._era)


class _Shared(Generic[K]):
    """One cache, its task, and all who listen to it."""

    def __init__(self, store: Store, question: _Question, *, clock: Clock, random: Random, era: Era) -> None:
        kind, namespace, label_selector = question
        self._cache: Cache[Any] = Cache(
            store,
            kind,
            clock=clock,
            random=random,
            namespace=namespace,
            label_selector=label_selector,
            keep=_KEEP.get(kind, lambda obj: obj),
            on_change=self._changed,
            on_state=self._tell,
            era=era,
        )
        self._listeners: dict[object, Callable[[], None]] = {}
        self._defect: Exception | None = None
        self._task = asyncio.create_task(self._run(), name=f"watch-{kind.PLURAL}-{namespace}-{label_selector}")

    # ---- Watched -----------------------------------------------------------------------------------------------------

    def all(self) -> tuple[K, ...]:
        return self._cache.all()

    @property
    def is_synced(self) -> bool:
        return self._cache.is_synced

    @property
    def error(self) -> Exception | None:
        return self._defect or self._cache.error

    # ---- those who listen --------------------------------------------------------------------------------------------

    def join(self, on_change: Callable[[], None]) -> object:
        """Returns what to give to ``leave``."""
        listener = object()
        self._listeners[listener] = on_change
        return listener

    def leave(self, listener: object) -> None:
        del self._listeners[listener]

    @property
    def is_wanted(self) -> bool:
        return bool(self._listeners)

    # ---- the task ----------------------------------------------------------------------------------------------------

    @property
    def is_dead(self) -> bool:
        return self._defect is not None

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            await self._cache.run()
        except Exception as error:  # a defect: it must not take other sources and services down with it
            log.exception("%s: the watch ended", self._task.get_name())
            self._defect = error
            self._tell()

    def _changed(self, old: KubeObject | None, new: KubeObject | None) -> None:
        if old is None or new is None or not _same_content(old, new):
            self._tell()

    def _tell(self) -> None:
        for on_change in tuple(self._listeners.values()):
            try:
                on_change()
            except Exception:
                log.exception("%s: a listener failed; the watch goes on", self._task.get_name())


def _same_content(old: KubeObject, new: KubeObject) -> bool:
    """Whether only the version differs: most updates of nodes are about things that nobody here looks at."""
    metadata = msgspec.structs.replace(new.metadata, resource_version=old.metadata.resource_version)
    return old == msgspec.structs.replace(new, metadata=metadata)


# ---- what is kept in memory ------------------------------------------------------------------------------------------


def _pod(pod: Pod) -> Pod:
    """What sources use of a pod: no field managers, no last-applied-configuration, of the conditions only Ready."""
    metadata, status = pod.metadata, pod.status
    return Pod(
        metadata=ObjectMeta(
            name=metadata.name,
            namespace=metadata.namespace,
            uid=metadata.uid,
            resource_version=metadata.resource_version,
            deletion_timestamp=metadata.deletion_timestamp,
            labels=metadata.labels,
            annotations={key: value for key, value in pod.annotations.items() if key != LAST_APPLIED} or None,
            owner_references=tuple(owner for owner in metadata.owner_references or () if owner.controller) or None,
        ),
        spec=pod.spec,
        status=msgspec.structs.replace(
            status, conditions=tuple(one for one in status.conditions or () if one.type == "Ready") or None
        ),
    )


def _node(node: Node) -> Node:
    """Of a node, where it is, and its addresses and those of its pods."""
    metadata = node.metadata
    labels = {key: value for key, value in node.labels.items() if key == ZONE_LABEL}
    return Node(
        metadata=ObjectMeta(
            name=metadata.name, uid=metadata.uid, resource_version=metadata.resource_version, labels=labels or None
        ),
        spec=node.spec,
        status=node.status,
    )


_KEEP: dict[type[KubeObject], Callable[[Any], Any]] = {Pod: _pod, Node: _node}
