"""``extsync doctor``: the troubleshooting of endpoints, step by step, each finding with its cure."""

from __future__ import annotations

import argparse
import asyncio
import shlex
from collections.abc import Iterator, Sequence

import msgspec

from extsync.cli import logs
from extsync.cli.main import EXIT_FAILED, EXIT_OK
from extsync.cli.output import write_document
from extsync.cli.running import told_by
from extsync.cli.world import settings_of
from extsync.config.limiting import limits_of
from extsync.config.settings import Settings
from extsync.doctor.examine import examine
from extsync.doctor.findings import CLUSTER, Finding, Severity, count
from extsync.doctor.gathering.asking import Asking
from extsync.doctor.gathering.gather import Gathered, Gatherer, Wanted
from extsync.errors import UsageError
from extsync.kube.access import load_access
from extsync.kube.api import KubeStore
from extsync.kube.enquiries import Enquiries
from extsync.model import ServiceKey
from extsync.printable import printable
from extsync.seams import SystemClock, SystemDialer
from extsync.seams.reaching import SystemReacher

MOST_SHOWN = 200
"""Findings that the text shows; JSON and YAML have all."""


def main(args: argparse.Namespace) -> int:
    """0 where nothing above the severity info was found, 1 otherwise."""
    settings = settings_of(args)
    logs.configure(
        level=settings.log_level if args.verbose else "error", form=settings.log_format, verbose=args.verbose
    )
    wanted = wanted_of(args, settings)
    gathered = asyncio.run(_gather(args, wanted))
    findings = [_of_context(finding, args) for finding in examine(gathered.cluster, gathered.services)]
    if args.output != "text":
        write_document(_document(gathered, findings), args.output)
    else:
        for line in _text(gathered, findings, verbose=bool(args.verbose)):
            print(line)
    return EXIT_FAILED if any(finding.is_trouble for finding in findings) else EXIT_OK


def wanted_of(args: argparse.Namespace, settings: Settings) -> Wanted:
    """What the command line asks for; raises UsageError."""
    key = _key(args)
    if args.from_pod and key is None:
        raise UsageError("--from-pod looks from a pod at one Service: name that as NAMESPACE/NAME")
    if args.exec_ and key is None:
        raise UsageError("--exec looks from a pod at one Service: name that as NAMESPACE/NAME")
    namespace, colon, account = args.service_account.partition(":")
    if not (namespace and colon and account):
        raise UsageError(f"{args.service_account!r} is no ServiceAccount: write NAMESPACE:NAME, as in extsync:extsync")
    return Wanted(
        key=key,
        namespaces=(args.namespace,) if args.namespace else settings.namespaces,
        owner=settings.owner,
        limits=limits_of(settings),
        reads_ranges=settings.cluster_ranges == "Read",
        account=(namespace, account),
        lease_namespace=settings.lease_namespace,
        from_pod=args.from_pod or ("" if args.exec_ else None),
        reaches=not args.no_probe,
    )


def _key(args: argparse.Namespace) -> ServiceKey | None:
    if not args.service:
        return None
    namespace, slash, name = args.service.rpartition("/")
    if not slash:
        namespace = args.namespace or "default"
    if not namespace or not name or "/" in namespace:
        raise UsageError(f"{args.service!r} is no service: write NAMESPACE/NAME, such as default/orders")
    if args.namespace not in (None, namespace):
        raise UsageError(f"{args.service} is not in namespace {args.namespace}: leave out -n")
    return ServiceKey(namespace, name)


async def _gather(args: argparse.Namespace, wanted: Wanted) -> Gathered:
    clock, dialer = SystemClock(), SystemDialer()
    access = await load_access(clock=clock, kubeconfig_path=args.kubeconfig, context=args.context)
    store = KubeStore(access, clock=clock, dialer=dialer)
    enquiries = Enquiries(access, clock=clock, dialer=dialer)
    try:
        async with told_by(args.server) as told:
            asking = Asking(store, clock=clock, seconds=args.timeout)
            gatherer = Gatherer(asking, enquiries, reacher=SystemReacher(), told=told, server=access.server)
            return await gatherer.gather(wanted)
    finally:
        await enquiries.close()
        await store.close()


def _of_context(finding: Finding, args: argparse.Namespace) -> Finding:
    """The finding with a command for the cluster that was looked at."""
    flags = (("--kubeconfig", args.kubeconfig), ("--context", args.context))
    given = [word for name, value in flags if value for word in (name, value)]
    if not given or not finding.command.startswith("kubectl "):
        return finding
    command = f"kubectl {shlex.join(given)} {finding.command.removeprefix('kubectl ')}"
    return msgspec.structs.replace(finding, command=command)


# ---- the result --------------------------------------------------------------------------------------------------


def _document(gathered: Gathered, findings: Sequence[Finding]) -> object:
    return {
        "healthy": not any(finding.is_trouble for finding in findings),
        "services": [str(facts.key) for facts in gathered.services],
        "omitted": gathered.omitted,
        "findings": msgspec.to_builtins(findings),
    }


def _text(gathered: Gathered, findings: Sequence[Finding], *, verbose: bool) -> Iterator[str]:
    shown = [finding for finding in findings if verbose or finding.severity is not Severity.OK]
    for finding in shown[:MOST_SHOWN]:
        yield from _lines(finding)
    if len(shown) > MOST_SHOWN:
        yield f"and {len(shown) - MOST_SHOWN} more: -o json has all"
        yield ""
    yield _counts(gathered, findings)


def _lines(finding: Finding) -> Iterator[str]:
    yield printable(f"{finding.severity.name} {finding.about}: {finding.summary} [{finding.code}]")
    for line in finding.evidence:
        yield printable(f"    {line}")
    if finding.cure:
        yield printable(f"  cure: {finding.cure}")
    if finding.command and finding.severity is not Severity.OK:
        yield printable(f"  see:  {finding.command}")
    yield ""


def _counts(gathered: Gathered, findings: Sequence[Finding]) -> str:
    numbers = {severity: sum(one.severity is severity for one in findings) for severity in Severity}
    words = ((Severity.ERROR, "error"), (Severity.WARNING, "warning"), (Severity.INFO, "note"))
    counts = ", ".join(count(numbers[severity], word) for severity, word in words)
    looked = count(len(gathered.services), "Service")
    if gathered.omitted:
        looked += f" of {len(gathered.services) + gathered.omitted} (name the others, or a namespace with -n)"
    return f"{counts}, {numbers[Severity.OK]} in order; looked at {looked} and the {CLUSTER}"
