"""What is told of the sources over time: each turn once. Pure."""

from __future__ import annotations

from extsync.engine.tidings import Tidings
from extsync.model import Backend, Observation, Outcome, several
from extsync.sources.holds import LastGood
from extsync.sources.part import HoldTimes
from tests.engine.support import A, B

TWO = Observation(Outcome.FOUND, (Backend(A), Backend(B)))
ONE = Observation(Outcome.FOUND, (Backend(A),))
EMPTY = Observation(Outcome.EMPTY)
ERROR = Observation(Outcome.ERROR, detail="time-out")


class Told:
    """One source ``c`` whose reports are told of as they come."""

    def __init__(self, hold: HoldTimes | None = None) -> None:
        self._last_good = LastGood(hold or HoldTimes())
        self._tidings = Tidings()

    def of(self, observation: Observation | None, now: float) -> list[str]:
        if observation is not None:
            self._last_good.observe(observation, now)
        self._last_good.advance(now)
        return list(self._tidings.tell({"c": self._last_good}, now))


def test_backends_that_will_leave_are_told_with_how_many_why_and_when() -> None:
    told = Told()
    assert told.of(TWO, 0.0) == []
    gone = Observation(Outcome.GONE, detail="live is gone from the catalog")
    assert told.of(gone, 10.0) == ["source 'c': live is gone from the catalog; its 2 backends leave in 30 s"]
    assert told.of(gone, 20.0) == []
    assert told.of(None, 40.0) == []


def test_the_time_that_is_left_is_told_in_plain_figures() -> None:
    told = Told(HoldTimes(nodata=86400.0, nx=1.25))
    told.of(ONE, 0.0)
    assert told.of(EMPTY, 1.04)[0].endswith("its backends leave in 86400 s")
    told.of(ONE, 2.0)
    assert told.of(Observation(Outcome.GONE), 3.0)[0].endswith("its backends leave in 1.2 s")


def test_without_a_hold_they_leave_now() -> None:
    told = Told(HoldTimes(nodata=0.0))
    told.of(ONE, 0.0)
    assert told.of(EMPTY, 1.0) == ["source 'c': it says that it has no backends; its backends leave now"]


def test_a_source_that_is_back_is_told_of_whether_they_left_or_not() -> None:
    told = Told()
    told.of(ONE, 0.0)
    for began in (10.0, 100.0):
        assert len(told.of(EMPTY, began)) == 1
        assert told.of(None, began + 40.0) == []
        assert told.of(ONE, began + 50.0) == ["source 'c': it has backends again"]


def test_a_source_that_had_none_so_far_is_no_news() -> None:
    told = Told()
    assert told.of(EMPTY, 0.0) == []
    assert told.of(ONE, 100.0) == []


def test_a_failure_is_told_by_others_and_its_end_here() -> None:
    told = Told()
    told.of(ONE, 0.0)
    assert told.of(ERROR, 1.0) == []
    assert told.of(ONE, 2.0) == ["source 'c' answers again"]
    assert told.of(ONE, 3.0) == []


def test_of_several_questions_each_is_told_by_its_name() -> None:
    told = Told()
    told.of(several([("a A", TWO), ("a AAAA", EMPTY), ("b A", ONE)]), 0.0)
    gone = Observation(Outcome.GONE, detail="NXDOMAIN")
    lines = told.of(several([("a A", TWO), ("a AAAA", EMPTY), ("b A", gone)]), 1.0)
    assert lines == ["source 'c': b A: NXDOMAIN; its backends leave in 30 s"]
    lines = told.of(several([("a A", TWO), ("a AAAA", EMPTY), ("b A", ONE)]), 2.0)
    assert lines == ["source 'c': b A has backends again"]
