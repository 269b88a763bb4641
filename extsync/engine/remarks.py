"""What there is to say of sources in trouble, in words.

A line stays the same for as long as what it tells of: it is logged when it appears. So none has a number that changes,
and none depends on the order in which a source names things.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from extsync.model import Outcome, Rejected
from extsync.sources.standing import Standing

MOST_SET_ASIDE = 20
"""Entries of one source that are told one by one."""


def in_trouble(source: str, standing: Standing, *, has_backends: bool) -> Iterator[str]:
    """A line where the source fails or is suspect, with what becomes of its backends where it had any."""
    if standing.stale:
        doubt = "suspect: " if standing.outcome is Outcome.SUSPECT else ""
        stays = "; its last good set stays" if has_backends or standing.good_at is not None else ""
        yield f"source {source!r}: {doubt}{standing.detail}{stays}"


def useless(source: str, *, held: bool) -> str:
    """That a source has backends of which not one can be used; ``held``: those that it had before are."""
    stays = "those that it had before stay" if held else "what it may have published stays"
    return f"source {source!r}: none of its backends can be used; {stays}"


def all_denied(source: str) -> str:
    """That a source has backends of which the settings allow not one."""
    return f"source {source!r}: none of its backends is allowed; what it had before is not kept for it"


def waits_for(source: str, *, useless: bool = False) -> str:
    """That something would leave if the source had spoken; ``useless``: what it says cannot be used."""
    reason = "of which nothing can be used" if useless else "which has not reported since the start"
    return f"removals wait for source {source!r}, {reason}"


def unheard(source: str) -> str:
    """That nothing has been heard of a source, not even that it fails, and nothing that is published waits for it."""
    return f"source {source!r} has not reported since the start: what it has is not known yet"


def set_aside(source: str, entries: Sequence[Rejected]) -> Iterator[str]:
    """One line for each entry that is not published, up to a number; of more, that there are more."""
    for entry, reason in heapq.nsmallest(MOST_SET_ASIDE, ((one.entry, one.reason) for one in entries)):
        yield f"source {source!r}: {entry} is set aside: {reason}"
    if len(entries) > MOST_SET_ASIDE:
        yield f"source {source!r}: more entries than these are set aside"
