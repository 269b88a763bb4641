"""``extsync render``: the objects of the manifests, without a cluster."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any

from extsync.cli.apply import tell
from extsync.cli.manifests import load_all
from extsync.cli.objects import comparable
from extsync.cli.output import write_document
from extsync.cli.world import settings_of, world_of
from extsync.config.limiting import limits_of
from extsync.config.settings import Settings
from extsync.engine.offline import objects_of, render
from extsync.engine.passes import OnceOptions, ServiceResult
from extsync.engine.prepare import HURRY, Prepared, prepare
from extsync.kube.memory import MemoryStore
from extsync.plan.service import service_body
from extsync.seams import SystemClock, SystemRandom


def main(args: argparse.Namespace) -> int:
    """Prints the objects; 0, or 1 where something of the manifests could not be rendered."""
    settings = settings_of(args)
    owner, limits = settings.owner, limits_of(settings)
    services = [
        prepare(one.manifest, one.base_dir, owner=owner, hurry=HURRY, limits=limits)
        for one in load_all(args, limits).manifests
    ]
    options = OnceOptions(owner=owner, timeout=args.timeout, write=False, probe=args.probe)
    results = asyncio.run(_render(settings, options, services))
    documents = [
        document for prepared, result in zip(services, results, strict=True) for document in _of(prepared, result)
    ]
    # kubectl takes several objects in JSON only as a List.
    document = documents if args.output == "yaml" else {"apiVersion": "v1", "kind": "List", "items": documents}
    write_document(document, args.output)
    for result in results:
        tell(result)
    return 1 if any(result.failed for result in results) else 0


async def _render(settings: Settings, options: OnceOptions, services: Sequence[Prepared]) -> list[ServiceResult]:
    store = MemoryStore(clock=SystemClock(), random=SystemRandom())  # stays empty: without a cluster nothing is written
    return await render(world_of(store, probe_from=settings.probe_source_addresses), options, services)


def _of(prepared: Prepared, result: ServiceResult) -> list[dict[str, Any]]:
    service = [] if prepared.wish is None else [service_body(prepared.wish)]
    return service + [comparable(obj) for obj in objects_of(result)]
