"""Orders: everything once, in pieces that a worker gets through quickly."""

from __future__ import annotations

from extsync.health.base import Check
from extsync.health.target import Probe, Target, Timing
from extsync.health.workers.ledger import Ledger, News
from extsync.health.workers.outbox import BATCH, Outbox
from extsync.health.workers.rules import Rules
from extsync.health.workers.wire import Order
from tests.health.support import HOST, TCP
from tests.health.workers.checks import Plain, Unpicklable


class Desk:
    """A ledger, and the outbox for a worker that has just begun."""

    def __init__(self) -> None:
        rules = Rules(on_fault=lambda rule: None, on_retired=lambda number: self.outbox.put_retired(number))
        self.ledger = Ledger(rules, News(lambda: None))
        self.outbox = Outbox(self.ledger)
        self.outbox.begin()

    def put(self, name: str, check: Check = TCP) -> None:
        self.ledger.put(Target(name, (Probe(check, Timing(), HOST, 80),)))
        self.outbox.put(name)

    def drop(self, name: str) -> None:
        entry = self.ledger.drop(name)
        assert entry is not None
        self.outbox.put_gone(name, entry)

    def orders(self) -> list[Order]:
        """All that there are now."""
        orders = []
        while self.outbox:
            orders.append(self.outbox.take())
        return orders


def upserts(order: Order) -> list[str]:
    return [fields[0] for _, fields in order.upserts]


def test_many_targets_go_in_orders_of_a_batch_and_their_check_in_the_first() -> None:
    desk = Desk()
    for number in range(BATCH + 1):
        desk.put(f"t{number}")
    first, second = desk.orders()
    assert (len(first.upserts), len(second.upserts)) == (BATCH, 1)
    assert (len(first.rules), len(second.rules)) == (1, 0)


def test_checks_that_are_large_go_in_more_orders() -> None:
    desk = Desk()
    for number in range(4):
        desk.put(f"t{number}", Plain(str(number) * 600_000))
    assert [upserts(order) for order in desk.orders()] == [["t0", "t1"], ["t2", "t3"]]


def test_changes_to_one_target_before_it_is_sent_are_one() -> None:
    desk = Desk()
    for word in ("one", "two", "three"):
        desk.put("a", Plain(word))
    [order] = desk.orders()
    assert upserts(order) == ["a"]
    assert len(order.rules) == 1


def test_of_a_target_that_leaves_before_it_is_sent_nothing_is_said() -> None:
    desk = Desk()
    desk.put("a")
    desk.drop("a")
    assert desk.orders() == []


def test_a_target_that_was_sent_left_came_back_and_left_again_is_removed() -> None:
    desk = Desk()
    desk.put("a")
    desk.orders()
    desk.drop("a")
    desk.put("a")
    desk.drop("a")
    [order] = desk.orders()
    assert (order.removals, order.upserts) == (["a"], [])


def test_a_target_that_gets_a_check_which_cannot_be_sent_is_removed() -> None:
    desk = Desk()
    desk.put("a")
    desk.orders()
    desk.put("a", Unpicklable())
    [order] = desk.orders()
    assert (order.removals, order.upserts) == (["a"], [])
    desk.drop("a")
    assert desk.orders() == []


def test_a_new_worker_is_told_everything_again() -> None:
    desk = Desk()
    desk.put("a")
    desk.put("b")
    [first] = desk.orders()
    desk.outbox.clear()
    desk.drop("b")
    desk.outbox.clear()
    desk.outbox.begin()
    [second] = desk.orders()
    assert upserts(second) == ["a"]
    assert second.rules == first.rules
