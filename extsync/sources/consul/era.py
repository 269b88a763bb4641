"""One life of the servers' state told from the next. Pure.

Consul numbers every change of its state, and within one state the numbers only rise: over elections, upgrades and
exchanged servers, and over restarts that keep the data. Servers that lost their state begin to count again, and those
that were restored from a snapshot go on from an older number. Two things show it, each by itself:

1. The index of the whole catalog went down.
2. None of the servers is registered as it was, and one of them is registered in a way that was not there before, though
   it says that it has been so since a time before. That shows a new state however far it has counted meanwhile.
"""

from __future__ import annotations

from typing import NamedTuple


class Server(NamedTuple):
    """How a server of the cluster is registered. ``modified`` is the index of the last change of it."""

    node: str
    identity: str
    modified: int


class Eras:
    """Counts the states. ``number`` is that of the present one, from 0 on."""

    def __init__(self) -> None:
        self.number = 0
        self._index = 0
        self._servers: frozenset[Server] = frozenset()
        self._listed_at = 0

    def note(self, index: int, servers: frozenset[Server]) -> None:
        """Takes in the index of the catalog, and the servers that were listed after it had been read.

        No servers: they cannot be seen. Both are what the leader says.
        """
        if index < self._index or self._are_others(servers):
            self.number += 1
            self._index, self._servers, self._listed_at = index, servers, index
            return
        self._index = index
        if servers:
            self._servers, self._listed_at = servers, index

    def _are_others(self, servers: frozenset[Server]) -> bool:
        """Rule 2: whatever is not as it was when all were listed must have been modified since."""
        if not servers or not self._servers or self._servers & servers:
            return False
        return min(server.modified for server in servers) <= self._listed_at
