"""The sockets of attempts: each is made for what is to be said on it, and some serve again.

Where a bare connect is to end with a reset, its socket can be made as new by the same call, which spares the system
much of what a socket costs. Only one whose connection stood is used again: one that was never refused or unreachable
has nothing to remember of it. Nor is it believed what such a socket says at once to its next connect: a new one is
asked the same. They are a convenience, no more than one portion of attempts needs, and give way where a descriptor is
needed.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SO_LINGER, SOL_SOCKET, TCP_QUICKACK
from typing import Final

from extsync.health.base import Request
from extsync.health.record import Record
from extsync.seams import ProbeIO, ProbeSocket

NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC})
"""No more sockets can be opened just now, whatever the endpoint."""

SPARES: Final = 256
"""How many sockets of a family wait to be used again at a time."""

_LINGER_NONE: Final = struct.pack("ii", 1, 0)  # closing sends a reset
_UNDER_WAY: Final = frozenset({0, errno.EINPROGRESS, errno.EINTR})


class NoSocketError(OSError):
    """There is no socket to connect with, which says nothing about the endpoint."""


def is_bare(request: Request) -> bool:
    """Whether a connection that stands is all that is asked for."""
    return not (request.listens or request.data or request.tls or request.datagram)


class Sockets:
    """Opens the connections of attempts, and ends those that may serve again."""

    def __init__(self, io: ProbeIO) -> None:
        self._io = io
        self._renewer = io.renewer
        self._renew: Callable[[ProbeSocket], bool] | None = None
        self._spares: dict[int, list[ProbeSocket]] = {AF_INET: [], AF_INET6: []}
        self.spares = 0
        """How many sockets wait to be used again."""

    def connect(self, record: Record, request: Request) -> ProbeSocket:
        """A socket whose connection is under way, or made. Raises NoSocketError, and OSError where it has failed."""
        if record.pace.resets and self._spares[record.family] and is_bare(request):
            sock = self._spares[record.family].pop()
            self.spares -= 1
            sock.setsockopt(IPPROTO_TCP, TCP_QUICKACK, 0)  # does not outlast a connection
            if sock.connect_ex((record.probe.host, request.port)) in _UNDER_WAY:
                return sock
            sock.close()
        try:
            sock = self._io.datagrams(record.family) if request.datagram else self._io.socket(record.family)
        except OSError as error:
            raise NoSocketError(error.errno or errno.ENOBUFS, error.strerror) from error
        if record.pace.resets:
            sock.setsockopt(SOL_SOCKET, SO_LINGER, _LINGER_NONE)
        if _is_first_to_speak(request):
            # The acknowledgement that completes the handshake goes with what we say, or with the end: a packet less on
            # either side, and a server that is woken once. Before a reset there is none at all, and the server's
            # process never hears of the connection.
            sock.setsockopt(IPPROTO_TCP, TCP_QUICKACK, 0)
        code = sock.connect_ex((record.probe.host, request.port))
        if code not in _UNDER_WAY:
            sock.close()
            raise OSError(code, "")
        return sock

    def end(self, record: Record, sock: ProbeSocket) -> None:
        """Ends a bare connect that stood; the poller does not watch its socket."""
        if record.pace.resets:
            spares = self._spares[record.family]
            if self._renew is None:
                self._renew = self._renewer()
            if len(spares) < SPARES and self._renew(sock):
                spares.append(sock)
                self.spares += 1
                return
        sock.close()

    def give_up(self) -> int:
        """Closes the sockets that wait and returns how many they were."""
        count, self.spares = self.spares, 0
        for spares in self._spares.values():
            for sock in spares:
                sock.close()
            spares.clear()
        return count


def _is_first_to_speak(request: Request) -> bool:
    """Whether TCP carries the request, and a server has nothing to say before it hears from us."""
    return not request.datagram and bool(request.data or request.tls or request.session or not request.listens)
