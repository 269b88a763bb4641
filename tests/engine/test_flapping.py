"""Sources that change again and again: told of in numbers, and at last how they stand. Pure."""

from __future__ import annotations

from extsync.engine.flapping import MOST, STEADY, WITHIN, Flapping
from extsync.model import Backend, Observation, Outcome
from extsync.sources.holds import LastGood
from extsync.sources.part import HoldTimes
from tests.engine.support import A

FOUND = Observation(Outcome.FOUND, (Backend(A),))


class Source:
    """One source ``c``."""

    def __init__(self) -> None:
        self.last_good = LastGood(HoldTimes())
        self.flapping = Flapping()
        self.now = 0.0

    def says(self, observation: Observation, after: float = 0.0) -> list[str]:
        self.now += after
        self.last_good.observe(observation, self.now)
        return self.looked_at()

    def looked_at(self, after: float = 0.0) -> list[str]:
        self.now += after
        return list(self.flapping.look({"c": self.last_good.standing()}, self.now))

    def flaps(self, turns: int, every: float = 10.0) -> list[str]:
        said = []
        for number in range(turns):
            error = Observation(Outcome.ERROR, detail="time-out")
            said += self.says(FOUND if number % 2 else error, every)
        return said


def test_a_few_changes_hush_nothing() -> None:
    source = Source()
    assert source.says(FOUND) == []
    assert source.flaps(MOST) == []
    assert not source.flapping.hushed
    assert source.flapping.due is None


def test_as_many_changes_over_a_long_time_hush_nothing() -> None:
    source = Source()
    source.says(FOUND)
    assert source.flaps(10 * MOST, every=WITHIN / MOST + 1.0) == []


def test_one_that_flaps_is_told_of_once_and_then_in_numbers() -> None:
    source = Source()
    source.says(FOUND)
    said = source.flaps(int(3600 / 10))
    assert said[0].startswith("source 'c' changes again and again: it is told of once it has stayed as it is for 5 min")
    assert said[1:] == ["source 'c' changed 60 times within 10 min"] * 5
    assert source.flapping.hushed == {"c"}


def test_errors_that_differ_each_time_are_changes_too() -> None:
    source = Source()
    source.says(FOUND)
    said = [
        line
        for number in range(MOST + 1)
        for line in source.says(Observation(Outcome.ERROR, detail=f"request {number} failed"), 30.0)
    ]
    assert len(said) == 1


def test_once_it_is_steady_it_is_told_of_as_before() -> None:
    source = Source()
    source.says(FOUND)
    source.flaps(MOST + 4)
    assert source.flapping.due == source.now + STEADY
    assert source.looked_at(STEADY) == ["source 'c' has stayed as it is for 5 min, after 3 more changes"]
    assert not source.flapping.hushed
    assert source.flaps(MOST) == []


def test_a_source_that_left_the_manifest_is_forgotten() -> None:
    source = Source()
    source.says(FOUND)
    source.flaps(MOST + 1)
    assert list(source.flapping.look({}, source.now)) == []
    assert source.flapping.hushed == frozenset()
