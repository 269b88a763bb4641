"""``extsync apply``: one pass, shown and written."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from extsync.cli import logs
from extsync.cli.main import EXIT_FAILED, EXIT_NOT_READY, EXIT_OK
from extsync.cli.manifests import load_all
from extsync.cli.output import Progress, table, write_document
from extsync.cli.world import cluster, settings_of
from extsync.config.limiting import limits_of
from extsync.config.settings import Settings
from extsync.engine.once import Once
from extsync.engine.passes import OnceOptions, ServiceResult, Step
from extsync.engine.prepare import HURRY, Prepared, prepare
from extsync.engine.prune import prune
from extsync.engine.telling import because, object_name, place, state_word
from extsync.errors import ConfigError, StoreError, UsageError
from extsync.kube.writer import verb
from extsync.model import Endpoint, ServiceKey, State, Verdict
from extsync.printable import printable

MOST_ENDPOINTS = 50
"""Of a service with more endpoints than this, the text shows only those that are not ready, and no more than this."""


def main(args: argparse.Namespace) -> int:
    """Applies the manifests; see the table of exit statuses in the README."""
    settings = settings_of(args)
    logs.configure(
        level=settings.log_level if args.verbose else "error", form=settings.log_format, verbose=args.verbose
    )
    check_usage(args)
    services = prepared(args, settings)
    options = options_of(
        args,
        settings,
        write=not args.dry_run,
        wait=args.wait,
        policy=args.policy,
        allow_empty=args.allow_empty,
        take_over=args.take_over,
        allow_removal=_removals(args.allow_removal, services),
        allow_stale=_stale_sources(args.allow_stale_source, services),
    )
    results, error = asyncio.run(one_pass(args, settings, services, options))
    show(results, args.output, written=options.write)
    if error is not None:
        print(f"extsync: {error}", file=sys.stderr)
    if error is not None or any(result.failed for result in results):
        return EXIT_FAILED
    return EXIT_NOT_READY if any(result.ready_enough is False for result in results) else EXIT_OK


def check_usage(args: argparse.Namespace) -> None:
    """Raises UsageError for flags that contradict each other."""
    if args.prune and args.owner is None:
        raise UsageError("--prune deletes what an owner id no longer names: say which with --owner")
    if args.prune and args.policy != "sync":
        raise UsageError(f"--prune deletes objects, which --policy {args.policy} forbids: leave one of them out")
    if args.wait and (args.no_probe or args.dry_run):
        other = "--no-probe" if args.no_probe else "--dry-run"
        raise UsageError(f"--wait waits for what probes find and writes it: it cannot go with {other}")


def _removals(names: list[str], services: list[Prepared]) -> frozenset[ServiceKey]:
    """The services that may lose whatever their sources no longer name; raises UsageError for one that is not there."""
    known = {str(service.key): service.key for service in services}
    for name in names:
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise UsageError(f"--allow-removal {name}: no manifest is about this service; there are {there}")
    return frozenset(known[name] for name in names)


def _stale_sources(names: list[str], services: list[Prepared]) -> frozenset[str]:
    """The sources that may fail; raises UsageError for a name that none has."""
    known = {source.name for service in services for source in service.manifest.spec.sources}
    for name in names:
        if name not in known:
            raise UsageError(
                f"--allow-stale-source {name}: no source has this name; there are {', '.join(sorted(known))}"
            )
    return frozenset(names)


def prepared(args: argparse.Namespace, settings: Settings) -> list[Prepared]:
    """The manifests of the command line, made ready for one quick pass; raises ConfigError."""
    limits = limits_of(settings)
    manifests = load_all(args, limits).manifests
    outside = [str(one.manifest.key) for one in manifests if not _covers(settings, one.manifest.key.namespace)]
    if outside:
        raise ConfigError(f"{', '.join(outside)}: its namespace is not among the settings' namespaces: add it there")
    return [prepare(one.manifest, one.base_dir, owner=settings.owner, hurry=HURRY, limits=limits) for one in manifests]


def _covers(settings: Settings, namespace: str) -> bool:
    return not settings.namespaces or namespace in settings.namespaces


def options_of(args: argparse.Namespace, settings: Settings, **more: Any) -> OnceOptions:
    """What the command line and the settings say of one pass."""
    return OnceOptions(
        owner=settings.owner,
        timeout=args.timeout,
        probe=not args.no_probe,
        qps=settings.qps,
        burst=settings.burst,
        request_timeout=settings.request_timeout,
        max_in_flight=settings.max_in_flight,
        reads_ranges=settings.cluster_ranges == "Read",
        **more,
    )


async def one_pass(
    args: argparse.Namespace, settings: Settings, services: list[Prepared], options: OnceOptions
) -> tuple[list[ServiceResult], StoreError | None]:
    """Runs the pass against the cluster of the command line, and prunes if asked; with why it could not prune."""
    progress = Progress()
    try:
        async with cluster(args, settings) as world:
            once = Once(world, options, progress=progress.show)
            results = await once.run(services)
            for warning in once.warnings:
                print(printable(f"extsync: warning: {warning}"), file=sys.stderr)
            if getattr(args, "prune", False) and not any(result.failed for result in results):
                keep = {service.key for service in services}
                try:
                    # Where manifests may name one namespace alone, none being there of another means nothing.
                    places = settings.namespaces if args.namespace is None else (args.namespace,)
                    results += await prune(world, once.writer, once.keepers, options, keep, places)
                except StoreError as error:  # what was written before is to be told all the same
                    return results, error
            return results, None
    finally:
        progress.clear()


# ---- what is shown ---------------------------------------------------------------------------------------------------


def show(results: list[ServiceResult], form: str, *, written: bool) -> None:
    """Prints what became of each service."""
    if form != "text":
        document = {"services": [as_data(result, written=written) for result in results]}
        write_document(document, form)
        return
    for result in results:
        print(as_text(result, written=written))
    for result in results:
        tell(result)


def tell(result: ServiceResult) -> None:
    """Says on standard error everything that there is to say of one service."""
    for level, text in messages(result):
        print(printable(f"extsync: {level}: {result.key}: {text}"), file=sys.stderr)


def messages(result: ServiceResult) -> list[tuple[str, str]]:
    """Everything that there is to say of one service, worst first."""
    said: dict[str, str] = {}
    for level, texts in (
        ("error", (*result.errors, *result.plan_errors)),
        ("withheld", (*result.withheld, *result.plan_withheld)),
        ("warning", (*result.warnings, *result.plan_remarks)),
    ):
        for text in texts:
            said.setdefault(text, level)
    return [(level, text) for text, level in said.items()]


def as_text(result: ServiceResult, *, written: bool) -> str:
    """One service for people: a headline, what was done, and its endpoints."""
    lines = [f"{result.key}: {_headline(result, written=written)}"]
    if result.steps:
        rows = [(_done(step, written=written), object_name(step.change), step.change.reason) for step in result.steps]
        lines.append(table(("action", "object", "reason"), rows, indent="  "))
    elif not result.failed:
        lines.append("  nothing to do")
    endpoints = [
        (place(endpoint), state_word(endpoint.state), endpoint.hostname, because(endpoint, verdict))
        for endpoint, verdict in _told(result)
    ]
    if endpoints:
        lines.append(table(("endpoint", "state", "hostname", "why"), endpoints, indent="  "))
    return "\n".join(lines)


def _headline(result: ServiceResult, *, written: bool) -> str:
    if result.decision is None:
        if result.failed:
            return "not done"
        return "removed" if written else "to be removed"
    endpoints = result.decision.endpoints
    counts = {state: sum(endpoint.state is state for endpoint in endpoints) for state in State}
    words = [f"{number} {state_word(state)}" for state, number in counts.items() if number]
    return ", ".join(words) or "no endpoints"


def _told(result: ServiceResult) -> list[tuple[Endpoint, Verdict | None]]:
    """The endpoints that the text shows, each with its verdict."""
    if result.decision is None:
        return []
    decision = result.decision
    verdicts = {(e.address, e.ports): v for e, v in zip(decision.judged, decision.verdicts, strict=True)}
    endpoints = decision.endpoints
    if len(endpoints) > MOST_ENDPOINTS:
        endpoints = tuple(e for e in endpoints if e.state is not State.READY)[:MOST_ENDPOINTS]
    return [(endpoint, verdicts.get((endpoint.address, endpoint.ports))) for endpoint in endpoints]


_PAST = {"apply": "applied", "create": "created", "update": "updated", "delete": "deleted"}


def _done(step: Step, *, written: bool) -> str:
    word = verb(step.change)
    return _PAST[word] if written else f"would {word}"


def as_data(result: ServiceResult, *, written: bool) -> dict[str, Any]:
    """One service for machines."""
    decision = result.decision
    endpoints = () if decision is None else decision.endpoints
    verdicts = (
        {}
        if decision is None
        else {(e.address, e.ports): v for e, v in zip(decision.judged, decision.verdicts, strict=True)}
    )
    return {
        "namespace": result.key.namespace,
        "name": result.key.name,
        "written": written,
        "changes": [
            {"verb": verb(step.change), "object": object_name(step.change), "reason": step.change.reason}
            for step in result.steps
        ],
        "endpoints": [
            {
                "address": endpoint.address,
                "ports": [{"name": port.name, "port": port.port, "protocol": port.protocol} for port in endpoint.ports],
                "group": endpoint.group,
                "state": endpoint.state.value,
                "why": because(endpoint, verdicts.get((endpoint.address, endpoint.ports))),
            }
            for endpoint in endpoints
        ],
        "readyEnough": result.ready_enough,
        "messages": [{"level": level, "text": text} for level, text in messages(result)],
    }
