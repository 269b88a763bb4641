"""Tier: which candidates are published, given which are ready.

Sources of one priority are a tier. Tiers are cumulative: the first is always published, a later one while all tiers
before it together have fewer than ``minReady`` ready endpoints. It comes in at once and goes out ``failbackDelay``
after it was last needed, so that a tier that comes and goes does not move traffic each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import compress

import msgspec

from extsync.model import Endpoint, State, Why
from extsync.plan.merge import Candidate


class TierPolicy(msgspec.Struct, frozen=True):
    """The manifest's policy; ``failback_delay`` is in seconds."""

    min_ready: int = 1
    failback_delay: float = 60.0


class TierState(msgspec.Struct, frozen=True):
    """What has to be remembered: the tiers that are published, by priority, in pairs with the time since when they are
    no longer needed (monotonic seconds; None: they are needed)."""

    published: tuple[tuple[int, float | None], ...] = ()

    @classmethod
    def found(cls, priorities: Iterable[int]) -> TierState:
        """The state after a start, from the priorities whose endpoints are found published."""
        return cls(tuple((priority, None) for priority in sorted(set(priorities))))


class Tiers(msgspec.Struct, frozen=True):
    """What a look at the tiers decides.

    ``endpoints`` are those to publish, in their order. ``published`` and ``standby`` are priorities. ``look_again`` is
    the time (monotonic seconds) at which a published tier may go, None where time alone changes nothing.
    """

    endpoints: tuple[Endpoint, ...]
    state: TierState
    published: tuple[int, ...] = ()
    standby: tuple[int, ...] = ()
    look_again: float | None = None


def tier(
    candidates: Sequence[Candidate],
    endpoints: tuple[Endpoint, ...],
    state: TierState,
    *,
    priorities: Sequence[int],
    policy: TierPolicy,
    now: float,
) -> Tiers:
    """Chooses which of ``endpoints`` (aligned with ``candidates``) are published.

    ``priorities`` are those of the candidates, in ascending order. A tier whose endpoints are all known to be down
    lets the next one in; one whose endpoints were never probed does not yet, or each start would send traffic to the
    standby.
    """
    ready, undecided = _counts(candidates, endpoints) if len(priorities) > 1 else (Counter(), Counter())
    since = dict(state.published)
    kept: list[tuple[int, float | None]] = []
    before = possible = 0
    for priority in sorted({*priorities, *since}):
        needed = (before if priority in since else possible) < max(1, policy.min_ready)
        if needed and priority in priorities:
            kept.append((priority, None))
        elif priority in since:
            idle = since[priority]
            idle = now if idle is None else idle
            if now < idle + policy.failback_delay:  # just as look_again says it, or rounding would look for ever
                kept.append((priority, idle))
        before += ready[priority]
        possible += ready[priority] + undecided[priority]
    return _tiers(candidates, endpoints, priorities, kept, policy)


def _tiers(
    candidates: Sequence[Candidate],
    endpoints: tuple[Endpoint, ...],
    priorities: Sequence[int],
    kept: list[tuple[int, float | None]],
    policy: TierPolicy,
) -> Tiers:
    chosen = {priority for priority, _ in kept}
    return Tiers(
        _of_priorities(candidates, endpoints, chosen, priorities),
        TierState(tuple(kept)),
        tuple(priority for priority in priorities if priority in chosen),
        tuple(priority for priority in priorities if priority not in chosen),
        min((idle + policy.failback_delay for _, idle in kept if idle is not None), default=None),
    )


def _counts(candidates: Sequence[Candidate], endpoints: Sequence[Endpoint]) -> tuple[Counter[int], Counter[int]]:
    """How many endpoints of each priority are ready, and how many have yet to get their first verdict."""
    ready: Counter[int] = Counter()
    undecided: Counter[int] = Counter()
    for candidate, endpoint in zip(candidates, endpoints, strict=True):
        if endpoint.state is State.READY:
            ready[candidate.priority] += 1
        elif endpoint.why is Why.NEW:
            undecided[candidate.priority] += 1
    return ready, undecided


def _of_priorities(
    candidates: Sequence[Candidate], endpoints: tuple[Endpoint, ...], chosen: set[int], priorities: Sequence[int]
) -> tuple[Endpoint, ...]:
    if chosen.issuperset(priorities):
        return endpoints
    return tuple(compress(endpoints, [candidate.priority in chosen for candidate in candidates]))
