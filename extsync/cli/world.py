"""What the commands run on: the machine's own time, chance and network, and the cluster that the options name."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from extsync.config.settings import Settings, load_settings
from extsync.engine.watching import Watching
from extsync.engine.world import World
from extsync.kube.access import load_access
from extsync.kube.api import KubeStore
from extsync.kube.store import Store
from extsync.seams import SystemClock, SystemDialer, SystemProbeIO, SystemRandom


def settings_of(args: argparse.Namespace) -> Settings:
    """The process settings: a file, then EXTSYNC_* variables, then the flags of ``args``.

    Raises ConfigError.
    """
    flags: dict[str, Any] = {"owner": args.owner} if args.owner is not None else {}
    return load_settings(args.config, overrides=flags)


def world_of(store: Store) -> World:
    """The machine's own seams around ``store``, with no cluster for sources to look into."""
    return World(store=store, clock=SystemClock(), random=SystemRandom(), dialer=SystemDialer(), io=SystemProbeIO())


@asynccontextmanager
async def cluster(args: argparse.Namespace) -> AsyncIterator[World]:
    """The cluster that ``--kubeconfig`` and ``--context`` name, as kubectl resolves them; raises ConfigError."""
    clock, dialer = SystemClock(), SystemDialer()
    access = await load_access(clock=clock, kubeconfig_path=args.kubeconfig, context=args.context)
    store = KubeStore(access, clock=clock, dialer=dialer)
    try:
        world = world_of(store)
        watching = Watching(store, clock=world.clock, random=world.random)
        yield msgspec.structs.replace(world, watcher=watching)
    finally:
        await store.close()
