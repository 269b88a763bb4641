"""Damage to what a server says, as values: the same edits of the same bytes give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

KINDS: Final = ("replace", "insert", "delete", "repeat", "cut", "number", "append")
LONGEST: Final = 4096
"""Bytes that the result may have; what is longer is a matter of limits, which are tested by repetition."""

_NUMBERS: Final = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_TOKENS: Final = (
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b"\r\n\r\n", b"\xff", b"\x1b[2J", b"\xe2\x80\xae", b"%s"),
    *(b"0" * 30, b"-1", b"9" * 30, b"\xff" * 8, b"\xc3\x28", b"chunked", b"Content-Length: ", b"HTTP/1.1 100 \r\n\r\n"),
)


class Edit(NamedTuple):
    """One thing done to bytes; ``at`` and ``size`` count from wherever they find themselves."""

    kind: str
    at: int
    size: int
    data: bytes


def edited(text: bytes, edits: Sequence[Edit]) -> bytes:
    """``text`` after ``edits``."""
    for edit in edits:
        text = _after(text, edit)[:LONGEST]
    return text


def random_edits(random: Random) -> list[Edit]:
    """Some edits, more often few."""
    return [
        Edit(
            random.choice(KINDS), random.getrandbits(16), random.getrandbits(random.choice((1, 2, 4, 8))), _data(random)
        )
        for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5, 8)))
    ]


def _data(random: Random) -> bytes:
    return random.choice(_TOKENS) if random.getrandbits(1) else random.randbytes(random.getrandbits(3))


def _after(text: bytes, edit: Edit) -> bytes:
    at = edit.at % (len(text) + 1)
    before, after = text[:at], text[at:]
    match edit.kind:
        case "replace":
            return before + edit.data + after[len(edit.data) :]
        case "insert":
            return before + edit.data + after
        case "delete":
            return before + after[edit.size :]
        case "repeat":
            return before + after[: edit.size % 64] * (2 + edit.size % 7) + after
        case "cut":
            return before
        case "number":
            number = _NUMBERS[edit.size % len(_NUMBERS)]
            width = 1 + edit.size % 4
            raw = (number & ((1 << 8 * width) - 1)).to_bytes(width, "big" if edit.size & 16 else "little")
            return before + raw + after[width:]
        case _:
            return text + edit.data
