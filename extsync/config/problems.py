"""What is wrong with a text that people wrote, in the form in which they read it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from extsync.config.faults import Place
from extsync.config.text import Severity


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One error or warning. ``line`` and ``column`` count from 1; 0 means the file (or directory) as a whole.

    ``path`` is the place in the words of the manifest, such as ``spec.ports[0].port``; ``hint`` is a cure that is only
    likely, such as the key that was probably meant.
    """

    file: str
    line: int
    column: int
    severity: Severity
    message: str
    hint: str = ""
    path: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        what = f"{self.path}: {self.message}" if self.path else self.message
        return f"{where}: {self.severity}: {what}" + (f" ({self.hint})" if self.hint else "")


def written(place: Place) -> str:
    """A place as people write it: ``spec.sources[0].name``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".")


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """Those that must be put right."""
    return [problem for problem in problems if problem.severity == "error"]
