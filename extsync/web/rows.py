"""What the event stream tells: services in short, with times instead of ages, so that what stays the same reads so."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from extsync.engine.status import ServiceStatus, SourceStatus
from extsync.web.documents import SuppressedDocument, summary


class _Row(msgspec.Struct, rename="camel", frozen=True):
    """The base of all: camelCase names."""


class SourceRow(_Row, frozen=True):
    """A source as it stands; ``goodAt`` is when its latest good answer came, and ``lastErrorAt`` when it last failed,
    both to the second and null for never."""

    name: str
    outcome: str | None
    detail: str
    good_at: str | None
    stale: bool
    backends: int
    last_error: str
    last_error_at: str | None


class ServiceRow(_Row, frozen=True):
    """A service in short, as in the list of services."""

    namespace: str
    name: str
    ready: int
    not_ready: int
    draining: int
    isolated: bool
    leads: bool
    suppressed: SuppressedDocument | None
    sources: tuple[SourceRow, ...]


class ServicesEvent(_Row, frozen=True):
    """What the event ``services`` has. ``first``: forget every service known before.

    ``items`` replace what was known of those services, ``gone`` are the names (NAMESPACE/NAME) of those that are no
    longer kept. ``complete``: nothing is left to be told for now.
    """

    first: bool
    items: tuple[ServiceRow, ...]
    gone: tuple[str, ...]
    complete: bool


class EncodedServices(_Row, frozen=True):
    """The same with its items encoded already: each is encoded once for all who watch."""

    first: bool
    items: list[msgspec.Raw]
    gone: list[str]
    complete: bool


def row_of(status: ServiceStatus, now: float) -> ServiceRow:
    """A service in short at the wall-clock time ``now``."""
    short = summary(status)
    return ServiceRow(
        namespace=short.namespace,
        name=short.name,
        ready=short.ready,
        not_ready=short.not_ready,
        draining=short.draining,
        isolated=short.isolated,
        leads=short.leads,
        suppressed=short.suppressed,
        sources=tuple(_source(one, now) for one in status.sources),
    )


def _source(status: SourceStatus, now: float) -> SourceRow:
    return SourceRow(
        name=status.name,
        outcome=None if status.outcome is None else status.outcome.value.lower(),
        detail=status.detail,
        good_at=_ago(status.age, now),
        stale=status.stale,
        backends=status.backends,
        last_error=status.last_error,
        last_error_at=_ago(status.last_error_age, now),
    )


def _ago(age: float | None, now: float) -> str | None:
    return None if age is None else datetime.fromtimestamp(round(now - age), UTC).isoformat().replace("+00:00", "Z")
