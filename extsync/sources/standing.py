"""How a source stands: what there is to say of it besides its backends."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from extsync.model import Backend, Observation, Outcome, Rejected, several


class Standing(msgspec.Struct, frozen=True):
    """How a source stands: all that ``extsync status`` and ``explain`` say of it. Times are monotonic seconds.

    ``outcome`` and ``detail`` are those of the latest report, at ``observed_at``; all three are None or "" before it.
    ``good_at`` is when the latest FOUND, EMPTY or GONE came. ``stale_since`` is set from the first failed report
    after a good one (or from the start) until the next good one. ``last_error`` outlives the failure that it tells
    of. ``empty_at`` is when a run of EMPTY and GONE will empty the set, if it goes on. ``leaving`` are backends that
    the answer no longer names, each with the time until which it is held.

    Of a source with parts it is what matters most of all of them: the oldest good answer, the first that went stale,
    the latest error. ``parts`` are how they stand each, by name.
    """

    reported: bool
    outcome: Outcome | None
    detail: str
    observed_at: float | None
    good_at: float | None
    stale_since: float | None
    last_error: str
    last_error_at: float | None
    empty_at: float | None
    leaving: tuple[tuple[Backend, float], ...]
    rejected: tuple[Rejected, ...]
    parts: tuple[tuple[str, Standing], ...] = ()

    @property
    def stale(self) -> bool:
        return self.stale_since is not None

    def age(self, now: float) -> float | None:
        """Seconds since the last good answer; None where there never was one."""
        return None if self.good_at is None else max(0.0, now - self.good_at)


def together(standings: dict[str, Standing], named_by: dict[str, str]) -> Standing:
    """How a source with these parts stands."""
    each = standings.values()
    said = several(
        (name, Observation(standing.outcome, detail=standing.detail, named_by=named_by[name]))
        for name, standing in standings.items()
        if standing.outcome is not None
    )
    failed = max((s for s in each if s.last_error_at is not None), key=lambda s: s.last_error_at or 0.0, default=None)
    goods = [standing.good_at for standing in each]
    return Standing(
        reported=bool(standings) and all(standing.reported for standing in each),
        outcome=said.outcome if said.parts else None,
        detail=said.detail,
        observed_at=_first(max, (standing.observed_at for standing in each)),
        good_at=None if None in goods else _first(min, goods),
        stale_since=_first(min, (standing.stale_since for standing in each)),
        last_error=failed.last_error if failed else "",
        last_error_at=failed.last_error_at if failed else None,
        empty_at=_first(min, (standing.empty_at for standing in each)),
        leaving=tuple(held for standing in each for held in standing.leaving),
        rejected=tuple(entry for standing in each for entry in standing.rejected),
        parts=tuple(standings.items()),
    )


def _first(choose: Callable[..., float | None], times: Iterable[float | None]) -> float | None:
    """The least or greatest of the times that there are, None where there are none."""
    return choose((time for time in times if time is not None), default=None)
