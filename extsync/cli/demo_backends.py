"""The demo's backends: real HTTP and TCP listeners on loopback that can be stopped and started again."""

from __future__ import annotations

import asyncio

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
_READ_LIMIT = 16_384
_READ_SECONDS = 5.0


class DemoBackend:
    """One listener on 127.0.0.1; ``port`` stays the same while it is stopped and started."""

    def __init__(self, *, http: bool) -> None:
        self._http = http
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def up(self) -> bool:
        return self._server is not None

    async def start(self) -> None:
        """Listens; the first start chooses a free port."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, limit=_READ_LIMIT, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stops listening: connections are refused from now on."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._http:
                async with asyncio.timeout(_READ_SECONDS):
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(_ANSWER)
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a probe that went away, or something that is not a probe
        finally:
            writer.close()
