"""The prober's sockets: the few calls of ``socket`` and ``select`` that it makes, so that a test can script them.

The interface is as low as it can be: a layer between the prober and the system calls would cost more than the
prober itself.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from extsync.errors import ConfigError
from extsync.seams.disconnect import disconnector

_BIND_ADDRESS_NO_PORT: Final = 24
"""IP_BIND_ADDRESS_NO_PORT of Linux, for which Python 3.11 has no name: binding takes no port. Connecting does, and then
the same one can lead to many endpoints; otherwise 28,000 probes in a minute would have taken all there are."""

_RECEIVE_ERRORS: Final[dict[int, tuple[int, int]]] = {
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}
"""IP_RECVERR and IPV6_RECVERR of Linux: without it a datagram whose host or network is unreachable looks like a lost
one, since only what is reported of its port counts as an error."""


_STREAM: Final = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
_DATAGRAMS: Final = int(socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


class ProbeSocket(Protocol):
    """A non-blocking socket, with ``socket.socket``'s names and meanings."""

    def fileno(self) -> int: ...
    def connect_ex(self, address: Any, /) -> int: ...
    def send(self, data: bytes, /) -> int: ...
    def recv(self, size: int, /) -> bytes: ...
    def getsockopt(self, level: int, name: int, /) -> int: ...
    def setsockopt(self, level: int, name: int, value: Any, /) -> None: ...
    def bind(self, address: Any, /) -> None: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...


class Poller(Protocol):
    """A set of watched sockets, with ``select.epoll``'s names and meanings; closing a socket takes it out."""

    def register(self, fd: int, eventmask: int, /) -> None: ...
    def modify(self, fd: int, eventmask: int, /) -> None: ...
    def unregister(self, fd: int, /) -> None: ...
    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]: ...
    def close(self) -> None: ...


class ProbeIO(Protocol):
    """Makes sockets and the one poller of a prober."""

    def socket(self, family: int) -> ProbeSocket:
        """A new non-blocking TCP socket of ``family``.

        Raises OSError: EMFILE, ENFILE or ENOBUFS where none is left, EADDRNOTAVAIL where the address that it should be
        bound to has left this machine.
        """
        ...

    def datagrams(self, family: int) -> ProbeSocket:
        """A new non-blocking UDP socket of ``family``; raises OSError as ``socket`` does.

        Once it is connected it receives from that address and port only, and says what ICMP reports of them.
        """
        ...

    def renewer(self) -> Callable[[ProbeSocket, bool], bool]:
        """A function ``(sock, resets)`` that ends a TCP socket's connection and makes the socket as new.

        With ``resets`` it ends with a reset, otherwise in order: that is possible only where the other side ended first
        and knows of our end at once. It returns False where it cannot be done: then the socket is to be closed. A
        poller must not watch it, since what has happened so far would still be told.
        """
        ...

    def poller(self) -> Poller: ...

    def attach(self, poller: Poller, callback: Callable[[], object]) -> None:
        """Calls ``callback`` from the running event loop whenever ``poller`` has events."""
        ...

    def detach(self, poller: Poller) -> None: ...


class SystemProbeIO:
    """Sockets of the operating system and one epoll set that is itself registered with the event loop.

    ``source_addresses`` are where probes are sent from, at most one IPv4 and one IPv6 address of this machine; of a
    family without one the system chooses for each connection. Raises ConfigError where they cannot be used.
    """

    def __init__(self, *, source_addresses: Sequence[str] = ()) -> None:
        if sys.platform != "linux":
            raise ConfigError(f"probing needs Linux (epoll); this is {sys.platform}: run extsync in a Linux container")
        self.source_addresses = tuple(source_addresses)
        self._sources: dict[int, str] = {
            socket.AF_INET6 if ":" in address else socket.AF_INET: address for address in source_addresses
        }
        if len(self._sources) != len(self.source_addresses):
            raise ConfigError(
                f"probes can be sent from one address of a family, not from {', '.join(source_addresses)}"
            )
        for family, address in self._sources.items():
            try:
                self.socket(family).close()
            except OSError as error:
                reason = os.strerror(error.errno or 0).lower()
                raise ConfigError(
                    f"probes cannot be sent from {address}: {reason}: is it an address of this machine?"
                ) from error

    def socket(self, family: int) -> ProbeSocket:
        sock = socket.SocketType(family, _STREAM)  # socket.socket's base, without what that adds in Python
        return _bound(sock, self._sources[family]) if family in self._sources else sock

    def datagrams(self, family: int) -> ProbeSocket:
        sock = socket.SocketType(family, _DATAGRAMS)
        sock.setsockopt(*_RECEIVE_ERRORS[family], 1)
        return _bound(sock, self._sources[family]) if family in self._sources else sock

    def renewer(self) -> Callable[[ProbeSocket, bool], bool]:
        return disconnector()

    def poller(self) -> Poller:
        return select.epoll()

    def attach(self, poller: Poller, callback: Callable[[], object]) -> None:
        asyncio.get_running_loop().add_reader(poller.fileno(), callback)  # type: ignore[attr-defined]

    def detach(self, poller: Poller) -> None:
        asyncio.get_running_loop().remove_reader(poller.fileno())  # type: ignore[attr-defined]


def _bound(sock: ProbeSocket, source: str) -> ProbeSocket:
    try:
        sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source, 0))
    except OSError:
        sock.close()
        raise
    return sock
