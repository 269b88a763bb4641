"""What the manifest's schema has and this version does not do yet: refused, so that nothing silently has no effect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from extsync.config.checks import Check
from extsync.config.faults import Place
from extsync.config.manifest import ExternalService
from extsync.config.sources import Source


def not_available(service: ExternalService) -> Iterator[tuple[Place, str]]:
    """Yields the place of each part of ``service`` that has no implementation here, with what to say about it."""
    spec = service.spec
    for index, source in enumerate(spec.sources):
        yield from _unregistered("extsync.sources", "source", ("spec", "sources", index), source)
    for index, check in enumerate(spec.checks):
        yield from _unregistered("extsync.checks", "check", ("spec", "checks", index), check)


@cache
def registered(group: str) -> tuple[str, ...]:
    """The names of the entry points of ``group``, sorted; what they name is not imported."""
    from importlib.metadata import entry_points

    return tuple(sorted({point.name for point in entry_points(group=group)}))


def _unregistered(group: str, noun: str, place: Place, entry: Source | Check) -> Iterator[tuple[Place, str]]:
    known = registered(group)
    if entry.factory in known:
        return
    if entry.plugin is not None:
        yield (*place, "plugin", "type"), f"no {noun} named {entry.factory!r} is installed; installed: {_list(known)}"
    else:
        yield (*place, entry.kind), _not_yet(f"the {noun} {entry.kind}") + f"; available: {_list(known)}"


def _not_yet(what: str) -> str:
    return f"{what} is not available in this version"


def _list(known: Sequence[str]) -> str:
    return ", ".join(known) or "none"
