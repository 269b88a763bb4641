"""What the pool believes: verdicts outlive workers, and nothing is taken for what it is not."""

from __future__ import annotations

import pytest

from extsync.health.target import Probe, Sign, Target, Timing
from extsync.health.workers.ledger import Ledger, News
from extsync.health.workers.rules import Rules
from extsync.health.workers.wire import Report
from extsync.model import UNKNOWN, Health, Verdict
from tests.health.support import HOST, TCP, http

TIMING = Timing(period=10.0, timeout=1.0)
CONNECTS, ANSWERS, THIRD = (Probe(check, TIMING, HOST, 80) for check in (TCP, http(), http(path="/ready")))
UP = Verdict(Health.HEALTHY, 100.0, "passed")
DOWN = Verdict(Health.UNHEALTHY, 200.0, "connection refused")


class Book:
    """A ledger with the target "a" in it."""

    def __init__(self, *probes: Probe) -> None:
        self.wakes = 0
        self.news = News(self._wake)
        self.ledger = Ledger(Rules(on_fault=lambda rule: None, on_retired=lambda number: None), self.news)
        self.put(*(probes or (CONNECTS,)))
        self.take_up()

    def put(self, *probes: Probe) -> bool:
        return self.ledger.put(Target("a", probes))

    @property
    def revision(self) -> int:
        entry = self.ledger.get("a")
        assert entry is not None
        return entry.revision

    def says(self, *verdicts: Verdict, revision: int | None = None) -> None:
        given = ("a", self.revision if revision is None else revision)
        for verdict in verdicts:
            self.ledger.hear(Report([(given, verdict)], []))

    def signs(self, *, failing: bool, was_healthy: bool = False) -> None:
        self.ledger.hear(Report([], [(("a", self.revision), Sign(failing, was_healthy))]))

    def resume(self) -> None:
        """Its worker is replaced."""
        entry = self.ledger.get("a")
        assert entry is not None
        entry.resumed = True
        entry.given += 1

    def refuse(self, fault: str = "") -> bool:
        """Its worker cannot take it."""
        return self.ledger.refuse(("a", self.revision), fault)

    def take_up(self) -> None:
        """The same worker gets it once more."""
        entry = self.ledger.get("a")
        assert entry is not None
        entry.given = 1

    def drained(self) -> list[Verdict]:
        return [verdict for _, verdict in self.news.drain()]

    def _wake(self) -> None:
        self.wakes += 1


def test_a_change_of_verdict_is_news_once_and_wakes_once_until_it_is_drained() -> None:
    book = Book()
    book.says(UP, DOWN)
    assert book.wakes == 1
    assert book.drained() == [DOWN]
    assert book.drained() == []
    book.says(UP)
    assert book.wakes == 2


def test_the_same_verdict_of_another_worker_is_no_news_and_as_old_as_it_was() -> None:
    book = Book()
    book.says(UP)
    book.drained()
    book.says(Verdict(Health.HEALTHY, 300.0, "passed again"))
    assert book.drained() == []
    assert book.ledger.verdict("a") == Verdict(Health.HEALTHY, 100.0, "passed again")


@pytest.mark.parametrize("known", [UP, DOWN])
def test_a_worker_that_knows_nothing_yet_changes_nothing(known: Verdict) -> None:
    book = Book()
    book.says(known)
    book.drained()
    book.says(Verdict(Health.UNKNOWN, 300.0, "too few results yet"))
    assert book.drained() == []
    assert book.ledger.verdict("a") == known


def test_a_verdict_that_becomes_stale_or_ceases_to_be_is_news() -> None:
    book = Book()
    stale = Verdict(Health.HEALTHY, 100.0, "passed", stale=True)
    book.says(UP, stale)
    assert (book.drained(), book.ledger.stale) == ([stale], 1)
    book.says(UP)
    assert (book.drained(), book.ledger.stale) == ([UP], 0)
    book.says(stale)
    book.ledger.drop("a")
    assert book.ledger.stale == 0


def test_a_new_worker_that_cannot_probe_either_makes_a_verdict_stale_and_nothing_else() -> None:
    book = Book()
    book.says(UP)
    book.says(Verdict(Health.UNKNOWN, 300.0, "too few results yet", stale=True))
    assert book.ledger.verdict("a") == Verdict(Health.HEALTHY, 100.0, "passed", stale=True)


def test_without_a_worker_for_three_periods_and_the_time_out_verdicts_are_stale() -> None:
    book = Book()
    book.ledger.age(31.5)
    assert book.drained() == []  # there is no verdict to be stale
    book.says(UP)
    book.drained()
    book.ledger.age(31.0)
    assert book.drained() == []
    book.ledger.age(31.5)
    assert [verdict.stale for verdict in book.drained()] == [True]


def test_a_target_that_no_worker_takes_keeps_its_verdict_says_why_and_is_stale_after_that_time() -> None:
    book = Book()
    book.says(UP)
    assert book.refuse("OSError: too many open files")
    assert not book.refuse("OSError: too many open files")
    assert book.ledger.verdict("a") == Verdict(Health.HEALTHY, 100.0, "OSError: too many open files")
    book.drained()
    for seconds in (1000.0, 1031.0):
        book.ledger.age_unprobed(seconds)
    assert book.drained() == []
    book.ledger.age_unprobed(1031.5)
    assert [verdict.stale for verdict in book.drained()] == [True]
    book.says(UP)
    assert book.ledger.verdict("a") == UP
    assert book.ledger.unprobed == {}


def test_other_probes_are_no_evidence_either_and_nobody_has_said_that_they_cannot_be_used() -> None:
    book = Book(CONNECTS, ANSWERS)
    book.says(UP)
    book.refuse("OSError: too many open files")
    book.ledger.age_unprobed(1000.0)
    book.put(CONNECTS)
    assert book.ledger.verdict("a") == UP
    book.ledger.age_unprobed(1031.5)
    assert book.ledger.verdict("a").stale


def test_what_a_worker_could_not_take_in_an_earlier_revision_or_what_has_left_is_of_no_interest() -> None:
    book = Book()
    before = book.revision
    book.put(ANSWERS)
    assert not book.ledger.refuse(("a", before), "OSError: too many open files")
    book.refuse("OSError: too many open files")
    book.ledger.drop("a")
    assert not book.ledger.refuse(("a", before), "OSError: too many open files")
    book.ledger.age_unprobed(1000.0)
    assert book.ledger.unprobed == {}


def test_the_same_probes_again_are_nothing_new() -> None:
    book = Book(CONNECTS, ANSWERS)
    assert not book.put(CONNECTS, ANSWERS)
    assert book.put(CONNECTS)


def test_what_was_said_of_other_probes_is_void() -> None:
    book = Book()
    before = book.revision
    book.put(ANSWERS)
    book.says(UP, revision=before)
    assert book.ledger.verdict("a") == UNKNOWN
    book.says(UP)
    assert book.ledger.verdict("a") == UP


def test_what_was_said_of_a_target_that_left_is_void_for_one_of_the_same_name() -> None:
    book = Book()
    before = book.revision
    book.says(UP)
    book.ledger.drop("a")
    assert book.drained() == []
    book.put(CONNECTS)
    book.says(UP, revision=before)
    assert book.ledger.verdict("a") == UNKNOWN


def test_a_target_with_none_of_its_probes_left_is_unknown_at_once() -> None:
    for known in (UP, DOWN):
        book = Book()
        book.says(known)
        book.drained()
        book.put(ANSWERS)
        assert book.ledger.verdict("a") == UNKNOWN
        assert book.drained() == [UNKNOWN]


def test_a_healthy_target_with_one_more_probe_is_unknown_at_once_and_with_one_less_as_it_was() -> None:
    book = Book(CONNECTS, ANSWERS)
    book.says(UP)
    book.drained()
    book.put(CONNECTS)
    assert book.drained() == []
    assert book.ledger.verdict("a") == UP
    book.put(CONNECTS, THIRD)
    assert book.drained() == [UNKNOWN]


def test_of_an_unhealthy_target_with_other_probes_the_worker_decides() -> None:
    book = Book(CONNECTS, ANSWERS)
    book.says(DOWN)
    book.put(CONNECTS, THIRD)
    assert book.ledger.verdict("a") == DOWN
    unknown = Verdict(Health.UNKNOWN, 300.0, "too few results yet")
    book.says(unknown)
    assert book.ledger.verdict("a") == unknown


def test_a_sign_is_news_once() -> None:
    book = Book()
    book.signs(failing=True, was_healthy=True)
    book.signs(failing=True, was_healthy=True)
    assert book.wakes == 1
    assert book.news.drain_signs() == [("a", Sign(failing=True, was_healthy=True))]
    book.signs(failing=False)
    assert book.news.drain_signs() == [("a", Sign(failing=False, was_healthy=False))]
    assert book.news.drain_signs() == []


def test_a_failure_under_one_worker_that_has_passed_under_the_next_is_over() -> None:
    book = Book()
    book.says(UP)
    book.signs(failing=True, was_healthy=True)
    book.news.drain_signs()
    book.resume()
    book.says(Verdict(Health.HEALTHY, 300.0, "passed"))
    assert book.news.drain_signs() == [("a", Sign(failing=False, was_healthy=True))]


def test_a_worker_that_says_that_a_stale_verdict_is_confirmed_does_not_end_the_failure_it_has_told_of() -> None:
    for sign_first in (True, False):  # the first result after a suspend is a failure: both are of the same moment
        book = Book()
        book.says(UP, Verdict(Health.HEALTHY, 100.0, "passed", stale=True))
        if sign_first:
            book.signs(failing=True, was_healthy=True)
        book.says(UP)
        if not sign_first:
            book.signs(failing=True, was_healthy=True)
        assert book.news.drain_signs() == [("a", Sign(failing=True, was_healthy=True))]
        book.signs(failing=False, was_healthy=True)
        assert book.news.drain_signs() == [("a", Sign(failing=False, was_healthy=True))]


def test_a_failure_that_lasts_under_the_next_worker_is_no_news_and_not_over() -> None:
    book = Book()
    book.says(UP)
    book.signs(failing=True, was_healthy=True)
    book.news.drain_signs()
    book.resume()
    book.signs(failing=True)
    book.says(Verdict(Health.HEALTHY, 300.0, "passed"))
    assert book.news.drain_signs() == []


def test_a_failure_under_a_worker_that_could_not_take_the_target_later_on_is_over_once_it_passes() -> None:
    book = Book()
    book.says(UP)
    book.signs(failing=True, was_healthy=True)
    book.news.drain_signs()
    book.refuse("OSError: too many open files")
    book.take_up()
    book.says(Verdict(Health.HEALTHY, 300.0, "passed"))
    assert book.news.drain_signs() == [("a", Sign(failing=False, was_healthy=True))]


def test_a_target_that_was_healthy_under_the_last_worker_begins_to_fail_as_a_healthy_one() -> None:
    book = Book()
    book.says(UP)
    book.resume()
    book.signs(failing=True, was_healthy=False)  # for the new worker it is unknown
    assert book.news.drain_signs() == [("a", Sign(failing=True, was_healthy=True))]


def test_a_target_that_leaves_takes_its_news_with_it() -> None:
    book = Book()
    book.says(UP)
    book.signs(failing=True)
    book.ledger.drop("a")
    assert book.drained() == []
    assert book.news.drain_signs() == []
    assert book.ledger.drop("a") is None
    assert len(book.ledger) == 0
