"""What the commands run on: the machine's own time, chance and network, and the cluster that the options name."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from extsync.config.settings import Settings, load_settings
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
    """The machine's own seams around ``store``."""
    return World(store=store, clock=SystemClock(), random=SystemRandom(), dialer=SystemDialer(), io=SystemProbeIO())


@asynccontextmanager
async def cluster(args: argparse.Namespace) -> AsyncIterator[World]:
    """The cluster that ``--kubeconfig`` and ``--context`` name, as kubectl resolves them; raises ConfigError."""
    clock, dialer = SystemClock(), SystemDialer()
    access = await load_access(clock=clock, kubeconfig_path=args.kubeconfig, context=args.context)
    store = KubeStore(access, clock=clock, dialer=dialer)
    try:
        yield world_of(store)
    finally:
        await store.close()
