"""What commands that run once are told, what they tell, and what they know of a service in between."""

from __future__ import annotations

import msgspec

from extsync.changes import Change
from extsync.engine.prepare import Prepared
from extsync.engine.service import Decision, ServiceState
from extsync.model import ServiceKey
from extsync.objects import KubeObject
from extsync.plan.changes import Policy
from extsync.plan.plan import Current


class OnceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a command that runs once behaves; durations in seconds.

    ``write`` False: everything but the writing. ``probe`` False: published readiness stays, and new endpoints are as
    declared. ``wait``: go on until each service has minReady ready endpoints. ``allow_empty``: believe it when every
    endpoint that was published ready fails, and when a source says that it has none. ``allow_stale``: names of sources
    that may fail; what is published stays then, since nobody knows which of it is theirs. ``allow_removal``: services
    of which the guard withholds nothing. ``take_over``: write also what a running extsync keeps. ``reads_ranges`` as in
    ``engine.options.Options``.
    """

    owner: str = "default"
    timeout: float = 60.0
    write: bool = True
    probe: bool = True
    wait: bool = False
    policy: Policy = "sync"
    allow_empty: bool = False
    allow_stale: frozenset[str] = frozenset()
    take_over: bool = False
    allow_removal: frozenset[ServiceKey] = frozenset()
    qps: float = 20.0
    burst: int = 30
    request_timeout: float = 10.0
    max_in_flight: int = 10_000
    reads_ranges: bool = False


class Step(msgspec.Struct, frozen=True):
    """One change, the object before it, and the object after it where the store said how it is then."""

    change: Change
    before: KubeObject | None = None
    after: KubeObject | None = None


class ServiceResult(msgspec.Struct):
    """What became of one service.

    ``steps`` are the changes that were made, or without writing those that would be. ``errors`` and what is
    ``withheld`` make the command fail; ``plan_errors`` and ``plan_withheld`` are those of the last plan, and
    ``plan_remarks`` are what else there is to say then, such as which entries of sources were set aside.
    """

    key: ServiceKey
    decision: Decision | None = None
    current: Current = Current()
    steps: list[Step] = []
    errors: list[str] = []
    warnings: list[str] = []
    withheld: list[str] = []
    plan_errors: list[str] = []
    plan_withheld: list[str] = []
    plan_remarks: list[str] = []
    ready_enough: bool | None = None

    @property
    def failed(self) -> bool:
        return bool(self.errors or self.withheld or self.plan_errors or self.plan_withheld)


class Work:
    """One service on its way through the pass."""

    def __init__(self, prepared: Prepared, options: OnceOptions) -> None:
        self.state = ServiceState(prepared)
        self.state.guarding.lasting = False
        if prepared.key in options.allow_removal:
            self.state.guarding.allow()
        self.result = ServiceResult(prepared.key)
        self.doubted: set[str] = set()

    @property
    def key(self) -> ServiceKey:
        return self.state.key
