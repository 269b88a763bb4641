"""Leader election as the settings ask for it."""

from __future__ import annotations

import socket

from extsync.config.settings import Settings
from extsync.engine.election import Elected, Election
from extsync.engine.leading import Alone, Leadership
from extsync.engine.world import World
from extsync.errors import ConfigError
from extsync.kube.lease_names import new_identity
from extsync.kube.lease_timing import Timing


def check_election(settings: Settings) -> None:
    """Raises ConfigError for settings that do not fit together."""
    if settings.shards > 1 and not settings.leader_election:
        raise ConfigError(
            f"shards: {settings.shards} shards are shared out by leader election: set leaderElection to true "
            "(--leader-election), or shards to 1"
        )
    _timing(settings)


def leadership_of(settings: Settings, world: World) -> Leadership:
    """For which services this process may write. Raises ConfigError as ``check_election`` does."""
    if not settings.leader_election:
        return Alone()
    election = Election(
        namespace=settings.lease_namespace or world.namespace,
        owner=settings.owner,
        identity=new_identity(socket.gethostname(), world.random),
        shards=settings.shards,
        timing=_timing(settings),
        yields_in_doubt=settings.standby_probes,
    )
    return Elected(world.store, election, clock=world.clock, random=world.random, era=world.era)


def _timing(settings: Settings) -> Timing:
    try:
        return Timing(
            lease_duration=settings.lease_duration,
            renew_deadline=settings.renew_deadline,
            retry_period=settings.retry_period,
        )
    except ValueError as error:
        raise ConfigError(f"leaseDuration, renewDeadline and retryPeriod do not fit together: {error}") from None
