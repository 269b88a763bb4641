"""One end of the socket between the pool and a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from extsync.health.workers.wire import Frames, frame
from extsync.seams.child import Channel

_BUFFERED: Final = 1 << 18
"""Bytes that may wait to be sent before the link counts as full."""


class Link(asyncio.Protocol):
    """Sends and receives messages.

    ``on_message`` is called with each message; what it raises closes the link. ``on_room`` is called when the link is
    no longer full. ``lost`` is set once the other side is gone.
    """

    def __init__(self, *, on_message: Callable[[object], None], on_room: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_room = on_room
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self.full = False
        self.lost = asyncio.Event()

    async def open(self, sock: Channel) -> None:
        """Takes over ``sock``, which is closed with the link."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=sock)

    def send(self, message: object) -> None:
        """Sends a message, if the link is open.

        Nothing is refused: whoever sends much asks first whether the link is ``full``.
        """
        if self._transport is not None:
            self._transport.write(frame(message))

    def close(self) -> None:
        """Closes the link at once; what is not sent yet is lost."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_BUFFERED)

    def data_received(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            self._on_message(message)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self._on_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self.full = True  # so that nobody sends any more
        self.lost.set()
