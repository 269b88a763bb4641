"""A timer wheel: very many timers at the price of one.

Timers are sorted into slots of 10 ms. A slot is a list, made when the first item enters it, and a heap orders the
slots (not the items), so that scheduling costs an append and nothing is paid for slots that are empty: the wheel sleeps
until the next occupied one, however far away it is. Rescheduling and cancelling leave a stale entry behind, which its
slot's turn drops; where stale entries outnumber the others they are swept out, so that memory stays in proportion.

After Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987), with a heap of slots in place of the ring.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final, Generic, Protocol, TypeVar

from extsync.seams import Clock, Timer

TICKS_PER_SECOND: Final = 100

IDLE: Final = -1
"""The ``due`` of an item that is not on the wheel."""

_SLACK: Final = 1e-4  # of a tick: what floating point may lose between a timer's delay and the time it fires at
_NEVER: Final = 1 << 62
_SWEEP_FROM: Final = 1024


class Timed(Protocol):
    """What can be put on a wheel; the wheel alone writes ``due``, the tick at which the item is due, or IDLE."""

    due: int


T = TypeVar("T", bound=Timed)


def tick_at(seconds: float) -> int:
    """The tick that is reached at ``seconds`` of the monotonic clock."""
    return int(seconds * TICKS_PER_SECOND + _SLACK)


def tick_after(seconds: float) -> int:
    """The first tick that is not before ``seconds`` of the monotonic clock."""
    return int(seconds * TICKS_PER_SECOND + 1 - _SLACK)


def ticks(seconds: float) -> int:
    """A duration in whole ticks, at least one."""
    return max(1, round(seconds * TICKS_PER_SECOND))


class Wheel(Generic[T]):
    """Calls ``on_due()`` when items are due, which takes them with ``take``; for what it leaves it is called again."""

    def __init__(self, clock: Clock, on_due: Callable[[], None]) -> None:
        self._clock = clock
        self._on_due = on_due
        self._slots: dict[int, list[T]] = {}
        self._order: list[int] = []
        self._live = 0
        self._stale = 0
        self._timer: Timer | None = None
        self._armed = _NEVER

    def __len__(self) -> int:
        return self._live

    def schedule(self, item: T, tick: int) -> None:
        """Makes ``item`` due at ``tick``, instead of when it was due before."""
        if item.due == IDLE:
            self._live += 1
        else:
            self._stale += 1
        item.due = tick
        slot = self._slots.get(tick)
        if slot is None:
            self._slots[tick] = [item]
            heappush(self._order, tick)
            if tick < self._armed:
                self._arm()
        else:
            slot.append(item)
        if self._stale > self._live + _SWEEP_FROM:
            self._sweep()

    def cancel(self, item: T) -> None:
        """Takes ``item`` off the wheel, if it is on it."""
        if item.due != IDLE:
            item.due = IDLE
            self._live -= 1
            self._stale += 1

    def take(self, now: int, limit: int) -> tuple[int, list[T]] | None:
        """Takes off at most ``limit`` items of the first slot that is due at tick ``now``; returns its tick and them.

        None where no slot is due. The list may be empty, where all of a slot's items were moved or cancelled.
        """
        if not self._order or self._order[0] > now:
            return None
        tick = self._order[0]
        slot = self._slots[tick]
        if len(slot) <= limit:
            heappop(self._order)
            del self._slots[tick]
        else:
            self._slots[tick] = slot[limit:]
            del slot[limit:]
        taken: list[T] = []
        for item in slot:
            if item.due == tick:
                item.due = IDLE
                taken.append(item)
        self._live -= len(taken)
        self._stale -= len(slot) - len(taken)
        return tick, taken

    def close(self) -> None:
        """Stops calling; what is on the wheel is dropped."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._armed = -1  # nothing is before it, so that nothing arms the wheel again
        self._slots.clear()
        self._order.clear()

    def _ring(self) -> None:
        # While this is set, what on_due schedules does not arm the timer, which would be for nothing.
        self._armed = -1
        self._timer = None
        try:
            self._on_due()
        finally:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._order:
            self._timer, self._armed = None, _NEVER
            return
        self._armed = self._order[0]
        delay = max(0.0, self._armed / TICKS_PER_SECOND - self._clock.monotonic())
        self._timer = self._clock.call_later(delay, self._ring)

    def _sweep(self) -> None:
        kept: dict[int, list[T]] = {}
        for tick, slot in self._slots.items():
            # An item that was moved away and back has two entries in one slot; the dict keeps one, in order.
            live = [item for item in {id(item): item for item in slot}.values() if item.due == tick]
            if live:
                kept[tick] = live
        self._slots = kept
        self._order = list(kept)
        heapify(self._order)
        self._stale = 0
