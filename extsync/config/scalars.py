"""What a plain (unquoted) YAML scalar means here: only what every reader of YAML 1.1, YAML 1.2 and JSON agrees on.

The rest (yes, 010, 22:22, 1e3, 2026-01-02) is refused instead of guessed. The forms of YAML 1.1: https://yaml.org/type/.
"""

from __future__ import annotations

import re
from typing import Final

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_OLD_BOOLEAN = re.compile(r"y|Y|n|N|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]{0,18})\.[0-9]{1,18}([eE][-+][0-9]{1,3})?")
# The first character of everything that one reader or another takes for more than text.
_SUSPECT = re.compile(r"[-+.0-9=~]|[yYnNtTfFoO]")
_SURPRISES: Final = (
    (re.compile(r"[-+]?0[0-9_]*[0-9][0-9_]*"), "reads as a number in base 8 in YAML 1.1"),
    (re.compile(r"[-+]?0[oO][0-7_]+"), "reads as a number in base 8 in YAML 1.2 and as text in YAML 1.1"),
    (re.compile(r"[-+]?0[xX][0-9a-fA-F_]+"), "reads as a number in base 16"),
    (re.compile(r"[-+]?0[bB][01_]+"), "reads as a number in base 2 in YAML 1.1"),
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"), "reads as a number in base 60 in YAML 1.1"),
    (re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?"), "reads as a date in YAML 1.1"),
    (re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"), "reads as a number without a value"),
    (
        re.compile(r"[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?"),
        "reads as a number to some programs and as text to others",
    ),
    (re.compile(r"="), "has a meaning of its own in YAML 1.1"),
)


class Surprise(ValueError):
    """A plain scalar that programs read differently; the text says how, without repeating the scalar."""


def plain_value(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar; raises Surprise."""
    if text and not _SUSPECT.match(text):
        return text
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if text in _NULL:
        return None
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _OLD_BOOLEAN.fullmatch(text):
        raise Surprise(f"{text} reads as true or false in YAML 1.1")
    for pattern, reading in _SURPRISES:
        if pattern.fullmatch(text):
            raise Surprise(f"this {reading}")
    return text


def is_plain_text(text: str) -> bool:
    """Whether ``text``, written without quotes, is read as itself."""
    try:
        return plain_value(text) == text
    except Surprise:
        return False
