"""What a probe remembers of itself, and in how much memory."""

from __future__ import annotations

import sys

import pytest

from extsync.health.history import (
    CHANGES,
    FORGOTTEN,
    LONGEST,
    PASSED,
    RESULTS,
    TEXTS,
    Reasons,
    changes_of,
    results_of,
    with_change,
    with_result,
)
from extsync.model import Health


def test_the_latest_results_are_kept_in_their_order() -> None:
    results = b""
    for number in range(RESULTS + 5):
        results = with_result(results, 1000.0 + number, number / 1000, number)
    kept = list(results_of(results))
    assert [(at, reason) for at, _, reason in kept] == [(1000.0 + n, n) for n in range(5, RESULTS + 5)]
    assert [latency for _, latency, _ in kept] == pytest.approx([n / 1000 for n in range(5, RESULTS + 5)])


def test_the_latest_changes_are_kept_in_their_order() -> None:
    changes = b""
    healths = [Health.HEALTHY, Health.UNHEALTHY] * CHANGES
    for number, health in enumerate(healths):
        changes = with_change(changes, float(number), health, number)
    assert list(changes_of(changes)) == [(float(n), healths[n], n) for n in range(CHANGES, 2 * CHANGES)]


def test_a_full_history_takes_little_memory() -> None:
    results = changes = b""
    for number in range(100):
        results = with_result(results, 1e6 + number, 0.001, number)
        changes = with_change(changes, 1e6 + number, Health.HEALTHY, number)
    assert sys.getsizeof(results) + sys.getsizeof(changes) <= 320


def test_years_of_uptime_and_of_new_reasons_fit_in() -> None:
    decade = 10 * 366 * 86_400.0
    ((at, latency, reason),) = results_of(with_result(b"", decade + 0.25, 900.0, 1 << 60))
    assert (at, latency, reason) == (decade + 0.25, 900.0, 1 << 60)


def test_equal_texts_are_one_object_with_one_number() -> None:
    reasons = Reasons()
    first = reasons.number("connection " + str(1))
    second = reasons.number("connection " + str(2))
    assert reasons.number("connection " + str(1)) == first
    assert PASSED not in (first, second)
    assert reasons.text(first) is reasons.text(reasons.number("connection " + str(1)))
    assert (reasons.text(first), reasons.text(second)) == ("connection 1", "connection 2")


def test_without_end_of_new_texts_only_so_many_are_kept_and_those_in_use_stay() -> None:
    reasons = Reasons()
    usual = reasons.number("connection refused")
    numbers = []
    for latency in range(3 * TEXTS):
        numbers.append(reasons.number(f"took {latency} ms"))
        assert reasons.number("connection refused") == usual
    assert sum(reasons.text(number) != FORGOTTEN for number in numbers) == TEXTS - 1
    assert reasons.text(numbers[-1]) == f"took {3 * TEXTS - 1} ms"
    assert reasons.text(usual) == "connection refused"


def test_a_number_is_never_given_to_another_text() -> None:
    reasons = Reasons()
    gone = reasons.number("once")
    for number in range(TEXTS + 1):
        reasons.number(str(number))
    assert reasons.text(gone) == FORGOTTEN
    assert reasons.number("once") != gone


def test_a_long_text_is_cut() -> None:
    reasons = Reasons()
    text = reasons.text(reasons.number("x" * 100_000))
    assert len(text) == LONGEST
    assert text.endswith("x...")
