from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.plan.difference import changed_places


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
