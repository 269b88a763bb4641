"""Lanes: services whose writes the server does not answer take up some of the workers, never all of them.

A webhook of somebody else that hangs makes each write that it is asked about last until its time-out. As such a webhook
mostly stands for namespaces, a service is suspect, too, that is in one where a write has had no answer and none has
succeeded since. For either kind there are so many lanes, and who finds them taken waits outside, not in a worker.
One that fails again and again says nothing of the others once something was written beside it.
"""

from __future__ import annotations

import enum

from extsync.model import ServiceKey


class Lane(enum.Enum):
    """Why a service may not take any worker."""

    FAILED = enum.auto()
    """Its last write had no answer."""
    SUSPECT = enum.auto()
    """Another one's in its namespace had none. The last to come is the first to be tried: what came together with the
    one that failed will mostly fail as well."""


class Lanes:
    """Who tries to write in which lane, ``width`` services at once in each."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._failed: dict[ServiceKey, None] = {}
        self._suspect: dict[str, None] = {}
        self._tried: dict[ServiceKey, Lane] = {}
        self._outside: dict[ServiceKey, Lane] = {}

    def enter(self, key: ServiceKey) -> bool:
        """Whether the service may be tried now; then ``leave`` is to follow. If not it waits until it is returned."""
        lane = self._lane(key)
        if lane is not None and not self._has_room(lane):
            self._outside[key] = lane  # asking again costs no place
            return False
        self._outside.pop(key, None)
        if lane is not None:
            self._tried[key] = lane
        return True

    def waits(self, key: ServiceKey) -> bool:
        """Whether the service waits for a lane."""
        return key in self._outside

    def leave(self, key: ServiceKey) -> list[ServiceKey]:
        """A service was tried, or need not be; returns who is to be tried now."""
        self._tried.pop(key, None)
        following: dict[Lane, ServiceKey] = {}
        for one, lane in self._outside.items():
            if self._has_room(lane) and (lane is Lane.SUSPECT or lane not in following):
                following[lane] = one
        return self._called(list(following.values()))

    def unanswered(self, key: ServiceKey) -> None:
        """A write of the service had no answer."""
        if key not in self._failed:
            self._suspect[key.namespace] = None
        self._failed[key] = None

    def answered(self, key: ServiceKey, *, written: bool) -> list[ServiceKey]:
        """The server has answered whatever was asked for the service; returns who is to be tried now."""
        self._failed.pop(key, None)
        if not written or self._suspect.pop(key.namespace, self) is self:
            return []
        waiting = self._outside.items()
        return self._called([o for o, lane in waiting if lane is Lane.SUSPECT and o.namespace == key.namespace])

    def forget(self, key: ServiceKey) -> None:
        """The service is not written any more."""
        self._failed.pop(key, None)
        self._outside.pop(key, None)
        self._suspect.pop(key.namespace, None)  # or it would be remembered for ever where it was the last one

    def _lane(self, key: ServiceKey) -> Lane | None:
        if key in self._failed:
            return Lane.FAILED
        return Lane.SUSPECT if key.namespace in self._suspect else None

    def _has_room(self, lane: Lane) -> bool:
        return sum(taken is lane for taken in self._tried.values()) < self._width

    def _called(self, keys: list[ServiceKey]) -> list[ServiceKey]:
        for key in keys:
            del self._outside[key]
        return keys
