"""What is wrong with a manifest, gathered: validators report every fault of their block, not only the first.

A fault travels as a line of pydantic's ValidationError, so that pydantic itself joins the faults of nested blocks and
completes their locations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final, LiteralString, NoReturn, TypeAlias

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Place: TypeAlias = tuple[int | str, ...]
"""Keys and list indexes on the way from a document (or from the block at hand) to a value."""

FAULT: Final = "fault"
UNKNOWN_KEY: Final = "unknown_key"
"""The types of our own lines in a ValidationError; ``ctx`` holds message, hint and reads."""

_LONGEST_SHOWN = 64


class Faults:
    """Gathers the faults of one block; ``raise_any`` raises them together."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._lines: list[InitErrorDetails] = []

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, place: Place, message: str, *, hint: str = "", reads: Iterable[str] = ()) -> None:
        """Notes a fault at ``place`` within the block.

        ``reads`` names the keys whose values led to it: it says nothing where one of them is wrong itself.
        """
        self._add(FAULT, place, message, hint, tuple(reads))

    def add_missing(self, place: Place) -> None:
        """Notes that the value at ``place`` is not there."""
        self._lines.append(InitErrorDetails(type="missing", loc=place, input=None))

    def add_unknown(self, place: Place, *, known: Collection[str], given: Collection[str]) -> str:
        """Notes an unknown key beside the keys ``given``; returns the known key that is most likely meant (or "")."""
        key = str(place[-1])
        meant = suggestion(key, [name for name in known if name not in given])
        hint = f"did you mean {meant!r}?" if meant else f"known here: {', '.join(known)}"
        self._add(UNKNOWN_KEY, place, f"unknown key {shown(key)}", hint, (meant,) if meant else ())
        return meant

    def add_unavailable(self, place: Place, instead: str) -> None:
        """Notes a key that Prometheus knows and we do not, with what to do instead."""
        self._add(UNKNOWN_KEY, place, f"{shown(str(place[-1]))} is not available here: {instead}", "", ())

    def places(self) -> set[Place]:
        """The places within the block at which faults are noted, the block itself left out."""
        return {line["loc"] for line in self._lines if line["loc"]}

    def include(self, error: ValidationError, *, at: Place = (), without: Collection[Place] = ()) -> None:
        """Takes over the faults of ``error`` as faults below ``at``, but none at or below a place of ``without``."""
        for details in error.errors(include_url=False):
            place = details["loc"]
            if not any(place[:depth] in without for depth in range(1, len(place) + 1)):
                self._lines.append(_line(details, at))

    def _add(self, kind: LiteralString, place: Place, message: str, hint: str, reads: tuple[str, ...]) -> None:
        error = PydanticCustomError(kind, "{message}", {"message": message, "hint": hint, "reads": reads})
        self._lines.append(InitErrorDetails(type=error, loc=place, input=None))

    def raise_any(self) -> None:
        """Raises ValidationError with all faults noted so far, if there is one."""
        if self._lines:
            raise ValidationError.from_exception_data(self._title, self._lines, hide_input=True)


def fail(place: Place, message: str, *, hint: str = "", reads: Iterable[str] = ()) -> NoReturn:
    """Raises ValidationError with one fault."""
    faults = Faults("manifest")
    faults.add(place, message, hint=hint, reads=reads)
    faults.raise_any()
    raise AssertionError("a noted fault is raised")


def suggestion(word: str, known: Iterable[str]) -> str:
    """The known word that ``word`` is most likely a slip of, or ""."""
    folded = {name.lower().replace("_", ""): name for name in known}
    close = get_close_matches(word.lower().replace("_", "").replace("-", ""), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else ""


def shown(value: object) -> str:
    """A value as a message repeats it: bounded and free of control characters."""
    if not isinstance(value, str):
        return kind_of(value)
    return repr(value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "...")


def kind_of(value: object) -> str:
    """What a value is, in the words of YAML and JSON, without the value itself (it may be a secret)."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case dict():
            return "a mapping"
    return f"a {type(value).__name__}"


def _line(details: Mapping[str, Any], at: Place) -> InitErrorDetails:
    context = details.get("ctx", {})
    kind: str | PydanticCustomError = details["type"]
    if kind in (FAULT, UNKNOWN_KEY):
        kind = PydanticCustomError(kind, "{message}", context)
    return InitErrorDetails(type=kind, loc=(*at, *details["loc"]), input=details["input"], ctx=context)
