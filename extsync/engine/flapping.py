"""Sources that change again and again: so that the log is not full of them, they are told of in numbers. Pure.

A source that has changed more than ``MOST`` times within ``WITHIN`` seconds is hushed: how it stands is said no more,
only every ``WITHIN`` seconds how often that changed. Once it has stayed as it is for ``STEADY`` seconds it is told of
as before, so that the last word on it is how it stands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final

from extsync.model import Outcome
from extsync.sources.standing import Standing

MOST: Final = 10
WITHIN: Final = 600.0
STEADY: Final = 300.0


class Flapping:
    """The latest changes of each source of a service."""

    def __init__(self) -> None:
        self._sources: dict[str, _Source] = {}

    @property
    def hushed(self) -> frozenset[str]:
        """The sources of which nothing is said for now."""
        return frozenset(name for name, source in self._sources.items() if source.hushed)

    @property
    def due(self) -> float | None:
        """When to look again although nothing changes (monotonic), None: never."""
        return min((source.due for source in self._sources.values() if source.hushed), default=None)

    def look(self, standings: Mapping[str, Standing], now: float) -> Iterator[str]:
        """Takes note of how sources stand at ``now``; yields what there is to say of those that flap."""
        self._sources = {name: self._sources.get(name) or _Source(standings[name]) for name in standings}
        for name, standing in standings.items():
            for text in self._sources[name].look(standing, now):
                yield f"source {name!r} {text}"


class _Source:
    def __init__(self, standing: Standing) -> None:
        self._seen = _how(standing)
        self._turns: deque[float] = deque(maxlen=MOST + 1)
        self._count = 0
        self._next = 0.0
        self.hushed = False

    @property
    def due(self) -> float:
        return min(self._turns[-1] + STEADY, self._next)

    def look(self, standing: Standing, now: float) -> Iterator[str]:
        if (how := _how(standing)) != self._seen:
            self._seen = how
            self._turns.append(now)
            self._count += self.hushed
        if not self.hushed:
            if len(self._turns) > MOST and now - self._turns[0] < WITHIN:
                self.hushed, self._count, self._next = True, 0, now + WITHIN
                yield (
                    f"changes again and again: it is told of once it has stayed as it is for {STEADY / 60:.0f} min, "
                    f"and every {WITHIN / 60:.0f} min how often it changed"
                )
        elif now - self._turns[-1] >= STEADY:
            self.hushed = False
            self._turns.clear()
            yield f"has stayed as it is for {STEADY / 60:.0f} min, after {self._count} more changes"
        elif now >= self._next:
            yield f"changed {self._count} times within {WITHIN / 60:.0f} min"
            self._count, self._next = 0, now + WITHIN


def _how(standing: Standing) -> tuple[Outcome | None, str]:
    """What is told of a source that stands like that."""
    return standing.outcome, "" if standing.outcome is Outcome.FOUND else standing.detail
