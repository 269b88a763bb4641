"""The guards of one service: one for each source but static ones, and one for what was found published after a start.

What is found published and no source names may not vanish because all sources have spoken: the registry may have been
wiped while nobody looked. It is judged by the rules for the removals of a source, together with what left before as the
evidence on the objects says. No I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from extsync.config.sources import Source
from extsync.engine.carried import CARRIED
from extsync.engine.found import Found, Had
from extsync.engine.suppression import Suppression
from extsync.model import Backend, Endpoint, Identity
from extsync.objects import Service
from extsync.plan.changes import Changes
from extsync.plan.evidence import DRIFT, MOST_SOURCES, Evidence, batches, digest, newest, steps, with_evidence
from extsync.plan.guard import Guard, GuardPolicy
from extsync.plan.merge import Merged, SourceSet
from extsync.plan.published import Published
from extsync.plan.suppressed import ALLOW_ANNOTATION, Suppressed
from extsync.sources.part import backend_key


class Guarding:
    """What the guards of one service remember."""

    def __init__(self) -> None:
        self.found = Found()
        """What was found published after the start."""
        self.sources: tuple[Source, ...] = ()
        """The sources that are guarded."""
        self.lasting = True
        """False in a process that ends soon: it leaves evidence behind only where it writes anyway."""
        self._suppression = Suppression()
        self._policy = GuardPolicy()
        self._is_alone = True
        self._guards: dict[str, Guard[Backend]] = {}
        self._usable: dict[str, tuple[tuple[Backend, ...], frozenset[Backend], tuple[Backend, ...]]] = {}
        self._lets_all = False
        self._let_through: tuple[float, float] = (0.0, 0.0)
        self._check_at: float | None = None
        self._next_note = float("-inf")
        self._read: Published | None = None
        self._written = Evidence()
        self._left: dict[str, list[tuple[float, int]]] | None = None
        self._credits: Mapping[str, float] = {}
        self._in_place: frozenset[str] = frozenset()
        self._withheld_at: dict[Identity, int] = {}
        """The number of the evidence that there was when each endpoint began to be withheld."""

    @property
    def suppressed(self) -> Suppressed | None:
        """What is withheld, as of the latest look."""
        return self._suppression.suppressed

    @property
    def ended(self) -> str:
        """What became of the removal that was withheld last."""
        return self._suppression.ended

    @property
    def known_hash(self) -> str:
        """The name of the removal that is withheld as the objects say; "" for none."""
        return self._written.hash if self._written.withheld else ""

    def follow(self, policy: GuardPolicy, sources: Sequence[Source]) -> None:
        """Takes up a manifest. What a source has been seen to have stays known while there is one of its name."""
        self._policy = policy
        self.sources = tuple(source for source in sources if source.kind != "static")
        self._is_alone = len(sources) == 1
        self._guards = {one.name: self._guards.get(one.name) or Guard(policy, backend_key) for one in self.sources}
        for guard in self._all():
            guard.policy = policy

    def replace(self, sources: Collection[str]) -> None:
        """These have come in the place of others: what those had and nobody names then is judged as after a start,
        compared with what these have."""
        if not self.found.is_open or self._in_place:
            self._in_place |= frozenset(sources)
        self.found.is_open = True

    def _all(self) -> Iterator[Guard[Backend] | Guard[Endpoint]]:
        yield from self._guards.values()
        if self.found.guard is not None:
            yield self.found.guard

    # ---- looking -----------------------------------------------------------------------------------------------------

    def read(self, published: Published, *, now: float, wall: float) -> None:
        """Reads the evidence on the objects: all of it at the first look, later what another process let through."""
        if published is self._read:
            return
        self._read = published
        self._written = newest(published.objects)
        self._suppression.agree(self._written)
        if self._left is not None:
            self._follow(published, now)
            return
        self._left = {
            name: [(now - max(0.0, wall - at), number) for at, number in left]
            for name, left in self._written.left.items()
        }
        self._credits = self._written.credits(wall, self._policy.confirm_after)
        for name, guard in self._guards.items():
            for at, number in self._left.get(name, ()):
                guard.remember_left(at, number)

    def _follow(self, published: Published, now: float) -> None:
        """What is withheld here, and was let go by the replica that led meanwhile, is not brought back.

        That one has seen more of the source, or less. Whoever writes lists what is withheld; so where newer evidence
        does not list what is not published any more, it has left. What a person deletes takes no such evidence along.
        """
        written = self._written
        gone = [
            (source, one.entry)
            for identity, source, one in self._suppression.withheld
            if written.number > self._withheld_at[identity]
            and published.get(identity) is None
            and not written.lists(identity)
        ]
        for source, entry in gone:
            guard: Guard[Any] | None = self.found.guard if source == CARRIED else self._guards.get(source)
            if guard is not None:
                guard.release(entry, now)
        if gone:
            self._suppression.ended = f"{len(gone)} endpoints left: another replica let them go"

    def look(
        self,
        sets: Sequence[SourceSet],
        merged: Merged,
        useless: Collection[str],
        is_good: Callable[[str], bool],
        now: float,
    ) -> list[SourceSet]:
        """What of the sources may not leave yet, as further sets; ``sets`` are what they have, ``merged`` what that is
        together.

        ``useless`` are those of which nothing can be used, ``is_good`` tells whether the latest answer of a source is
        a good one. A backend that is set aside for what is wrong with it counts like one that is not named.
        """
        kept = []
        for one in sets:
            guard = self._guards.get(one.name)
            if guard is None:
                continue
            answer = guard.answer if one.name in useless else self._usable_of(one, merged)
            if not guard.knows(answer):
                guard.look(answer, now, believed=one.name not in useless and is_good(one.name))
            if guard.kept:
                kept.append(msgspec.structs.replace(one, backends=guard.kept))
        return kept

    def _usable_of(self, one: SourceSet, merged: Merged) -> tuple[Backend, ...]:
        """The backends of a source but those that were set aside; the same object as long as that is the same."""
        aside = frozenset(backend for source, backend in merged.unusable if source == one.name)
        if not aside:
            self._usable.pop(one.name, None)
            return one.backends
        known = self._usable.get(one.name)
        if known is None or known[0] is not one.backends or known[1] != aside:
            usable = tuple(backend for backend in one.backends if backend not in aside)
            known = self._usable[one.name] = one.backends, aside, usable
        return known[2]

    def look_at_found(
        self, found: tuple[Endpoint, ...], merged: Merged, published: Published, now: float, *, believed: bool
    ) -> tuple[Endpoint, ...]:
        """What of ``found``, which was published before the start and no source names, may not leave yet.

        ``merged`` is what the sources have. ``believed``: all of them have spoken, and none is in trouble.
        """
        if self.found.is_open:
            sources = self._had(merged, published) if found else {}
            left = self.found.judge(found, sources, self._policy, now, believed=believed, credit=self._credit)
            self._remember_left(now, left)
            self._in_place = frozenset()
        if not self._guards:
            self.found.guard = None
        self._remember_left(now, self.found.look(found, now, believed=believed))
        return self.found.kept

    def _had(self, merged: Merged, published: Published) -> dict[str, Had]:
        """What each source has, and had by the evidence."""
        named = Counter(c.source for c in merged.candidates if published.get(c.identity) is not None)
        left = self._left or {}
        return {
            name: Had(guard.known, named[name], self._written.known.get(name), left.get(name, ()))
            for name, guard in self._guards.items()
            if name in self._in_place or not self._in_place
        }

    def _credit(self, endpoint: Endpoint) -> float:
        return self._credits.get(digest(endpoint.identity), 0.0)

    def _remember_left(self, now: float, number: int) -> None:
        """Somebody's entries left: nobody knows whose, so they count for each source."""
        for guard in self._guards.values():
            guard.remember_left(now, number)

    def due(self) -> Iterator[float | None]:
        """When to look again although nothing happens."""
        yield from (guard.due() for guard in self._all())
        yield self._check_at

    def conclude(self, merged: Merged, *, now: float, wall: float) -> None:
        """Works out what is withheld by now, of what ``merged`` has."""
        before = self._suppression.withheld
        self._suppression.conclude(
            merged,
            self._guards,
            self.found.guard,
            written=self._written,
            credited=self._credits,
            confirm_after=self._policy.confirm_after,
            now=now,
            wall=wall,
        )
        if self._suppression.withheld is not before:
            known, number = self._withheld_at, self._written.number
            self._withheld_at = {one: known.get(one, number) for one, _, _ in self._suppression.withheld}

    # ---- letting through ---------------------------------------------------------------------------------------------

    def allow(self) -> None:
        """Nothing of the service is withheld from now on: for a command that runs once."""
        self._lets_all = True

    def let_through(self, service: Service | None, *, now: float, wall: float) -> bool:
        """Lets go what is withheld if a person wants that: by the annotation on the Service, or by ``apply``."""
        if self.suppressed is None:
            return False
        named = None if service is None else service.annotations.get(ALLOW_ANNOTATION)
        by_another = bool(self._written.allowed) and self._written.allowed == self._suppression.since
        if not (self._lets_all or by_another or named == self.suppressed.hash):
            return False
        self._suppression.ended = f"{len(self.suppressed.entries)} endpoints leave: somebody let the removal through"
        self._let_through = self._suppression.since, wall
        for guard in self._all():
            guard.allow(now)
        return True

    # ---- evidence ----------------------------------------------------------------------------------------------------

    def with_evidence(self, changes: Changes, published: Published, *, now: float, wall: float) -> Changes:
        """``changes``, with what a process that starts after this one has to know on one of the objects."""
        by_itself = self.lasting and self._is_evidence_due(now, wall)
        pause = DRIFT * self._policy.confirm_after
        paused = self.suppressed is not None and self.suppressed.until is None
        # What is written counts on while nothing does: by then it may be wrong by enough to be written anew.
        self._check_at = now + pause if paused and self._written.counting else None
        if by_itself and changes.is_empty and self.suppressed is not None:
            # What is not written costs a restart some of the wait; a source that says now this, now that, few writes.
            if now < self._next_note:
                by_itself, self._check_at = False, self._next_note
            else:
                self._next_note = now + pause
        if changes.is_empty and not by_itself:
            return changes
        return with_evidence(changes, published.objects, self._evidence(now, wall), by_itself=by_itself)

    def _is_evidence_due(self, now: float, wall: float) -> bool:
        """Whether what is written says something else of what is withheld than what is so."""
        suppressed, written = self.suppressed, self._written
        if suppressed is None:
            return bool(written.withheld) and not self.found.is_open
        if written.hash != suppressed.hash:
            return True
        seconds = [one.confirmed(now) for _, _, one in self._suppression.withheld]
        return written.is_off(min(seconds), max(seconds), wall, self._policy.confirm_after)

    def _evidence(self, now: float, wall: float) -> Evidence:
        """All that there is. Until what was found is settled, what was known before stays known."""
        suppressed, written = self.suppressed, self._written
        names = list(self._guards)[:MOST_SOURCES]
        known = {} if self._is_alone else {name: self._guards[name].known for name in names}
        if self.found.is_open or self.found.guard is not None:
            known = {name: max(number, written.known.get(name, 0)) for name, number in known.items()}
        left = {name: [(wall - (now - at), n) for at, n in self._guards[name].left(now)] for name in names}
        since, at = self._let_through
        kept = Evidence(
            number=written.number + 1,
            at=round(wall),
            known=known,
            left={name: steps(times) for name, times in left.items() if times},
            allowed=since if 0.0 <= wall - at <= self._policy.window else 0.0,
        )
        if suppressed is None:
            if not self.found.is_open:
                return kept
            return msgspec.structs.replace(
                kept, since=written.since, hash=written.hash, counting=written.counting, withheld=written.withheld
            )
        return msgspec.structs.replace(
            kept,
            since=self._suppression.since,
            hash=suppressed.hash,
            counting=suppressed.until is not None,
            withheld=batches((identity, one.confirmed(now)) for identity, _, one in self._suppression.withheld),
        )
