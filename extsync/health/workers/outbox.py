"""What a worker has yet to be told: at most one entry for each target, however often that changes."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import islice
from typing import Any, Final

from extsync.health.workers.ledger import Entry, Ledger
from extsync.health.workers.wire import Order, packed

BATCH: Final = 512
"""Targets in one order: some milliseconds of work for the worker."""

BATCH_BYTES: Final = 1 << 20
"""Bytes of new rules in one order after which it goes out."""

FIRST_RETRY: Final = 5
LONGEST_RETRY: Final = 300
"""Beats until a worker is given once more what it has not taken: doubled each time up to the longest."""


class Outbox:
    """Makes orders from a ledger. It notes down ids only; what is sent is what the ledger has by then."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._process = 0
        self._pending: dict[Hashable, bool] = {}  # whether the worker must first forget what it has under that id
        self._known: set[int] = set()
        self._refused: set[int] = set()
        self._retired: list[int] = []
        self._wait = self._beats_left = FIRST_RETRY

    def __bool__(self) -> bool:
        return bool(self._pending or self._retired)

    def begin(self) -> None:
        """There is a new worker, which has to be told everything."""
        self.clear()
        self._process += 1
        self._pending = dict.fromkeys(self._ledger, False)

    def clear(self) -> None:
        """The worker is gone."""
        self._pending.clear()
        self._known.clear()
        self._refused.clear()
        self._retired.clear()
        self._wait = self._beats_left = FIRST_RETRY

    def put(self, target: Hashable) -> None:
        """A target is new or changed."""
        self._pending.setdefault(target, False)

    def put_gone(self, target: Hashable, entry: Entry) -> None:
        """A target, which was ``entry``, is gone."""
        if entry.given == self._process:
            self._pending[target] = True
        elif not self._pending.get(target):  # the worker has never heard of it
            self._pending.pop(target, None)

    def put_retired(self, rule: int) -> None:
        """Nothing follows a rule any more."""
        if rule in self._known:
            self._known.remove(rule)
            self._refused.discard(rule)
            self._retired.append(rule)

    def refuse(self, rule: int) -> None:
        """The worker cannot use a rule: what needs it is not given to this worker until it is tried again."""
        if rule in self._known:
            self._refused.add(rule)

    def beat(self) -> None:
        """A beat is over. From time to time the worker is given once more what it has not taken.

        What was in its way may be gone, such as too many open files.
        """
        if not self._ledger.unprobed:
            self._wait = self._beats_left = FIRST_RETRY
            return
        self._beats_left -= 1
        if not self._beats_left:
            self._wait = self._beats_left = min(2 * self._wait, LONGEST_RETRY)
            self._retry()

    def _retry(self) -> None:
        self._known -= self._refused
        self._refused.clear()
        for target in self._ledger.unprobed:
            entry = self._ledger.get(target)
            if entry is not None and entry.given != self._process:
                self.put(target)

    def take(self) -> Order:
        """The next order."""
        order = Order([], [], [], self._retired)
        self._retired = []
        room = BATCH_BYTES
        for target in list(islice(self._pending, BATCH)):
            if self._pending.pop(target):
                order.removals.append(target)
            entry = self._ledger.get(target)
            if entry is not None:
                room -= self._add(order, target, entry)
            if room <= 0:
                break
        return order

    def _add(self, order: Order, target: Hashable, entry: Entry) -> int:
        """Adds a target to an order; returns how many bytes of rules that took."""
        if entry.fault or any(rule.number in self._refused for rule in entry.rules):
            self._ledger.set_aside(entry, entry.trouble)
            if entry.given == self._process:  # as it was before it changed
                order.removals.append(target)
                entry.given = 0
            return 0
        entry.resumed = entry.resumed or entry.given not in (0, self._process)
        entry.given = self._process
        size = 0
        for rule in entry.rules:
            if rule.number not in self._known:
                self._known.add(rule.number)
                order.rules.append((rule.number, rule.pickled))
                size += len(rule.pickled)
        order.upserts.append((entry.revision, _packed(entry)))
        return size


def _packed(entry: Entry) -> tuple[Any, ...]:
    sign = -1 if entry.resumed else 1  # without the initial delay: see Rule
    return packed(entry.target, tuple(sign * rule.number for rule in entry.rules))
