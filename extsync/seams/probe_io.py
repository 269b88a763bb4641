"""The prober's sockets: the few calls of ``socket`` and ``select`` that it makes, so that a test can script them.

The interface is as low as it can be: a layer between the prober and the system calls would cost more than the
prober itself.
"""

from __future__ import annotations

import asyncio
import select
import socket
import sys
from collections.abc import Callable
from typing import Any, Protocol

from extsync.errors import ConfigError


class ProbeSocket(Protocol):
    """A non-blocking socket, with ``socket.socket``'s names and meanings."""

    def fileno(self) -> int: ...
    def connect_ex(self, address: Any, /) -> int: ...
    def send(self, data: bytes, /) -> int: ...
    def recv(self, size: int, /) -> bytes: ...
    def getsockopt(self, level: int, name: int, /) -> int: ...
    def setsockopt(self, level: int, name: int, value: Any, /) -> None: ...
    def bind(self, address: Any, /) -> None: ...
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
        """A new non-blocking TCP socket of ``family``; raises OSError (EMFILE, ENFILE, ENOBUFS) where none is left."""
        ...

    def datagrams(self, family: int) -> ProbeSocket:
        """A new non-blocking UDP socket of ``family``; raises OSError as ``socket`` does.

        Once it is connected it receives from that address and port only, and says what ICMP reports of them.
        """
        ...

    def poller(self) -> Poller: ...

    def attach(self, poller: Poller, callback: Callable[[], object]) -> None:
        """Calls ``callback`` from the running event loop whenever ``poller`` has events."""
        ...

    def detach(self, poller: Poller) -> None: ...


class SystemProbeIO:
    """Sockets of the operating system and one epoll set that is itself registered with the event loop."""

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise ConfigError(f"probing needs Linux (epoll); this is {sys.platform}: run extsync in a Linux container")

    def socket(self, family: int) -> ProbeSocket:
        return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def datagrams(self, family: int) -> ProbeSocket:
        return socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def poller(self) -> Poller:
        return select.epoll()

    def attach(self, poller: Poller, callback: Callable[[], object]) -> None:
        asyncio.get_running_loop().add_reader(poller.fileno(), callback)  # type: ignore[attr-defined]

    def detach(self, poller: Poller) -> None:
        asyncio.get_running_loop().remove_reader(poller.fileno())  # type: ignore[attr-defined]
