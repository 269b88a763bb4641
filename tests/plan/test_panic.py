from __future__ import annotations

import pytest

from extsync.model import Endpoint, Identity, State, Why
from extsync.plan.panic import PanicMode, PanicPolicy, panic

LETTERS = {
    "r": (State.READY, Why.HEALTHY),
    "u": (State.NOT_READY, Why.UNHEALTHY),
    "s": (State.NOT_READY, Why.SOURCE_NOT_READY),
    "n": (State.NOT_READY, Why.NEW),
    "d": (State.DRAINING, Why.DRAINING),
    "x": (State.NOT_READY, Why.DRAINING_DOWN),
    "h": (State.NOT_READY, Why.DAMPED),
    "y": (State.NOT_READY, Why.DRAINING_DAMPED),
}


def endpoints(letters: str) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(f"10.0.0.{i}", (), "", *LETTERS[letter]) for i, letter in enumerate(letters))


def states(letters: str, *, was: str = "", threshold: int = 50, mode: PanicMode = "HoldLast") -> tuple[str, str]:
    """One letter for each endpoint as it is published (R, D or -), and what is said. ``was``: R is published ready."""
    published = {
        Identity(f"10.0.0.{i}", ()): State.READY if letter == "R" else State.NOT_READY for i, letter in enumerate(was)
    }
    decided = panic(endpoints(letters), published, PanicPolicy(threshold, mode))
    words = {State.READY: "R", State.DRAINING: "D", State.NOT_READY: "-"}
    return "".join(words[endpoint.state] for endpoint in decided.endpoints), decided.reason


@pytest.mark.parametrize("mode", ["HoldLast", "ServeAll", "FailClosed"])
@pytest.mark.parametrize("letters", ["ruu", "uuu", "r"])
def test_without_a_threshold_there_is_no_panic(letters: str, mode: PanicMode) -> None:
    given = endpoints(letters)
    assert panic(given, {}, PanicPolicy(0, mode)).endpoints is given


def test_at_the_threshold_there_is_no_panic_and_below_there_is() -> None:
    assert states("ru", was="RR") == ("R-", "")
    shown, said = states("ruu", was="RRR")
    assert shown == "RRR"
    assert said == "panic: 1 of 3 endpoints are healthy, less than 50 %, so panicMode HoldLast rules"


def test_hold_last_keeps_who_is_published_ready_and_promotes_on() -> None:
    assert states("ruuus", was="--R-R")[0] == "R-R-R"


def test_serve_all_makes_everybody_ready_but_who_drains() -> None:
    assert states("usnudx", mode="ServeAll")[0] == "RRRRD-"


def test_fail_closed_makes_nobody_ready_but_who_drains_stays() -> None:
    assert states("ruudx", mode="FailClosed")[0] == "---D-"


def test_who_is_held_back_by_damping_is_not_healthy() -> None:
    assert states("rhh", mode="ServeAll")[0] == "RRR"
    assert states("rhu", was="R-R")[0] == "R-R"


def test_who_drains_and_is_held_back_still_drains() -> None:
    assert states("uuy", mode="ServeAll")[0] == "RR-"


def test_who_drains_is_not_counted() -> None:
    assert states("rddxx", was="R", threshold=100)[1] == ""


def test_who_was_never_probed_is_no_reason_for_panic() -> None:
    assert states("nnnn", mode="ServeAll", threshold=100) == ("----", "")


def test_no_endpoints_are_no_reason_for_panic() -> None:
    assert states("", threshold=100) == ("", "")
    assert states("dd", threshold=100) == ("DD", "")


def test_who_is_as_the_mode_wants_it_is_the_same_object() -> None:
    given = endpoints("ruu")
    assert panic(given, {}, PanicPolicy(50, "ServeAll")).endpoints[0] is given[0]
