"""A process without a sign of life is ended; a step counts as one, however long it took."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from extsync.seams.watchdog import STEPS, Watchdog


@pytest.fixture(autouse=True)
def _no_timer_remains() -> Iterator[None]:
    yield
    signal.setitimer(signal.ITIMER_PROF, 0.0)


def test_it_ends_the_process_after_as_many_steps_as_make_up_its_time() -> None:
    steps: list[float] = []
    ended: list[int] = []
    Watchdog(5.0, wait=steps.append, end=lambda: ended.append(len(steps))).watch()
    assert steps == [5.0 / STEPS] * STEPS
    assert ended == [STEPS]


def test_each_sign_of_life_has_it_count_from_the_beginning() -> None:
    steps = 0

    def step(seconds: float) -> None:
        nonlocal steps
        steps += 1
        if steps % (STEPS - 1) == 0 and steps < 10 * STEPS:
            watchdog.reassure()

    watchdog = Watchdog(5.0, wait=step, end=lambda: None)
    watchdog.watch()
    assert steps > 10 * STEPS


def test_a_sign_of_life_winds_up_the_timer_of_processor_time() -> None:
    Watchdog(5.0).reassure()
    left, interval = signal.getitimer(signal.ITIMER_PROF)
    assert 5.0 < left <= 7.6  # later than the steps; the kernel rounds up to a tick
    assert interval == 0.0
