"""What others said is shown as it is, but for what is no letter, digit or sign."""

from __future__ import annotations

import pytest

from extsync.printable import printable


def test_letters_of_all_languages_are_printable() -> None:
    assert printable("Zürich 東京 ✓") == "Zürich 東京 ✓"


@pytest.mark.parametrize("char", ["\n", "\r", "\x00", "\x1b", "\x7f", "\x9b", "\u2028", "\u202e", "\u2066", "\ud800"])
def test_what_steers_or_is_half_a_character_is_replaced(char: str) -> None:
    assert printable(f"a{char}b") == "a\N{REPLACEMENT CHARACTER}b"
