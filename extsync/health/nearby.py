"""What a near network has answered by the time a portion of attempts has been begun, which needs no poller.

Having a socket watched, and being told of it, costs more than to ask it. So each attempt that TCP carries and that we
begin is first gone on with as if there was no need to wait: after the whole portion has been begun, what is to be said
is said wherever the connection stands, and then the answers are read that have come. What is not over by then is left
to the poller; in a large portion a millisecond later, since its servers may be busy with one another's requests. That
millisecond may show in the latency of such an attempt, as the time that a portion takes does.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final, TypeAlias

from extsync.health.base import PASSED, Request
from extsync.health.conversation import PIECE, words
from extsync.health.record import Record
from extsync.seams import Clock, ProbeSocket, Timer

_STILL_UNDER_WAY: Final = frozenset({errno.EALREADY, errno.EINPROGRESS, errno.EINTR})
_MADE: Final = frozenset({0, errno.EISCONN, errno.ECONNRESET, errno.EPIPE})
"""What connecting again says where the connection stands, or stood and was reset (see ``refusal``)."""

_SOON: Final = 0.001
_MANY: Final = 8
"""From how many unanswered requests on they are worth a timer."""

_Begun: TypeAlias = tuple[Record, Request, ProbeSocket]


def takes(request: Request) -> bool:
    """Whether an attempt with this request may begin without the poller."""
    return bool(request.data or not request.listens) and not (request.tls or request.session or request.datagram)


class Nearby:
    """Attempts whose connection is under way, each until it is over or left to the poller.

    ``add((record, request, sock))`` takes one that has just begun and which it ``takes``.
    ``passed(record, answered, now)`` tells that a bare connect has passed or, ``answered``, an attempt with an answer,
    and ``ended(record, failure, now)`` how another one ended, None for a pass. The others hand over one that goes on:
    ``left(record, request, sock, said)`` where there is nothing to read yet, ``answered(record, request, sock,
    received)`` where what has come, perhaps only the end, is no plain pass, and ``broke(record, request, sock, said,
    error)`` where the connection has broken. ``said`` is None where it does not stand yet, otherwise how many bytes of
    the request have been sent. No call may begin another attempt.

    ``soon()`` is called when it is time to ``look`` again.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        passed: Callable[[Record, bool, float], None],
        ended: Callable[[Record, str | None, float], None],
        left: Callable[[Record, Request, ProbeSocket, int | None], object],
        answered: Callable[[Record, Request, ProbeSocket, bytes], None],
        broke: Callable[[Record, Request, ProbeSocket, int | None, OSError], None],
        soon: Callable[[], object],
    ) -> None:
        self._clock = clock
        self._now = clock.monotonic
        self._passed = passed
        self._ended = ended
        self._left = left
        self._answered = answered
        self._broke = broke
        self._soon = soon
        self._fresh: list[_Begun] = []
        self.add = self._fresh.append
        self._asked: list[_Begun] = []
        self._timer: Timer | None = None

    def close(self) -> None:
        """Forgets all."""
        self._fresh.clear()
        self._asked.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """Goes on with what has been added since the last call, and hands over what was left by that."""
        if self._asked:
            asked, self._asked = self._asked, []
            self._read(asked, finally_=True)
        if self._fresh:
            fresh = self._fresh.copy()
            self._fresh.clear()
            asked = self._say(fresh)
            if asked:
                self._read(asked, finally_=False)

    def _say(self, fresh: list[_Begun]) -> list[_Begun]:
        """Returns those that have said everything and wait for an answer."""
        asked: list[_Begun] = []
        now = self._now()
        for begun in fresh:
            record, request, sock = begun
            if record.sock is not sock:
                continue  # it was abandoned meanwhile
            data = request.data
            if not data:
                code = sock.connect_ex((record.probe.host, request.port))
                if code in _MADE:
                    self._passed(record, False, now)
                elif code in _STILL_UNDER_WAY:
                    self._left(record, request, sock, None)
                else:
                    self._ended(record, words(code), now)
                continue
            try:
                sent = sock.send(data)
            except BlockingIOError:
                self._left(record, request, sock, None)
            except OSError as error:
                self._broke(record, request, sock, None, error)
            else:
                if sent < len(data):
                    self._left(record, request, sock, sent)
                elif request.listens:
                    asked.append(begun)
                else:
                    self._ended(record, None, now)
        return asked

    def _read(self, asked: list[_Begun], *, finally_: bool) -> None:
        unanswered: list[_Begun] = []
        for begun in asked:
            record, request, sock = begun
            if record.sock is not sock:
                continue
            if len(unanswered) >= _MANY and not finally_:
                unanswered.append(begun)  # they are slower than we are: the others need some time as well
                continue
            try:
                received = sock.recv(PIECE)
            except BlockingIOError:
                unanswered.append(begun)
                continue
            except OSError as error:
                self._broke(record, request, sock, len(request.data), error)
                continue
            try:
                result = record.probe.check.judge(request, received, not received)
            except Exception:  # whatever a plugin raises: it does so again where the answer is taken up
                result = None
            if result is PASSED:
                record.note = ""
                self._passed(record, True, self._now())
            else:
                self._answered(record, request, sock, received)
        if len(unanswered) < _MANY or finally_:
            for record, request, sock in unanswered:
                self._left(record, request, sock, len(request.data))
        else:
            self._asked = unanswered
            if self._timer is None:
                self._timer = self._clock.call_later(_SOON, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._asked:
            self._soon()
