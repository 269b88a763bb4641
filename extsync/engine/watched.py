"""The probed endpoints of one service and the verdicts on them, and what one new verdict means for the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice

from extsync.engine.rules import Rule
from extsync.model import Health, Identity, State, Verdict
from extsync.plan.judge import States
from extsync.plan.merge import Candidate

MOST_NOTES = 10
"""Notes of one service that are told."""


class Watch:
    """One service's part: its candidates, the id of each target ("": nothing checks it) and its verdict, aligned.

    ``stale`` is how many of the verdicts are, ``noted`` how many have a note, ``unknown`` how many say nothing yet.
    ``published`` is what the objects showed
    at the latest look. ``transitions`` are how often a verdict became what it says.
    """

    __slots__ = (
        "candidates",
        "fault",
        "ids",
        "noted",
        "published",
        "rules",
        "stale",
        "transitions",
        "unknown",
        "verdicts",
    )

    def __init__(self) -> None:
        self.rules: tuple[Rule, ...] = ()
        self.candidates: tuple[Candidate, ...] = ()
        self.ids: tuple[str, ...] = ()
        self.verdicts: list[Verdict | None] = []
        self.published: States | None = None
        self.stale = 0
        self.noted = 0
        self.unknown = 0
        self.fault = ""
        self.transitions: Counter[Health] = Counter()


def is_stale(verdict: Verdict | None) -> bool:
    """Whether no probe has confirmed a verdict for long."""
    return verdict is not None and verdict.stale


def notes(watch: Watch) -> Iterator[str]:
    """Each note once, with the first endpoint that it is about."""
    first: dict[str, Identity] = {}
    for candidate, verdict in zip(watch.candidates, watch.verdicts, strict=True):
        if verdict is not None and verdict.note:
            first.setdefault(verdict.note, candidate.identity)
    for note, identity in islice(first.items(), MOST_NOTES):
        yield f"{identity}: {note}"


def has_note(verdict: Verdict | None) -> bool:
    """Whether there is something to know of an endpoint although its probes pass."""
    return verdict is not None and bool(verdict.note)


def is_unknown(verdict: Verdict | None) -> bool:
    """Whether an endpoint is probed and nothing is known yet."""
    return verdict is not None and verdict.health is Health.UNKNOWN


def says_what_is_published(watch: Watch, index: int) -> bool:
    """Whether an endpoint that is published as ready was found to be up.

    Of one that has to be proven before it can fail it is news that it is.
    """
    verdict, candidate = watch.verdicts[index], watch.candidates[index]
    if verdict is None or verdict.health is not Health.HEALTHY or verdict.doubted or candidate.health == "proven":
        return False
    return watch.published is not None and watch.published.get(candidate.identity) is State.READY


def decides_alike(before: Verdict | None, now: Verdict) -> bool:
    """Whether a verdict decides what the one before it decided."""
    return before is not None and (before.health, before.doubted) == (now.health, now.doubted)
