"""What one pass does not believe at first sight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from extsync.engine.withhold import keep_published
from extsync.model import Endpoint, Identity, PortValue, State, Why
from extsync.plan.published import Published
from tests.engine.support import A, B, C

PORTS = (PortValue("", 80),)
HEALTHY, UNHEALTHY, NEW = (State.READY, Why.HEALTHY), (State.NOT_READY, Why.UNHEALTHY), (State.NOT_READY, Why.NEW)
NOT_READY = (State.NOT_READY, Why.SOURCE_NOT_READY)


def endpoints(**decided: tuple[State, Why]) -> tuple[Endpoint, ...]:
    addresses = {"a": A, "b": B, "c": C}
    return tuple(Endpoint(addresses[name], PORTS, "", state, why) for name, (state, why) in decided.items())


def published(*states: tuple[str, State]) -> Published:
    shown: Mapping[Identity, State] = {Identity(address, PORTS): state for address, state in states}
    return cast(Published, shown)  # a mapping will do


A_AND_B_READY = published((A, State.READY), (B, State.READY))


def test_when_all_that_was_published_ready_fails_its_readiness_is_kept() -> None:
    kept = keep_published(endpoints(a=UNHEALTHY, b=UNHEALTHY), A_AND_B_READY)
    assert {(one.state, one.why) for one in kept} == {(State.READY, Why.EVERY_PUBLISHED_FAILED)}


def test_one_that_still_passes_shows_that_the_others_are_down() -> None:
    decided = endpoints(a=UNHEALTHY, b=HEALTHY)
    assert keep_published(decided, A_AND_B_READY) is decided


def test_one_that_its_source_takes_out_is_no_sign_of_a_missing_route() -> None:
    decided = endpoints(a=UNHEALTHY, b=NOT_READY)
    assert keep_published(decided, A_AND_B_READY) is decided


def test_a_new_endpoint_that_passes_is_published_beside_what_is_kept() -> None:
    kept = keep_published(endpoints(a=UNHEALTHY, b=UNHEALTHY, c=HEALTHY), A_AND_B_READY)
    assert [one.why for one in kept] == [Why.EVERY_PUBLISHED_FAILED, Why.EVERY_PUBLISHED_FAILED, Why.HEALTHY]


def test_what_was_not_published_ready_is_never_kept_ready() -> None:
    shown = published((A, State.READY), (B, State.NOT_READY))
    kept = keep_published(endpoints(a=UNHEALTHY, b=UNHEALTHY, c=UNHEALTHY), shown)
    assert [one.state for one in kept] == [State.READY, State.NOT_READY, State.NOT_READY]


def test_where_nothing_was_published_ready_there_is_nothing_to_keep() -> None:
    decided = endpoints(a=UNHEALTHY, b=NEW)
    assert keep_published(decided, published((A, State.NOT_READY))) is decided
