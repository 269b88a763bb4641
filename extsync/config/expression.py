"""Regular expressions in Prometheus's own language, RE2: linear in time, whatever a rule says."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Protocol

LONGEST: Final = 4096
"""Characters of an expression."""

_LONGEST_TOLD: Final = 100


class Match(Protocol):
    """A text that an expression matches as a whole."""

    def group(self, number: int, /) -> str | None: ...


class Expression(Protocol):
    """A compiled expression."""

    @property
    def groups(self) -> int: ...
    @property
    def groupindex(self) -> dict[str, int]: ...
    def fullmatch(self, text: str, /) -> Match | None: ...


@lru_cache(maxsize=1024)
def compile_expression(text: str) -> Expression:
    """Compiles ``text``; as in Prometheus from version 3 on the dot matches line breaks too.

    Raises ValueError with the reason.
    """
    import re2  # takes some milliseconds that manifests without relabel need not pay

    if len(text) > LONGEST:
        raise ValueError(f"has {len(text)} characters: at most {LONGEST} are allowed")
    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    try:
        expression: Expression = re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        told = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"is not a regular expression of RE2: {told[:_LONGEST_TOLD]}") from None
    return expression
