"""Waiting for another process: ask again until it answers as hoped, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PAUSE_SECONDS = 0.05


def wait_for(ask: Callable[[], T | None], what: str, *, seconds: float = 30.0) -> T:
    """Call ``ask`` until it returns something true, and return that.

    Raises:
        TimeoutError: not within ``seconds``; the message says ``what`` was waited for.
    """
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {seconds:g} s")
        time.sleep(PAUSE_SECONDS)
    return answer
