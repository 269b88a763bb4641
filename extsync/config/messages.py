"""pydantic's errors in plain words: short, concrete, with the cure, and without values that could be secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from extsync.config.faults import FAULT, UNKNOWN_KEY, kind_of, shown, suggestion

_EXPECTED = re.compile(r"'([^']*)'")


class Message(NamedTuple):
    """What is wrong and, where there is more to say, how to put it right."""

    text: str
    hint: str = ""


def describe(details: Mapping[str, Any]) -> Message:
    """The message for one line of ``ValidationError.errors()``."""
    kind = details["type"]
    context = details.get("ctx", {})
    if kind in (FAULT, UNKNOWN_KEY):
        return Message(context["message"], context["hint"])
    if kind == "value_error":
        return Message(str(context["error"]))
    if kind == "missing":
        return Message(f"{details['loc'][-1]} is missing")
    if kind == "literal_error":
        return _choice(details["input"], context["expected"])
    if kind in _WANTED:
        return Message(f"must be {_WANTED[kind]}, not {kind_of(details['input'])}{_cure(kind, details['input'])}")
    if kind in _LIMITS:
        return Message(_LIMITS[kind](context))
    return Message(details["msg"])


_WANTED: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
}
_LIMITS: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "greater_than": lambda context: f"must be more than {context['gt']:g}",
    "greater_than_equal": lambda context: f"must be at least {context['ge']}",
    "less_than_equal": lambda context: f"must be at most {context['le']}",
    "too_short": lambda context: "must not be empty",
    "string_too_short": lambda context: "must not be empty",
    "too_long": lambda context: f"has more than {context['max_length']} entries",
    "string_pattern_mismatch": lambda context: f"must match {context['pattern']}",
}


def _cure(kind: str, value: object) -> str:
    if kind == "string_type" and not isinstance(value, dict | list):
        return ": put it in quotes"
    if isinstance(value, str):
        unquoted = {"int_type": value.isdecimal(), "bool_type": value in ("true", "false")}
        return ": take the quotes away" if unquoted.get(kind, False) else ""
    return ""


def _choice(value: object, expected: str) -> Message:
    meant = suggestion(value, _EXPECTED.findall(expected)) if isinstance(value, str) else ""
    return Message(f"must be {expected}, not {shown(value)}", f"did you mean {meant!r}?" if meant else "")
