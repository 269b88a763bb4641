from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.model import State, Why
from extsync.plan.difference import changed_places
from extsync.plan.plan import publish_alike
from tests.plan.cluster import endpoint


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=600))
def test_exactly_the_places_that_differ_are_found(pairs: list[tuple[int, int]]) -> None:
    old, new = tuple(a for a, _ in pairs), tuple(b for _, b in pairs)
    assert changed_places(old, new) == [place for place, (a, b) in enumerate(pairs) if a != b]


def test_one_change_among_many_is_found_wherever_it_is() -> None:
    old = tuple(range(1000))
    for place in (0, 127, 128, 129, 999):
        new = (*old[:place], -1, *old[place + 1 :])
        assert changed_places(old, new) == [place]


def test_sequences_of_two_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="no places in common"):
        changed_places((1,), (1, 2))


def test_endpoints_that_differ_in_their_reasons_alone_publish_alike() -> None:
    kept, found = (msgspec.structs.replace(endpoint("10.0.0.1"), why=why) for why in (Why.KEPT, Why.HEALTHY))
    other = endpoint("10.0.0.2")
    assert publish_alike((kept, other), (found, other))
    assert not publish_alike((kept, other), (found,))
    assert not publish_alike((kept, other), (endpoint("10.0.0.1", State.NOT_READY), other))
