"""The guard of what was found published after a start and no source names: whose it was is not known. Pure.

What a source had that another one replaces in the manifest is found in the same way.

Its whole is what was found published of the sources that are guarded. Where the evidence says how many backends each
source had, it is an accident only where one of them has too few by now, and the whole is that one's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from extsync.model import Endpoint
from extsync.plan.guard import Guard, GuardPolicy
from extsync.plan.suppressed import text_of


class Had(msgspec.Struct, frozen=True):
    """One guarded source: how many backends it has now, how many of these are published, and how many it had by the
    evidence (None: that does not say), with what left it before, when and how many at once."""

    now: int
    published: int
    before: int | None
    left: Sequence[tuple[float, int]]

    @property
    def lost(self) -> int:
        """How many more it had than it has."""
        return 0 if self.before is None else max(0, self.before - self.now)

    def has_too_few(self, policy: GuardPolicy) -> bool:
        """Whether what it lost looks like an accident."""
        gone = sum(number for _, number in self.left)
        return self.before is not None and policy.is_accident(self.lost + gone, self.before + gone)


class Found:
    """What was found at the start, and what of it may not leave yet. ``is_open``: it has yet to be judged."""

    def __init__(self) -> None:
        self.is_open = True
        self.guard: Guard[Endpoint] | None = None
        self._at_first: tuple[Endpoint, ...] = ()
        self._now: tuple[Endpoint, ...] = ()

    def judge(
        self,
        found: tuple[Endpoint, ...],
        sources: Mapping[str, Had],
        policy: GuardPolicy,
        now: float,
        *,
        believed: bool,
        credit: Callable[[Endpoint], float],
    ) -> int:
        """Judges ``found`` once every source has spoken; returns how many leave at once.

        ``credit`` are the seconds that count already for the removal of each.
        """
        withholds, self.guard = self.guard is not None, None
        self.is_open = False
        self._at_first = self._now = found
        judged = _judged(sources, policy) if found else []
        if not judged:
            return min(len(found), max((one.lost for one in sources.values()), default=0))
        guard = self.guard = Guard(policy, _key, besides=0 if withholds else sum(one.published for one in judged))
        for one in judged:
            for at, number in one.left:
                guard.remember_left(at, number)
        guard.look(found, now, believed=believed)
        guard.look((), now, believed=believed)
        guard.credit(credit)
        return 0

    def look(self, found: tuple[Endpoint, ...], now: float, *, believed: bool) -> int:
        """Looks at what is left of what was found; returns how many leave now without having been confirmed."""
        guard = self.guard
        if guard is None:
            return 0
        answer = guard.answer
        if found is not self._now:
            self._now, stays = found, frozenset(found)
            answer = tuple(endpoint for endpoint in self._at_first if endpoint not in stays)
        guard.look(answer, now, believed=believed)
        if guard.kept:
            return 0
        self.guard = None
        return sum(number for at, number in guard.left(now) if at == now)

    @property
    def kept(self) -> tuple[Endpoint, ...]:
        """What may not leave yet."""
        return () if self.guard is None else self.guard.kept


def _judged(sources: Mapping[str, Had], policy: GuardPolicy) -> list[Had]:
    """The sources whose it may have been, if that may be an accident: all of them, or the one that lost the most."""
    each = list(sources.values())
    if any(one.before is None for one in each):
        return each
    too_few = [one for one in each if one.has_too_few(policy)]
    return [max(too_few, key=lambda one: one.lost)] if too_few else []


def _key(endpoint: Endpoint) -> str:
    return text_of(endpoint.identity)
