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


MOST_SHARES = 3
"""Sources that an event names."""


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

    def lines(self, cure: str = "") -> Iterator[str]:
        """What there is to say of it; a line stays the same for as long as what it tells of.

        ``cure`` is for a command that runs once: what lets the removal through, as no time passes there.
        """
        stay = f"they stay; {cure} lets them go" if cure else self._stay
        for share in self.shares:
            yield f"{_left_out(share)}: {stay}"
        listed = ", ".join(map(str, self.entries[:MOST_LISTED]))
        more = f" and {len(self.entries) - MOST_LISTED} more" if len(self.entries) > MOST_LISTED else ""
        yield f"withheld removal {self.hash}: {listed}{more}"

    @property
    def summary(self) -> str:
        """One sentence on all of it, short enough for an event."""
        more = f"; and {len(self.shares) - MOST_SHARES} more sources" if len(self.shares) > MOST_SHARES else ""
        return f"{'; '.join(map(_left_out, self.shares[:MOST_SHARES]))}{more}: {self._stay}"

    @property
    def _stay(self) -> str:
        cure = f"the annotation {ALLOW_ANNOTATION}: {self.hash} on the Service lets them go now"
        if self.until is None:
            return f"they stay, and while a source is in trouble no time counts for their removal; {cure}"
        until = f"{datetime.fromtimestamp(self.until, UTC):%Y-%m-%dT%H:%M:%SZ}"
        return f"they stay until {until}, and leave then if they are still left out; {cure}"


def _left_out(share: Share) -> str:
    if not share.source:
        return f"no source names {share.number} of the {share.out_of} endpoints that were found published"
    return f"source {share.source!r} no longer names {share.number} of its {share.out_of} backends"


def removal_hash(entries: Iterable[Identity], since: float) -> str:
    """The name of the removal of these endpoints that began to be withheld at ``since``."""
    text = "\n".join([f"{since:.0f}", *map(text_of, entries)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def text_of(identity: Identity) -> str:
    """An endpoint in words that are the same in every process."""
    return " ".join([identity.address, *(f"{port.name}:{port.port}" for port in identity.ports)])
