"""``extsync run``: keeps the cluster in step until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import socket
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from extsync.cli import logs
from extsync.cli.leading import check_election, leadership_of
from extsync.cli.levels import Levels, follow
from extsync.cli.manifests import namespace_of
from extsync.cli.world import cluster, settings_of
from extsync.config.limiting import limits_of
from extsync.config.settings import DEFAULT_OWNER, Settings
from extsync.engine.desired import Desired
from extsync.engine.manifests import FileManifests, ManifestFeed
from extsync.engine.options import Options
from extsync.engine.run import Engine
from extsync.errors import ConfigError, UsageError
from extsync.plan.doubt import DoubtPolicy
from extsync.web.server import serving

log = logging.getLogger(__name__)

COLLECT_AFTER = 10_000
"""New containers after which the youngest are searched for cycles; Python's own figure is 700."""


def main(args: argparse.Namespace) -> int:
    """Runs until it is told to stop; then 0."""
    settings = settings_of(args)
    logs.configure(level=settings.log_level, form=settings.log_format, verbose=args.verbose)
    if args.prune and settings.owner == DEFAULT_OWNER:
        raise UsageError(
            "--prune deletes what an owner id no longer names: give this installation one of its own, with --owner or "
            "the setting owner"
        )
    for path in args.paths:
        if path != "-" and not Path(path).exists():
            raise ConfigError(f"{path}: there is no such file or directory")
    check_election(settings)
    namespace_of(args)
    stdin = sys.stdin.buffer.read() if "-" in args.paths else b""
    collect_seldom()
    return asyncio.run(_run(args, settings, stdin))


def collect_seldom() -> None:
    """Has cycles searched for less often, and not in what was imported, which lives as long as the process.

    Manifests, objects and endpoints are made in large numbers and have no cycles. With Python's own figures a third of
    the CPU of a first sync goes into searching them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])


async def _run(args: argparse.Namespace, settings: Settings, stdin: bytes) -> int:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    levels = Levels(settings, verbose=args.verbose)
    levels.heed_signals()
    manifests = FileManifests(args.paths, namespace=args.namespace, stdin=stdin, limits=limits_of(settings))
    async with AsyncExitStack() as resources:
        resources.callback(manifests.close)
        world = await resources.enter_async_context(cluster(args, settings))
        feed = ManifestFeed(
            manifests,
            Desired(removal_delay=settings.removal_delay),
            clock=world.clock,
            poll_interval=settings.manifest_poll_interval,
            hint=manifests.changed,
        )
        core = Engine(
            world,
            options_of(settings, prune=args.prune, only_in=args.namespace),
            leadership=leadership_of(settings, world),
        )
        if settings.listen != "none":
            host, port = _address(settings.listen)
            await resources.enter_async_context(
                serving(core, host=host, port=port, clock=world.clock, endpoint_metrics=settings.endpoint_metrics)
            )
        following = follow(levels, args, every=settings.manifest_poll_interval, clock=world.clock)
        resources.callback(asyncio.create_task(following, name="log-level").cancel)
        engine = asyncio.create_task(core.run(feed))
        stop = asyncio.create_task(stopped.wait())
        await asyncio.wait([engine, stop], return_when=asyncio.FIRST_COMPLETED)
        if not engine.done():
            log.info("stopping")
            await core.hand_over()
            engine.cancel()
        stop.cancel()
        await asyncio.wait([engine])
        if not engine.cancelled() and (defect := engine.exception()) is not None:
            raise defect
    return 0


def options_of(settings: Settings, *, prune: bool = False, only_in: str | None = None) -> Options:
    """The settings that the engine reads; ``only_in`` is the one namespace that manifests may name."""
    return Options(
        owner=settings.owner,
        instance=f"extsync-{socket.gethostname()}",
        namespaces=settings.namespaces,
        concurrency=settings.concurrency,
        qps=settings.qps,
        burst=settings.burst,
        request_timeout=settings.request_timeout,
        max_in_flight=settings.max_in_flight,
        probe_workers=settings.probe_workers,
        probe_source_addresses=settings.probe_source_addresses,
        doubt=DoubtPolicy(
            services=settings.self_doubt_services,
            service_share=settings.self_doubt_service_percent / 100,
            share=settings.self_doubt_percent / 100,
            window=settings.self_doubt_window,
            max_freeze=settings.max_freeze,
        ),
        sentinels=tuple(map(_address, settings.sentinels)),
        standby_probes=settings.standby_probes,
        prune=prune,
        only_in=only_in,
        removal_delay=settings.removal_delay,
        limits=limits_of(settings),
        reads_ranges=settings.cluster_ranges == "Read",
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
