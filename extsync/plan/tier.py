"""Tier: which candidates are published, given which are ready.

Sources of one priority are a tier, which a source that ranks its backends (SRV records) divides into steps. Tiers are
cumulative: the first is always published, a later one while all tiers before it together have fewer than ``minReady``
ready endpoints. It comes in at once and goes out ``failbackDelay``
after it was last needed, so that a tier that comes and goes does not move traffic each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import compress
from operator import itemgetter

import msgspec

from extsync.model import Endpoint, State, Why
from extsync.plan.merge import Candidate, Tier


class TierPolicy(msgspec.Struct, frozen=True):
    """The manifest's policy; ``failback_delay`` is in seconds."""

    min_ready: int = 1
    failback_delay: float = 60.0


class TierState(msgspec.Struct, frozen=True):
    """What has to be remembered: the tiers that are published, in order, in pairs with the time since when they are no
    longer needed (monotonic seconds; None: they are needed).

    ``known`` are those that have been among them at any time. Where one of these is seen in the cluster although it is
    not among them now, it is on its way out: its withdrawal has yet to be written.
    """

    published: tuple[tuple[Tier, float | None], ...] = ()
    known: frozenset[Tier] = frozenset()

    def with_found(self, tiers: Iterable[Tier]) -> TierState:
        """With the tiers, too, whose endpoints are found published after a start, as if they had been needed so far."""
        new = frozenset(tiers) - self.known
        pairs = [*self.published, *((tier, None) for tier in new)]
        return TierState(tuple(sorted(pairs, key=itemgetter(0))), self.known | new)


class Tiers(msgspec.Struct, frozen=True):
    """What a look at the tiers decides.

    ``endpoints`` are those to publish, in their order. ``published`` and ``standby`` are tiers. ``look_again`` is the
    time (monotonic seconds) at which a published tier may go, None where time alone changes nothing.
    """

    endpoints: tuple[Endpoint, ...]
    state: TierState
    published: tuple[Tier, ...] = ()
    standby: tuple[Tier, ...] = ()
    look_again: float | None = None


def tier(
    candidates: Sequence[Candidate],
    endpoints: tuple[Endpoint, ...],
    state: TierState,
    *,
    tiers: Sequence[Tier],
    policy: TierPolicy,
    now: float,
    awaited: Collection[Tier] = (),
) -> Tiers:
    """Chooses which of ``endpoints`` (aligned with ``candidates``) are published.

    ``tiers`` are those of the candidates, in ascending order. A tier whose endpoints are all known to be down
    lets the next one in; one whose endpoints were never probed does not yet, nor does one of ``awaited``, whose source
    has not answered so far, or each start would send traffic to the standby.
    """
    ready, undecided = _counts(candidates, endpoints) if len(tiers) > 1 else (Counter(), Counter())
    since = dict(state.published)
    kept: list[tuple[Tier, float | None]] = []
    before = possible = 0
    for one in sorted({*tiers, *since, *awaited}):
        needed = (before if one in since else possible) < max(1, policy.min_ready)
        if needed and one in tiers:
            kept.append((one, None))
        elif one in since:
            idle = since[one]
            idle = now if idle is None else idle
            if now < idle + policy.failback_delay:  # just as look_again says it, or rounding would look for ever
                kept.append((one, idle))
        before += ready[one]
        possible += ready[one] + undecided[one] + (max(1, policy.min_ready) if one in awaited else 0)
    return _tiers(candidates, endpoints, tiers, kept, state.known, policy)


def _tiers(
    candidates: Sequence[Candidate],
    endpoints: tuple[Endpoint, ...],
    tiers: Sequence[Tier],
    kept: list[tuple[Tier, float | None]],
    known: frozenset[Tier],
    policy: TierPolicy,
) -> Tiers:
    chosen = {one for one, _ in kept}
    return Tiers(
        _of_tiers(candidates, endpoints, chosen, tiers),
        TierState(tuple(kept), known | chosen),
        tuple(one for one in tiers if one in chosen),
        tuple(one for one in tiers if one not in chosen),
        min((idle + policy.failback_delay for _, idle in kept if idle is not None), default=None),
    )


def _counts(candidates: Sequence[Candidate], endpoints: Sequence[Endpoint]) -> tuple[Counter[Tier], Counter[Tier]]:
    """How many endpoints of each tier are ready, and how many have yet to get their first verdict."""
    ready: Counter[Tier] = Counter()
    undecided: Counter[Tier] = Counter()
    for candidate, endpoint in zip(candidates, endpoints, strict=True):
        if endpoint.state is State.READY:
            ready[candidate.tier] += 1
        elif endpoint.why is Why.NEW:
            undecided[candidate.tier] += 1
    return ready, undecided


def _of_tiers(
    candidates: Sequence[Candidate], endpoints: tuple[Endpoint, ...], chosen: set[Tier], tiers: Sequence[Tier]
) -> tuple[Endpoint, ...]:
    if chosen.issuperset(tiers):
        return endpoints
    return tuple(compress(endpoints, [candidate.tier in chosen for candidate in candidates]))
