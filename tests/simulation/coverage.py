"""Which faults were in force when which invariants were checked.

A fault *meets* an invariant where the invariant is evaluated while the fault is in effect or within ``AFTERMATH``
seconds of its end; those that are evaluated when things are quiet are met by every fault since the quiet before, as
they speak of "whatever happened before". Each occurrence of a fault counts once for each invariant that it meets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

AFTERMATH = 60.0
"""Simulated seconds for which a fault that is over still has consequences."""

INVARIANTS = tuple(range(1, 12))
WHEN_QUIET = (3, 4, 7, 9)


class Occurrence:
    """One fault that happened: its kind, its end, None while it lasts, and the invariants that it met."""

    __slots__ = ("kind", "met", "until")

    def __init__(self, kind: str, until: float | None) -> None:
        self.kind = kind
        self.until = until
        self.met: set[int] = set()


class Coverage:
    """Counts faults and what they met. ``now`` tells the simulated time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.faults: Counter[str] = Counter()
        self.cells: Counter[tuple[str, int]] = Counter()
        self._now = now
        self._recent: list[Occurrence] = []
        self._since_quiet: list[Occurrence] = []

    def strike(self, kind: str) -> None:
        """A fault that is over at once."""
        self._happens(Occurrence(kind, self._now()))

    def begin(self, kind: str) -> Occurrence:
        """A fault that lasts until ``end``."""
        occurrence = Occurrence(kind, None)
        self._happens(occurrence)
        return occurrence

    def end(self, occurrence: Occurrence) -> None:
        """It is over."""
        occurrence.until = self._now()

    @contextmanager
    def lasting(self, kind: str) -> Iterator[None]:
        """A fault that lasts as long as the block does."""
        occurrence = self.begin(kind)
        yield
        self.end(occurrence)

    def evaluated(self, *invariants: int) -> None:
        """These invariants were just evaluated, and hold."""
        oldest = self._now() - AFTERMATH
        self._recent = [one for one in self._recent if one.until is None or one.until >= oldest]
        self._count(self._recent, invariants)

    def evaluated_when_quiet(self, *, is_timely: bool) -> None:
        """So were those that hold when things are quiet; ``is_timely``: and a failure has shown itself in time."""
        self._count(self._since_quiet, (*WHEN_QUIET, 8) if is_timely else WHEN_QUIET)
        self._since_quiet = []

    def _happens(self, occurrence: Occurrence) -> None:
        self.faults[occurrence.kind] += 1
        self._recent.append(occurrence)
        self._since_quiet.append(occurrence)

    def _count(self, occurrences: Iterable[Occurrence], invariants: tuple[int, ...]) -> None:
        for occurrence in occurrences:
            for invariant in invariants:
                if invariant not in occurrence.met:
                    occurrence.met.add(invariant)
                    self.cells[occurrence.kind, invariant] += 1


def table(faults: Counter[str], cells: Counter[tuple[str, int]]) -> str:
    """The counts as lines: each kind of fault, how often it happened, and how often it met each invariant."""
    lines = [f"{'fault':<32}{'times':>7}" + "".join(f"{number:>7}" for number in INVARIANTS)]
    for kind, times in sorted(faults.items()):
        lines.append(f"{kind:<32}{times:>7}" + "".join(f"{cells[kind, number]:>7}" for number in INVARIANTS))
    return "\n".join(lines)


def missing(kinds: Iterable[str], cells: Counter[tuple[str, int]], *, least: float) -> list[tuple[str, int]]:
    """The pairs of a fault and an invariant that met less often than ``least`` times."""
    return [(kind, number) for kind in kinds for number in INVARIANTS if cells[kind, number] < least]
