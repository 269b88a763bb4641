"""The sockets of attempts: each is made for what is to be said on it, and some serve again.

Where a connection is to end with a reset, its socket can be made as new by the same call, which spares the system much
of what a socket costs. Where it is to end in order, so can the socket of an attempt that was answered, once the
connection is over: the server has ended it as well, as HTTP asks it to, and is so near that it has acknowledged our end
at once. Only one whose connection stood is used again: one that was never refused or unreachable has nothing to
remember of it. Nor is it believed what such a socket says at once to its next connect: a new one is asked the same.
They are a convenience, no more than one portion of attempts needs, and give way where a descriptor is needed.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SO_LINGER, SOL_SOCKET, TCP_QUICKACK
from typing import Final

from extsync.health.base import Request
from extsync.health.nearby import takes
from extsync.health.record import Record
from extsync.seams import ProbeIO, ProbeSocket

NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC})
"""No more sockets can be opened just now, whatever the endpoint."""

SPARES: Final = 256
"""How many sockets of a family and of an end wait to be used again at a time."""

_PAUSE: Final = 16
"""How many sockets are just closed after one whose connection was not over at once: other servers may be as far."""

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
        self._renew: Callable[[ProbeSocket, bool], bool] | None = None
        # By whether they end with a reset, for which an option is set for good, and by family.
        self._spares: dict[tuple[bool, int], list[ProbeSocket]] = {
            (resets, family): [] for resets in (False, True) for family in (AF_INET, AF_INET6)
        }
        self._pause = 0
        self.spares = 0
        """How many sockets wait to be used again."""

    def connect(self, record: Record, request: Request) -> ProbeSocket:
        """A socket whose connection is under way, or made. Raises NoSocketError, and OSError where it has failed."""
        resets = record.pace.resets
        spares = self._spares[resets, record.family]
        if spares and takes(request):
            sock = spares.pop()
            self.spares -= 1
            sock.setsockopt(IPPROTO_TCP, TCP_QUICKACK, 0)  # does not outlast a connection
            if sock.connect_ex((record.probe.host, request.port)) in _UNDER_WAY:
                return sock
            sock.close()
        try:
            sock = self._io.datagrams(record.family) if request.datagram else self._io.socket(record.family)
        except OSError as error:
            raise NoSocketError(error.errno or errno.ENOBUFS, error.strerror) from error
        if resets:
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

    def end(self, record: Record, sock: ProbeSocket, answered: bool) -> None:
        """Ends an attempt that passed without TLS: a bare connect that stood, or one that was ``answered``.

        The poller must not watch the socket.
        """
        resets = record.pace.resets
        if resets or (answered and not self._pause):
            if self._renew is None:
                self._renew = self._io.renewer()
            spares = self._spares[resets, record.family]
            if len(spares) < SPARES and self._renew(sock, resets):
                spares.append(sock)
                self.spares += 1
                return
            if not resets:
                self._pause = _PAUSE
        elif answered:
            self._pause -= 1
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
