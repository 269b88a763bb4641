"""What a source plugin is.

A plugin is a callable ``factory(config, context) -> Source``, registered under the entry-point group
``extsync.sources`` by the name of its block in the manifest. ``config`` is the validated block (built-in kinds) or the
``config`` mapping of a ``plugin`` block (third parties), which the factory validates itself, raising ConfigError.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import msgspec

from extsync.address_policy import Scope
from extsync.file_roots import FileRoots
from extsync.limits import USUAL
from extsync.model import Observation
from extsync.objects import KubeObject
from extsync.seams import Clock, Dialer, Random

Emit: TypeAlias = Callable[[Observation], None]

K = TypeVar("K", bound=KubeObject)
K_co = TypeVar("K_co", bound=KubeObject, covariant=True)


class Source(Protocol):
    """Reports backends until it is cancelled."""

    async def run(self, emit: Emit) -> None:
        """Emits one full observation as soon as the first read has ended, then one after each further read.

        Where a read finds what the one before found, it is the same object that is emitted: that costs nothing, and
        keeps the age of the source true. A source that waits for changes may emit after changes only.
        A failed read emits an outcome (ERROR, SUSPECT) with its detail, never an empty set. It must not return and
        must not block the event loop; an exception that leaves it is reported as ERROR, and it is started again, on
        the same object. ``emit`` is called from the event loop only; it takes each report at once and never blocks.
        """
        ...


@runtime_checkable
class Heir(Protocol):
    """A source that may go on from what another one learned, after its block in the manifest was changed."""

    def inherit(self, before: Source) -> None:
        """Called once before ``run``, with the source of the same name and kind that ran until now and does no more.

        Nothing that another question was asked for may be taken over.
        """
        ...


class Watched(Protocol[K_co]):
    """Objects of one kind in the cluster, kept in step while the watch is open."""

    def all(self) -> tuple[K_co, ...]:
        """Every object, by namespace and name; the last known ones while the cluster cannot be read.

        An object that has not changed is the same object as before. Fields that no source needs may be left out of it.
        """
        ...

    @property
    def is_synced(self) -> bool:
        """Whether all objects have been read at least once."""
        ...

    @property
    def error(self) -> Exception | None:
        """Why the objects are not in step now; None where they are.

        A StoreError mends itself as soon as the cluster answers, and after a short interruption it may stand for a
        minute more, until the next word of the server. Anything else is a defect, after which this watch is dead.
        """
        ...


class Watcher(Protocol):
    """Reads the cluster for sources that live in it; two watches for the same objects share one."""

    def watch(
        self, kind: type[K], *, namespace: str | None, label_selector: str = "", on_change: Callable[[], None]
    ) -> AbstractAsyncContextManager[Watched[K]]:
        """Watches objects while the block is open.

        ``on_change`` is called after each change of them, of ``is_synced`` and of ``error``; it must be quick.
        ``namespace`` None: all namespaces, or objects that have none.
        """
        ...


class SourceContext(msgspec.Struct, frozen=True):
    """What a source may know of its surroundings.

    ``name`` is the source's name in the manifest, ``base_dir`` the folder that relative paths start from.
    ``watcher`` is None where there is no cluster. ``environ`` has the variables that ``${NAME}`` of secrets may
    name. ``patience`` is for how many seconds the first report is waited for, infinite where the source runs on:
    one that ends a read before that can say itself what it waited for.

    ``contacts`` says which addresses may be asked, and ``roots`` which files may be read. Both are for the source to
    heed, whether the manifest or an answer names one.
    """

    name: str
    namespace: str
    base_dir: Path
    clock: Clock
    random: Random
    dialer: Dialer
    watcher: Watcher | None = None
    contacts: Scope = USUAL.policy.contacted("")
    roots: FileRoots = USUAL.roots
    environ: Mapping[str, str] = os.environ
    patience: float = math.inf


SourceFactory: TypeAlias = Callable[[Any, SourceContext], Source]
