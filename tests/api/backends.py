"""Backends for the api tier: real listeners on loopback that stand for machines outside the cluster."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self


class Backend:
    """A TCP listener on 127.0.0.1 that accepts and closes; it can be stopped and started on the same port."""

    def __init__(self) -> None:
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._thread = threading.Thread(target=_accept, args=(listener,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Connections are refused from now on."""
        if self._listener is not None and self._thread is not None:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread up, which close alone would not
            self._listener.close()
            self._thread.join()
            self._listener = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _accept(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.close()


class Flapping(Backend):
    """A backend that can be made to go up and down again and again."""

    @contextmanager
    def flaps(self, every: float = 1.7) -> Iterator[None]:
        """Goes down and up within the block, each for ``every`` seconds; at its end it is up."""
        over = threading.Event()
        thread = threading.Thread(target=self._flap, args=(over, every), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _flap(self, over: threading.Event, every: float) -> None:
        while not over.wait(every):
            self.stop()
            over.wait(every)
            self.start()
