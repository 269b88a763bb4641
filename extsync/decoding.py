"""JSON that others wrote, as structs: whatever it is, there is one error for what is not to be read."""

from __future__ import annotations

import functools
from typing import Any

import msgspec


def decoded(data: bytes | str | msgspec.Raw, kind: Any) -> Any:
    """``data`` as a ``kind``. Raises ``msgspec.DecodeError`` where it is none.

    That is so for text which is not UTF-8, as error pages of proxies may have, for half of a character and for nesting
    without an end, too: for these msgspec raises what the interpreter does.
    """
    try:
        return _decoder(kind).decode(data)
    except (UnicodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


@functools.cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
