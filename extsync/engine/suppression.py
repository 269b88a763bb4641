"""What the guards of one service withhold together: its name, since when, until when, and what became of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from operator import is_not
from typing import TypeAlias

from extsync.engine.carried import CARRIED
from extsync.model import Backend, Endpoint, Identity
from extsync.plan.evidence import Evidence, digest
from extsync.plan.guard import Guard, Withheld
from extsync.plan.merge import Merged
from extsync.plan.suppressed import Share, Suppressed, removal_hash, text_of
from extsync.sources.part import backend_key

AnyWithheld: TypeAlias = Withheld[Backend] | Withheld[Endpoint]


class Suppression:
    """The removal that is withheld, from one look to the next."""

    def __init__(self) -> None:
        self.suppressed: Suppressed | None = None
        """What is withheld, as of the latest look."""
        self.withheld: tuple[tuple[Identity, str, AnyWithheld], ...] = ()
        """The same by endpoint, with its source and its times."""
        self.ended = ""
        """What became of the removal that was withheld last."""
        self.since = 0.0
        """When it began (wall clock), 0 where nothing is withheld."""
        self._entries: tuple[Identity, ...] = ()
        self._until: tuple[float, float] | None = None
        self._asked: list[object] = []

    def agree(self, written: Evidence) -> None:
        """Of several replicas the one that writes says since when a removal is withheld: so it has one name on all of
        them, and what is let through on one is let through on all."""
        if self.suppressed is None or written.since in (0.0, self.since):
            return
        if removal_hash(self.suppressed.entries, written.since) == written.hash:
            self.since = written.since

    def conclude(
        self,
        merged: Merged,
        guards: Mapping[str, Guard[Backend]],
        found: Guard[Endpoint] | None,
        *,
        written: Evidence,
        credited: Mapping[str, float],
        confirm_after: float,
        now: float,
        wall: float,
    ) -> None:
        """Works out what ``guards`` and that of what was ``found`` withhold by now, of what ``merged`` has.

        ``written`` is the evidence on the objects, ``credited`` what of it was withheld before this process started.
        """
        before = self.suppressed
        asked: list[object] = [
            merged,
            *(guard.kept for guard in guards.values()),
            None if found is None else found.kept,
        ]
        if len(asked) != len(self._asked) or any(map(is_not, asked, self._asked)):
            self._asked = asked
            self.withheld = tuple(sorted(_find(merged, guards, found), key=lambda one: text_of(one[0])))
            self._entries = tuple(identity for identity, _, _ in self.withheld)
        if not self.withheld:
            if before is not None:
                self.ended = self.ended or _end_of(before, merged)
            self.suppressed, self.since = None, 0.0
            return
        entries = self._entries
        if not self.since:
            self.since = written.since if _is_known(entries, written, credited) else float(round(wall))
        self.ended = ""
        numbers = Counter(source for _, source, _ in self.withheld)
        shares = [Share(name, numbers[name], guard.out_of) for name, guard in guards.items() if numbers[name]]
        if found is not None and numbers[CARRIED]:
            shares.append(Share("", numbers[CARRIED], found.out_of))
        is_same = before is not None and before.entries is entries and before.since == self.since
        hash_ = before.hash if before is not None and is_same else removal_hash(entries, self.since)
        until = self._confirmed_at(confirm_after, now, wall)
        self.suppressed = Suppressed(entries, tuple(shares), self.since, until, hash_)

    def _confirmed_at(self, confirm_after: float, now: float, wall: float) -> float | None:
        """When the last of it confirms itself, by the wall clock; the same for as long as nothing changes."""
        times = [one.leaves_at(confirm_after) for _, _, one in self.withheld]
        known = [time for time in times if time is not None]
        if len(known) < len(times):
            self._until = None
        elif self._until is None or self._until[0] != max(known):
            self._until = max(known), wall + max(known) - now
        return None if self._until is None else self._until[1]


def _is_known(entries: Sequence[Identity], written: Evidence, credited: Mapping[str, float]) -> bool:
    """Whether the removal of these began to be withheld before this process started."""
    if not written.since:
        return False
    return removal_hash(entries, written.since) == written.hash or any(digest(one) in credited for one in entries)


def _find(
    merged: Merged, guards: Mapping[str, Guard[Backend]], found: Guard[Endpoint] | None
) -> Iterator[tuple[Identity, str, AnyWithheld]]:
    owners: dict[object, AnyWithheld] = {
        (name, backend_key(one.entry)): one for name, guard in guards.items() for one in guard.withheld
    }
    if found is not None:
        owners.update({(CARRIED, text_of(one.entry.identity)): one for one in found.withheld})
    if not owners:
        return
    for candidate in merged.candidates:
        is_found = candidate.source == CARRIED
        key = text_of(candidate.identity) if is_found else backend_key(candidate.backend)
        if (one := owners.get((candidate.source, key))) is not None:
            yield candidate.identity, candidate.source, one


def _end_of(before: Suppressed, merged: Merged) -> str:
    """What became of what was withheld, in words."""
    there = {candidate.identity for candidate in merged.candidates}
    gone = sum(identity not in there for identity in before.entries)
    if not gone:
        return "every backend that was withheld from removal is named again"
    return f"{gone} endpoints leave: the removal has lasted for long enough, or is no longer a large one"
