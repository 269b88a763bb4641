"""Other people's exceptions in words."""

from extsync.sources.told import told


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_an_exception_is_told_on_one_line_with_its_type() -> None:
    assert told(ValueError("two\n  lines")) == "ValueError: two lines"


def test_a_long_text_is_cut() -> None:
    assert len(told(ValueError("x" * 100_000))) < 400


def test_an_exception_that_cannot_say_its_text_is_told_by_its_type() -> None:
    assert "Unspeakable" in told(Unspeakable())
