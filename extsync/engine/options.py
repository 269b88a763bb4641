"""The process settings, as far as the engine reads them."""

from __future__ import annotations

import msgspec

from extsync.limits import USUAL, Limits
from extsync.plan.doubt import DoubtPolicy


class Options(msgspec.Struct, frozen=True):
    """Durations in seconds. ``namespaces`` empty: all.

    ``probe_workers`` 0: probes are made in this process. ``standby_probes``: a replica probes for services for which it
    does not lead, too. ``prune``: what no manifest names goes after a start, see ``engine.sweep``, but only in the
    namespace ``only_in`` where manifests may name no other; ``removal_delay`` is the time between the two looks at the
    manifests for that. ``reads_ranges``: which addresses the cluster itself has
    is read from it, besides what ``limits`` says.
    """

    owner: str = "default"
    instance: str = "extsync"
    namespaces: tuple[str, ...] = ()
    concurrency: int = 4
    qps: float = 20.0
    burst: int = 30
    request_timeout: float = 10.0
    max_in_flight: int = 10_000
    probe_workers: int = 0
    probe_source_addresses: tuple[str, ...] = ()
    doubt: DoubtPolicy = DoubtPolicy()
    sentinels: tuple[tuple[str, int], ...] = ()
    standby_probes: bool = True
    prune: bool = False
    only_in: str | None = None
    removal_delay: float = 60.0
    limits: Limits = USUAL
    reads_ranges: bool = False
