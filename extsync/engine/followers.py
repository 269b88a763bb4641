"""Who is told of which services there may be something new, without asking for all of them again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from extsync.model import ServiceKey

Follower: TypeAlias = Callable[[ServiceKey], None]
"""Is called with a service that was looked at, heard of or let go; it only takes note, since others wait for it."""


class Followers:
    """Those who follow the services of one engine; where there are none, telling costs next to nothing."""

    def __init__(self) -> None:
        self._followers: dict[int, Follower] = {}
        self._number = 0

    def add(self, follower: Follower) -> Callable[[], None]:
        """Tells ``follower`` from now on, until what is returned is called."""
        self._number += 1
        number = self._number
        self._followers[number] = follower

        def leave() -> None:
            self._followers.pop(number, None)

        return leave

    def tell(self, key: ServiceKey) -> None:
        """There may be something new of the service ``key``."""
        for follower in self._followers.values():
            follower(key)
