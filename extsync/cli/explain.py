"""``extsync explain``: why the endpoints of a service are, or are not, ready."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

import msgspec

from extsync.cli.answers import NotKept
from extsync.cli.asking import asked
from extsync.cli.output import table, write_document
from extsync.errors import UsageError
from extsync.printable import printable
from extsync.web.documents import (
    EndpointDocument,
    EntryDocument,
    ProbeDocument,
    ServiceDocument,
    SetAsideDocument,
    SourceDocument,
)


def main(args: argparse.Namespace) -> int:
    """0 where the service, and the address if one was asked for, is known; 1 where not."""
    namespace, _, name = args.service.partition("/")
    if not namespace or not name or "/" in name:
        raise UsageError(f"{args.service!r} is no service: write NAMESPACE/NAME, such as default/orders")
    try:
        address = str(ip_address(args.address)) if args.address else ""
    except ValueError:
        raise UsageError(f"{args.address!r} is no IP address") from None
    try:
        document = asyncio.run(_ask(args, namespace, name, address))
    except NotKept as error:
        print(f"{printable(str(error))}; extsync status lists what it keeps")
        return 1
    set_aside = document.set_aside  # of the address alone, where one was asked for
    if args.output != "text":
        write_document(msgspec.to_builtins(document), args.output)
    else:
        for line in _text(document, set_aside):
            print(line)
        if address and not document.endpoints and not set_aside:
            print()
            print(printable(f"no source of {args.service} names {address}"))
    return 0 if document.endpoints or set_aside or not address else 1


async def _ask(args: argparse.Namespace, namespace: str, name: str, address: str) -> ServiceDocument:
    async with asked(args) as running:
        return await running.ask("services", namespace, name, kind=ServiceDocument, address=address)


def _text(document: ServiceDocument, set_aside: Iterable[SetAsideDocument]) -> Iterator[str]:
    summary = document.summary
    counts = f"{summary.ready} ready, {summary.not_ready} not ready, {summary.draining} draining"
    yield printable(f"{summary.namespace}/{summary.name}: {counts}")
    for notice in document.notices:
        yield printable(f"  {notice}")
    yield ""
    yield table(("source", "outcome", "backends", "age", "detail"), map(_source, summary.sources))
    yield ""
    yield table(("address", "state", "source", "tier", "since", "why"), map(_endpoint, document.endpoints))
    if document.omitted:
        yield f"and {document.omitted} more: ask for one of them by its address"
    for one in set_aside:
        yield printable(f"{one.entry} of {one.source} is set aside: {one.reason}")
    for endpoint in document.endpoints:
        for probe in endpoint.probes or ():
            yield ""
            yield from _probe(endpoint, probe)
    if document.journal:
        yield ""
        yield table(("time", "about", "what"), map(_entry, document.journal))


def _source(source: SourceDocument) -> tuple[object, ...]:
    age = "" if source.age_seconds is None else f"{source.age_seconds:.0f}s"
    outcome = source.outcome or "no report yet"
    return source.name, f"{outcome} (stale)" if source.stale else outcome, source.backends, age, source.detail


def _endpoint(endpoint: EndpointDocument) -> tuple[object, ...]:
    port = endpoint.ports[0].port if endpoint.ports else ""
    host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    state = f"{endpoint.state} (standby)" if endpoint.standby else endpoint.state
    if endpoint.withheld:
        state = f"{state} (removal withheld)"
    since = None if endpoint.verdict is None else endpoint.verdict.since
    return f"{host}:{port}", state, endpoint.source, endpoint.tier, since, endpoint.reason


def _probe(endpoint: EndpointDocument, probe: ProbeDocument) -> Iterator[str]:
    counts = f"{probe.passed} passed, {probe.failed} failed, {probe.skipped} skipped"
    yield printable(f"{endpoint.address}, {probe.check}: {probe.health}, {counts}")
    if probe.note:
        yield printable(f"  {probe.note}")
    rows = ((one.at, f"{1000 * one.latency_seconds:.1f} ms", one.failure or "passed") for one in probe.results)
    yield table(("probed", "took", "result"), rows, indent="  ")
    if probe.changes:
        yield table(("changed", "to", "because"), ((c.at, c.health, c.reason) for c in probe.changes), indent="  ")


def _entry(entry: EntryDocument) -> tuple[object, ...]:
    return entry.at, entry.topic, entry.text
