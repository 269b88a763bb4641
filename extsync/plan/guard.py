"""Guard: what is no longer named stays for a while where so much of it at once looks like an accident. Pure.

A registry restored from an old copy, a filter with a typing error, an inventory that lost half of its rows: all of
them answer properly, and none of them means it. So for each source but static ones, which are declared intent:

1. What an answer leaves out counts together with what left within ``window``, as a share of everything that was there
   in that time, so that two steps of 45 % are one of 70 %. It is withheld where it is more than ``max_removal`` of
   that, and at least ``min_removals`` entries; a set that never had as many is too small for that, however often it
   changes. What the same answer names for the first time is no part of the whole,
   nor is what comes while something is withheld: other machines than those that were there do not stand for them.
2. What is withheld is put back, and nothing else is touched: additions and changes of the same answer count.
3. It leaves all the same once it was left out for ``confirm_after`` seconds in which the source was to be believed, or
   where a person lets it. Then the comparison starts anew.
4. It leaves sooner where the source is believed, so many of the others are back that the rest is no accident any more,
   and no more have come back for ``settle`` seconds: a registry that was wiped fills again one by one.

Times are seconds of one monotonic clock and come in as parameters.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class GuardPolicy(msgspec.Struct, frozen=True):
    """When to withhold, see above. ``max_removal`` is a share of 1, and 1 turns the guard off."""

    max_removal: float = 0.5
    min_removals: int = 3
    window: float = 600.0
    confirm_after: float = 600.0

    @property
    def settle(self) -> float:
        """Seconds after which what has not come back with the others is not expected any more."""
        return self.confirm_after / 5

    def is_accident(self, removed: int, out_of: int) -> bool:
        """Whether a removal of so many looks like one."""
        return removed >= self.min_removals and removed > self.max_removal * out_of


class Withheld(msgspec.Struct, Generic[T]):
    """An entry that may not leave yet, and since when. ``banked`` are the seconds that count for its removal already,
    to which those since ``counting_from`` come; that is None while its source is not to be believed."""

    entry: T
    since: float
    banked: float = 0.0
    counting_from: float | None = None

    def confirmed(self, now: float) -> float:
        """The seconds that count for its removal."""
        return self.banked + (0.0 if self.counting_from is None else now - self.counting_from)

    def leaves_at(self, confirm_after: float) -> float | None:
        """When it may leave if nothing changes; None while nothing counts."""
        return None if self.counting_from is None else self.counting_from + confirm_after - self.banked


class Guard(Generic[T]):
    """The guard of the entries of one source, which ``key`` tells apart.

    ``besides`` is how many more entries there are than the answers name: they are part of the whole, and never leave.
    """

    def __init__(self, policy: GuardPolicy, key: Callable[[T], Hashable], *, besides: int = 0) -> None:
        self.policy = policy
        self._key = key
        self._besides = besides
        self._accepted: dict[Hashable, T] = {}
        self._left: OrderedDict[Hashable, float] = OrderedDict()
        self._withheld: dict[Hashable, Withheld[T]] = {}
        self._young: set[Hashable] = set()
        self._back_at: float | None = None
        self._answer: tuple[T, ...] = ()
        self._believed = False
        self._before: list[tuple[float, int]] = []
        self._sizes: deque[tuple[float, int]] = deque()
        self.kept: tuple[T, ...] = ()
        """What is withheld; the same object as long as nothing changes."""

    @property
    def withheld(self) -> tuple[Withheld[T], ...]:
        """What is withheld, each with its times."""
        return tuple(self._withheld.values())

    @property
    def known(self) -> int:
        """How many entries there are, with those that are withheld."""
        return len(self._accepted) + self._besides

    @property
    def out_of(self) -> int:
        """The whole of which what leaves is a share: what is there, and what was within the window."""
        return self.known + self._gone - len(self._young)

    @property
    def _gone(self) -> int:
        """How many left within the window."""
        return len(self._left) + sum(number for _, number in self._before)

    @property
    def answer(self) -> tuple[T, ...]:
        """What was looked at last."""
        return self._answer

    def left(self, now: float) -> Iterator[tuple[float, int]]:
        """What left within the window, the oldest first: when, and how many at once."""
        self._forget_old(now)
        numbers = Counter(self._left.values())
        for at, number in self._before:
            numbers[at] += number
        yield from sorted(numbers.items())

    def remember_left(self, at: float, number: int) -> None:
        """``number`` of its entries left at that time, before this guard saw any of them."""
        if number > 0:
            self._before.append((at, number))

    def knows(self, answer: tuple[T, ...]) -> bool:
        """Whether a look at ``answer`` cannot find anything but what time has brought."""
        return answer is self._answer and not self._withheld

    def look(self, answer: tuple[T, ...], now: float, *, believed: bool) -> tuple[T, ...]:
        """What ``answer`` does not name and may not leave yet.

        ``believed``: the latest answer of the source is a good one; time in which it is not confirms nothing.
        """
        if believed is not self._believed:
            self._believed = believed
            for one in self._withheld.values():
                one.banked, one.counting_from = one.confirmed(now), now if believed else None
        if answer is not self._answer:
            self._take(answer, now)
        self._let_go(now)
        kept = tuple(one.entry for one in self._withheld.values())
        if kept != self.kept:
            self.kept = kept
        return self.kept

    def credit(self, seconds: Callable[[T], float]) -> None:
        """What is withheld was withheld before, and so many seconds count for the removal of each."""
        for one in self._withheld.values():
            one.banked += seconds(one.entry)

    def allow(self, now: float) -> None:
        """A person lets everything go that is withheld."""
        for key in list(self._withheld):
            self._leave(key, now)
        self._start_anew()
        self._young.clear()
        self.kept = ()

    def release(self, entry: T, now: float) -> None:
        """Where ``entry`` is withheld, it has left all the same: somebody else let it go."""
        if (key := self._key(entry)) in self._withheld:
            self._leave(key, now)
        self.kept = tuple(one.entry for one in self._withheld.values())

    def due(self) -> float | None:
        """When ``look`` has something to do next although nothing was answered; None: never."""
        if not self._withheld:
            return None
        times = [one.leaves_at(self.policy.confirm_after) for one in self._withheld.values()]
        left = [at for at, _ in self._before] + ([next(iter(self._left.values()))] if self._left else [])
        times += [at + self.policy.window for at in left]
        times.append(None if self._back_at is None else self._back_at + self.policy.settle)
        return min((time for time in times if time is not None), default=None)

    def _take(self, answer: tuple[T, ...], now: float) -> None:
        """Compares with what counted so far: what is missing is withheld, or leaves."""
        named = {self._key(entry): entry for entry in answer}
        before, self._accepted, self._answer = self._accepted, named, answer
        missing = {key: entry for key, entry in before.items() if key not in named and key not in self._withheld}
        if self._withheld or missing:
            self._young = (self._young & named.keys()) | (named.keys() - before.keys() - self._left.keys())
        if self._withheld or self._left:
            for key in named:
                if self._withheld.pop(key, None) is not None:
                    self._back_at = now
                self._left.pop(key, None)
        if self._withheld or missing:
            self._accepted = named | {key: one.entry for key, one in self._withheld.items()} | missing
        self._measure(len(self._accepted) - len(missing), now)
        self._forget_old(now)
        if missing and self._is_accident(len(missing) + len(self._withheld)):
            counting_from = now if self._believed else None
            self._withheld |= {key: Withheld(entry, now, 0.0, counting_from) for key, entry in missing.items()}
        else:
            for key in missing:
                self._leave(key, now)

    def _let_go(self, now: float) -> None:
        """Removes what was left out for long enough, and everything where it is no accident any more and no others are
        on their way back."""
        after = self.policy.confirm_after
        over = [
            key
            for key, one in self._withheld.items()
            if one.banked >= after or ((at := one.leaves_at(after)) is not None and at <= now)
        ]
        for key in over:
            self._leave(key, now)
        if over:
            self._start_anew()
        self._forget_old(now)
        if self._back_at is not None and now >= self._back_at + self.policy.settle:
            self._back_at = None
        if self._believed and self._back_at is None and not self._is_accident(len(self._withheld)):
            for key in list(self._withheld):
                self._leave(key, now)
        if not self._withheld:
            self._young.clear()
            self._back_at = None

    def _is_accident(self, leaving: int) -> bool:
        removed = leaving + self._gone
        largest = self._sizes[0][1] + self._gone - len(self._left) if self._sizes else 0
        return largest >= self.policy.min_removals and self.policy.is_accident(removed, self.out_of)

    def _measure(self, size: int, now: float) -> None:
        """Keeps the sizes since which none was as large: the first of them is the largest within the window."""
        while self._sizes and self._sizes[-1][1] <= size:
            self._sizes.pop()
        self._sizes.append((now, size))
        while len(self._sizes) > 1 and self._sizes[1][0] <= now - self.policy.window:
            self._sizes.popleft()

    def _start_anew(self) -> None:
        self._left.clear()
        self._before.clear()
        self._sizes.clear()
        self._sizes.append((float("-inf"), len(self._accepted)))

    def _leave(self, key: Hashable, now: float) -> None:
        self._accepted.pop(key, None)
        self._withheld.pop(key, None)
        self._left[key] = now
        self._left.move_to_end(key)

    def _forget_old(self, now: float) -> None:
        oldest = now - self.policy.window
        self._before = [one for one in self._before if one[0] > oldest]
        while self._left:
            key, at = next(iter(self._left.items()))
            if at > oldest:
                return
            del self._left[key]
