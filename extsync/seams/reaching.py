"""Trying a connection once, for a person who wants to know whether an address answers from here."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Final, NamedTuple, Protocol

_ANSWERS: Final = (errno.ECONNREFUSED, errno.ECONNRESET)
"""What only a machine that is there, or a firewall in front of it, says."""


class Reach(NamedTuple):
    """``failure`` says why a connection was not made, "" where it was; ``answered``: somebody was there at least."""

    failure: str
    answered: bool


class Reacher(Protocol):
    """Connects and hangs up at once."""

    async def reach(self, address: str, port: int, *, timeout: float) -> Reach:
        """Tries a TCP connection to an IP address, for ``timeout`` seconds at most."""
        ...


class SystemReacher:
    """Connects through the operating system."""

    async def reach(self, address: str, port: int, *, timeout: float) -> Reach:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except TimeoutError:
            return Reach(f"no answer within {timeout:g} s", answered=False)
        except OSError as error:
            words = os.strerror(error.errno).lower() if error.errno else str(error)
            return Reach(words, answered=error.errno in _ANSWERS)
        finally:
            sock.close()
        return Reach("", answered=True)
