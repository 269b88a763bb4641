"""The times of an election, and which of them fit together."""

from __future__ import annotations

from typing import Final

import msgspec

from extsync.kube.writer import FENCE_MARGIN, MIN_TIMEOUT

JITTER: Final = 1.2
"""Candidates wait for the retry period and up to this many times it more, so that they do not ask together."""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """The times of an election in seconds; the defaults are client-go's. Raises ValueError where they do not fit.

    ``lease_duration``: how long the others wait for a holder that is silent. ``renew_deadline``: how long a holder that
    cannot renew may still write. ``retry_period``: how often a holder renews and a candidate looks.
    """

    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def __post_init__(self) -> None:
        if self.retry_period <= 0:
            raise ValueError(f"the retry period ({self.retry_period:g} s) must be more than 0")
        if self.lease_duration <= self.renew_deadline:
            raise ValueError(
                f"the lease duration ({self.lease_duration:g} s) must be more than the renew deadline "
                f"({self.renew_deadline:g} s)"
            )
        least = max(self.retry_period * JITTER, self.retry_period + FENCE_MARGIN + MIN_TIMEOUT)
        if self.renew_deadline <= least:
            raise ValueError(
                f"the renew deadline ({self.renew_deadline:g} s) must be more than {least:g} s: "
                f"with a retry period of {self.retry_period:g} s no time to write would be left"
            )


CLIENT_GO: Final = Timing()
