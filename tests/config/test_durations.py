"""Durations as text and as seconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.config.durations import Duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("500ms", 0.5),
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("1h2m3s4ms", 3723.004),
        ("99999h", 359996400),
    ],
)
def test_a_duration_is_its_seconds(text: str, seconds: float) -> None:
    assert Duration.parse(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (90, "1m30s"), (0.25, "250ms"), (3600, "1h"), (86400, "24h"), (61.5, "1m1s500ms")]
)
def test_a_duration_is_written_in_its_largest_units(seconds: float, text: str) -> None:
    assert str(Duration(seconds)) == text


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("", "is not a duration"),
        ("30", "has no unit: write 30s"),
        ("-5s", "has a sign"),
        ("+5s", "has a sign"),
        ("1d", "write 24h"),
        ("2w", "write 336h"),
        ("1.5h", "whole numbers"),
        ("1 h", "is not a duration"),
        ("100000s", "is not a duration"),
        ("1h1m1s1ms1h", "is not a duration"),
        ("5S", "is not a duration"),
        ("٣s", "is not a duration"),
    ],
)
def test_what_is_no_duration_is_refused_with_the_cure(text: str, cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        Duration.parse(text)


@given(st.integers(min_value=0, max_value=99_999 * 3_600_000))
def test_a_written_duration_reads_as_itself(milliseconds: int) -> None:
    duration = Duration(milliseconds / 1000)
    assert Duration.parse(str(duration)) == duration
