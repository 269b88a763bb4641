"""Which name servers are asked: those of the manifest, or the system's, as resolv.conf names them at the time."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from extsync.errors import ReadFailed
from extsync.seams import Clock
from extsync.sources.dns.exchange import Server
from extsync.sources.whole_file import read_file, why

Nameservers: TypeAlias = Callable[[], Sequence[Server]]
"""The servers to ask, in their order, at least one; raises ReadFailed where there is none."""

RESOLV_CONF: Final = Path("/etc/resolv.conf")

MOST_SYSTEM_SERVERS: Final = 3
"""Name servers of resolv.conf that count, as in the C library (MAXNS)."""

MOST_BYTES: Final = 64 * 1024
"""The largest resolv.conf that is read."""

READ_EVERY: Final = 1.0
"""Seconds for which what resolv.conf said counts before it is read again."""


def parse_server(text: str) -> Server:
    """``ip:port``, or ``[ip]:port`` for IPv6, as manifests have it."""
    host, _, port = text.rpartition(":")
    return Server(host.removeprefix("[").removesuffix("]"), int(port))


class SystemNameservers:
    """The name servers of resolv.conf, which may change at any time; ``port`` is where they are asked."""

    def __init__(self, clock: Clock, *, port: int, path: Path = RESOLV_CONF) -> None:
        self._clock = clock
        self._port = port
        self._path = path
        self._read_at = float("-inf")
        self._servers: tuple[Server, ...] = ()

    def __call__(self) -> Sequence[Server]:
        now = self._clock.monotonic()
        if now - self._read_at >= READ_EVERY:
            self._servers = tuple(Server(address, self._port) for address in self._addresses())
            self._read_at = now
        return self._servers

    def _addresses(self) -> list[str]:
        # On the loop, as the C library reads it in every program: the file is small and local.
        try:
            text = read_file(self._path, limit=MOST_BYTES).decode(errors="replace")
        except OSError as error:
            raise ReadFailed(f"{self._path}: {why(error)}; name the nameservers in the manifest") from error
        words = [line.split() for line in text.splitlines()]
        named = [line[1] for line in words if line[:1] == ["nameserver"] and len(line) > 1]
        usable = [address for address in named if _is_address(address)]
        if not usable:
            raise ReadFailed(f"{self._path} names no name server: name the nameservers in the manifest")
        return usable[:MOST_SYSTEM_SERVERS]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
