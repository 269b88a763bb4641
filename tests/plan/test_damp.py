"""Promotions of endpoints that flap wait; demotions never do. Times are seconds from the start."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from extsync.model import Endpoint, State, Why
from extsync.plan.damp import FIRST_HOLD, Damped, Damping, damp, hold_after

LONGEST = 60.0
UP = Endpoint("10.0.0.1", (), "", State.READY, Why.HEALTHY)
DOWN = msgspec.structs.replace(UP, state=State.NOT_READY, why=Why.UNHEALTHY)
OTHER = Endpoint("10.0.0.2", (), "", State.READY, Why.HEALTHY)
DRAINING = msgspec.structs.replace(UP, state=State.DRAINING, why=Why.DRAINING)
DRAINING_DOWN = msgspec.structs.replace(UP, state=State.NOT_READY, why=Why.DRAINING_DOWN)
DOUBTED = msgspec.structs.replace(UP, why=Why.DOUBTED)


class Service:
    """One endpoint that goes up and down, and one that does not."""

    def __init__(self, longest: float = LONGEST) -> None:
        self.memory = Damping()
        self.longest = longest

    def look(self, now: float, endpoint: Endpoint) -> Damped:
        return damp((endpoint, OTHER), self.memory, longest=self.longest, least=1, now=now)

    def is_up(self, now: float, endpoint: Endpoint) -> bool:
        return self.look(now, endpoint).endpoints[0].state is State.READY

    def flap(self, now: float, times: int = 1, down: Endpoint = DOWN, up: Endpoint = UP) -> None:
        """Goes down and up ``times``, all at once."""
        for _ in range(times):
            self.look(now, down)
            self.look(now, up)


class Shared:
    """A service of some endpoints, whose states are letters: r ready, u unhealthy, d draining, x draining and down.

    They are shown as R, D or -, and as S where damping spares them.
    """

    def __init__(self, size: int, *, least: int = 1) -> None:
        self.memory = Damping()
        self.size = size
        self.least = least
        self.look(0.0, "r" * size)

    def look(self, now: float, letters: str) -> str:
        judged = tuple(Endpoint(f"10.0.1.{i}", (), "", *LETTERS[letter]) for i, letter in enumerate(letters))
        self.last = damp(judged, self.memory, longest=LONGEST, least=self.least, now=now)
        return "".join("S" if one.why is Why.SPARED else WORDS[one.state] for one in self.last.endpoints)

    def flap(self, now: float, letters: str, times: int = 1) -> str:
        """Those with the letter u go down and up ``times``, all at once; what is shown at the end."""
        shown = ""
        for _ in range(times):
            self.look(now, letters)
            shown = self.look(now, letters.replace("u", "r"))
        return shown


LETTERS = {
    "r": (State.READY, Why.HEALTHY),
    "u": (State.NOT_READY, Why.UNHEALTHY),
    "d": (State.DRAINING, Why.DRAINING),
    "x": (State.NOT_READY, Why.DRAINING_DOWN),
}
WORDS = {State.READY: "R", State.DRAINING: "D", State.NOT_READY: "-"}


def after(flaps: int, now: float = 0.0) -> Service:
    service = Service()
    service.look(now, UP)
    service.flap(now, flaps)
    return service


def test_the_first_time_down_costs_nothing() -> None:
    assert after(1).is_up(0.0, UP)


def test_the_second_time_up_waits_and_so_does_each_further_one_twice_as_long() -> None:
    for flaps, seconds in ((2, 10.0), (3, 20.0), (4, 40.0), (5, 60.0), (9, 60.0)):
        service = after(flaps)
        looked = service.look(seconds - 0.1, UP)
        assert (looked.endpoints[0].why, looked.held, looked.look_again) == (Why.DAMPED, 1, seconds)
        assert service.look(seconds, UP) == Damped((UP, OTHER))


def test_one_that_goes_down_while_it_waits_waits_anew_and_longer() -> None:
    service = after(2)
    service.flap(9.0)
    assert not service.is_up(28.9, UP)
    assert service.is_up(29.0, UP)


def test_going_down_shows_at_once() -> None:
    service = after(9)
    assert service.is_up(LONGEST, UP)
    assert not service.is_up(LONGEST, DOWN)


def test_what_was_long_ago_is_forgotten_bit_by_bit() -> None:
    service = after(3)
    service.flap(2 * LONGEST)  # one of three is left, and this is the second
    assert not service.is_up(2 * LONGEST + 9.9, UP)
    assert service.is_up(2 * LONGEST + 10.0, UP)
    service = after(3)
    service.flap(3 * LONGEST)
    assert service.is_up(3 * LONGEST, UP)


def test_one_that_comes_for_the_first_time_is_not_delayed() -> None:
    service = Service()
    service.look(0.0, msgspec.structs.replace(DOWN, why=Why.NEW))
    assert service.is_up(1.0, UP)


def test_it_is_found_again_among_others_and_forgotten_when_it_leaves() -> None:
    service = after(2)
    looked = damp((OTHER, UP), service.memory, longest=LONGEST, least=1, now=1.0)
    assert [endpoint.why for endpoint in looked.endpoints] == [Why.HEALTHY, Why.DAMPED]
    assert service.memory.flaps
    damp((OTHER,), service.memory, longest=LONGEST, least=1, now=1.0)
    assert not service.memory.flaps
    assert service.is_up(2.0, UP)


def test_draining_is_no_flap() -> None:
    service = Service()
    service.look(0.0, UP)
    service.flap(0.0, 5, down=DRAINING)
    assert service.is_up(0.0, UP)


def test_one_that_drains_is_damped_like_any_and_drains_all_the_while() -> None:
    service = Service()
    service.look(0.0, DRAINING)
    service.flap(0.0, 1, down=DRAINING_DOWN, up=DRAINING)
    assert service.look(0.0, DRAINING).endpoints == (DRAINING, OTHER)
    service.flap(0.0, 1, down=DRAINING_DOWN, up=DRAINING)
    for now in (0.0, 9.9):
        looked = service.look(now, DRAINING)
        shown = looked.endpoints[0]
        assert (shown.state, shown.why, looked.held) == (State.NOT_READY, Why.DRAINING_DAMPED, 1)
    assert service.look(10.0, DRAINING).endpoints == (DRAINING, OTHER)


def test_one_that_is_held_back_and_is_to_drain_waits_on() -> None:
    service = after(2)
    assert service.look(1.0, DRAINING).endpoints[0].why is Why.DRAINING_DAMPED
    assert service.look(10.0, DRAINING).endpoints[0] is DRAINING


def test_a_demotion_that_is_taken_back_has_not_happened() -> None:
    service = Service()
    service.look(0.0, UP)
    service.flap(0.0, 5, up=DOUBTED)
    assert service.is_up(0.0, DOUBTED)
    assert not service.memory.flaps
    service.flap(0.0)
    assert service.is_up(0.0, UP)  # the first that counts
    service.flap(LONGEST / 2, up=DOUBTED)
    service.flap(LONGEST - 0.1)
    assert not service.is_up(LONGEST + 9.8, UP)  # the second, since the first was never taken for a newer one
    service = after(1)
    service.flap(LONGEST - 1.0, up=DOUBTED)
    service.flap(LONGEST)
    assert service.is_up(LONGEST, UP)


def test_a_demotion_that_is_taken_back_ends_no_wait_and_begins_none() -> None:
    service = after(3)
    service.flap(5.0, up=DOUBTED)
    assert not service.is_up(19.9, DOUBTED)
    assert service.is_up(20.0, DOUBTED)


def test_what_its_source_demoted_is_not_taken_back_by_doubt() -> None:
    service = Service()
    service.look(0.0, UP)
    service.flap(0.0, 2, down=msgspec.structs.replace(DOWN, why=Why.SOURCE_NOT_READY), up=DOUBTED)
    assert not service.is_up(9.9, DOUBTED)


def test_a_service_that_flaps_as_one_is_never_held_back_below_half_of_it() -> None:
    for size, spared in ((1, 1), (2, 1), (3, 2), (10, 5)):
        service = Shared(size)
        shown = service.flap(1.0, "u" * size, 5)
        assert shown == "S" * spared + "-" * (size - spared)
        assert (service.last.spared, service.last.held) == (spared, size - spared)


def test_nor_below_what_is_needed_to_keep_a_standby_out() -> None:
    assert Shared(4, least=3).flap(1.0, "uuuu", 3) == "SSS-"
    assert Shared(2, least=3).flap(1.0, "uu", 3) == "SS"


def test_those_that_flap_while_half_of_the_service_does_not_are_all_held_back() -> None:
    assert Shared(4).flap(1.0, "ruur", 3) == "R--R"


def test_those_who_drain_are_no_part_of_it() -> None:
    service = Shared(4)
    assert service.flap(1.0, "duud", 3) == "DS-D"
    assert service.flap(2.0, "xuux", 3) == "-S--"


def test_the_first_to_be_spared_flapped_least_and_of_these_has_the_least_left_to_wait() -> None:
    service = Shared(4)
    service.flap(1.0, "uuuu")
    service.flap(1.0, "ruru")
    service.flap(1.0, "uurr")
    service.look(2.0, "uuuu")
    assert service.look(3.0, "ruuu") == "S---"
    assert service.look(4.0, "ruru") == "S-S-"
    assert service.look(5.0, "rrru") == "S-S-"
    assert service.look(6.0, "rrrr") == "S-S-"
    assert service.look(7.0, "urur") == "-S-S"
    service = Shared(2)
    service.flap(1.0, "uu", 2)
    assert service.look(2.0, "uu") == "--"
    assert service.look(3.0, "ur") == "-S"
    assert service.look(4.0, "rr") == "-S"


def test_who_is_spared_stays_ready_whatever_becomes_of_the_others() -> None:
    service = Shared(2)
    assert service.flap(1.0, "uu", 3) == "S-"
    assert service.look(20.9, "rr") == "S-"
    assert service.last.look_again == 21.0
    assert service.look(21.0, "rr") == "RR"
    assert service.look(22.0, "ur") == "-R"


def test_where_another_one_goes_down_one_that_waits_is_spared_at_once() -> None:
    service = Shared(2)
    assert service.flap(1.0, "ru", 3) == "R-"
    assert service.look(2.0, "ur") == "-S"


def test_where_more_are_to_be_ready_more_are_spared_at_once() -> None:
    service = Shared(2)
    assert service.flap(1.0, "uu", 3) == "S-"
    service.least = 2
    assert service.look(2.0, "rr") == "SS"


def test_without_a_longest_time_nothing_is_delayed() -> None:
    service = Service(longest=0.0)
    service.look(0.0, UP)
    service.flap(0.0, 9)
    assert service.is_up(0.0, UP)


def test_what_did_not_change_is_the_same_object() -> None:
    service = after(2)
    judged = (UP, OTHER)
    first = damp(judged, service.memory, longest=LONGEST, least=1, now=1.0)
    assert damp(judged, service.memory, longest=LONGEST, least=1, now=2.0).endpoints is first.endpoints
    assert damp(judged, service.memory, longest=LONGEST, least=1, now=FIRST_HOLD).endpoints is judged


@given(st.lists(st.tuples(st.sampled_from([UP, DOWN]), st.floats(0, 100)), max_size=60))
def test_down_is_always_down_and_no_wait_is_longer_than_the_longest(steps: list[tuple[Endpoint, float]]) -> None:
    service = Service()
    now = up_since = 0.0
    before = UP
    for endpoint, pause in steps:
        now += pause
        if endpoint is UP and before is DOWN:
            up_since = now
        before = endpoint
        shown = service.is_up(now, endpoint)
        assert not (shown and endpoint is DOWN)
        assert shown or endpoint is DOWN or now < up_since + LONGEST
        assert len(service.memory.flaps) <= 1


@given(
    st.lists(st.tuples(st.text("ru", min_size=5, max_size=5), st.floats(0, 100)), max_size=40),
    st.integers(1, 5),
)
def test_as_many_are_ready_as_are_needed_or_as_there_are(steps: list[tuple[str, float]], least: int) -> None:
    service = Shared(5, least=least)
    now = 0.0
    before, shown_before = "rrrrr", "RRRRR"
    for letters, pause in steps:
        now += pause
        shown = service.look(now, letters)
        assert 5 - shown.count("-") >= min(letters.count("r"), max(least, 3))
        for was, is_, was_shown, is_shown in zip(before, letters, shown_before, shown, strict=True):
            assert not (was == is_ == "r" and was_shown != "-" and is_shown == "-")  # damping demotes nobody
        before, shown_before = letters, shown


def test_the_wait_never_grows_beyond_the_longest() -> None:
    assert [hold_after(count, 35.0) for count in range(6)] == [0.0, 0.0, 10.0, 20.0, 35.0, 35.0]
