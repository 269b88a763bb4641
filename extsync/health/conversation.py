"""What is said on one connection of an attempt, from the moment it is under way until the check can judge.

    connecting -> [TLS handshake] -> request sent -> answer received -> judged -> [the next request] ...

The socket is non-blocking and watched edge-triggered: each step goes as far as the socket lets it. Datagrams go the
same way, except that each is received and judged by itself, and that none of them is an end.

A connection may be kept after a pass. Then it rests until the next attempt resumes it, and what comes meanwhile is
read: the rest of the answer, TLS's tickets, what a protocol with a session says by itself, or the end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import ssl
from socket import SO_ERROR, SOL_SOCKET
from typing import Final

from extsync.health.base import PASSED, Check, Failed, Keep, Passed, Request, Result, Say, Session
from extsync.health.tls import Tls, TlsSession
from extsync.seams import ProbeSocket, epoll

BROKEN: Final = epoll.ERR | epoll.HUP
_ENDING: Final = epoll.RDHUP | BROKEN
_READABLE: Final = epoll.IN | _ENDING

# Linux says ECONNREFUSED to a reset that answers a SYN; these two say that the connection stood before it was reset.
RESET: Final = (errno.ECONNRESET, errno.EPIPE)

PIECE: Final = 16384
_DATAGRAM: Final = 65535
_PIECES: Final = 512
"""In how many pieces all answers of an attempt may come: the check looks at an answer again after each."""
_ANSWER: Final = 262144
_ENCRYPTED: Final = 4 * _ANSWER
"""How many bytes TLS may take for an attempt: it has messages that mean nothing, and a server may send any number."""


class OwnFault(Exception):
    """The attempt cannot go on for a reason that is this process's own, and so proves nothing about the endpoint."""


def words(code: int) -> str:
    """An errno as a person says it: connection refused, no route to host."""
    return os.strerror(code).lower()


def refusal(sock: ProbeSocket) -> int:
    """Why a connection that was to be made is broken: an errno, or 0 where it was made, even if it was reset since."""
    code = sock.getsockopt(SOL_SOCKET, SO_ERROR)
    return 0 if code in RESET else code


class Conversation:
    """One connection: ``advance`` takes the poller's events and returns the check's result as soon as there is one.

    ``check``, ``hops`` (the number of redirects that led here) and ``doubt`` (what a second look at a certificate is
    about, see Attempts) are the caller's to read; ``request`` is what is being said. ``left`` is how many more attempts
    the connection may serve, where it was kept before, and ``until`` is when it may no longer (seconds of the monotonic
    clock); both are for Parking to write.
    """

    __slots__ = (
        "_connected", "_encrypted", "_pieces", "_received", "_said", "_shaking", "_tls", "_unfinished", "_unsent",
        "check", "doubt", "hops", "left", "request", "sock", "until",
    )  # fmt: skip

    def __init__(
        self, check: Check, request: Request, sock: ProbeSocket, hops: int = 0, doubt: ssl.SSLError | None = None
    ) -> None:
        self.check = check
        self.request = request
        self.sock = sock
        self.hops = hops
        self.doubt = doubt
        self._connected = False
        self._tls: TlsSession | None = None
        self._encrypted = 0
        self._shaking = request.tls is not None
        self._unsent = b""
        self._received = b""
        self._pieces = 0
        self._said = False
        self._unfinished = False
        self.left = 0
        self.until = 0.0

    @property
    def certificate(self) -> bytes:
        """What the server has proved itself with (DER); empty while there is none."""
        return b"" if self._tls is None else self._tls.certificate

    @property
    def is_stale(self) -> bool:
        """Whether a failure now would be that of a kept connection, on which this attempt has had no answer yet."""
        if self.left == 0:
            return False
        session = self.request.session
        return not (self._received if session is None else session.answered)

    def has_said(self, count: int) -> None:
        """Begins where the connection stands and ``count`` bytes of the request's data have been sent."""
        self._connected = True
        self._unsent = self.request.data[count:]

    def advance(self, mask: int, received: bytes | None = None) -> Result | None:
        """Goes on after the events ``mask``, with what has been ``received`` already; b"" is the end.

        Raises OSError, ssl.SSLError (see ``tls_words``) and OwnFault.
        """
        if not self._connected:
            self._established(mask)
        elif self._unsent and mask & epoll.OUT:
            self._send(b"")
        if not (self.request.listens or self._shaking):
            return None if self._unsent else PASSED
        if not mask & _READABLE:
            return None
        return self._receive_datagrams() if self.request.datagram else self._receive(mask, received)

    def second_look(self) -> Request | None:
        """A request that only asks for the server's certificate; None where TLS is not how the connection begins."""
        request = self.request
        if request.tls is None or self._said:
            return None
        return Request(request.port, tls=request.tls.trusting(), server_name=request.server_name)

    def farewell(self) -> None:
        """Ends what was said under TLS in order (RFC 8446, section 6.1): some servers log it where that is left out."""
        if self._tls is None or self._shaking:
            return
        with contextlib.suppress(OSError):  # whether it arrives does not matter any more
            self._tls.farewell()
            self.sock.send(self._tls.outgoing())

    def rests(self, result: Passed, mask: int) -> bool:
        """Whether the connection can be kept after ``result``, which ``mask`` has led to; then it rests."""
        if result.keep is Keep.NO or self.hops or self._said or mask & _ENDING:
            return False
        session = self.request.session
        if session is not None:
            try:
                self._utter(session.outgoing())
            except OSError:
                return False
        self._unfinished = result.keep is Keep.LATER
        if not self._unfinished:
            self._received = b""
        self._pieces = self._encrypted = 0
        return not self._unsent

    def listen(self, mask: int) -> bool:
        """Takes what has come while the connection rests; returns whether it can go on to. Raises as ``advance``."""
        if mask & BROKEN:
            return False
        if self._unsent and mask & epoll.OUT:
            self._send(b"")
        while mask & _READABLE:
            try:
                data = self.sock.recv(PIECE)
            except BlockingIOError:
                break
            plain, eof = (data, not data) if self._tls is None else self._tls.read(data, eof=not data)
            self._encrypted += len(data)
            if eof or self._encrypted > _ENCRYPTED or (plain and not self._bears(plain)):
                return False
        return True

    def resume(self) -> bool:
        """Begins another attempt on the connection; returns False where it cannot serve one. Raises as ``advance``."""
        # What came last may not have been announced yet, and must not be taken for an answer.
        if not self.listen(epoll.IN) or self._unfinished or self._unsent:
            return False
        if self._tls is not None and not self._tls.is_current:
            return False
        self._say_first()
        return True

    def stage(self) -> str:
        """What it is at, to follow "timed out after 1 s"."""
        if not self._connected:
            return "connecting"
        if self._shaking:
            return "in the TLS handshake"
        if not self.request.listens:
            return "sending"
        session = self.request.session
        awaited = self.check.awaited(self.request, self._received) if session is None else session.awaited()
        return f"waiting for {awaited}"

    def _established(self, mask: int) -> None:
        if mask & BROKEN:
            code = self.sock.getsockopt(SOL_SOCKET, SO_ERROR)
            self._connected = code in RESET
            if code:
                raise OSError(code, words(code))
        self._connected = True
        if self.request.tls is not None:
            self._shake_hands(self.request.tls)
        else:
            self._say_first()

    def _shake_hands(self, tls: Tls) -> None:
        self._shaking = True
        try:
            session = self._tls = TlsSession(tls, self.request.server_name)
        except OSError as error:
            raise OwnFault(f"no TLS context: {error}") from error
        session.handshake()
        self._send(self.request.preface + session.outgoing())

    def _send(self, data: bytes) -> None:
        unsent = self._unsent + data if self._unsent else data
        if not unsent:
            return
        try:
            sent = self.sock.send(unsent)
        except BlockingIOError:
            sent = 0
        self._unsent = unsent[sent:]

    def _receive(self, mask: int, received: bytes | None) -> Result | None:
        while True:
            try:
                data = self.sock.recv(PIECE) if received is None else received
            except BlockingIOError:
                return None
            received = None
            result = self._take(data, eof=not data) if self._tls is None else self._decrypt(self._tls, data)
            if result is not None:
                return result
            if not data:
                return Failed(f"connection closed {self.stage()}")
            # A short read has emptied the socket, and what comes later makes a new event - unless the end, which is
            # announced once, has come already.
            if len(data) < PIECE and not mask & _ENDING:
                return None

    def _receive_datagrams(self) -> Result | None:
        while True:
            try:
                data = self.sock.recv(_DATAGRAM)
            except BlockingIOError:
                return None
            self._received = b""
            result = self._take(data, eof=False)
            if result is not None:
                return result

    def _decrypt(self, tls: TlsSession, data: bytes) -> Result | None:
        self._encrypted += len(data)
        if self._encrypted > _ENCRYPTED:
            return Failed(f"TLS takes more than {_ENCRYPTED} bytes")
        if not tls.established:
            established = tls.handshake(data, eof=not data)
            if established:
                if tls.missed:
                    return Failed(f"the server does not agree to speak {tls.missed} (ALPN)")
                self._secured(tls)
            self._send(tls.outgoing())
            if not established:
                return None
            if not (self.request.listens or self._shaking):
                return None if self._unsent else PASSED
            plain, eof = tls.read()
        else:
            plain, eof = tls.read(data, eof=not data)
            self._send(tls.outgoing())
        if not self.request.listens:
            return PASSED if tls.agreed else None
        return self._take(plain, eof=eof) if plain or eof else None

    def _secured(self, tls: TlsSession) -> None:
        """The handshake is complete on this side.

        In TLS 1.3 the server has not seen the client's certificate, or that there is none, at that moment. Where it
        will not be asked anything, a farewell makes it say something: its own, or what it has against the client.
        """
        self._say_first()
        if self.request.listens or tls.agreed:
            self._shaking = False
        else:
            tls.farewell()

    def _take(self, data: bytes, *, eof: bool) -> Result | None:
        if self.request.session is not None:
            return self._hand_over(self.request.session, data, eof=eof)
        received = self._received = self._received + data if self._received else data
        self._pieces += 1
        result = self.check.judge(self.request, received, eof)
        if result is None:
            if len(received) > _ANSWER:
                return Failed(f"the answer is longer than {_ANSWER} bytes")
        elif isinstance(result, Say):
            result = self._say(result.request, ended=eof)
        if result is None and self._pieces > _PIECES:
            return Failed(f"the answer comes in more than {_PIECES} pieces")
        return result

    def _hand_over(self, session: Session, data: bytes, *, eof: bool) -> Result | None:
        self._pieces += 1
        result = session.receive(data, eof)
        if result is None:
            self._utter(session.outgoing())
            if self._pieces > _PIECES:
                return Failed(f"the answer comes in more than {_PIECES} pieces")
        return result

    def _bears(self, plain: bytes) -> bool:
        """Whether the connection can be kept although ``plain`` comes while it rests."""
        session = self.request.session
        if session is not None:
            good = session.rest(plain)
            self._utter(session.outgoing())
            return good
        if not self._unfinished:
            return False
        self._received += plain
        self._pieces += 1
        result = self.check.judge(self.request, self._received, False)
        if not isinstance(result, Passed) or result.keep is Keep.NO:
            return False
        self._unfinished = result.keep is Keep.LATER
        if not self._unfinished:
            self._received = b""
        return self._pieces <= _PIECES and len(self._received) <= _ANSWER

    def _say_first(self) -> None:
        """Begins an attempt on a connection that stands."""
        session = self.request.session
        if session is None:
            self._utter(self.request.data)
        else:
            session.begin()
            self._utter(session.outgoing())

    def _utter(self, data: bytes) -> None:
        if self._tls is not None:
            if data:
                self._tls.write(data)
            data = self._tls.outgoing()
        self._send(data)

    def _say(self, request: Request, *, ended: bool) -> Result | None:
        self.request = request
        self._received = b""
        self._said = True
        if ended:
            return Failed(f"connection closed {self.stage()}") if request.listens else PASSED
        if self._tls is None and request.tls is not None:
            self._shake_hands(request.tls)
            return None
        self._utter(request.data)
        return None if request.listens or self._unsent else PASSED
