"""What a benchmark tells: rows of one table."""

from __future__ import annotations

import os
from collections.abc import Iterable

import msgspec

from extsync.cli.output import table

SHORT_VARIABLE = "EXTSYNC_BENCH_SHORT"
SHORT = bool(os.environ.get(SHORT_VARIABLE))
"""Whether the parts that take minutes are to be done small, which shows that they work but no figure to rely on."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure against a reference of the same run, or against a limit; ``goal`` is the largest ratio that is good.

    Without a goal (None) the figure is told and not judged. ``unit`` is that of both; ``reference_is`` says in words
    what the reference is. A reference of 0 is met by 0 only.
    """

    part: str
    what: str
    figure: float
    unit: str
    reference: float
    reference_is: str
    goal: float | None = 1.0

    @property
    def good(self) -> bool:
        return self.goal is None or self.figure <= self.reference * self.goal


def print_table(rows: Iterable[Row]) -> None:
    """Prints one line a figure."""
    print(table(("part", "what", "figure", "against", "ratio", "goal", "met"), map(cells, rows)), flush=True)


def cells(row: Row) -> tuple[str, ...]:
    """The cells of one line."""
    ratio = f"{row.figure / row.reference:.2f}" if row.reference else "-"
    against = f"{_amount(row.reference, row.unit)} {row.reference_is}"
    figure = _amount(row.figure, row.unit)
    if row.goal is None:
        return row.part, row.what, figure, against, ratio, "-", "-"
    return row.part, row.what, figure, against, ratio, f"{row.goal:g}", "yes" if row.good else "NO"


def all_good(rows: Iterable[Row]) -> bool:
    """Whether no goal was missed."""
    return all(row.good for row in rows)


def _amount(value: float, unit: str) -> str:
    return f"{value:.0f} {unit}" if value >= 100 or value == int(value) else f"{value:.2f} {unit}"
