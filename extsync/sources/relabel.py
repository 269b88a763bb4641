"""Relabelling: rules that turn the labels of backends into their fields, in Prometheus's words and meaning. Pure.

The labels of a backend are its metadata and, under their own names, its fields that are set; a field comes before a
piece of metadata of the same name. ``__address__`` is its address and port as one text. Only a rule that writes one of
the field names changes a field, so that metadata which happens to be called ``zone`` changes nothing by itself.
``labeldrop`` and ``labelkeep`` take away metadata, never a field.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import md5
from operator import is_
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from extsync.addresses import check_address
from extsync.config.expression import compile_expression
from extsync.config.relabel import DISCOVERED, FIELDS, TEMPORARY
from extsync.config.replacement import read_replacement
from extsync.model import Backend, Observation, Outcome, Rejected, several

REMEMBERED: Final = 4096
"""Values of which one rule remembers what became of them: most backends share theirs."""

LONGEST: Final = 16_384
"""Characters of a text that a rule looks at or makes: a replacement may repeat a group, and rules go on from it."""

MOST_REJECTED: Final = 1000
"""Backends set aside that are told one by one."""

_ATTRIBUTES: Final = {
    "address": "address",
    "hostname": "hostname",
    "zone": "zone",
    "nodeName": "node_name",
    "group": "group",
    "port": "port",
    "drain": "drain",
}
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


Made: TypeAlias = Backend | Rejected | None
"""What became of a backend: itself or another one, one that cannot be so, or nothing where a rule drops it."""


class _Last(msgspec.Struct, frozen=True):
    """A report without parts, and what became of it and of each of its backends."""

    told: Observation
    made: Observation
    backends: dict[Backend, Made]


class Relabelling:
    """The rules of one source, and what they made of its last report: most of the next one is the same."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._steps = tuple(_STEPS[rule.action](rule) for rule in self.rules)
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

    def _made(self, backend: Backend) -> Made:
        try:
            return self._backend(backend)
        except ValueError as error:
            return Rejected(_discovered(backend), f"relabel: {error}")

    def _backend(self, backend: Backend) -> Backend | None:
        """The backend after the rules, None where one drops it; raises ValueError for a field that cannot be so."""
        labels = Labels(backend)
        for step in self._steps:
            if not step(labels):
                return None
        changes = {_ATTRIBUTES[name]: _field(name, labels.get(name)) for name in FIELDS if name in labels.written}
        metadata = labels.metadata(backend)
        if metadata != backend.labels:
            changes["labels"] = metadata
        return msgspec.structs.replace(backend, **changes) if changes else backend


def _report(told: Observation, made: list[Made]) -> Observation:
    """A report of FOUND after the rules, which turned its backends into ``made``."""
    backends = tuple([one for one in made if isinstance(one, Backend)])
    if len(backends) == len(made) and all(map(is_, backends, told.backends)):
        return told
    unfit = [one for one in made if isinstance(one, Rejected)]
    rejected = told.rejected + tuple(unfit[:MOST_REJECTED])
    if len(unfit) > MOST_REJECTED:
        rejected += (Rejected("relabel", f"{len(unfit) - MOST_REJECTED} further backends cannot be used either"),)
    if backends or unfit:
        return msgspec.structs.replace(told, backends=backends, rejected=rejected)
    # Metadata that changed may be an accident: like an answer without backends it waits for hold.nodata.
    detail = f"relabel keeps none of its {len(made)} backends"
    return msgspec.structs.replace(told, outcome=Outcome.EMPTY, backends=(), detail=detail)


class Labels:
    """The labels of one backend while rules are applied; ``written`` are the names that rules have set or unset."""

    __slots__ = ("values", "written")

    def __init__(self, backend: Backend) -> None:
        self.values = dict(backend.labels)
        for name, attribute in _ATTRIBUTES.items():
            value = getattr(backend, attribute)
            if value is not None and value is not False:
                self.values[name] = "true" if value is True else str(value)
        self.values[DISCOVERED] = _discovered(backend)
        self.written: set[str] = set()

    def get(self, name: str) -> str:
        return self.values.get(name, "")

    def put(self, name: str, value: str) -> None:
        """Sets a label; an empty one is one that is not there."""
        self.written.add(name)
        if value:
            self.values[name] = value
        else:
            self.values.pop(name, None)

    def metadata(self, backend: Backend) -> tuple[tuple[str, str], ...]:
        """What is left as metadata: neither fields nor what was only passed from rule to rule."""
        if all(name in _NAMES or name.startswith(TEMPORARY) for name in self.written):
            return backend.labels
        own = dict(backend.labels)
        made = {
            name: own[name] if name in _NAMES else value
            for name, value in self.values.items()
            if (name not in _NAMES or name in own) and name != DISCOVERED and not name.startswith(TEMPORARY)
        }
        return tuple(sorted(made.items()))


def _discovered(backend: Backend) -> str:
    host = f"[{backend.address}]" if ":" in backend.address and backend.port is not None else backend.address
    return host if backend.port is None else f"{host}:{backend.port}"


def _field(name: str, text: str) -> Any:
    """The value of a field; raises ValueError where ``text`` is none. Names are looked at where sources are merged."""
    if name == "address":
        if not text:
            raise ValueError("it leaves no address")
        return check_address(text)
    if name == "port":
        if text and not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
            raise ValueError(f"{text!r} is not a port: ports are 1 to 65535")
        return int(text) if text else None
    if name == "drain":
        if text not in ("", "true", "false"):
            raise ValueError(f"drain is true or false, not {text!r}")
        return text == "true"
    return text or None


# ---- the actions -----------------------------------------------------------------------------------------------------

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


_STEPS: Final[dict[str, Callable[[Rule], Step]]] = {
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
