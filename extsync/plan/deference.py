"""Deference: what another replica published stays for a while where it may know better than this one. Pure.

Replicas probe at different moments. One that takes over may not have noticed yet what the one before it has published,
and its own verdict from before must not undo that. So while another replica leads it is noted where published states
turn away from what this one decided; where it was this one's verdict that turned, that is the newer word, to be
published at once. What was noted stays as it is published until this replica's verdict changes, or has had the time to;
and where this replica doubts its own verdict, for as long as it does: also one that is older than the doubt, since no
failure confirms it meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from extsync.model import UNKNOWN, Endpoint, Health, Identity, Verdict
from extsync.plan.judge import States
from extsync.plan.merge import Candidate


class _Kept(NamedTuple):
    """An endpoint that stays as published until then, as long as this replica's verdict stays the same.

    ``until`` is infinite where that verdict is doubted, and what ends it is that it no longer is.
    """

    until: float
    health: Health

    def stays(self, verdict: Verdict, now: float, *, in_doubt: bool) -> bool:
        """Whether it stays as published, now that this replica's verdict is that."""
        doubted = _is_doubted(verdict, in_doubt=in_doubt)
        return verdict.health is self.health and now < self.until and (doubted or self.until < inf)


class Deference:
    """What one replica notes of one service. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._ahead: dict[Identity, float] = {}
        self._last: dict[Identity, Health] = {}
        self._kept: dict[Identity, _Kept] = {}

    def note(
        self,
        candidates: Sequence[Candidate],
        judged: Sequence[Endpoint],
        verdicts: Sequence[Verdict | None],
        published: States,
        now: float,
        *,
        in_doubt: bool = False,
    ) -> None:
        """A look while another replica leads; the first three are aligned.

        ``in_doubt``: no failure of an endpoint of this service is believed now.
        """
        ahead: dict[Identity, float] = {}
        last: dict[Identity, Health] = {}
        for candidate, endpoint, verdict in zip(candidates, judged, verdicts, strict=True):
            if verdict is None:
                continue
            identity = candidate.identity
            last[identity] = verdict.health
            shown = published.get(identity)
            if shown is not None and shown is not endpoint.state:
                turned = self._last.get(identity, verdict.health) is not verdict.health
                since = -inf if turned else self._ahead.get(identity, now)
                ahead[identity] = inf if _is_doubted(verdict, in_doubt=in_doubt) else min(since, now)
        self._ahead, self._last, self._kept = ahead, last, {}

    def take_over(self, now: float, patience: float) -> frozenset[Identity]:
        """Begins to lead; returns the endpoints that stay as published for now.

        ``patience``: seconds in which this replica's verdict would follow what the other one saw.
        """
        self._kept = {
            identity: _Kept(since + patience, self._last[identity])
            for identity, since in self._ahead.items()
            if since + patience > now
        }
        self._ahead, self._last = {}, {}
        return frozenset(self._kept)

    def apply(
        self,
        candidates: Sequence[Candidate],
        verdicts: tuple[Verdict | None, ...],
        now: float,
        *,
        in_doubt: bool = False,
    ) -> tuple[Verdict | None, ...]:
        """``verdicts``, aligned with ``candidates``, but unknown for those that stay; the same object if none do.

        ``in_doubt`` as for ``note``.
        """
        if not self._kept:
            return verdicts
        kept: dict[Identity, _Kept] = {}
        changed = list(verdicts)
        for place, (candidate, verdict) in enumerate(zip(candidates, verdicts, strict=True)):
            one = self._kept.get(candidate.identity)
            if one is not None and verdict is not None and one.stays(verdict, now, in_doubt=in_doubt):
                kept[candidate.identity] = one
                changed[place] = UNKNOWN
        self._kept = kept
        return tuple(changed)

    @property
    def look_again(self) -> float | None:
        """When the first of them has stayed for long enough; None: there is none, or none that time ends."""
        return min((one.until for one in self._kept.values() if one.until < inf), default=None)


def _is_doubted(verdict: Verdict, *, in_doubt: bool) -> bool:
    return verdict.doubted or (in_doubt and verdict.health is Health.UNHEALTHY)
