"""``extsync import``: hand-written Endpoints and slices as manifests that publish the same; it writes nothing."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable

from extsync.address_policy import AddressPolicy
from extsync.cli import logs
from extsync.cli.main import EXIT_FAILED, EXIT_OK
from extsync.cli.manifests import namespace_of
from extsync.cli.world import cluster, settings_of
from extsync.config.dump import to_text
from extsync.config.limiting import limits_of
from extsync.config.settings import Settings
from extsync.engine.cluster_ranges import read_ranges
from extsync.engine.importing import read_all, read_named
from extsync.errors import UsageError
from extsync.model import ServiceKey
from extsync.plan.imports.found import NotImported
from extsync.plan.imports.manifest import Imported, import_service
from extsync.plan.publication import Current
from extsync.printable import printable

_KINDS = ("endpoints", "endpoint", "ep", "services", "service", "svc")


def main(args: argparse.Namespace) -> int:
    """Prints the manifests; 0, or 1 where one could not be made or would change what is published."""
    settings = settings_of(args)
    logs.configure(
        level=settings.log_level if args.verbose else "error", form=settings.log_format, verbose=args.verbose
    )
    keys = _named(args)
    found, policy = asyncio.run(_read(args, settings, keys))
    failed, passed_over = False, []
    for key, current in found.items():
        try:
            imported = import_service(current, policy=policy)
        except NotImported as error:
            if error.kept and not keys:
                passed_over.append(f"{key}: {error}")
            else:
                failed = True
                _say("error", key, str(error))
            continue
        sys.stdout.write(_document(imported))
        for note in imported.notes:
            _say("change" if note.changes else "note", key, str(note))
        failed = failed or imported.changes
    _tell_of(passed_over, verbose=bool(args.verbose))
    return EXIT_FAILED if failed else EXIT_OK


def _named(args: argparse.Namespace) -> list[ServiceKey]:
    """The services that the command line names, none where it asks for all; raises UsageError."""
    everything = args.all or args.all_namespaces
    if args.all_namespaces and args.namespace is not None:
        raise UsageError("-A imports from all namespaces, -n from one: leave one out")
    if everything and args.objects:
        raise UsageError(f"{'-A' if args.all_namespaces else '--all'} imports everything: leave out {args.objects[0]}")
    if not everything and not args.objects:
        raise UsageError("say what to import: endpoints/NAME; or --all for everything in the namespace, -A in all")
    namespace = namespace_of(args)
    return [ServiceKey(namespace, name) for name in dict.fromkeys(_names(args.objects))]


def _names(words: list[str]) -> Iterable[str]:
    """The names of ``KIND/NAME ...`` or, as kubectl takes it too, ``KIND NAME ...``."""
    if words and words[0] in _KINDS:
        if len(words) == 1:
            raise UsageError(f"{words[0]} of what name? Say {words[0]}/NAME; or --all for everything in the namespace")
        words = [f"{words[0]}/{word}" for word in words[1:]]
    for word in words:
        kind, slash, name = word.partition("/")
        if kind not in _KINDS or not slash or not name or "/" in name:
            raise UsageError(f"{word!r} is not endpoints/NAME: what is imported is named by its Endpoints or Service")
        yield name


async def _read(
    args: argparse.Namespace, settings: Settings, keys: list[ServiceKey]
) -> tuple[dict[ServiceKey, Current], AddressPolicy]:
    """The objects, and which addresses may be published."""
    limits = limits_of(settings)
    async with cluster(args, settings) as world:
        ranges = limits.ranges
        if settings.cluster_ranges == "Read":
            ranges = ranges.joined(await read_ranges(world.store, _warn))
        if keys:
            found = await read_named(world, keys, timeout=settings.request_timeout)
        else:
            namespaces = settings.namespaces if args.all_namespaces else (namespace_of(args),)
            found = await read_all(world, namespaces, timeout=settings.request_timeout)
    return found, AddressPolicy(limits.rules, ranges)


def _warn(text: str) -> None:
    print(printable(f"extsync: warning: {text}"), file=sys.stderr)


def _document(imported: Imported) -> str:
    """The manifest as YAML, with what there is to know at its head."""
    lines = [
        f"Imported from {', '.join(imported.objects)}. The Service itself stays as it is.",
        "Without checks each endpoint is as ready as it is declared here.",
        *(("Changes what is published: " if note.changes else "Note: ") + str(note) for note in imported.notes),
    ]
    return "---\n" + "".join(f"# {printable(line)}\n" for line in lines) + to_text(imported.manifest)


def _say(level: str, key: ServiceKey, text: str) -> None:
    print(printable(f"extsync: {level}: {key}: {text}"), file=sys.stderr)


def _tell_of(passed_over: list[str], *, verbose: bool) -> None:
    """Says of what ``--all`` did not import: each with -v, else how many."""
    if verbose:
        for text in passed_over:
            print(printable(f"extsync: passed over: {text}"), file=sys.stderr)
    elif passed_over:
        number = f"{len(passed_over)} Service{'s' * (len(passed_over) > 1)}"
        print(f"extsync: {number} with nothing hand-written passed over; -v names them", file=sys.stderr)
