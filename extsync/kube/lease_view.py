"""What one replica knows of a Lease: how it was when it was last seen, since when, and what of it is its own doing."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

from extsync.kube import lease_record
from extsync.kube.own_writes import is_older
from extsync.objects import Lease, LeaseSpec

MOST_UNCERTAIN: Final = 8
"""Writes without an answer that are known again when they show."""


class LeaseView:
    """One replica's view of a Lease. Times are its own monotonic ones; those in the record are never read.

    Attributes:
        lease: The Lease when it was last seen; None where there was none.
        heard_at: When that was.
        changed_at: When the record was first seen to be as it is. That somebody puts an annotation on it is no change.
        certain: Whether the Lease is known to be so still, as far as a write may be tried without another look.
    """

    def __init__(self, identity: str) -> None:
        self.lease: Lease | None = None
        self.heard_at = -inf
        self.changed_at = -inf
        self.certain = False
        self._identity = identity
        self._sent: deque[LeaseSpec] = deque(maxlen=MOST_UNCERTAIN)

    @property
    def spec(self) -> LeaseSpec | None:
        return None if self.lease is None else self.lease.spec

    @property
    def holder(self) -> str:
        """Who holds the Lease, "" for nobody."""
        return "" if self.lease is None else lease_record.holder_of(self.lease.spec)

    def free_at(self, duration: float) -> float:
        """From when on the Lease may be taken unless it changes; ``duration`` is what one would write into it."""
        return -inf if self.lease is None else self.changed_at + lease_record.runs_for(self.lease.spec, duration)

    def seen(self, lease: Lease | None, now: float) -> None:
        """Takes in the Lease as a request or a watch has just shown it."""
        known, self.lease, self.heard_at = self.lease, lease, now
        if lease is None or (
            known is not None and (known.metadata.uid, known.spec) == (lease.metadata.uid, lease.spec)
        ):
            return
        self.changed_at = now
        if lease_record.holder_of(lease.spec) not in ("", self._identity):
            self._sent.clear()  # what was ours before may come back out of a backup

    def is_news(self, lease: Lease) -> bool:
        """Whether what a watch shows is known to be later than what was last seen."""
        known = self.lease
        return known is None or is_older(known.metadata.resource_version, lease.metadata.resource_version) is True

    def sending(self, spec: LeaseSpec) -> None:
        """An update is on its way and may arrive whatever its answer. Not for a create, which has no precondition:
        when that shows, another may have held the Lease in between."""
        self._sent.append(spec)

    @property
    def is_own(self) -> bool:
        """Whether the record is one that this process has written, by whatever became of the answer.

        The identity in it is not enough: a person may have put it there.
        """
        return self.lease is not None and self.lease.spec in self._sent
