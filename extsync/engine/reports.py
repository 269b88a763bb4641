"""What the sources of one service have reported, and what each of them counts for. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from extsync.config.sources import Source
from extsync.model import Observation
from extsync.plan.merge import SourceSet
from extsync.sources.holds import LastGood
from extsync.sources.relabel import Relabelling
from extsync.sources.standing import Standing


class Reports:
    """The last good sets of the sources of one service, relabelled."""

    def __init__(self) -> None:
        self.blocks: tuple[Source, ...] = ()
        """The sources, as the manifest has them."""
        self.sources: dict[str, LastGood] = {}
        self._relabellings: dict[str, Relabelling] = {}
        self._told: dict[str, tuple[Observation, float]] = {}
        self._asked_since: dict[str, float] = {}

    def follow(self, blocks: Sequence[Source]) -> list[str]:
        """Takes up the sources of a manifest and returns the names of those that left; one that stays keeps its last
        good set."""
        sources: dict[str, LastGood] = {}
        relabellings: dict[str, Relabelling] = {}
        for block in blocks:
            name = block.name
            sources[name] = self.sources.get(name) or LastGood(block.hold)
            sources[name].hold = block.hold
            known = self._relabellings.get(name)
            same = known is not None and known.rules == block.relabel
            relabellings[name] = known if known is not None and same else Relabelling(block.relabel)
            if not same and name in self._told:  # other rules make something else of what was said last
                observation, at = self._told[name]
                sources[name].observe(relabellings[name].apply(observation), at)
        left = [name for name in self.sources if name not in sources]
        self.blocks = tuple(blocks)
        self.sources = sources
        self._relabellings = relabellings
        self._told = {name: told for name, told in self._told.items() if name in sources}
        self._asked_since = {name: at for name, at in self._asked_since.items() if name in sources}
        return left

    def observe(self, source: str, observation: Observation, now: float) -> bool:
        """Takes in a report of one of the sources; returns whether a look may find anything new for it."""
        last_good = self.sources.get(source)
        if last_good is None:
            return False
        self._told[source] = observation, now
        return last_good.observe(self._relabellings[source].apply(observation), now)

    def advance(self, now: float) -> None:
        """Lets what is due by ``now`` take effect."""
        for name, last_good in self.sources.items():
            self._asked_since.setdefault(name, now)
            last_good.advance(now)

    def asked_since(self, source: str) -> float:
        """When a source was looked at for the first time."""
        return self._asked_since[source]

    def standings(self) -> dict[str, Standing]:
        """How each source stands."""
        return {name: last_good.standing() for name, last_good in self.sources.items()}

    def sets(self) -> list[SourceSet]:
        """What each source has now."""
        return [
            SourceSet(
                block.name,
                self.sources[block.name].backends,
                block.group,
                block.priority,
                block.port_name,
                block.health,
                of_pods=block.pods is not None,
            )
            for block in self.blocks
        ]
