"""A TCP connection's worst friends: a relay on loopback in front of a server, which can go silent or cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class Wire:
    """Carries connections from ``port`` on 127.0.0.1 to ``target`` there.

    ``swallow`` makes every connection that stands half-open: whatever either side says is dropped, and nobody is told.
    ``deaf`` does so with connections that come, too.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.deaf = False
        self._pairs: list[_Pair] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.close()
        self.cut()

    def swallow(self) -> None:
        """Nothing passes any more on the connections that there are."""
        for pair in self._pairs:
            pair.is_deaf = True

    def cut(self) -> None:
        """Ends the connections that there are without a word."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target), timeout=5)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                self._pairs.append(_Pair(near, far, is_deaf=self.deaf))


class _Pair:
    def __init__(self, near: socket.socket, far: socket.socket, *, is_deaf: bool) -> None:
        self.is_deaf = is_deaf
        self._sockets = near, far
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def close(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self.is_deaf:
                    sink.sendall(data)
        if not self.is_deaf:
            self.close()
