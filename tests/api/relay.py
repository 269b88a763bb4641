"""Carries TCP connections from one network namespace to another, over a socket in the file system.

``python -m tests.api.relay PATH near PORT`` listens on 127.0.0.1:PORT and connects to PATH; with ``far`` it listens on
PATH and connects to 127.0.0.1:PORT. It says "ready" on standard output and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio import StreamReader, StreamWriter


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


async def main(path: str, side: str, port: int) -> None:
    async def carry(reader: StreamReader, writer: StreamWriter) -> None:
        if side == "near":
            other = await asyncio.open_unix_connection(path)
        else:
            other = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_copy(reader, other[1]), _copy(other[0], writer))

    if side == "near":
        await asyncio.start_server(carry, "127.0.0.1", port)
    else:
        await asyncio.start_unix_server(carry, path)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
