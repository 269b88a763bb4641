"""Checks are pickled once, forgotten when nothing uses them, and one that cannot be sent is told of once."""

from __future__ import annotations

from extsync.health.target import Probe, Timing
from extsync.health.workers.rules import LIMIT, Rule, Rules, load
from tests.health.support import HOST, http, tcp
from tests.health.workers.checks import Plain, Unpicklable

TIMING = Timing()


class Told:
    def __init__(self) -> None:
        self.faults: list[Rule] = []
        self.retired: list[int] = []
        self.rules = Rules(on_fault=self.faults.append, on_retired=self.retired.append)


def test_probes_of_the_same_check_and_timing_have_one_rule() -> None:
    told, check = Told(), http()
    one = told.rules.acquire(Probe(check, TIMING, HOST, 80), "a")
    assert told.rules.acquire(Probe(check, Timing(), "192.0.2.2", 81), "b") is one
    assert told.rules.acquire(Probe(check, Timing(period=3.0), HOST, 80), "c") is not one
    assert load(one.pickled) == (check, TIMING)


def test_a_rule_that_nobody_uses_any_more_is_retired_and_its_number_never_used_again() -> None:
    told = Told()
    probe = Probe(tcp(), TIMING, HOST, 80)
    first = told.rules.acquire(probe, "a")
    told.rules.acquire(probe, "b")
    told.rules.release(first)
    assert told.retired == []
    told.rules.release(first)
    assert told.retired == [first.number]
    assert len(told.rules) == 0
    assert told.rules.acquire(probe, "a").number > first.number


def test_a_check_that_cannot_be_pickled_is_told_of_once() -> None:
    told = Told()
    probe = Probe(Unpicklable(), TIMING, HOST, 80)
    rule = told.rules.acquire(probe, "a")
    told.rules.acquire(probe, "b")
    assert told.faults == [rule]
    assert "TypeError" in rule.fault
    assert rule.example == "a"


def test_a_check_that_is_far_too_large_is_not_sent() -> None:
    told = Told()
    rule = told.rules.acquire(Probe(Plain("x" * LIMIT), TIMING, HOST, 80), "a")
    assert told.faults == [rule]
    assert "bytes" in rule.fault


def test_a_rule_that_workers_cannot_use_is_told_of_once_for_each_reason_and_not_where_it_is_gone() -> None:
    told = Told()
    rule = told.rules.acquire(Probe(Plain(), TIMING, HOST, 80), "a")
    told.rules.refuse(rule.number, "OSError: too many open files")
    told.rules.refuse(rule.number, "ImportError: gone")
    told.rules.refuse(rule.number, "ImportError: gone")
    told.rules.refuse(rule.number + 1, "ImportError: gone")
    assert told.faults == [rule, rule]
    assert rule.fault == ""
    assert rule.trouble == (
        "the check tests.health.workers.checks.Plain cannot be used in a worker process: ImportError: gone"
    )
