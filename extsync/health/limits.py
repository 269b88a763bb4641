"""How many sockets this process can have open at a time."""

from __future__ import annotations

import resource
from typing import Final

_UNLIMITED: Final = 1 << 20


def raise_descriptor_limit() -> int:
    """Raises RLIMIT_NOFILE to the hard limit and returns what holds then.

    The usual soft limit of 1024 is meant for programs that call select(2); this one does not. Where raising is
    refused the limit stays as it was.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = _UNLIMITED
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        return soft
    return hard


def affordable(wanted: int, descriptors: int) -> int:
    """How many of ``wanted`` connections at a time fit under a limit of ``descriptors``.

    A quarter, but no more than 256, is left for everything else: API connections, files, logs.
    """
    return max(1, min(wanted, descriptors - min(descriptors // 4, 256)))
