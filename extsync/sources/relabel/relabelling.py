"""Rules applied to reports."""

from __future__ import annotations

from collections.abc import Iterable
from operator import is_
from typing import Any, Final, TypeAlias

import msgspec

from extsync.config.faults import shown
from extsync.config.relabel import FIELDS
from extsync.model import Backend, Observation, Outcome, Rejected, several
from extsync.sources.relabel.actions import STEPS, Rule
from extsync.sources.relabel.labels import ATTRIBUTES, OPTIONAL, Labels, discovered, field

MOST_REJECTED: Final = 1000
"""Backends set aside, and fields left out, that are told one by one."""


class _Remarked(msgspec.Struct, frozen=True):
    """A backend that lacks what a rule wanted to make of a field."""

    backend: Backend
    remark: Rejected


_Made: TypeAlias = Backend | _Remarked | Rejected | None
"""What became of a backend: itself or another one, one that cannot be so, or nothing where a rule drops it."""


class _Last(msgspec.Struct, frozen=True):
    """A report without parts, and what became of it and of each of its backends."""

    told: Observation
    made: Observation
    backends: dict[Backend, _Made]


class Relabelling:
    """The rules of one source, and what they made of its last report: most of the next one is the same."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._steps = tuple(STEPS[rule.action](rule) for rule in self.rules)
        self._last: dict[str, _Last] = {}
        self._whole: tuple[Observation, Observation] | None = None

    def apply(self, observation: Observation) -> Observation:
        """The report after the rules; the same object for the same report, and the report itself without rules."""
        if not self.rules:
            return observation
        if self._whole is None or self._whole[0] is not observation:
            self._whole = observation, self._applied(observation)
        return self._whole[1]

    def _applied(self, observation: Observation) -> Observation:
        parts = observation.parts or (("", observation),)
        self._last = {name: self._part(part, self._last.get(name)) for name, part in parts}
        if not observation.parts:
            return self._last[""].made
        made = several((name, last.made) for name, last in self._last.items())
        return msgspec.structs.replace(made, rejected=observation.rejected, refresh=observation.refresh)

    def _part(self, observation: Observation, last: _Last | None) -> _Last:
        if last is not None and last.told is observation:
            return last
        known = {} if last is None else last.backends
        if observation.outcome is not Outcome.FOUND or not observation.backends:
            return _Last(observation, observation, known)
        backends = {one: known[one] if one in known else self._made(one) for one in observation.backends}
        return _Last(observation, _report(observation, [backends[one] for one in observation.backends]), backends)

    def _made(self, backend: Backend) -> _Made:
        try:
            return self._backend(backend)
        except ValueError as error:
            return Rejected(discovered(backend), f"relabel: {error}")

    def _backend(self, backend: Backend) -> Backend | _Remarked | None:
        """The backend after the rules, None where one drops it; raises ValueError for a field that cannot be so."""
        labels = Labels(backend)
        for step in self._steps:
            if not step(labels):
                return None
        changes, remark = _changes(labels, backend)
        metadata = labels.metadata(backend)
        if metadata != backend.labels:
            changes["labels"] = metadata
        made = msgspec.structs.replace(backend, **changes) if changes else backend
        return made if remark is None else _Remarked(made, remark)


def _changes(labels: Labels, backend: Backend) -> tuple[dict[str, Any], Rejected | None]:
    """The fields that rules have written; and what there is to say where one of them cannot be so, but need not be."""
    changes: dict[str, Any] = {}
    remark = None
    for name in FIELDS:
        if name in labels.written:
            text = labels.get(name)
            try:
                changes[ATTRIBUTES[name]] = field(name, text)
            except ValueError as error:
                if name not in OPTIONAL:
                    raise
                remark = Rejected(f"{name} {shown(text)} of {discovered(backend)}", f"relabel: {error}")
    if changes.get("address", backend.address) != backend.address:
        changes["is_made_up"] = True
    return changes, remark


def _report(told: Observation, made: list[_Made]) -> Observation:
    """A report of FOUND after the rules, which turned its backends into ``made``."""
    remarked = [one for one in made if isinstance(one, _Remarked)]
    kept = (one.backend if isinstance(one, _Remarked) else one for one in made)
    backends = tuple([one for one in kept if isinstance(one, Backend)])
    if not remarked and len(backends) == len(made) and all(map(is_, backends, told.backends)):
        return told
    unfit = [one for one in made if isinstance(one, Rejected)]
    rejected = told.rejected + _bounded([*unfit, *(one.remark for one in remarked)])
    if backends or unfit:
        return msgspec.structs.replace(told, backends=backends, rejected=rejected)
    # Metadata that changed may be an accident: like an answer without backends it waits for hold.nodata.
    detail = f"relabel keeps none of its {len(made)} backends"
    return msgspec.structs.replace(told, outcome=Outcome.EMPTY, backends=(), detail=detail)


def _bounded(entries: list[Rejected]) -> tuple[Rejected, ...]:
    further = len(entries) - MOST_REJECTED
    if further > 0:
        entries[MOST_REJECTED:] = [Rejected("relabel", f"{further} further backends or fields cannot be used either")]
    return tuple(entries)
