"""A scripted network for the prober: hosts that listen, refuse, stay silent or answer, on simulated time.

It stands for ``SystemProbeIO``: sockets and a poller without a kernel, which do only what a script says, in the same
order every time. Descriptors are numbered as a kernel numbers them, the lowest free one first, so that mistakes with
reused numbers show.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from socket import SO_ERROR, SOL_SOCKET
from typing import Any, Final, TypeAlias

from extsync.seams import epoll
from extsync.seams.clock import Clock, Timer
from extsync.seams.probe_io import Poller, ProbeSocket

_FIRST_DESCRIPTOR: Final = 3


@dataclass(frozen=True)
class Listening:
    """Accepts after ``latency`` seconds.

    ``greeting`` is sent at once, ``answer`` (or what it returns for a request) ``delay`` seconds after each request.
    Then the connection stays open, unless ``closes`` or ``resets``. Of all that, a datagram only gets its answer.
    """

    latency: float = 0.001
    greeting: bytes = b""
    answer: bytes | Callable[[bytes], bytes] = b""
    delay: float = 0.001
    closes: bool = False
    resets: bool = False


@dataclass(frozen=True)
class Failing:
    """Fails each connection with the errno ``code`` after ``latency`` seconds; None: before the call returns.

    Datagrams fail after they were sent, as where ICMP reports them.
    """

    code: int = errno.ECONNREFUSED
    latency: float | None = 0.001


@dataclass(frozen=True)
class BlackHole:
    """Never says anything, as where a firewall drops packets."""


Behaviour: TypeAlias = Listening | Failing | BlackHole

REFUSING: Final = Failing()


class ScriptedProbeIO:
    """The network: what listens where, which may change at any time and then holds for new connections."""

    def __init__(
        self,
        clock: Clock,
        *,
        descriptors: int = 1 << 20,
        on_connect: Callable[[str, int], object] | None = None,
    ) -> None:
        """At most ``descriptors`` sockets are open at a time; ``on_connect(address, port)`` sees every connection."""
        self.clock = clock
        self.descriptors = descriptors
        self.connections: Counter[tuple[str, int]] = Counter()
        self._on_connect = on_connect
        self._behaviours: dict[tuple[str, int], Behaviour] = {}
        self._sockets: dict[int, _Socket] = {}
        self._free: list[int] = []
        self._poller: _Poller | None = None

    @property
    def open_sockets(self) -> int:
        return len(self._sockets)

    def script(self, address: str, port: int, behaviour: Behaviour) -> None:
        """Says what happens at ``address`` and ``port``, by TCP and by UDP; where nothing is said, all is refused."""
        self._behaviours[address, port] = behaviour

    def say(self, address: str, port: int, data: bytes) -> None:
        """Sends ``data`` over the connections that stand there, by itself."""
        for sock in self._with(address, port):
            sock.hear(data)

    def hang_up(self, address: str, port: int, *, code: int = 0) -> None:
        """Ends the connections that stand there: in order, or with the errno ``code`` (ECONNRESET)."""
        for sock in self._with(address, port):
            sock.end(code)

    def _with(self, address: str, port: int) -> list[_Socket]:
        return [sock for sock in self._sockets.values() if sock.peer == (address, port) and sock.connected]

    def socket(self, family: int) -> ProbeSocket:
        return self._opened(_Socket)

    def datagrams(self, family: int) -> ProbeSocket:
        return self._opened(_DatagramSocket)

    def renewer(self) -> Callable[[ProbeSocket, bool], bool]:
        return _renew

    def poller(self) -> Poller:
        self._poller = _Poller(self)
        return self._poller

    def attach(self, poller: Poller, callback: Callable[[], object]) -> None:
        assert isinstance(poller, _Poller)
        poller.callback = callback

    def detach(self, poller: Poller) -> None:
        assert isinstance(poller, _Poller)
        poller.callback = None

    def connecting(self, address: str, port: int) -> Behaviour:
        """Counts a connection and says what will become of it."""
        self.connections[address, port] += 1
        if self._on_connect is not None:
            self._on_connect(address, port)
        return self._behaviours.get((address, port), REFUSING)

    def find(self, fd: int) -> _Socket | None:
        """The open socket of that number."""
        return self._sockets.get(fd)

    def changed(self, sock: _Socket) -> None:
        """Something has happened on ``sock``."""
        if self._poller is not None:
            self._poller.notify(sock)

    def closed(self, fd: int) -> None:
        """The socket of that number is no more."""
        del self._sockets[fd]
        heappush(self._free, fd)

    def _opened(self, kind: type[_Socket]) -> _Socket:
        if len(self._sockets) >= self.descriptors:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        fd = heappop(self._free) if self._free else _FIRST_DESCRIPTOR + len(self._sockets)
        sock = self._sockets[fd] = kind(self, fd)
        return sock


class _Socket:
    def __init__(self, io: ScriptedProbeIO, fd: int) -> None:
        self._io = io
        self._fd = fd
        self._behaviour: Behaviour = REFUSING
        self._timers: list[Timer] = []
        self._begun = False
        self.connected = False
        self._error = 0
        self._incoming = b""
        self._ended = False
        self.peer = ("", 0)
        self.watched = 0

    def fileno(self) -> int:
        return self._fd

    def connect_ex(self, address: Any, /) -> int:
        if self._begun:
            code, self._error = self._error, 0
            return code or (errno.EISCONN if self.connected else errno.EALREADY)
        self.peer = (address[0], address[1])
        behaviour = self._behaviour = self._io.connecting(*self.peer)
        if isinstance(behaviour, Failing) and behaviour.latency is None:
            return behaviour.code
        self._begun = True
        if not isinstance(behaviour, BlackHole):
            self._later(behaviour.latency or 0.0, self._arrive)
        return errno.EINPROGRESS

    def send(self, data: bytes, /) -> int:
        self._raise_error()
        if not self.connected:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        behaviour = self._behaviour
        if isinstance(behaviour, Listening) and (behaviour.answer or behaviour.closes or behaviour.resets):
            self._later(behaviour.delay, self._answer, data)
        return len(data)

    def recv(self, size: int, /) -> bytes:
        if self._incoming:
            data, self._incoming = self._incoming[:size], self._incoming[size:]
            return data
        self._raise_error()
        if self._ended:
            return b""
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def getsockopt(self, level: int, name: int, /) -> int:
        if (level, name) != (SOL_SOCKET, SO_ERROR):
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
        code, self._error = self._error, 0
        return code

    def setsockopt(self, level: int, name: int, value: Any, /) -> None:
        """Takes any option: none of them matters here."""

    def bind(self, address: Any, /) -> None:
        """Takes any address: there is one network."""

    def shutdown(self, how: int, /) -> None:
        """Takes any end: the other side does not mind."""

    def close(self) -> None:
        if self._fd >= 0:
            for timer in self._timers:
                timer.cancel()
            self._io.closed(self._fd)
            self._fd = -1

    def renew(self) -> None:
        """Ends the connection; the socket is as when it was made, its number aside."""
        for timer in self._timers:
            timer.cancel()
        assert not self.watched, "a watched socket would go on telling of the connection before"
        self.__init__(self._io, self._fd)  # type: ignore[misc]

    def hear(self, data: bytes) -> None:
        """The other side sends ``data``."""
        self._incoming += data
        self._io.changed(self)

    def end(self, code: int) -> None:
        """The other side ends the connection, in order or with an errno."""
        self._ended, self._error = True, code
        self._io.changed(self)

    @property
    def has_ended(self) -> bool:
        """Whether the other side has ended the connection, in order."""
        return self._ended and not self._error

    @property
    def events(self) -> int:
        """What epoll would report."""
        mask = epoll.OUT if self.connected else 0
        if self._is_readable() or self._ended:
            mask |= epoll.IN
        if self._ended:
            mask |= epoll.RDHUP
        if self._error:
            mask |= epoll.OUT | epoll.IN | epoll.ERR | epoll.HUP
        return mask & (self.watched | epoll.ERR | epoll.HUP)

    def _is_readable(self) -> bool:
        return bool(self._incoming)

    def _later(self, seconds: float, step: Callable[..., None], *args: bytes) -> None:
        self._timers.append(self._io.clock.call_later(seconds, step, *args))

    def _arrive(self) -> None:
        behaviour = self._behaviour
        if isinstance(behaviour, Failing):
            self._error = behaviour.code
        elif isinstance(behaviour, Listening):
            self.connected = True
            self._incoming = behaviour.greeting
        self._io.changed(self)

    def _answer(self, request: bytes) -> None:
        behaviour = self._behaviour
        assert isinstance(behaviour, Listening)
        self._incoming += behaviour.answer(request) if callable(behaviour.answer) else behaviour.answer
        self._ended = behaviour.closes
        if behaviour.resets:
            self._error = errno.ECONNRESET
        self._io.changed(self)

    def _raise_error(self) -> None:
        if self._error:
            code, self._error = self._error, 0
            raise OSError(code, os.strerror(code))


def _renew(sock: ProbeSocket, resets: bool) -> bool:
    assert isinstance(sock, _Socket)
    if not (resets or sock.has_ended):
        return False
    sock.renew()
    return True


class _DatagramSocket(_Socket):
    """Answers are datagrams in a queue, each received by itself."""

    def __init__(self, io: ScriptedProbeIO, fd: int) -> None:
        super().__init__(io, fd)
        self._queue: list[bytes] = []

    def connect_ex(self, address: Any, /) -> int:
        self._behaviour = self._io.connecting(address[0], address[1])
        if isinstance(self._behaviour, Failing) and self._behaviour.latency is None:
            return self._behaviour.code
        self.connected = True
        return 0

    def send(self, data: bytes, /) -> int:
        self._raise_error()
        behaviour = self._behaviour
        if isinstance(behaviour, Failing):
            self._later(behaviour.latency or 0.0, self._arrive)
        elif isinstance(behaviour, Listening) and behaviour.answer:
            self._later(behaviour.delay, self._answer, data)
        return len(data)

    def recv(self, size: int, /) -> bytes:
        return self._queue.pop(0)[:size] if self._queue else super().recv(size)

    def _is_readable(self) -> bool:
        return bool(self._queue)

    def _answer(self, request: bytes) -> None:
        behaviour = self._behaviour
        assert isinstance(behaviour, Listening)
        self._queue.append(behaviour.answer(request) if callable(behaviour.answer) else behaviour.answer)
        self._io.changed(self)


class _Poller:
    """Edge-triggered, whatever is asked for: each change is reported once."""

    def __init__(self, io: ScriptedProbeIO) -> None:
        self._io = io
        self._ready: dict[int, _Socket] = {}
        self._timer: Timer | None = None
        self.callback: Callable[[], object] | None = None

    def register(self, fd: int, eventmask: int, /) -> None:
        sock = self._io.find(fd)
        if sock is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        sock.watched = eventmask
        self.notify(sock)

    def modify(self, fd: int, eventmask: int, /) -> None:
        self.register(fd, eventmask)

    def unregister(self, fd: int, /) -> None:
        self.modify(fd, 0)
        self._ready.pop(fd, None)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        events: list[tuple[int, int]] = []
        while self._ready and len(events) != maxevents:
            fd = next(iter(self._ready))
            sock = self._ready.pop(fd)
            if self._io.find(fd) is sock and sock.events:
                events.append((fd, sock.events))
        return events

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._ready.clear()

    def notify(self, sock: _Socket) -> None:
        if sock.watched and sock.events:
            self._ready[sock.fileno()] = sock
            self._call_soon()

    def _call_soon(self) -> None:
        if self._timer is None and self.callback is not None:
            self._timer = self._io.clock.call_later(0.0, self._call)

    def _call(self) -> None:
        self._timer = None
        if self.callback is not None:
            self.callback()
        # Whoever was called may have had no reason to poll: what it has closed meanwhile is ready for nothing.
        self._ready = {fd: sock for fd, sock in self._ready.items() if self._io.find(fd) is sock}
        if self._ready:
            self._call_soon()
