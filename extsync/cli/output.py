"""How results look: tables for people, JSON and YAML for machines."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, TextIO

import yaml

from extsync.printable import printable

_STEERS: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON and YAML allow as it is, and a terminal takes for commands or for other directions of writing."""


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, indent: str = "") -> str:
    """Columns in kubectl's manner: three spaces between them, no rules, the header in capitals."""
    lines = [[_cell(cell) for cell in row] for row in (tuple(name.upper() for name in header), *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        (indent + "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))).rstrip()
        for line in lines
    )


def _cell(value: object) -> str:
    return printable("" if value is None else str(value)) or "-"


def write_document(value: Any, form: str, out: TextIO | None = None) -> None:
    """Prints ``value`` (plain data) as "json" or "yaml"; a list in YAML is printed as several documents."""
    out = out or sys.stdout
    if form == "json":
        out.write(to_json(value, indent=2) + "\n")
        return
    out.write(to_yaml(value))


def to_json(value: Any, *, indent: int | None = None) -> str:
    """``value`` as JSON in which nothing steers a terminal or ends a line; what is no plain data is told as text."""
    return _escaped(json.dumps(value, indent=indent, ensure_ascii=False, default=str))


def _escaped(text: str) -> str:
    """``text`` with an escape of JSON, and of YAML, for all that steers; it has to be within quotes."""
    return _STEERS.sub(lambda found: json.dumps(found[0])[1:-1], text)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes no aliases: a repeated value is spelled out, as people expect of Kubernetes objects."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = '"' if _STEERS.search(text) else None
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
    return node


_Dumper.add_representer(str, _text)


def to_yaml(value: Any) -> str:
    """``value`` as YAML in the order of its keys; a list becomes a stream of documents."""
    documents = value if isinstance(value, list) else [value]
    return _escaped(
        yaml.dump_all(
            documents,
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=False,
            explicit_start=isinstance(value, list),
            width=120,
        )
    )


class Progress:
    """One line on a terminal's standard error that is written over; silent where nobody watches."""

    def __init__(self, err: TextIO | None = None) -> None:
        self._err = err or sys.stderr
        self._live = self._err.isatty()

    def show(self, text: str) -> None:
        """Replaces the line by ``text``."""
        if self._live:
            self._err.write("\r\x1b[K" + text[:118])
            self._err.flush()

    def clear(self) -> None:
        """Takes the line away before results are printed."""
        self.show("")
