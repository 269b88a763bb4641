"""Sources that say what they are told."""

from __future__ import annotations

import asyncio

from extsync.model import Backend, Observation, Outcome, several
from extsync.seams import Clock
from extsync.sources.base import Emit

PARTS = ("even", "odd")
"""The parts of each discovered source."""


class Feed:
    """What one discovered source says; it goes on saying it to every run of the source, in every process.

    It asks two questions, as if each were about every other one of its members.
    """

    def __init__(self, addresses: tuple[str, ...], clock: Clock) -> None:
        self.members = addresses
        self.named_since: dict[str, float] = {}
        self._clock = clock
        self._good: dict[str, frozenset[str]] = {part: frozenset() for part in PARTS}
        self._answers = dict.fromkeys(PARTS, Observation(Outcome.ERROR, detail="nothing yet"))
        self._observation = Observation(Outcome.ERROR, detail="nothing yet")
        self._changed = asyncio.Event()

    @property
    def good(self) -> frozenset[str]:
        """The members that the last good answers name."""
        return frozenset().union(*self._good.values())

    def found(self, addresses: tuple[str, ...], *, parts: tuple[str, ...] = PARTS) -> None:
        """Names, of the members that these parts are about, those in ``addresses``."""
        for part in parts:
            named = [a for a in self.members[PARTS.index(part) :: len(PARTS)] if a in addresses]
            outcome = Outcome.FOUND if named else Outcome.EMPTY
            self._answers[part] = Observation(outcome, tuple(map(Backend, named)))
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
        while True:
            changed = self._changed
            emit(self._observation)
            await changed.wait()

    def _say(self, observation: Observation) -> None:
        self._observation = observation
        self._changed.set()
        self._changed = asyncio.Event()
