"""Which prober an engine has: one in this process, or one in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from extsync.health.prober import Prober
from extsync.health.workers.pool import ProberPool

if TYPE_CHECKING:  # the world knows what is made ready for probing, and so this module in turn
    from extsync.engine.world import World

AnyProber: TypeAlias = Prober | ProberPool


def make_prober(
    world: World, *, workers: int, source_addresses: Sequence[str], max_in_flight: int, wake: Callable[[], None]
) -> AnyProber:
    """``workers`` 0: in this process, on the world's ProbeIO.

    Workers have sockets of their own, sent from ``source_addresses`` as those of the world are.
    """
    if not workers:
        return Prober(clock=world.clock, io=world.io, max_in_flight=max_in_flight, wake=wake)
    return ProberPool(
        clock=world.clock, workers=workers, source_addresses=source_addresses, max_in_flight=max_in_flight, wake=wake
    )
