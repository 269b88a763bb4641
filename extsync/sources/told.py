"""Other people's exceptions in words that fit on one line."""

from __future__ import annotations

import traceback
from typing import Final

_LONGEST: Final = 300


def told(error: BaseException) -> str:
    """The type and text of an exception, on one line of at most some 300 characters; never raises."""
    text = " ".join("".join(traceback.format_exception_only(error)).split())
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
