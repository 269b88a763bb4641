"""What a match is replaced by: ``$1``, ``${1}``, ``$name`` and ``${name}`` stand for groups, ``$$`` for a dollar. Pure.

The rules are those of Go's regexp.Expand, which Prometheus uses: without braces a name goes on for as long as there are
letters, digits and underscores, and a dollar before anything else means itself.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from extsync.config.expression import Expression

LONGEST: Final = 1024
"""Characters of a replacement."""

Parts: TypeAlias = tuple[str | int, ...]
"""Texts, and the numbers of groups whose text is put in; 0 is the whole match."""

_REFERENCE: Final = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,7}")


def read_replacement(text: str, expression: Expression) -> Parts:
    """Reads ``text``, which refers to groups of ``expression``.

    Raises ValueError for a group that there is not. Prometheus puts nothing in its place, which is never what is meant.
    """
    if len(text) > LONGEST:
        raise ValueError(f"has {len(text)} characters: at most {LONGEST} are allowed")
    parts: list[str | int] = []
    end = 0
    for found in _REFERENCE.finditer(text):
        parts += [text[end : found.start()], "$" if found[1] else _group(found[2] or found[3], expression)]
        end = found.end()
    return tuple(part for part in (*parts, text[end:]) if part != "")


def _group(name: str, expression: Expression) -> int:
    if name in expression.groupindex:
        return expression.groupindex[name]
    number = int(name) if _NUMBER.fullmatch(name) else -1
    if 0 <= number <= expression.groups:
        return number
    digits = re.match(r"[0-9]+", name)
    if number < 0 and digits and int(digits[0]) <= expression.groups:
        rest = name[digits.end() :]
        raise ValueError(f"${name} refers to a group named {name}: write ${{{digits[0]}}}{rest}")
    has = {0: "no group", 1: "one group"}.get(expression.groups, f"{expression.groups} groups")
    raise ValueError(f"${name} refers to a group that the regex has not: it has {has}")
