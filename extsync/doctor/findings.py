"""What doctor finds: each finding with what shows it, what helps, and the kubectl command that shows it."""

from __future__ import annotations

import enum
import shlex
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

MOST_EVIDENCE: Final = 10
"""Pieces of evidence of one finding; of more it is said how many there are."""

CLUSTER: Final = "cluster"
"""What findings are about that concern no single Service."""


class Severity(enum.Enum):
    """How bad a finding is. Only warnings and errors make the exit status 1."""

    ERROR = "error"
    """Traffic does not get where it should."""
    WARNING = "warning"
    """Part of it does not, or it will not for long."""
    INFO = "info"
    """Good to know, or what could not be looked at."""
    OK = "ok"
    """Looked at and found in order."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was found.

    ``code`` names its kind for programs and never changes; ``theme`` is the step of the troubleshooting; ``about`` is a
    Service as namespace/name, or "cluster". ``cure`` is "" where nothing is to be done.
    """

    code: str
    severity: Severity
    theme: str
    about: str
    summary: str
    evidence: tuple[str, ...] = ()
    cure: str = ""
    command: str = ""

    @property
    def is_trouble(self) -> bool:
        """Whether it counts for the exit status."""
        return self.severity in (Severity.ERROR, Severity.WARNING)


ORDER: Final = tuple(Severity)
"""Worst first."""


def kubectl(*words: str, namespace: str = "") -> str:
    """A kubectl command for a shell, in ``namespace`` where one is given."""
    place = ("-n", namespace) if namespace else ()
    return shlex.join(("kubectl", *place, *words))


class Findings:
    """Makes the findings of one theme about one thing; ``command`` shows it, unless a finding has its own."""

    def __init__(self, theme: str, about: str, command: str) -> None:
        self._theme = theme
        self._about = about
        self._command = command

    def error(self, code: str, summary: str, **more: Any) -> Finding:
        """Traffic does not get where it should. ``more`` are the arguments of ``make``."""
        return self.make(code, Severity.ERROR, summary, **more)

    def warning(self, code: str, summary: str, **more: Any) -> Finding:
        """Part of the traffic does not get where it should, or it will not for long."""
        return self.make(code, Severity.WARNING, summary, **more)

    def info(self, code: str, summary: str, **more: Any) -> Finding:
        """Good to know, or what could not be looked at."""
        return self.make(code, Severity.INFO, summary, **more)

    def ok(self, code: str, summary: str, **more: Any) -> Finding:
        """Looked at and found in order."""
        return self.make(code, Severity.OK, summary, **more)

    def make(
        self,
        code: str,
        severity: Severity,
        summary: str,
        *,
        evidence: Iterable[str] = (),
        cure: str = "",
        command: str = "",
    ) -> Finding:
        """A finding of that severity."""
        return Finding(
            code=code,
            severity=severity,
            theme=self._theme,
            about=self._about,
            summary=summary,
            evidence=evidence_of(evidence),
            cure=cure,
            command=command or self._command,
        )


def evidence_of(lines: Iterable[str]) -> tuple[str, ...]:
    """The lines, of very many the first ones and the number of the others."""
    lines = tuple(lines)
    if len(lines) <= MOST_EVIDENCE:
        return lines
    return (*lines[: MOST_EVIDENCE - 1], f"and {len(lines) - MOST_EVIDENCE + 1} more")


def count(number: int, word: str) -> str:
    """A number of things, such as "1 slice" and "2 slices"."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def some(words: Sequence[str], *, most: int = 3) -> str:
    """A few of the words, and how many there are beside them."""
    shown = ", ".join(words[:most])
    return shown if len(words) <= most else f"{shown} and {len(words) - most} more"
