"""What the action of each rule does with labels."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import md5
from typing import Final, Protocol, TypeAlias

from extsync.config.expression import compile_expression
from extsync.config.relabel import DISCOVERED, FIELDS
from extsync.config.replacement import read_replacement
from extsync.sources.relabel.labels import Labels

REMEMBERED: Final = 4096
"""Values of which one rule remembers what became of them: most backends share theirs."""

LONGEST: Final = 16_384
"""Characters of a text that a rule looks at or makes: a replacement may repeat a group, and rules go on from it."""

_NAMES: Final = frozenset(FIELDS)


class Rule(Protocol):
    """One validated rule of a manifest."""

    @property
    def source_labels(self) -> tuple[str, ...]: ...
    @property
    def separator(self) -> str: ...
    @property
    def target_label(self) -> str | None: ...
    @property
    def regex(self) -> str: ...
    @property
    def modulus(self) -> int | None: ...
    @property
    def replacement(self) -> str: ...
    @property
    def action(self) -> str: ...


Step: TypeAlias = Callable[[Labels], bool]
"""Applies one rule; False drops the backend."""


def _value(rule: Rule) -> Callable[[Labels], str]:
    """Reads the values of ``sourceLabels``, joined by the separator."""
    names, separator = rule.source_labels, rule.separator
    return lambda labels: _bounded(separator.join([labels.get(name) for name in names]))


def _bounded(text: str) -> str:
    if len(text) > LONGEST:
        raise ValueError(f"a text of {len(text)} characters is too long: at most {LONGEST} are looked at")
    return text


def _matcher(rule: Rule) -> Callable[[str], bool]:
    expression = compile_expression(rule.regex)
    return lru_cache(REMEMBERED)(lambda text: expression.fullmatch(text) is not None)


def _expander(rule: Rule) -> Callable[[str], str | None]:
    """What the replacement makes of a text that the regex matches, None where it does not."""
    expression = compile_expression(rule.regex)
    parts = read_replacement(rule.replacement, expression)

    def expand(text: str) -> str | None:
        found = expression.fullmatch(text)
        if found is None:
            return None
        return _bounded("".join([part if isinstance(part, str) else found.group(part) or "" for part in parts]))

    return lru_cache(REMEMBERED)(expand)


def _replace(rule: Rule) -> Step:
    value, expand, target = _value(rule), _expander(rule), rule.target_label or ""

    def step(labels: Labels) -> bool:
        made = expand(value(labels))
        if made is not None:
            labels.put(target, made)
        return True

    return step


def _filter(rule: Rule, *, keep: bool) -> Step:
    value, matches = _value(rule), _matcher(rule)
    return lambda labels: matches(value(labels)) is keep


def _equal(rule: Rule, *, keep: bool) -> Step:
    value, target = _value(rule), rule.target_label or ""
    return lambda labels: (value(labels) == labels.get(target)) is keep


def _converted(rule: Rule, convert: Callable[[str], str]) -> Step:
    value, target = _value(rule), rule.target_label or ""

    def step(labels: Labels) -> bool:
        labels.put(target, convert(value(labels)))
        return True

    return step


def _hashmod(rule: Rule) -> Step:
    modulus = rule.modulus or 1

    def hashed(text: str) -> str:
        digest = md5(text.encode(), usedforsecurity=False).digest()
        return str(int.from_bytes(digest[8:], "big") % modulus)

    return _converted(rule, hashed)


def _cased(text: str, convert: Callable[[str], str]) -> str:
    """Letter by letter, as in Go: no letter becomes two, and none depends on its neighbours."""
    if text.isascii():
        return convert(text)
    return "".join([one if len(one) == 1 else char for char, one in zip(text, map(convert, text), strict=True)])


def _labelmap(rule: Rule) -> Step:
    expand = _expander(rule)

    def step(labels: Labels) -> bool:
        for name, value in sorted(labels.values.items()):
            made = expand(name)
            if made:
                labels.put(made, value)
        return True

    return step


def _filter_labels(rule: Rule, *, keep: bool) -> Step:
    matches = _matcher(rule)

    def step(labels: Labels) -> bool:
        for name in [name for name in labels.values if name not in _NAMES and name != DISCOVERED]:
            if matches(name) is not keep:
                labels.put(name, "")
        return True

    return step


STEPS: Final[dict[str, Callable[[Rule], Step]]] = {
    "replace": _replace,
    "keep": lambda rule: _filter(rule, keep=True),
    "drop": lambda rule: _filter(rule, keep=False),
    "keepequal": lambda rule: _equal(rule, keep=True),
    "dropequal": lambda rule: _equal(rule, keep=False),
    "hashmod": _hashmod,
    "labelmap": _labelmap,
    "labeldrop": lambda rule: _filter_labels(rule, keep=False),
    "labelkeep": lambda rule: _filter_labels(rule, keep=True),
    "lowercase": lambda rule: _converted(rule, lambda text: _cased(text, str.lower)),
    "uppercase": lambda rule: _converted(rule, lambda text: _cased(text, str.upper)),
}
