"""Sources that say what they are told."""

from __future__ import annotations

import asyncio
from collections import deque

from extsync.model import Backend, Observation, Outcome, several
from extsync.seams import Clock
from extsync.sources.base import Emit

PARTS = ("even", "odd")
"""The parts of each discovered source."""
MOST = 100
"""Answers that wait for a run, at most: that many come while the longest halt of a process lasts."""


class Feed:
    """What one discovered source says; it goes on saying it to every run of the source, in every process.

    It asks two questions, as if each were about every other one of its members. Each run gets every answer from its
    start on: the next one may come before it has been told of this one, and good answers count for ``good`` at once.
    """

    def __init__(self, addresses: tuple[str, ...], clock: Clock) -> None:
        self.members = addresses
        self.named_since: dict[str, float] = {}
        self._clock = clock
        self._good: dict[str, frozenset[str]] = {part: frozenset() for part in PARTS}
        self._answers = dict.fromkeys(PARTS, Observation(Outcome.ERROR, detail="nothing yet"))
        self._observation = Observation(Outcome.ERROR, detail="nothing yet")
        self._runs: list[_Run] = []

    @property
    def good(self) -> frozenset[str]:
        """The members that the last good answers name."""
        return frozenset().union(*self._good.values())

    @property
    def shown(self) -> tuple[str, ...]:
        """The same, in order."""
        return tuple(sorted(self.good))

    def found(self, addresses: tuple[str, ...], *, parts: tuple[str, ...] = PARTS, also: tuple[str, ...] = ()) -> None:
        """Names, of the members that these parts are about, those in ``addresses``; ``also`` are others, which do not
        count."""
        for part in parts:
            named = [a for a in self.members[PARTS.index(part) :: len(PARTS)] if a in addresses]
            outcome = Outcome.FOUND if named else Outcome.EMPTY
            self._answers[part] = Observation(outcome, tuple(map(Backend, (*named, *also) if named else ())))
            self._good[part] = frozenset(named)
        now = self._clock.monotonic()
        self.named_since = {address: self.named_since.get(address, now) for address in sorted(self.good)}
        self._say(several(self._answers.items()))

    def say(self, observation: Observation, *, part: str | None) -> None:
        """Reports an ``observation`` that names nothing from now on, for one part or, with None, for the source."""
        if part is None:
            self._say(observation)
        else:
            self._answers[part] = observation
            self._say(several(self._answers.items()))

    async def run(self, emit: Emit) -> None:
        """The source's own run."""
        run = _Run(self._observation)
        self._runs.append(run)
        try:
            while True:
                while run.answers:
                    emit(run.answers.popleft())
                run.more.clear()
                await run.more.wait()
        finally:
            self._runs.remove(run)

    def _say(self, observation: Observation) -> None:
        self._observation = observation
        for run in self._runs:
            if len(run.answers) == MOST:
                raise RuntimeError("a run of a source is told of nothing")
            run.answers.append(observation)
            run.more.set()


class _Run:
    """What one run of a source is yet to emit."""

    def __init__(self, first: Observation) -> None:
        self.answers = deque([first], maxlen=MOST)
        self.more = asyncio.Event()
