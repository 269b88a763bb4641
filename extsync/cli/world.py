"""What the commands run on: the machine's own time, chance and network, and the cluster that the options name."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from extsync.config.settings import Settings, load_settings
from extsync.engine.watching import Watching
from extsync.engine.world import World
from extsync.kube.access import load_access
from extsync.kube.api import KubeStore
from extsync.kube.store import Store
from extsync.seams import SystemClock, SystemDialer, SystemProbeIO, SystemRandom

FLAGS: Final = ("owner", "probe_workers", "listen", "leader_election", "shards")
"""Flags that stand for the settings of their names."""


def settings_of(args: argparse.Namespace) -> Settings:
    """The process settings: a file, then EXTSYNC_* variables, then the flags of ``args``.

    Raises ConfigError.
    """
    flags: dict[str, Any] = {name: getattr(args, name, None) for name in FLAGS}
    return load_settings(args.config, overrides={name: flag for name, flag in flags.items() if flag is not None})


def world_of(store: Store, *, probe_from: Sequence[str] = ()) -> World:
    """The machine's own seams around ``store``, with no cluster for sources to look into.

    ``probe_from`` are the addresses that probes are sent from. Raises ConfigError where they cannot be.
    """
    return World(
        store=store,
        clock=SystemClock(),
        random=SystemRandom(),
        dialer=SystemDialer(),
        io=SystemProbeIO(source_addresses=probe_from),
    )


@asynccontextmanager
async def cluster(args: argparse.Namespace, settings: Settings) -> AsyncIterator[World]:
    """The cluster that ``--kubeconfig`` and ``--context`` name, as kubectl resolves them; raises ConfigError."""
    clock, dialer = SystemClock(), SystemDialer()
    access = await load_access(clock=clock, kubeconfig_path=args.kubeconfig, context=args.context)
    store = KubeStore(access, clock=clock, dialer=dialer)
    try:
        world = world_of(store, probe_from=settings.probe_source_addresses)
        watching = Watching(store, clock=world.clock, random=world.random, era=world.era)
        yield msgspec.structs.replace(world, watcher=watching, namespace=access.namespace)
    finally:
        await store.close()
