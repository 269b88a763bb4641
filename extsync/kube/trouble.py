"""What is wrong between extsync and the API server, told in the log when it begins and when it is over.

An outage concerns every watch and every service at once, and is one cause: who meets it first tells of it, and the last
whom it leaves tells for how long it lasted. In between there are no lines, however often the rest try again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Hashable

from extsync.errors import StoreError
from extsync.seams import Clock

log = logging.getLogger(__name__)

MOST_CAUSES = 32
"""Causes at a time; further ones are not told of, and there are more lines than a person reads by then."""
REMEMBERED = 600.0
"""Seconds for which a cause is known that nobody meets any more, but of which nobody knows that it is over."""

_NUMBERS = re.compile(r"[0-9]+")


class _Cause:
    def __init__(self, text: str, now: float) -> None:
        self.text = text
        self.began = now
        self.left = now
        self.met_by: dict[Hashable, None] = {}


class Trouble:
    """Who is in trouble now, and why. ``who`` is anything that tries again until it works, such as a watch."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._causes: dict[str, _Cause] = {}
        self._of: dict[Hashable, str] = {}

    def met(self, who: Hashable, error: StoreError, text: str) -> None:
        """``who`` met ``error``; the log says ``text`` where the cause is a new one. Numbers make no difference."""
        name = _NUMBERS.sub("#", error.cause)
        if self._of.get(who) == name:
            return
        self.left(who)
        self._forget_old()
        cause = self._causes.get(name)
        if cause is None:
            if len(self._causes) >= MOST_CAUSES:
                return
            cause = self._causes[name] = _Cause(error.cause, self._clock.monotonic())
            log.warning("%s", text)
        cause.met_by[who] = None
        self._of[who] = name

    def left(self, who: Hashable) -> None:
        """``who`` does not try any more."""
        name = self._of.pop(who, None)
        if name is not None:
            cause = self._causes[name]
            del cause.met_by[who]
            cause.left = self._clock.monotonic()

    def over(self, who: Hashable) -> None:
        """``who`` had success."""
        name = self._of.get(who)
        self.left(who)
        if name is not None and not self._causes[name].met_by:
            cause = self._causes.pop(name)
            log.info("over after %.0f s: %s", cause.left - cause.began, cause.text)

    def _forget_old(self) -> None:
        now = self._clock.monotonic()
        for name, cause in list(self._causes.items()):
            if not cause.met_by and now - cause.left >= REMEMBERED:
                del self._causes[name]
