"""Attempts in flight: all sockets of a prober, served in bounded portions from one poller.

There is no task, future or callback per attempt. The poller is what the event loop watches; each wake-up handles a
bounded number of events for a bounded time, and the loop runs others in between. Sockets are registered edge-triggered,
once, whatever they wait for. A bare connect, the cheapest and most frequent attempt, needs no object but its socket.
"""

from __future__ import annotations

import contextlib
import errno
import ssl
import struct
from collections.abc import Callable
from socket import SO_LINGER, SOL_SOCKET
from typing import Final

from extsync.health import tls_words
from extsync.health.base import Failed, Follow, Passed, Request, Result
from extsync.health.conversation import BROKEN, Conversation, OwnFault, refusal, words
from extsync.health.record import Record
from extsync.seams import Clock, Poller, ProbeIO, epoll

REDIRECTS: Final = 10

_BATCH: Final = 16  # events between two looks at the clock
_BATCHES: Final = 16
_BUSY: Final = 0.005  # seconds that a wake-up may take
_LINGER_NONE: Final = struct.pack("ii", 1, 0)  # closing sends a reset
_BARE: Final = epoll.OUT | epoll.ET
_TALK: Final = epoll.IN | epoll.OUT | epoll.RDHUP | epoll.ET
_UNDER_WAY: Final = frozenset({0, errno.EINPROGRESS, errno.EINTR})

NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC})
"""No more sockets can be opened just now, whatever the endpoint."""

_NO_PORT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAGAIN})  # none left, or no address, towards this endpoint


class Attempts:
    """Starts attempts and sees them through.

    ``concluded(record, failure, now)`` gets each result: None for a pass, otherwise why it failed; after a pass
    the record has its note. ``stranded(record, reason, code)`` gets what could not start or go on for a reason of our
    own, ``code`` being the errno or 0. Both are called while sockets are being served, and may neither start nor end an
    attempt.

    Where a certificate is refused because of the time, a second connection, which accepts any, looks at its dates.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        io: ProbeIO,
        on_events: Callable[[], None],
        concluded: Callable[[Record, str | None, float], None],
        stranded: Callable[[Record, str, int], None],
    ) -> None:
        self._now = clock.monotonic
        self._wall = clock.wall
        self._io = io
        self._concluded = concluded
        self._stranded = stranded
        self._flying: dict[int, Record] = {}
        self._on_events = on_events
        self._poller: Poller = io.poller()

    def __len__(self) -> int:
        return len(self._flying)

    def open(self) -> None:
        """Begins to watch sockets from the running event loop."""
        self._io.attach(self._poller, self._on_events)

    def close(self) -> None:
        """Ends all attempts without a result."""
        for record in list(self._flying.values()):
            self.abandon(record)
        self._io.detach(self._poller)
        self._poller.close()

    def begin(self, record: Record) -> None:
        """Starts an attempt; it may be over when this returns."""
        record.began = self._now()
        probe = record.probe
        try:
            request = probe.check.request(probe.host, probe.port)
        except Exception as error:  # whatever a plugin raises
            self._stranded(record, _blame(error), 0)
            return
        self._connect(record, request, 0)

    def abandon(self, record: Record) -> None:
        """Ends an attempt without a result; nothing where none is in flight."""
        sock = record.sock
        if sock is not None:
            del self._flying[sock.fileno()]
            sock.close()
            record.sock = record.talk = None

    def stage(self, record: Record) -> str:
        """What the attempt in flight is at, to follow "timed out after 1 s"."""
        if record.talk is None:
            return "connecting"
        try:
            doubt, stage = record.talk.doubt, record.talk.stage()
            return stage if doubt is None else f"{stage} again: {tls_words.words(doubt)}"
        except Exception as error:  # whatever a plugin raises
            return f"({_blame(error)})"

    def pump(self) -> bool:
        """Handles what has happened on the sockets; returns False where it stopped with more to do."""
        poll, flying, clock = self._poller.poll, self._flying, self._now
        if not flying:
            return True
        stop = clock() + _BUSY
        for _ in range(_BATCHES):
            events = poll(0, _BATCH)
            now = clock()
            for fd, mask in events:
                record = flying.get(fd)
                if record is None or record.sock is None:
                    continue  # a poller may report a socket that was closed after it looked
                if record.talk is not None:
                    self._advance(record, record.talk, mask, now)
                else:
                    code = refusal(record.sock) if mask & BROKEN else 0
                    self._end(record, words(code) if code else None, now)
            if len(events) < _BATCH:
                return True
            if now > stop:
                return False
        return False

    def _connect(self, record: Record, request: Request, hops: int, doubt: ssl.SSLError | None = None) -> None:
        try:
            sock = self._io.datagrams(record.family) if request.datagram else self._io.socket(record.family)
        except OSError as error:
            if doubt is None:
                self._stranded(record, words(error.errno or 0), error.errno or 0)
            else:
                self._concluded(record, tls_words.words(doubt) + _after(hops), self._now())
            return
        if record.pace.resets:
            sock.setsockopt(SOL_SOCKET, SO_LINGER, _LINGER_NONE)
        code = sock.connect_ex((record.probe.host, request.port))
        if code in _UNDER_WAY:
            bare = not (request.listens or request.data or request.tls)
            try:
                self._poller.register(sock.fileno(), _BARE if bare else _TALK)
            except OSError as error:
                code = error.errno or errno.ENOSPC
            else:
                self._flying[sock.fileno()] = record
                record.sock = sock
                record.talk = None if bare else Conversation(record.probe.check, request, sock, hops, doubt)
                return
        sock.close()
        if doubt is None and (code in NO_ROOM or code in _NO_PORT):
            self._stranded(record, words(code), code)
        else:
            failure = words(code) if doubt is None else tls_words.words(doubt)
            self._concluded(record, failure + _after(hops), self._now())

    def _advance(self, record: Record, talk: Conversation, mask: int, now: float) -> None:
        if talk.doubt is not None:
            self._look(record, talk, talk.doubt, mask, now)
            return
        result: Result | None
        try:
            result = talk.advance(mask)
        except ssl.SSLError as error:
            result = self._distrust(record, talk, error)
        except OSError as error:
            result = self._broken(record, talk, error.errno or 0)
        except Exception as error:  # OwnFault, or whatever a plugin raises: the other sockets must not suffer
            self.abandon(record)
            self._stranded(record, str(error) if isinstance(error, OwnFault) else _blame(error), 0)
            return
        if result is None:
            return
        talk.farewell()
        if isinstance(result, Failed):
            self._end(record, result.reason + _after(talk.hops), now)
        elif isinstance(result, Follow):
            if talk.hops == REDIRECTS:
                self._end(record, f"stopped after {REDIRECTS} redirects", now)
            else:
                self.abandon(record)
                self._connect(record, result.request, talk.hops + 1)
        else:
            record.note = self._note(talk, result)
            self._end(record, None, now)

    def _note(self, talk: Conversation, result: Result) -> str:
        note = result.note if isinstance(result, Passed) else ""
        certificate = talk.certificate
        if not certificate:
            return note
        return "; ".join(filter(None, (tls_words.notice(certificate, self._wall()), note)))

    def _broken(self, record: Record, talk: Conversation, code: int) -> Failed:
        if talk.request.datagram:
            return Failed("port unreachable" if code == errno.ECONNREFUSED else words(code))
        stage = self.stage(record)
        return Failed(words(code) if stage == "connecting" else f"{words(code)} ({stage})")

    def _distrust(self, record: Record, talk: Conversation, error: ssl.SSLError) -> Failed | None:
        """TLS has failed; None where a second look follows."""
        look = talk.second_look() if tls_words.is_about_dates(error) else None
        if look is None:
            return Failed(tls_words.words(error))
        self.abandon(record)
        self._connect(record, look, talk.hops, error)
        return None

    def _look(self, record: Record, talk: Conversation, doubt: ssl.SSLError, mask: int, now: float) -> None:
        """Goes on with a second look; however it ends, the attempt has failed."""
        with contextlib.suppress(OSError, OwnFault):
            if talk.advance(mask) is None and not talk.certificate:
                return
        self._end(record, tls_words.dated(doubt, talk.certificate, self._wall()) + _after(talk.hops), now)

    def _end(self, record: Record, failure: str | None, now: float) -> None:
        self.abandon(record)
        self._concluded(record, failure, now)


def _blame(error: Exception) -> str:
    return f"the check itself failed: {type(error).__name__}: {error}"


def _after(hops: int) -> str:
    return f" (after {hops} redirect{'s' if hops > 1 else ''})" if hops else ""
