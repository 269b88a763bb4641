"""What of a service is withheld, as plain data and in words. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import msgspec

from extsync.model import Identity

ALLOW_ANNOTATION = "extsync.dev/allow-removal"
"""On a Service: the hash of the removal that may go through."""

MOST_LISTED = 20
"""Endpoints of one withheld removal that are told one by one."""


class Share(msgspec.Struct, frozen=True):
    """What of one source is withheld: how many, out of how many. ``source`` "" stands for what was found published
    after a start, and which source had it is not known."""

    source: str
    number: int
    out_of: int


class Suppressed(msgspec.Struct, frozen=True):
    """The removals of one service that are withheld.

    ``entries`` are their endpoints, sorted. ``since`` is when it began, ``until`` when the last of it confirms itself
    (wall-clock seconds); ``until`` is None while a source cannot be believed. ``hash`` names exactly this removal: the
    same endpoints another time have another one.
    """

    entries: tuple[Identity, ...]
    shares: tuple[Share, ...]
    since: float
    until: float | None
    hash: str

    def lines(self) -> Iterator[str]:
        """What there is to say of it; a line stays the same for as long as what it tells of."""
        for share in self.shares:
            yield f"{_left_out(share)}: they stay{self._until()}; {self.cure}"
        listed = ", ".join(map(str, self.entries[:MOST_LISTED]))
        more = f" and {len(self.entries) - MOST_LISTED} more" if len(self.entries) > MOST_LISTED else ""
        yield f"withheld from removal {self.hash}: {listed}{more}"

    @property
    def summary(self) -> str:
        """One sentence on all of it."""
        return f"{'; '.join(map(_left_out, self.shares))}: they stay{self._until()}; {self.cure}"

    @property
    def cure(self) -> str:
        """How a person lets it through."""
        return f"the annotation {ALLOW_ANNOTATION}: {self.hash} on the Service lets them go now"

    def _until(self) -> str:
        if self.until is None:
            return " until they have been left out for policy.guard.confirmAfter, and its source is in trouble"
        return f" until {datetime.fromtimestamp(self.until, UTC):%Y-%m-%dT%H:%M:%SZ}, if that is still so then"


def _left_out(share: Share) -> str:
    if not share.source:
        return f"no source names {share.number} of the {share.out_of} endpoints that were published before the start"
    return f"source {share.source!r} no longer names {share.number} of its {share.out_of} backends"


def removal_hash(entries: Iterable[Identity], since: float) -> str:
    """The name of the removal of these endpoints that began to be withheld at ``since``."""
    text = "\n".join([f"{since:.0f}", *map(text_of, entries)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def text_of(identity: Identity) -> str:
    """An endpoint in words that are the same in every process."""
    return " ".join([identity.address, *(f"{port.name}:{port.port}" for port in identity.ports)])
