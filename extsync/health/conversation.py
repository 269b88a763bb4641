"""What is said on one connection of an attempt, from the moment it is under way until the check can judge.

    connecting -> [TLS handshake] -> request sent -> answer received -> judged

The socket is non-blocking and watched edge-triggered: each step goes as far as the socket lets it.
"""

from __future__ import annotations

import errno
import os
from socket import SO_ERROR, SOL_SOCKET
from typing import Final

from extsync.health.base import PASSED, Check, Failed, Request, Result
from extsync.health.tls import TlsSession
from extsync.seams import ProbeSocket, epoll

BROKEN: Final = epoll.ERR | epoll.HUP
_ENDING: Final = epoll.RDHUP | BROKEN
_READABLE: Final = epoll.IN | _ENDING

# Linux says ECONNREFUSED to a reset that answers a SYN; these two say that the connection stood before it was reset.
_RESET: Final = (errno.ECONNRESET, errno.EPIPE)

_PIECE: Final = 16384
_PIECES: Final = 512
"""In how many pieces an answer may come: the check looks at all of it again after each."""
_ANSWER: Final = 262144


class OwnFault(Exception):
    """The attempt cannot go on for a reason that is this process's own, and so proves nothing about the endpoint."""


def words(code: int) -> str:
    """An errno as a person says it: connection refused, no route to host."""
    return os.strerror(code).lower()


def refusal(sock: ProbeSocket) -> int:
    """Why a connection that was to be made is broken: an errno, or 0 where it was made, even if it was reset since."""
    code = sock.getsockopt(SOL_SOCKET, SO_ERROR)
    return 0 if code in _RESET else code


class Conversation:
    """One connection: ``advance`` takes the poller's events and returns the check's result as soon as there is one."""

    __slots__ = ("_connected", "_pieces", "_received", "_session", "_unsent", "check", "hops", "request", "sock")

    def __init__(self, check: Check, request: Request, sock: ProbeSocket, hops: int) -> None:
        """``hops`` is the number of redirects that led here."""
        self.check = check
        self.request = request
        self.sock = sock
        self.hops = hops
        self._connected = False
        self._session: TlsSession | None = None
        self._unsent = b""
        self._received = b""
        self._pieces = 0

    def advance(self, mask: int) -> Result | None:
        """Goes on after the events ``mask``. Raises OSError, ssl.SSLError (see ``tls.words``) and OwnFault."""
        if not self._connected:
            self._established(mask)
        elif self._unsent and mask & epoll.OUT:
            self._send(b"")
        shaking_hands = self.request.tls is not None and not self._is_secure()
        if not self.request.listens and not shaking_hands:
            return None if self._unsent else PASSED
        return self._receive(mask) if mask & _READABLE else None

    def stage(self) -> str:
        """What it is at, to follow "timed out after 1 s"."""
        if not self._connected:
            return "connecting"
        if self.request.tls is not None and not self._is_secure():
            return "in the TLS handshake"
        if not self.request.listens:
            return "sending"
        return f"waiting for {self.check.awaited(self._received)}"

    def _is_secure(self) -> bool:
        return self._session is not None and self._session.established

    def _established(self, mask: int) -> None:
        if mask & BROKEN:
            code = self.sock.getsockopt(SOL_SOCKET, SO_ERROR)
            self._connected = code in _RESET
            if code:
                raise OSError(code, words(code))
        self._connected = True
        if self.request.tls is None:
            self._send(self.request.data)
            return
        try:
            self._session = TlsSession(self.request.tls, self.request.server_name)
        except OSError as error:
            raise OwnFault(f"no TLS context: {error}") from error
        self._session.handshake()
        self._send(self._session.outgoing())

    def _send(self, data: bytes) -> None:
        unsent = self._unsent + data if self._unsent else data
        if not unsent:
            return
        try:
            sent = self.sock.send(unsent)
        except BlockingIOError:
            sent = 0
        self._unsent = unsent[sent:]

    def _receive(self, mask: int) -> Result | None:
        while True:
            try:
                data = self.sock.recv(_PIECE)
            except BlockingIOError:
                return None
            result = self._take(data) if self._session is None else self._decrypt(self._session, data)
            if result is not None:
                return result
            if not data:
                return Failed(f"connection closed {self.stage()}")
            # A short read has emptied the socket, and what comes later makes a new event - unless the end, which is
            # announced once, has come already.
            if len(data) < _PIECE and not mask & _ENDING:
                return None

    def _decrypt(self, session: TlsSession, data: bytes) -> Result | None:
        if not session.established:
            established = session.handshake(data, eof=not data)
            if established:
                session.write(self.request.data)
            self._send(session.outgoing())
            if not established:
                return None
            if not self.request.listens:
                return None if self._unsent else PASSED
            plain, eof = session.read()
        else:
            plain, eof = session.read(data, eof=not data)
            self._send(session.outgoing())
        return self._take(plain, eof=eof) if plain or eof else None

    def _take(self, data: bytes, *, eof: bool = False) -> Result | None:
        received = self._received = self._received + data if self._received else data
        self._pieces += 1
        result = self.check.judge(self.request, received, eof or not data)
        if result is None and len(received) > _ANSWER:
            return Failed(f"the answer is longer than {_ANSWER} bytes")
        if result is None and self._pieces > _PIECES:
            return Failed(f"the answer comes in more than {_PIECES} pieces")
        return result
