"""The rules of a source's ``relabel``: Prometheus's relabel_configs, with the fields of a backend as target labels.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from extsync.config.block import SourceBlock
from extsync.config.expression import compile_expression
from extsync.config.faults import Faults, shown, suggestion
from extsync.config.replacement import LONGEST, Parts, read_replacement
from extsync.config.values import AtLeastOne, Items, OneLine

FIELDS: Final = ("address", "hostname", "zone", "nodeName", "group", "port", "drain")
"""The fields of a backend that rules can set, by the names that they have as labels."""

TEMPORARY: Final = "__tmp"
"""What the names of labels begin with that only pass a value on to a later rule."""

DISCOVERED: Final = "__address__"
"""The label that can be read, though not set: address and port of the backend as one text."""

Action: TypeAlias = Literal[
    "replace", "keep", "drop", "keepequal", "dropequal", "hashmod",
    "labelmap", "labeldrop", "labelkeep", "lowercase", "uppercase",
]  # fmt: skip

_TAKES: Final[Mapping[str, frozenset[str]]] = {
    action: frozenset(keys.split())
    for action, keys in {
        "replace": "sourceLabels separator regex targetLabel replacement",
        "keep": "sourceLabels separator regex",
        "drop": "sourceLabels separator regex",
        "keepequal": "sourceLabels targetLabel",
        "dropequal": "sourceLabels targetLabel",
        "hashmod": "sourceLabels separator targetLabel modulus",
        "lowercase": "sourceLabels separator targetLabel",
        "uppercase": "sourceLabels separator targetLabel",
        "labelmap": "regex replacement",
        "labeldrop": "regex",
        "labelkeep": "regex",
    }.items()
}
_NEEDS: Final = {"targetLabel": "what it sets", "sourceLabels": "what it looks at", "modulus": "what to divide by"}
_TEXTS: Final = ("separator", "regex", "replacement")
_COMPARES: Final = ("keepequal", "dropequal")
_LABEL_NAME: Final = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
_IN_LABEL_NAMES: Final = re.compile(r"[a-zA-Z0-9_]*")


def _regex(text: str) -> str:
    try:
        compile_expression(text)
    except ValueError as error:
        raise ValueError(f"{shown(text)} {error}") from None
    return text


Regex: TypeAlias = Annotated[str, AfterValidator(_regex)]


class Relabel(SourceBlock):
    """One rule on the labels of each backend: its metadata, and its fields under their own names."""

    source_labels: Items[OneLine] = ()
    separator: Annotated[str, Field(max_length=LONGEST)] = ";"
    target_label: Annotated[str | None, Field(pattern=_LABEL_NAME)] = None
    regex: Regex = "(.*)"
    modulus: AtLeastOne | None = None
    replacement: Annotated[str, Field(max_length=LONGEST)] = "$1"
    action: Action = "replace"

    @classmethod
    def rewrite(cls, data: dict[str, Any], faults: Faults) -> dict[str, Any]:
        """Accepts, as Prometheus does, actions in any case and whole numbers where text is meant.

        Other plain scalars are refused: of ``8.10`` or ``yes`` nobody knows any more how they were written.
        """
        data = super().rewrite(data, faults)
        if isinstance(data.get("action"), str):
            data["action"] = data["action"].lower()
        return {key: str(value) if key in _TEXTS and type(value) is int else value for key, value in data.items()}

    @model_validator(mode="after")
    def _fits_its_action(self) -> Self:
        faults = Faults("relabel")
        for key, name in self.keys().items():
            self._check_key(key, getattr(self, name), type(self).model_fields[name].default, faults)
        if self.target_label is not None and self.action not in _COMPARES:
            _check_target(self.target_label, faults)
        if "replacement" in _TAKES[self.action]:
            self._check_replacement(faults)
        faults.raise_any()
        return self

    def _check_key(self, key: str, value: Any, default: Any, faults: Faults) -> None:
        """An action needs some keys, and whatever it does not take would have no effect."""
        takes = _TAKES[self.action]
        if key == "action":
            return
        if key not in takes and value != default:
            faults.add((key,), f"has no effect on action {self.action}: leave it out", reads=("action",))
        # Without labels to look at only replace does something that may be meant: it sets a constant.
        optional = key == "sourceLabels" and self.action == "replace"
        if key in takes and key in _NEEDS and value == default and not optional:
            faults.add((), f"{key} is missing: action {self.action} needs {_NEEDS[key]}", reads=("action", key))

    def _check_replacement(self, faults: Faults) -> None:
        try:
            parts = read_replacement(self.replacement, compile_expression(self.regex))
        except ValueError as error:
            faults.add(("replacement",), str(error), reads=("regex", "replacement"))
            return
        if self.action == "labelmap" and not _makes_names(parts):
            message = f"{shown(self.replacement)} is not the name of a label: use letters, digits, _ and groups"
            faults.add(("replacement",), message, reads=("replacement",))


def _check_target(target: str, faults: Faults) -> None:
    if target in FIELDS or target.startswith(TEMPORARY):
        return
    if target == DISCOVERED:
        hint = "set 'address' and 'port'"
    else:
        meant = suggestion(target, FIELDS)
        hint = f"did you mean {meant!r}?" if meant else f"for a later rule write {TEMPORARY}_{target.strip('_')}"
    message = f"{shown(target)} is not a field of a backend: known are {', '.join(FIELDS)}"
    faults.add(("targetLabel",), message, hint=hint, reads=("action",))


def _makes_names(parts: Parts) -> bool:
    texts = [part for part in parts if isinstance(part, str)]
    begins_with_digit = isinstance(parts[0], str) and parts[0][0].isdecimal() if parts else True
    return not begins_with_digit and all(_IN_LABEL_NAMES.fullmatch(text) for text in texts)
