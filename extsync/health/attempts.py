"""Attempts in flight: all sockets of a prober, served in bounded portions from one poller.

There is no task, future or callback per attempt. The poller is what the event loop watches; each wake-up handles a
bounded number of events for a bounded time, and the loop runs others in between. Sockets are registered edge-triggered,
once, whatever they wait for. A bare connect, the cheapest and most frequent attempt, needs no object but its socket;
and no attempt needs the poller where all that it waits for is there as soon as its portion has been started (see
nearby).

An attempt on a kept connection that turns out to be of no use any more, before it has had any answer, begins again on
a new one within the same deadline: that a server closes connections which nobody uses says nothing about it.
"""

from __future__ import annotations

import contextlib
import errno
import ssl
from collections.abc import Callable
from typing import Final

from extsync.health import tls_words
from extsync.health.attempt_words import after, blame, fault, note
from extsync.health.base import Failed, Follow, Keep, Passed, Request, Result
from extsync.health.conversation import BROKEN, RESET, Conversation, OwnFault, refusal, words
from extsync.health.nearby import Nearby, takes
from extsync.health.parking import Parking
from extsync.health.record import Record
from extsync.health.sockets import NO_ROOM, NoSocketError, Sockets, is_bare
from extsync.seams import Clock, Poller, ProbeIO, ProbeSocket, epoll

REDIRECTS: Final = 10

_BATCH: Final = 16  # events between two looks at the clock
_BATCHES: Final = 16
_BUSY: Final = 0.005  # seconds that a wake-up may take
_BARE: Final = epoll.OUT | epoll.ET
_TALK: Final = epoll.IN | epoll.OUT | epoll.RDHUP | epoll.ET
_NO_PORT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAGAIN})  # none left, or no address, towards this endpoint
_GIVEN_UP: Final = 64
"""How many kept connections give way at once where the system has no room: others in this process need some, too."""


class Attempts:
    """Starts attempts and sees them through.

    ``concluded(record, failure, now)`` gets each result: None for a pass, otherwise why it failed; after a pass
    the record has its note. ``stranded(record, reason, code)`` gets what could not start or go on for a reason of our
    own, ``code`` being the errno or 0. Both are called while sockets are being served, and may neither start nor end an
    attempt.

    ``flying`` are the records in flight by descriptor, for others to look at.

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
        self.flying: dict[int, Record] = {}
        self._sockets = Sockets(io)
        self._nearby = Nearby(
            clock=clock,
            passed=self._passed,
            ended=self._end,
            left=self._take_up,
            answered=self._take_up_answer,
            broke=self._take_up_error,
            soon=on_events,
        )
        self._parking = Parking(clock.wall)
        self._limit = 0
        self._dials: list[tuple[Record, Request, int, ssl.SSLError | None]] = []
        self._on_events = on_events
        self._poller: Poller = io.poller()

    @property
    def kept(self) -> int:
        """The number of connections that wait for the next attempt of their record."""
        return len(self._parking.records)

    def open(self, sockets: int) -> None:
        """Begins to watch sockets from the running event loop, at most ``sockets`` with those of kept connections."""
        self._limit = sockets
        self._io.attach(self._poller, self._on_events)

    def close(self) -> None:
        """Ends all attempts without a result."""
        for record in list(self.flying.values()):
            self.abandon(record)
        self._nearby.close()
        self._parking.give_up(self.kept)
        self._sockets.give_up()
        self._io.detach(self._poller)
        self._poller.close()

    def begin(self, record: Record) -> None:
        """Starts an attempt, with which ``look`` goes on; it may be over when this returns."""
        now = record.began = self._now()
        if record.talk is not None and self._parking.take(record, record.talk, now):
            self.flying[record.talk.sock.fileno()] = record
            return
        request = self._request(record)
        if request is None:
            return
        sock = self._connect(record, request)
        if sock is None:
            return
        if takes(request):
            self._nearby.add((record, request, sock))
        else:
            self._converse(record, Conversation(record.probe.check, request, sock))

    def abandon(self, record: Record) -> None:
        """Ends an attempt without a result, or closes what is kept for the next one; nothing where there is neither."""
        sock = record.sock
        if sock is not None:
            del self.flying[sock.fileno()]
            sock.close()
            record.sock = record.talk = None
        else:
            self._parking.release(record)

    def pump(self) -> bool:
        """Handles what has happened on the sockets; returns False where it stopped with more to do."""
        poll, flying, parking, clock = self._poller.poll, self.flying, self._parking, self._now
        if not flying and not parking.records:
            return True
        self.look()
        stop = clock() + _BUSY
        for _ in range(_BATCHES):
            events = poll(0, _BATCH)
            now = clock()
            for fd, mask in events:
                record = flying.get(fd)
                if record is None or record.sock is None:
                    parking.notice(fd, mask)  # or a socket that was closed after the poller looked
                elif record.talk is not None:
                    self._advance(record, record.talk, mask, now)
                else:
                    self._told(record, record.sock, mask, now)
            self._dial()
            if len(events) < _BATCH:
                return True
            if now > stop:
                return False
        return False

    def look(self) -> None:
        """Goes on with the attempts begun since the last call; to be called after a portion has been begun."""
        self._nearby.look()
        self._dial()

    # ---- without a conversation -------------------------------------------------------------------------------------

    def _told(self, record: Record, sock: ProbeSocket, mask: int, now: float) -> None:
        """The poller tells how a bare connect went."""
        code = refusal(sock) if mask & BROKEN else 0
        if code:
            self._end(record, words(code), now)
            return
        if record.pace.resets:
            self._poller.unregister(sock.fileno())
        self._passed(record, False, now)

    def _passed(self, record: Record, answered: bool, now: float) -> None:
        """A bare connect has passed, or an attempt that was answered; the poller does not watch its socket."""
        sock = record.sock
        if sock is not None:
            del self.flying[sock.fileno()]
            record.sock = None
            self._sockets.end(record, sock, answered)
        self._concluded(record, None, now)

    # ---- opening ----------------------------------------------------------------------------------------------------

    def _dial(self) -> None:
        """Makes the connections that events have led to: after all events, lest one be for the socket before."""
        while self._dials:
            dials, self._dials = self._dials, []
            for record, request, hops, doubt in dials:
                sock = self._connect(record, request, hops, doubt)
                if sock is None:
                    continue
                if is_bare(request):
                    self._watch(record, sock, _BARE)
                else:
                    self._converse(record, Conversation(record.probe.check, request, sock, hops, doubt))

    def _connect(
        self, record: Record, request: Request, hops: int = 0, doubt: ssl.SSLError | None = None
    ) -> ProbeSocket | None:
        """Opens a connection, which is in flight then; None where it has already failed or could not be."""
        if len(self.flying) + len(self._parking.records) + self._sockets.spares >= self._limit:
            self._give_up(1)
        try:
            try:
                sock = self._sockets.connect(record, request)
            except OSError as error:
                if error.errno not in NO_ROOM or not self._give_up(_GIVEN_UP):
                    raise
                sock = self._sockets.connect(record, request)
        except OSError as error:
            code = error.errno or 0
            if doubt is not None:
                self._concluded(record, tls_words.words(doubt) + after(hops), self._now())
            elif isinstance(error, NoSocketError) or code in NO_ROOM or code in _NO_PORT:
                self._stranded(record, words(code), code)
            else:
                self._concluded(record, words(code) + after(hops), self._now())
            return None
        self.flying[sock.fileno()] = record
        record.sock = sock
        return sock

    def _give_up(self, count: int) -> int:
        """Closes sockets that wait for another attempt, and returns how many."""
        return self._sockets.give_up() or self._parking.give_up(count)

    def _watch(self, record: Record, sock: ProbeSocket, mask: int) -> bool:
        """Has a socket watched; returns False where there is no room for that, which ends the attempt."""
        try:
            self._poller.register(sock.fileno(), mask)
        except OSError as error:
            self._parking.give_up(_GIVEN_UP)
            self.abandon(record)
            self._stranded(record, words(error.errno or 0), error.errno or errno.ENOSPC)
            return False
        return True

    # ---- conversations ----------------------------------------------------------------------------------------------

    def _converse(self, record: Record, talk: Conversation) -> bool:
        """Begins to serve a conversation; returns False where there is no room."""
        record.talk = talk
        return self._watch(record, talk.sock, _TALK)

    def _take_up(self, record: Record, request: Request, sock: ProbeSocket, said: int | None) -> Conversation | None:
        """Goes on with an attempt that began without the poller."""
        if is_bare(request):
            self._watch(record, sock, _BARE)
            return None
        talk = Conversation(record.probe.check, request, sock)
        if said is not None:
            talk.has_said(said)
        return talk if self._converse(record, talk) else None

    def _take_up_answer(self, record: Record, request: Request, sock: ProbeSocket, received: bytes) -> None:
        talk = self._take_up(record, request, sock, len(request.data))
        if talk is not None:
            self._advance(record, talk, epoll.IN, self._now(), received)

    def _take_up_error(
        self, record: Record, request: Request, sock: ProbeSocket, said: int | None, error: OSError
    ) -> None:
        talk = record.talk = Conversation(record.probe.check, request, sock)
        if said is not None or error.errno in RESET:
            talk.has_said(said or 0)
        self._end(record, fault(record, talk, error).reason, self._now())

    def _advance(
        self, record: Record, talk: Conversation, mask: int, now: float, received: bytes | None = None
    ) -> None:
        if talk.doubt is not None:
            self._look(record, talk, talk.doubt, mask, now)
            return
        result: Result | None
        try:
            result = talk.advance(mask, received)
        except ssl.SSLError as error:
            result = self._distrust(record, talk, error)
        except OSError as error:
            result = fault(record, talk, error)
        except Exception as error:  # OwnFault, or whatever a plugin raises: the other sockets must not suffer
            self.abandon(record)
            self._stranded(record, str(error) if isinstance(error, OwnFault) else blame(error), 0)
            return
        if result is not None:
            self._act(record, talk, result, mask, now)

    def _act(self, record: Record, talk: Conversation, result: Result, mask: int, now: float) -> None:
        if isinstance(result, Passed):
            self._pass(record, talk, result, mask, now)
            return
        talk.farewell()
        if isinstance(result, Failed):
            if talk.is_stale:
                self._begin_anew(record)
            else:
                self._end(record, result.reason + after(talk.hops), now)
        elif isinstance(result, Follow):
            if talk.hops == REDIRECTS:
                self._end(record, f"stopped after {REDIRECTS} redirects", now)
            else:
                self.abandon(record)
                self._dials.append((record, result.request, talk.hops + 1, None))

    def _pass(self, record: Record, talk: Conversation, result: Passed, mask: int, now: float) -> None:
        record.note = note(talk, result, self._wall())
        if result.keep is not Keep.NO and self._parking.park(record, talk, result, mask, now):
            del self.flying[talk.sock.fileno()]
            self._concluded(record, None, now)
        else:
            talk.farewell()
            self._end(record, None, now)

    def _begin_anew(self, record: Record) -> None:
        """The kept connection was of no use: the attempt goes on as if there had been none."""
        self.abandon(record)
        request = self._request(record)
        if request is not None:
            self._dials.append((record, request, 0, None))

    def _request(self, record: Record) -> Request | None:
        """How an attempt begins; None where the check cannot tell, and the record is stranded."""
        probe = record.probe
        try:
            return probe.check.request(probe.host, probe.port)
        except Exception as error:  # whatever a plugin raises
            self._stranded(record, blame(error), 0)
            return None

    def _distrust(self, record: Record, talk: Conversation, error: ssl.SSLError) -> Failed | None:
        """What has gone wrong with TLS, in words; None where a second look follows."""
        look = talk.second_look() if tls_words.is_about_dates(error) else None
        if look is None:
            return Failed(tls_words.words(error))
        self.abandon(record)
        self._dials.append((record, look, talk.hops, error))
        return None

    def _look(self, record: Record, talk: Conversation, doubt: ssl.SSLError, mask: int, now: float) -> None:
        """Goes on with a second look; however it ends, the attempt has failed."""
        with contextlib.suppress(OSError, OwnFault):
            if talk.advance(mask) is None and not talk.certificate:
                return
        self._end(record, tls_words.dated(doubt, talk.certificate, self._wall()) + after(talk.hops), now)

    def _end(self, record: Record, failure: str | None, now: float) -> None:
        self.abandon(record)
        self._concluded(record, failure, now)
