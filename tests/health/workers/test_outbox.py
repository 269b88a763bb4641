"""Orders: everything once, in pieces that a worker gets through quickly."""

from __future__ import annotations

from extsync.health.base import Check
from extsync.health.target import Probe, Target, Timing
from extsync.health.workers.ledger import Ledger, News
from extsync.health.workers.outbox import BATCH, FIRST_RETRY, LONGEST_RETRY, Outbox
from extsync.health.workers.rules import Rules
from extsync.health.workers.wire import Order, Report
from extsync.model import Health, Verdict
from tests.health.support import HOST, TCP
from tests.health.workers.checks import Plain, Unpicklable


class Desk:
    """A ledger, and the outbox for a worker that has just begun."""

    def __init__(self) -> None:
        self.rules = Rules(on_fault=lambda rule: None, on_retired=lambda number: self.outbox.put_retired(number))
        self.ledger = Ledger(self.rules, News(lambda: None))
        self.outbox = Outbox(self.ledger)
        self.outbox.begin()

    def put(self, name: str, check: Check = TCP) -> None:
        self.ledger.put(Target(name, (Probe(check, Timing(), HOST, 80),)))
        self.outbox.put(name)

    def drop(self, name: str) -> None:
        entry = self.ledger.drop(name)
        assert entry is not None
        self.outbox.put_gone(name, entry)

    def rule(self, name: str) -> int:
        """The number of the rule that a target follows."""
        entry = self.ledger.get(name)
        assert entry is not None
        return entry.rules[0].number

    def says(self, name: str) -> None:
        """The worker has probed a target."""
        entry = self.ledger.get(name)
        assert entry is not None
        self.ledger.hear(Report([((name, entry.revision), Verdict(Health.HEALTHY, 1.0, "passed"))], []))

    def refuse(self, rule: int, *targets: str) -> None:
        """The worker cannot use a rule, nor take these targets, which it had been given before it could say so."""
        self.outbox.refuse(rule)
        self.rules.refuse(rule, "OSError: too many open files")
        for target in targets:
            entry = self.ledger.get(target)
            assert entry is not None
            self.ledger.refuse((target, entry.revision), "")

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


def test_what_a_worker_has_refused_is_given_to_it_again_ever_more_seldom() -> None:
    desk = Desk()
    desk.put("a")
    desk.put("sound", Plain())
    [order] = desk.orders()
    number = order.rules[0][0]
    desk.refuse(number, "a")
    desk.put("b")
    assert [upserts(order) for order in desk.orders()] == [[]]
    assert "too many open files" in desk.ledger.verdict("b").reason
    beats = []
    for beat in range(1, 1000):
        desk.outbox.beat()
        for order in desk.orders():
            assert ([number for number, _ in order.rules], upserts(order)) == ([number], ["a", "b"])
            desk.refuse(number, "a", "b")
            beats.append(beat)
    assert beats == [5, 15, 35, 75, 155, 315, 615, 915]


def test_what_a_worker_has_used_in_the_end_is_not_sent_again() -> None:
    desk = Desk()
    desk.put("a")
    [order] = desk.orders()
    desk.refuse(order.rules[0][0], "a")
    for _ in range(FIRST_RETRY):
        desk.outbox.beat()
    [order] = desk.orders()
    desk.says("a")
    for _ in range(LONGEST_RETRY):
        desk.outbox.beat()
    assert desk.orders() == []
    desk.put("b", Plain())
    desk.orders()
    desk.refuse(desk.rule("b"), "b")
    for _ in range(FIRST_RETRY):  # and another time it is as it was the first time
        desk.outbox.beat()
    assert [upserts(order) for order in desk.orders()] == [["b"]]


def test_the_next_worker_is_given_at_once_what_the_one_before_refused() -> None:
    desk = Desk()
    desk.put("a")
    [order] = desk.orders()
    desk.refuse(order.rules[0][0], "a")
    desk.outbox.begin()
    [order] = desk.orders()
    assert (len(order.rules), upserts(order)) == (1, ["a"])


def test_a_refused_rule_that_nothing_follows_any_more_is_forgotten_with_its_targets() -> None:
    desk = Desk()
    desk.put("a")
    [order] = desk.orders()
    number = order.rules[0][0]
    desk.refuse(number, "a")
    desk.drop("a")
    assert [order.retired for order in desk.orders()] == [[number]]
    for _ in range(LONGEST_RETRY):
        desk.outbox.beat()
    assert desk.orders() == []


def test_a_target_whose_worker_has_it_and_that_gets_a_refused_check_is_taken_from_that() -> None:
    desk = Desk()
    desk.put("a")
    desk.put("b", check := Plain())
    [order] = desk.orders()
    desk.refuse(desk.rule("b"), "b")
    desk.put("a", check)
    [order] = desk.orders()
    assert (order.removals, upserts(order)) == (["a"], [])
