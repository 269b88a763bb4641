"""Ends a process whose event loop does not turn any more."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Final, NoReturn

STEPS: Final = 20
"""The time without a sign of life is counted in so many steps."""

_LENIENCE: Final = 1.5
"""How much longer processor time may run: the thread, where it gets its steps, is to be the first."""


def end_here() -> NoReturn:
    """Prints where all threads are, and ends the process."""
    if sys.stderr is not None:  # else there is nowhere to print to
        faulthandler.dump_traceback(all_threads=True)
    os._exit(1)


class Watchdog:
    """Ends this process where it gives no sign of life for ``seconds``, and prints where it hangs.

    What counts is time in which the process could run: not that for which it was stopped, its container paused or the
    machine suspended, since no deadline can tell these from a hang once they are over. So a thread counts steps, and
    one that took an hour is one. Code that keeps the interpreter's lock leaves that thread no step; its share is taken
    by a timer of processor time, which stands still with the process too. It is a signal that ends the process without
    the interpreter. Only what sleeps with that lock held, as hardly any code does, escapes both.
    """

    def __init__(
        self, seconds: float, *, wait: Callable[[float], object] = time.sleep, end: Callable[[], object] = end_here
    ) -> None:
        """``wait`` lets a step of so many seconds pass; ``end`` is called when there was no sign of life."""
        self._seconds = seconds
        self._wait = wait
        self._end = end
        self._steps = 0

    def start(self) -> None:
        """Begins to watch, for as long as the process lives; to be called from the main thread."""
        if sys.stderr is not None:
            faulthandler.register(signal.SIGPROF, all_threads=True, chain=True)
        self.reassure()
        threading.Thread(target=self.watch, name="watchdog", daemon=True).start()

    def reassure(self) -> None:
        """A sign of life."""
        self._steps = 0
        signal.setitimer(signal.ITIMER_PROF, _LENIENCE * self._seconds)

    def watch(self) -> None:
        """Counts steps until there are too many."""
        while self._steps < STEPS:
            self._wait(self._seconds / STEPS)
            self._steps += 1
        self._end()
