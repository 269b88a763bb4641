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


def test_a_group_is_told_by_the_first_exception_in_it() -> None:
    inner = ExceptionGroup("unhandled errors in a TaskGroup", [KeyError("a"), ValueError("b")])
    assert told(ExceptionGroup("unhandled errors in a TaskGroup", [ValueError("one")])) == "ValueError: one"
    assert told(ExceptionGroup("outer", [inner, TypeError("c")])) == "KeyError: 'a' (and 2 more)"


def test_a_group_within_groups_without_end_does_not_recurse() -> None:
    error: Exception = ValueError("deep")
    for _ in range(5000):
        error = ExceptionGroup("", [error])
    assert told(error) == "ValueError: deep"


def test_a_long_text_in_a_group_is_cut_before_the_number_of_others() -> None:
    text = told(ExceptionGroup("", [ValueError("x" * 1000), ValueError("y")]))
    assert len(text) < 400
    assert text.endswith("... (and 1 more)")
