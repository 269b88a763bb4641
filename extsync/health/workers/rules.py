"""The checks with their timings as they are sent to workers: each is pickled once, however many targets it has."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Hashable
from typing import Final, TypeAlias

import msgspec

from extsync.health.base import Check
from extsync.health.record import pace_of
from extsync.health.target import Probe, Timing

Body: TypeAlias = tuple[Check, Timing]

LIMIT: Final = 1 << 24
"""Bytes that a rule may take: far more than any check that was meant to be sent."""


class Rule(msgspec.Struct, eq=False):
    """A check and its timing, which without its initial delay goes by the negative number.

    ``users`` counts the probes that follow it; ``fault`` says why no worker can have it, or ""; ``refusal`` what one
    said that could not use it, or "" where none did or one has used it since; ``example`` is the first target that had
    it; ``lapse`` is how many seconds a result counts as evidence, see staleness.
    """

    number: int
    body: Body
    pickled: bytes
    fault: str
    users: int = 0
    example: str = ""
    refusal: str = ""
    lapse: float = 0.0

    @property
    def trouble(self) -> str:
        """Why it is of no use, or ""."""
        return self.fault or self.refusal


class Rules:
    """The rules in use."""

    def __init__(self, *, on_fault: Callable[[Rule], None], on_retired: Callable[[int], None]) -> None:
        """``on_fault`` is called with each rule that no worker can have, or that one has refused for a new reason;
        ``on_retired`` with the number of one that nobody uses any more.
        """
        self._on_fault = on_fault
        self._on_retired = on_retired
        self._numbers = itertools.count(1)
        self._rules: dict[int, Rule] = {}
        # By identity, since a plugin's check need not be hashable; a rule keeps its check, so that ids stay distinct.
        self._known: dict[tuple[int, Timing], Rule] = {}

    def __len__(self) -> int:
        return len(self._rules)

    def acquire(self, probe: Probe, target: Hashable) -> Rule:
        """The rule of a probe of ``target``, to be given back by ``release``."""
        key = (id(probe.check), probe.timing)
        rule = self._known.get(key)
        if rule is None:
            rule = self._known[key] = _make(next(self._numbers), (probe.check, probe.timing))
            rule.example = str(target)
            self._rules[rule.number] = rule
            if rule.fault:
                self._on_fault(rule)
        rule.users += 1
        return rule

    def release(self, rule: Rule) -> None:
        """One probe less follows ``rule``."""
        rule.users -= 1
        if not rule.users:
            check, timing = rule.body
            del self._known[id(check), timing]
            del self._rules[rule.number]
            self._on_retired(rule.number)

    def refuse(self, number: int, fault: str) -> None:
        """Notes that a worker cannot use a rule, which may be otherwise the next time."""
        rule = self._rules.get(number)
        if rule is not None and rule.refusal != (refusal := _words(rule.body[0], fault)):
            rule.refusal = refusal
            self._on_fault(rule)


def load(pickled: bytes) -> Body:
    """The check and the timing that a rule stands for; raises whatever a plugin raises."""
    body: Body = pickle.loads(pickled)
    return body


def _make(number: int, body: Body) -> Rule:
    pickled = b""
    try:
        pickled = pickle.dumps(body, protocol=pickle.HIGHEST_PROTOCOL)
        fault = f"it takes {len(pickled)} bytes" if len(pickled) > LIMIT else ""
    except Exception as error:  # whatever a plugin's check raises: the others go on
        fault = f"{type(error).__name__}: {error}"
    return Rule(number, body, pickled, fault and _words(body[0], fault), lapse=pace_of(body[1]).lapse)


def _words(check: Check, fault: str) -> str:
    kind = type(check)
    return f"the check {kind.__module__}.{kind.__qualname__} cannot be used in a worker process: {fault}"
