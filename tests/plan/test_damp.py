"""Promotions of endpoints that flap wait; demotions never do. Times are seconds from the start."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from extsync.model import Endpoint, State, Why
from extsync.plan.damp import FIRST_HOLD, Damped, Damping, damp, hold

LONGEST = 60.0
UP = Endpoint("10.0.0.1", (), "", State.READY, Why.HEALTHY)
DOWN = msgspec.structs.replace(UP, state=State.NOT_READY, why=Why.UNHEALTHY)
OTHER = Endpoint("10.0.0.2", (), "", State.READY, Why.HEALTHY)


class Service:
    """One endpoint that goes up and down, and one that does not."""

    def __init__(self, longest: float = LONGEST) -> None:
        self.memory = Damping()
        self.longest = longest

    def look(self, now: float, endpoint: Endpoint) -> Damped:
        return damp((endpoint, OTHER), self.memory, longest=self.longest, now=now)

    def is_up(self, now: float, endpoint: Endpoint) -> bool:
        return self.look(now, endpoint).endpoints[0].state is State.READY

    def flap(self, now: float, times: int = 1) -> None:
        """Goes down and up ``times``, all at once."""
        for _ in range(times):
            self.look(now, DOWN)
            self.look(now, UP)


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
    looked = damp((OTHER, UP), service.memory, longest=LONGEST, now=1.0)
    assert [endpoint.why for endpoint in looked.endpoints] == [Why.HEALTHY, Why.DAMPED]
    assert service.memory.flaps
    damp((OTHER,), service.memory, longest=LONGEST, now=1.0)
    assert not service.memory.flaps
    assert service.is_up(2.0, UP)


def test_draining_is_no_flap() -> None:
    service = Service()
    draining = msgspec.structs.replace(UP, state=State.DRAINING, why=Why.DRAINING)
    for _ in range(5):
        service.look(0.0, draining)
        service.look(0.0, UP)
    assert service.is_up(0.0, UP)


def test_without_a_longest_time_nothing_is_delayed() -> None:
    service = Service(longest=0.0)
    service.look(0.0, UP)
    service.flap(0.0, 9)
    assert service.is_up(0.0, UP)


def test_what_did_not_change_is_the_same_object() -> None:
    service = after(2)
    judged = (UP, OTHER)
    first = damp(judged, service.memory, longest=LONGEST, now=1.0)
    assert damp(judged, service.memory, longest=LONGEST, now=2.0).endpoints is first.endpoints
    assert damp(judged, service.memory, longest=LONGEST, now=FIRST_HOLD).endpoints is judged


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


def test_the_wait_never_grows_beyond_the_longest() -> None:
    assert [hold(count, 35.0) for count in range(6)] == [0.0, 0.0, 10.0, 20.0, 35.0, 35.0]
