"""Label selectors in the API's query syntax: ``app=db,tier!=test,zone in (a, b),!legacy``."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from extsync.errors import Invalid

Labels: TypeAlias = Mapping[str, str]
Selector: TypeAlias = Callable[[Labels], bool]

_SET = re.compile(r"(?P<key>[^\s=!(),]+)\s+(?P<verb>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUALITY = re.compile(r"(?P<key>[^\s=!(),]+)\s*(?P<verb>==|=|!=)\s*(?P<value>[^\s=!(),]*)")
_EXISTENCE = re.compile(r"(?P<absent>!\s*)?(?P<key>[^\s=!(),]+)")
_COMMA = re.compile(r",(?![^(]*\))")


@functools.lru_cache(maxsize=256)
def parse(text: str) -> Selector:
    """The selector that ``text`` stands for; "" selects everything. Raises Invalid."""
    requirements = [_requirement(part.strip()) for part in _COMMA.split(text)] if text.strip() else []
    return lambda labels: all(requirement(labels) for requirement in requirements)


def _requirement(text: str) -> Selector:
    if found := _SET.fullmatch(text):
        key, values = found["key"], frozenset(value.strip() for value in found["values"].split(","))
        if found["verb"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUALITY.fullmatch(text):
        key, value = found["key"], found["value"]
        if found["verb"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTENCE.fullmatch(text):
        key, absent = found["key"], found["absent"] is not None
        return lambda labels: (key in labels) != absent
    raise Invalid(f"unable to parse the label selector {text!r}")
