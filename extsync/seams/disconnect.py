"""The one call of the system that ``socket`` has no words for: connecting a TCP socket to no address.

On Linux that ends its connection with a reset and makes the socket as new (connect(2) on AF_UNSPEC). It takes half of
what it takes to close a socket and to make another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

_NO_ADDRESS: Final = bytes(16)
"""A struct sockaddr of the family AF_UNSPEC."""


class _Descriptor(Protocol):
    def fileno(self) -> int: ...


def disconnector() -> Callable[[_Descriptor], bool]:
    """A function that disconnects a socket, and returns False where that cannot be done.

    It can never be done where this Python cannot call the C library; some sandboxes decline it, too.
    """
    try:
        import ctypes  # where it is needed: loading it takes some milliseconds

        connect = ctypes.PyDLL(None).connect  # without giving up the GIL: it waits for nothing
    except (ImportError, OSError, AttributeError):
        return _cannot
    connect.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    connect.restype = ctypes.c_int

    def disconnect(sock: _Descriptor) -> bool:
        return bool(connect(sock.fileno(), _NO_ADDRESS, 16) == 0)

    return disconnect


def _cannot(sock: _Descriptor) -> bool:
    return False
