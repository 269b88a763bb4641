"""Guard: what a discovered source no longer names stays for a while, where so much at once looks like an accident.

A registry that was restored from an old copy, a filter with a typing error, an inventory that lost half of its rows:
all of them answer properly, and none of them means it. So for each source (static ones are declared intent):

1. A removal is compared with everything that the source had accepted within ``window``, and counts together with what
   left in that time, so that two steps of 45 % are one of 90 %. It is withheld where it is more than ``max_removal``
   of that and more than ``min_removals`` backends.
2. What is withheld is put back, and nothing else is touched: additions and changes of the same answer count.
3. A backend leaves all the same once the source has left it out for ``confirm_after`` seconds in which it could be
   believed, or where a person lets it. Then the comparison starts anew.
4. It leaves at once where so many of the others came back that what is left is no accident any more.

Pure: times are seconds of one monotonic clock and come in as parameters.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class GuardPolicy(msgspec.Struct, frozen=True):
    """When to withhold, see above. ``max_removal`` is a share of 1, and 1 turns the guard off."""

    max_removal: float = 0.5
    min_removals: int = 3
    window: float = 600.0
    confirm_after: float = 600.0


class Suppressed(msgspec.Struct, Generic[T], frozen=True):
    """A removal that is withheld: of what, out of how many, since when, and when it will confirm itself.

    ``confirmed_at`` is None while the source cannot be believed. ``hash`` names exactly this removal.
    """

    entries: tuple[T, ...]
    out_of: int
    since: float
    confirmed_at: float | None
    hash: str


class _Withheld(msgspec.Struct, Generic[T]):
    entry: T
    since: float
    confirmed: float = 0.0


class Guard(Generic[T]):
    """The guard of one source, whose backends ``key`` tells apart."""

    def __init__(self, policy: GuardPolicy, key: Callable[[T], Hashable]) -> None:
        self.policy = policy
        self._key = key
        self._accepted: dict[Hashable, T] = {}
        self._left: OrderedDict[Hashable, float] = OrderedDict()
        self._withheld: dict[Hashable, _Withheld[T]] = {}
        self._answer: tuple[T, ...] = ()
        self._result: tuple[T, ...] = ()
        self._looked: float | None = None
        self._believed = False

    def look(self, answer: tuple[T, ...], now: float, *, believed: bool) -> tuple[T, ...]:
        """The backends that count, where the source has ``answer``: that, and what may not leave yet behind it.

        ``believed``: its latest answer is a good one; time in which it is not confirms nothing. The result is the same
        object as the last one as long as nothing changes.
        """
        if self._withheld and self._believed and self._looked is not None:
            for withheld in self._withheld.values():
                withheld.confirmed += now - self._looked
        self._looked, self._believed = now, believed
        changed = answer is not self._answer and self._take(answer, now)
        changed = self._let_go(now) or changed
        if changed or answer is not self._answer:
            self._answer = answer
            kept = tuple(withheld.entry for withheld in self._withheld.values())
            self._result = answer + kept if kept else answer
        return self._result

    def allow(self, hash_: str) -> bool:
        """A person lets the removal of that hash through; returns whether there is one."""
        suppressed = self.suppressed
        if suppressed is None or suppressed.hash != hash_:
            return False
        for withheld in self._withheld.values():
            withheld.confirmed = self.policy.confirm_after
        return True

    @property
    def suppressed(self) -> Suppressed[T] | None:
        """What is withheld now, None where nothing is."""
        if not self._withheld or self._looked is None:
            return None
        withheld = self._withheld.values()
        least = min(one.confirmed for one in withheld)
        return Suppressed(
            entries=tuple(one.entry for one in withheld),
            out_of=len(self._accepted) + len(self._left),
            since=min(one.since for one in withheld),
            confirmed_at=self._looked + self.policy.confirm_after - least if self._believed else None,
            hash=_hash(self._withheld),
        )

    def due(self) -> float | None:
        """When ``look`` has something to do next although nothing was answered; None: never."""
        if not self._withheld or not self._believed or self._looked is None:
            return None
        return self._looked + self.policy.confirm_after - max(one.confirmed for one in self._withheld.values())

    def _take(self, answer: tuple[T, ...], now: float) -> bool:
        """Compares with what counted so far; returns whether something is withheld or no longer is."""
        named = {self._key(entry): entry for entry in answer}
        for key in named.keys() & self._withheld.keys():
            del self._withheld[key]
        for key in named.keys() & self._left.keys():
            del self._left[key]
        missing = {
            key: entry for key, entry in self._accepted.items() if key not in named and key not in self._withheld
        }
        self._accepted = named | {key: one.entry for key, one in self._withheld.items()} | missing
        if missing:
            self._forget_old(now)
            if self._is_accident(len(missing) + len(self._withheld)):
                self._withheld |= {key: _Withheld(entry, now) for key, entry in missing.items()}
            else:
                for key in missing:
                    self._leave(key, now)
        return True

    def _let_go(self, now: float) -> bool:
        """Removes what was left out for long enough, and everything where it is no accident any more."""
        if not self._withheld:
            return False
        confirmed = [key for key, one in self._withheld.items() if one.confirmed >= self.policy.confirm_after]
        for key in confirmed:
            self._leave(key, now)
        if confirmed:
            self._left.clear()
        self._forget_old(now)
        if self._withheld and not self._is_accident(len(self._withheld)):
            confirmed = list(self._withheld)
            for key in confirmed:
                self._leave(key, now)
        return bool(confirmed)

    def _is_accident(self, leaving: int) -> bool:
        removed, known = leaving + len(self._left), len(self._accepted) + len(self._left)
        return removed > self.policy.min_removals and removed > self.policy.max_removal * known

    def _leave(self, key: Hashable, now: float) -> None:
        self._accepted.pop(key, None)
        self._withheld.pop(key, None)
        self._left[key] = now
        self._left.move_to_end(key)

    def _forget_old(self, now: float) -> None:
        while self._left:
            key, at = next(iter(self._left.items()))
            if at > now - self.policy.window:
                return
            del self._left[key]


def _hash(keys: dict[Hashable, _Withheld[T]]) -> str:
    text = "\n".join(sorted(map(repr, keys)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
