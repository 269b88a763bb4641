"""``extsync status``: what a running extsync knows of its services, in short."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from extsync.cli.answers import Asked
from extsync.cli.asking import asked
from extsync.cli.output import table, write_document
from extsync.errors import ExtsyncError
from extsync.printable import printable
from extsync.web.documents import ProcessDocument, ServiceList, ServiceSummary

EVERY: Final = 2.0
"""Seconds between two answers of ``--watch``."""


def main(args: argparse.Namespace) -> int:
    """0 where at least one service was found, 1 where none was."""
    return asyncio.run(_main(args))


async def _main(args: argparse.Namespace) -> int:
    async with asked(args) as running:
        found = await _look(running, args)
        if not args.watch:
            return 0 if found else 1
        unanswered = False
        while True:
            await asyncio.sleep(EVERY)
            try:
                await _look(running, args)
                unanswered = False
            except ExtsyncError as error:  # who watches a restart wants to see its end as well
                if not unanswered:
                    print(f"extsync: {error}; it is asked again until it answers", file=sys.stderr)
                unanswered = True


async def _look(running: Asked, args: argparse.Namespace) -> int:
    """Shows how things are; returns how many services there are to show."""
    process = await running.ask("status", kind=ProcessDocument)
    services = await _services(running, args.service)
    _show(args, process, services)
    return len(services)


async def _services(running: Asked, wanted: str) -> list[ServiceSummary]:
    namespace, _, name = wanted.partition("/")
    found: list[ServiceSummary] = []
    after: str | None = ""
    while after is not None:
        page = await running.ask("services", kind=ServiceList, namespace=namespace, search=name, after=after)
        found += (one for one in page.items if name in ("", one.name))
        after = page.next
    return found


def _show(args: argparse.Namespace, process: ProcessDocument, services: list[ServiceSummary]) -> None:
    if args.output != "text":
        document: Any = {"process": msgspec.to_builtins(process), "services": msgspec.to_builtins(services)}
        write_document(document, args.output)
        sys.stdout.flush()
        return
    if args.watch and sys.stdout.isatty():
        sys.stdout.write("\x1b[H\x1b[2J")
    for line in _process(process):
        print(printable(line))
    print()
    if services:
        print(table(("namespace", "name", "ready", "not ready", "draining", "sources"), map(_row, services)))
    else:
        print(printable(f"it keeps no service {args.service}" if args.service else "it keeps no service"))
    sys.stdout.flush()


def _process(process: ProcessDocument) -> Iterator[str]:
    noun = "service" if process.services == 1 else "services"
    yield f"extsync {process.version}, owner {process.owner}, {process.instance}: {process.services} {noun}"
    if not process.synced:
        yield "it has not read the cluster and the manifests yet"
    if process.leases:
        held = [lease.name for lease in process.leases if lease.leads]
        others = {lease.holder: None for lease in process.leases if not lease.leads and lease.holder}
        yield f"leads by {', '.join(held)}" if held else f"stands by; {', '.join(others) or 'nobody'} leads"
    if process.isolated:
        yield f"it seems to be cut off and believes no failure: {process.isolated}"


def _row(service: ServiceSummary) -> tuple[object, ...]:
    troubled = [f"{one.name}: {one.detail or one.outcome or 'no report yet'}" for one in service.sources if one.stale]
    said = "; ".join(troubled) or "ok"
    if service.isolated:
        said = f"failing checks are not believed; {said}"
    if service.suppressed is not None:
        said = f"{service.suppressed.endpoints} endpoints are withheld from removal; {said}"
    return service.namespace, service.name, service.ready, service.not_ready, service.draining, said
