"""Validation that goes on after the first faults: what is wrong is cut out, and the rest is looked at again.

pydantic checks what parts of a block demand of each other only where the parts are sound. So that one reading reports
everything all the same, the faulty parts are left out and the rest is validated once more, until it is sound or nothing
is left. What follows only from a part that was cut out is not reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_snake

from extsync.config.faults import UNKNOWN_KEY, Place
from extsync.config.messages import describe
from extsync.config.prometheus import SD_SUFFIX
from extsync.config.text import RawPath, Severity

M = TypeVar("M", bound=BaseModel)

_ROUNDS: Final = 8


class Finding(NamedTuple):
    """One fault: its place in the words of the manifest, where that stands in the text, and what to say about it."""

    place: Place
    path: RawPath
    message: str
    hint: str = ""
    at_key: bool = False
    severity: Severity = "error"


class Examination(msgspec.Struct, Generic[M], frozen=True):
    """What came of it. ``model`` is what is sound (the whole where nothing was found); None where too little is."""

    model: M | None
    findings: tuple[Finding, ...]
    view: Any

    def path(self, place: Place) -> tuple[Place, RawPath]:
        """The place and the path in the text of something in ``model``."""
        step = _resolve(self.view, place)
        return step.place, step.path


class _Cut(list[Any]):
    """A list from which entries were cut out; ``indexes`` are those that the others had before."""

    def __init__(self, entries: Sequence[Any], indexes: Sequence[int]) -> None:
        super().__init__(entries)
        self.indexes = tuple(indexes)


class _Step(NamedTuple):
    """Where a place leads: its original form, the path in the text and in the view, and whether it is there at all."""

    place: Place
    path: RawPath
    view_path: RawPath
    complete: bool


def examine(kind: type[M], data: Any, *, stand_ins: Mapping[Place, Any] | None = None) -> Examination[M]:
    """Validates ``data`` as a ``kind`` and finds as many faults as there are.

    ``stand_ins`` are values for required keys near the root, without which nothing could be said about the rest.
    """
    given = stand_ins or {}
    findings: dict[tuple[Place, str], Finding] = {}
    cut: set[Place] = set()
    view = data
    for _ in range(_ROUNDS):
        try:
            model = kind.model_validate(view)
        except ValidationError as error:
            doomed = []
            for details in error.errors(include_url=False):
                step = _resolve(view, details["loc"])
                if not _follows(step.place, details, cut):
                    finding = _finding(step, details)
                    findings.setdefault((finding.place, finding.message), finding)
                doomed.append((step, details))
        else:
            return Examination(model, tuple(findings.values()), view)
        for step, details in doomed:
            cut.update(_gone(step, details))
        filled = {step.place: given[step.place] for step, _ in doomed if not step.complete and step.place in given}
        view = _without(view, {step.view_path for step, _ in doomed if step.place not in filled})
        for place, value in filled.items():
            view = _with(view, place, value)
        if view is None:
            break
    return Examination(None, tuple(findings.values()), view)


def _finding(step: _Step, details: Any) -> Finding:
    message = describe(details)
    place = step.place[:-1] if details["type"] == "missing" else step.place
    at_key = details["type"] == UNKNOWN_KEY and step.complete
    return Finding(place, step.path, message.text, message.hint, at_key)


def _resolve(view: Any, place: Place) -> _Step:
    """Follows ``place`` through ``view``, back over what was cut out and over Prometheus's spellings."""
    node = view
    original: list[int | str] = []
    path: list[int | str] = []
    view_path: list[int | str] = []
    complete = True
    for step in place:
        index = node.indexes[step] if complete and isinstance(node, _Cut) and isinstance(step, int) else step
        original.append(index)
        found = _find(node, step) if complete else ()
        if not found:
            complete = False
            continue
        for key in found:
            node = node[key]
        path.extend((index,) if isinstance(step, int) else found)
        view_path.extend(found)
    return _Step(tuple(original), tuple(path), tuple(view_path), complete)


def _find(node: Any, step: int | str) -> RawPath:
    """The keys that lead from ``node`` to what a model calls ``step``; none where it is not there."""
    if isinstance(node, list):
        return (step,) if isinstance(step, int) and step < len(node) else ()
    if not isinstance(node, dict) or not isinstance(step, str):
        return ()
    if step in node:
        return (step,)
    if to_snake(step) in node:
        return (to_snake(step),)
    pasted = node.get(step + SD_SUFFIX)
    return (step + SD_SUFFIX, 0) if isinstance(pasted, list) and pasted else ()


def _follows(place: Place, details: Any, cut: set[Place]) -> bool:
    """Whether a fault only follows from what was cut out: it is missing now, or a rule that failed has read it."""
    if details["type"] == "too_short" and details["input"]:
        return True  # there were entries, and each is reported itself
    if details["type"] in ("missing", "too_short"):
        return place in cut
    reads = details.get("ctx", {}).get("reads", ())
    return any((*place[:depth], key) in cut for key in reads for depth in range(len(place) + 1))


def _gone(step: _Step, details: Any) -> Iterator[Place]:
    """Every place that is not, or not wholly, there any more once the value at ``step`` is cut out."""
    for depth in range(1, len(step.place) + 1):
        yield step.place[:depth]
    if details["type"] == UNKNOWN_KEY:
        yield from ((*step.place[:-1], meant) for meant in details["ctx"]["reads"])


def _with(view: Any, place: Place, value: Any) -> Any:
    """A copy of ``view`` with ``value`` at ``place``."""
    if not place:
        return value
    return {**view, place[0]: _with(view.get(place[0]), place[1:], value)} if isinstance(view, dict) else view


def _without(view: Any, doomed: set[RawPath]) -> Any:
    """A copy of ``view`` without the values at ``doomed`` (the rest is shared); None where it is itself one of them."""
    if () in doomed:
        return None
    below: dict[int | str, set[RawPath]] = {}
    for path in doomed:
        below.setdefault(path[0], set()).add(path[1:])
    if isinstance(view, dict):
        kept = {key: _without(value, below[key]) if key in below else value for key, value in view.items()}
        return {key: value for key, value in kept.items() if key not in below or () not in below[key]}
    indexes = [index for index in range(len(view)) if () not in below.get(index, ())]
    entries = [_without(view[index], below[index]) if index in below else view[index] for index in indexes]
    before = view.indexes if isinstance(view, _Cut) else range(len(view))
    return _Cut(entries, [before[index] for index in indexes])
