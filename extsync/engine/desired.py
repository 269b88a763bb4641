"""Which manifests are in force: what changes from one load to the next, and what may be removed. Pure.

Removal is what an accident would cause, so it is slow: a manifest is taken as removed only when it is missing from two
loads in which everything could be read, at least ``removal_delay`` apart. A load with anything unreadable or wrong in
it removes nothing and starts the wait anew, since the missing manifest may be the very one that cannot be read.
"""

from __future__ import annotations

import msgspec

from extsync.config.loader import Loaded, LoadResult
from extsync.model import ServiceKey


class Step(msgspec.Struct, frozen=True):
    """What a load changed: manifests to take up, services to take down, and when to load again at the latest."""

    changed: tuple[Loaded, ...] = ()
    removed: tuple[ServiceKey, ...] = ()
    look_again: float | None = None


class Desired:
    """The manifests in force, by service."""

    def __init__(self, *, removal_delay: float) -> None:
        self._removal_delay = removal_delay
        self._in_force: dict[ServiceKey, Loaded] = {}
        self._missing_since: dict[ServiceKey, float] = {}

    def __len__(self) -> int:
        return len(self._in_force)

    def take(self, result: LoadResult, now: float) -> Step:
        """Takes up one load. ``now`` is monotonic, in seconds, and so is ``look_again``'s distance from it."""
        found = self._choose(result)
        changed = tuple(loaded for key, loaded in found.items() if _differs(self._in_force.get(key), loaded))
        self._in_force.update(found)
        missing = [key for key in self._in_force if key not in found]
        if not result.ok:
            self._missing_since.clear()
            return Step(changed)
        self._missing_since = {key: self._missing_since.get(key, now) for key in missing}
        due = {key: since + self._removal_delay for key, since in self._missing_since.items()}
        removed = tuple(key for key, at in due.items() if at <= now)
        for key in removed:
            del self._in_force[key], self._missing_since[key], due[key]
        return Step(changed, removed, min(due.values()) - now if due else None)

    def _choose(self, result: LoadResult) -> dict[ServiceKey, Loaded]:
        """One manifest a service: of two, the one whose file is in force goes on (the loader reports both)."""
        found = {loaded.manifest.key: loaded for loaded in result.manifests}
        for loaded in result.duplicates:
            before = self._in_force.get(loaded.manifest.key)
            if before is not None and loaded.file == before.file != found[loaded.manifest.key].file:
                found[loaded.manifest.key] = loaded
        return found


def _differs(before: Loaded | None, now: Loaded) -> bool:
    """Whether the manifest itself changed; where in a file it stands does not matter."""
    return before is None or (before.manifest, before.base_dir) != (now.manifest, now.base_dir)
