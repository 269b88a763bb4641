"""The seams that an engine runs on, together."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from extsync.config.sources import Source as SourceBlock
from extsync.engine.prepare import Prepared
from extsync.kube.era import Era
from extsync.kube.store import Store
from extsync.seams import Clock, Dialer, ProbeIO, Random
from extsync.sources import registry
from extsync.sources.base import Source, SourceContext, Watcher

CreateSource: TypeAlias = Callable[[str, Any, SourceContext], Source]
"""``sources.registry.create``, or what a simulation puts in its place."""


class World(msgspec.Struct, frozen=True):
    """Everything that an engine does not make itself.

    ``watcher`` is None where sources have no cluster to look into. ``namespace`` is the one that extsync works in
    itself: a pod's own, else that of the kubeconfig. ``era`` is shared by all who read from ``store``.
    """

    store: Store
    clock: Clock
    random: Random
    dialer: Dialer
    io: ProbeIO
    create_source: CreateSource = registry.create
    watcher: Watcher | None = None
    namespace: str = "default"
    era: Era = msgspec.field(default_factory=Era)


def context_of(block: SourceBlock, prepared: Prepared, world: World, *, patience: float = math.inf) -> SourceContext:
    """What the source of ``block`` may know of its surroundings; ``patience`` as in ``SourceContext``."""
    return SourceContext(
        name=block.name,
        namespace=prepared.key.namespace,
        base_dir=prepared.base_dir,
        clock=world.clock,
        random=world.random,
        dialer=world.dialer,
        watcher=world.watcher,
        contacts=prepared.limits.policy.contacted(prepared.key.namespace),
        roots=prepared.limits.roots,
        environ=prepared.limits.variables.within(os.environ),
        patience=patience,
    )
