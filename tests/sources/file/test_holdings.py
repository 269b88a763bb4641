"""What several files make together. Times are seconds from the start."""

from __future__ import annotations

from extsync.model import Backend, Observation, Outcome, Rejected
from extsync.sources.file.disk import Seen, Sight
from extsync.sources.file.holdings import VANISHED_HOLD, Holdings
from extsync.sources.payload import Payload
from tests.sources.support import addresses

UNLISTED = {0: ("t/*.yml", "t/*.yml: no file matches")}


def holds(*named: str, pattern: int = 0) -> Seen:
    backends = tuple(Backend(address) for address in named)
    return Seen(pattern, repr(named).encode(), payload=Payload(backends, (), declares_none=not named))


def broken(path: str, pattern: int = 0) -> Seen:
    return Seen(pattern, b"broken", f"{path}:1:1: is not YAML")


def unread(mark: bytes) -> Seen:
    return Seen(0, mark)


def after(*sights: dict[str, Seen] | Sight, step: float = 0) -> Observation:
    """What is reported after these looks, ``step`` seconds apart."""
    holdings = Holdings()
    for number, sight in enumerate(sights):
        holdings.take(sight if isinstance(sight, Sight) else Sight(sight, {}, ()), number * step)
    return holdings.observation()


def test_the_backends_of_all_files_count_in_the_order_of_patterns_and_paths() -> None:
    report = after({"b": holds("10.0.0.2"), "a": holds("10.0.0.1"), "0": holds("10.0.0.3", pattern=1)})
    assert report.outcome is Outcome.FOUND
    assert [backend.address for backend in report.backends] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


def test_all_files_must_declare_that_there_are_none() -> None:
    assert after({"a": holds(), "b": holds()}).outcome is Outcome.EMPTY
    assert addresses(after({"a": holds(), "b": holds("10.0.0.1")})) == ["10.0.0.1"]
    assert after({"a": holds(), "b": broken("b")}).outcome is Outcome.ERROR


def test_nothing_is_reported_before_every_file_could_be_read_once() -> None:
    report = after({"a": holds("10.0.0.1"), "b": broken("b")})
    assert report == Observation(Outcome.ERROR, detail="b:1:1: is not YAML")


def test_what_a_broken_file_held_last_counts_on_while_the_others_change() -> None:
    report = after(
        {"a": holds("10.0.0.1"), "b": holds("10.0.0.2")},
        {"a": holds("10.0.0.9"), "b": broken("b")},
    )
    assert report.outcome is Outcome.FOUND
    assert addresses(report) == ["10.0.0.2", "10.0.0.9"]
    assert report.detail == "b:1:1: is not YAML"
    assert report.rejected == (Rejected("b", "b:1:1: is not YAML; what it held last counts on"),)


def test_a_source_of_which_no_file_can_be_read_is_an_error() -> None:
    good = {"a": holds("10.0.0.1"), "b": holds("10.0.0.2")}
    assert after(good, {"a": broken("a"), "b": broken("b")}).outcome is Outcome.ERROR
    assert after({"a": holds("10.0.0.1")}, {"a": broken("a")}).outcome is Outcome.ERROR


def test_a_file_that_comes_later_and_is_broken_holds_nothing_back() -> None:
    report = after({"a": holds("10.0.0.1")}, {"a": holds("10.0.0.2"), "b": broken("b")})
    assert addresses(report) == ["10.0.0.2"]
    assert "b:1:1" in report.detail


def test_emptied_files_beside_a_broken_one_are_no_empty_source() -> None:
    report = after({"a": holds("10.0.0.1"), "b": holds()}, {"a": holds(), "b": broken("b")})
    assert report.outcome is Outcome.ERROR


def test_a_file_that_left_its_pattern_counts_on_for_a_moment_only() -> None:
    both = {"a": holds("10.0.0.1"), "b": holds("10.0.0.2")}
    one = {"a": holds("10.0.0.1")}
    report = after(both, one, one, step=VANISHED_HOLD - 0.1)
    assert addresses(report) == ["10.0.0.1", "10.0.0.2"]
    report = after(both, one, one, step=VANISHED_HOLD)
    assert report == Observation(Outcome.FOUND, (Backend("10.0.0.1"),))


def test_the_end_of_that_moment_is_told() -> None:
    holdings = Holdings()
    holdings.take(Sight({"a": holds("10.0.0.1"), "b": holds("10.0.0.2")}, {}, ()), 0)
    assert holdings.due() is None
    holdings.take(Sight({"a": holds("10.0.0.1")}, {}, ()), 10)
    assert holdings.due() == 10 + VANISHED_HOLD
    holdings.take(Sight({"a": holds("10.0.0.1")}, {}, ()), 10 + VANISHED_HOLD)
    assert holdings.due() is None


def test_a_file_that_comes_back_in_time_never_left() -> None:
    both = {"a": holds("10.0.0.1"), "b": holds("10.0.0.2")}
    one = {"a": holds("10.0.0.1")}
    report = after(both, one, both, one, step=VANISHED_HOLD - 1)
    assert addresses(report) == ["10.0.0.1", "10.0.0.2"]


def test_the_last_files_of_a_pattern_count_on_for_ever() -> None:
    both = {"a": holds("10.0.0.1"), "b": holds("10.0.0.2")}
    report = after(both, *[Sight({}, UNLISTED, ())] * 5, step=1000)
    assert report == Observation(Outcome.ERROR, detail="t/*.yml: no file matches")
    beside = holds("10.0.0.3", pattern=1)
    report = after(both | {"c": beside}, *[Sight({"c": beside}, UNLISTED, ())] * 5, step=1000)
    assert addresses(report) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert "no file matches" in report.detail


def test_a_file_that_never_stands_still_is_a_fault_and_is_looked_at_anew() -> None:
    holdings = Holdings()
    holdings.take(Sight({"a": holds("10.0.0.1"), "b": holds("10.0.0.2")}, {}, ()), 0)
    holdings.take(Sight({"a": unread(b"1"), "b": holds("10.0.0.2")}, {}, ()), 1)
    assert addresses(holdings.observation()) == ["10.0.0.1", "10.0.0.2"]
    assert "a: changes faster than it can be read" in holdings.observation().detail
    assert holdings.marks["a"] == b""


def test_a_file_that_is_as_it_was_keeps_what_it_holds() -> None:
    held = holds("10.0.0.1")
    assert after({"a": held}, {"a": unread(held.mark)}) == Observation(Outcome.FOUND, (Backend("10.0.0.1"),))
