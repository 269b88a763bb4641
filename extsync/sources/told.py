"""Other people's exceptions in words that fit on one line."""

from __future__ import annotations

import traceback
from typing import Final

_LONGEST: Final = 300


def told(error: BaseException) -> str:
    """The type and text of an exception, on one line of at most some 300 characters; never raises.

    A group of exceptions, as task groups raise, says nothing itself: it is told by the first one in it.
    """
    first, others = error, 0
    while isinstance(first, BaseExceptionGroup):
        others += len(first.exceptions) - 1
        first = first.exceptions[0]
    text = " ".join("".join(traceback.format_exception_only(first)).split())
    more = f" (and {others} more)" if others else ""
    return (text if len(text) <= _LONGEST else text[:_LONGEST] + "...") + more
