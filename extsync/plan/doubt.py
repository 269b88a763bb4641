"""Self-doubt: where too much fails at once, in services that have nothing to do with each other, it is not they.

A prober that has lost its own network sees every endpoint fail, and one that believes itself then empties every Service
(haproxy #1286; AWS, October 2025). So failures are compared across services, from the first failed attempt on and long
before thresholds are met:

1. What counts is endpoints that began to fail within ``window`` seconds. One that has failed for longer is down, and
   says nothing about the network any more.
2. A service is down where ``service_share`` of its endpoints fail. extsync is cut off where ``services`` services
   are down that share no address, and ``share`` of all endpoints fail; or where every sentinel is down.
3. From then on nothing is demoted for failures of that window, and what was demoted for one already is taken back.
   Promotions go on.
4. Once that is no longer so each service thaws, after as long as its slowest endpoint needs to show that it is
   healthy; what still fails then is down. A freeze ends after ``max_freeze`` seconds whatever happens.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import Final

import msgspec

from extsync.model import Health, ServiceKey, Verdict

_MOST_COMPARED: Final = 256
"""Services, and failing endpoints of each, that are looked at for common addresses."""


class DoubtPolicy(msgspec.Struct, frozen=True):
    """When to doubt, see above; shares are of 1, durations seconds. ``services`` 0: only sentinels count."""

    services: int = 3
    service_share: float = 0.8
    share: float = 0.5
    window: float = 30.0
    max_freeze: float = 600.0


class Freeze(msgspec.Struct, frozen=True):
    """That demotions are frozen: since when (monotonic seconds), and why."""

    since: float
    reason: str


class Look(msgspec.Struct, frozen=True):
    """What a look found: the services whose verdicts now count in another way, and when to look again, None: never."""

    changed: tuple[ServiceKey, ...] = ()
    look_again: float | None = None


class _Failing(msgspec.Struct, frozen=True, gc=False):
    """An endpoint that fails: where it is probed, since when, and whether it was healthy before."""

    service: ServiceKey
    host: str
    since: float
    was_healthy: bool


class _Service(msgspec.Struct, gc=False):
    """Endpoints of one service: all that are probed, those that began to fail, those that failed before that."""

    size: int = 0
    round: float = 0.0
    failing: int = 0
    down: int = 0


class SelfDoubt:
    """Watches what fails, and says whose failures are not to be believed."""

    def __init__(self, policy: DoubtPolicy) -> None:
        self._policy = policy
        self._services: dict[ServiceKey, _Service] = {}
        # In the order in which they began; taking the first of a plain dict away is not cheap.
        self._failing: OrderedDict[str, _Failing] = OrderedDict()
        self._down: dict[str, ServiceKey] = {}
        self._recovering: dict[str, _Failing] = {}
        self._dark: dict[ServiceKey, None] = {}  # the services that are down
        self._size = 0
        self._sentinels: dict[str, bool] = {}
        self._began: float | None = None
        self._reason = ""
        self._thaws: dict[ServiceKey, float] | None = None
        self._spent_until: float | None = None

    @property
    def freeze(self) -> Freeze | None:
        """The freeze that is in force, None where there is none."""
        return None if self._began is None else Freeze(self._began, self._reason)

    def withheld(self, service: ServiceKey) -> int:
        """How many endpoints of a service fail and are not believed."""
        known = self._services.get(service)
        return known.failing if known is not None and self._is_frozen(service) else 0

    # ---- what is probed ----------------------------------------------------------------------------------------------

    def resize(self, service: ServiceKey, size: int, round_: float) -> None:
        """A service has ``size`` endpoints that are probed, each of which can show within ``round_`` seconds that it
        is healthy; size 0: no longer."""
        known = self._services.setdefault(service, _Service())
        self._size += size - known.size
        known.size, known.round = size, round_
        self._weigh(service, known)
        if not size:
            del self._services[service]

    def forget(self, target: str) -> None:
        """An endpoint is no longer probed."""
        self._remove(target)
        self._recovering.pop(target, None)

    def expect(self, sentinels: tuple[str, ...]) -> None:
        """Names the targets that are sentinels: addresses that answer whenever the network is there."""
        self._sentinels = dict.fromkeys(sentinels, False)

    # ---- what is seen ------------------------------------------------------------------------------------------------

    def sign(
        self, target: str, service: ServiceKey, host: str, now: float, *, failing: bool, was_healthy: bool
    ) -> None:
        """The latest attempts at an endpoint began to fail, or ceased to."""
        if not failing:
            known = self._remove(target)
            if known is not None and self._is_frozen(service):
                self._recovering[target] = known
        elif target not in self._failing and target not in self._down and service in self._services:
            known = self._recovering.pop(target, None)
            healthy = was_healthy or (known is not None and known.was_healthy)
            self._failing[target] = _Failing(service, host, now, healthy)
            self._services[service].failing += 1
            self._weigh(service, self._services[service])

    def sentinel(self, target: str, health: Health) -> bool:
        """The verdict on a sentinel; False where ``target`` is none."""
        if target not in self._sentinels:
            return False
        self._sentinels[target] = health is Health.UNHEALTHY
        return True

    # ---- what follows ------------------------------------------------------------------------------------------------

    def believe(self, target: str, verdict: Verdict) -> Verdict:
        """The verdict on an endpoint as it counts: a failure that is not believed leaves what was known before."""
        if self._began is None or verdict.health is not Health.UNHEALTHY:
            return verdict
        known = self._failing.get(target) or self._recovering.get(target)
        if known is None or not self._is_frozen(known.service):
            return verdict
        health = Health.HEALTHY if known.was_healthy else Health.UNKNOWN
        return Verdict(health, verdict.since, verdict.reason, doubted=True)

    def concerning(self, services: tuple[ServiceKey, ...]) -> list[str]:
        """The targets of ``services`` on which ``believe`` may have another opinion than before a look."""
        some = frozenset(services)
        known = (*self._failing.items(), *self._recovering.items()) if some else ()
        return [target for target, one in known if one.service in some]

    def look(self, now: float) -> Look:
        """Decides whether extsync is cut off, at the monotonic time ``now``."""
        if self._began is None:
            self._forget_old(now)
        reason = self._evidence()
        if self._spent_until is not None:
            if reason or now < self._spent_until:
                return Look()
            self._spent_until = None
        if self._began is None:
            return self._freeze(now, reason) if reason else Look()
        if now >= self._began + self._policy.max_freeze:
            self._spent_until = now + self._policy.window
            return Look(self._end())
        if reason:
            changed = () if self._thaws is None else self._concerned()
            self._thaws = None
            return Look(changed, self._began + self._policy.max_freeze)
        return self._thaw(now)

    def _freeze(self, now: float, reason: str) -> Look:
        self._recovering.clear()
        self._began, self._reason, self._thaws = now, reason, None
        return Look(self._concerned(), now + self._policy.max_freeze)

    def _thaw(self, now: float) -> Look:
        assert self._began is not None
        if self._thaws is None:
            self._thaws = {service: now + self._services[service].round for service in self._concerned()}
        thawed = tuple(service for service, at in self._thaws.items() if at <= now)
        for service in thawed:
            del self._thaws[service]
        if not self._thaws:
            return Look((*thawed, *(one for one in self._end() if one not in thawed)))
        return Look(thawed, min(min(self._thaws.values()), self._began + self._policy.max_freeze))

    def _end(self) -> tuple[ServiceKey, ...]:
        concerned = self._concerned()
        self._began, self._thaws = None, None
        return concerned

    def _concerned(self) -> tuple[ServiceKey, ...]:
        known = (*self._failing.values(), *self._recovering.values())
        return tuple(dict.fromkeys(one.service for one in known if one.service in self._services))

    def _is_frozen(self, service: ServiceKey) -> bool:
        return self._began is not None and (self._thaws is None or service in self._thaws)

    # ---- the evidence ------------------------------------------------------------------------------------------------

    def _evidence(self) -> str:
        """Why extsync seems to be cut off, "" where it does not."""
        if self._sentinels and all(self._sentinels.values()):
            return f"all {len(self._sentinels)} sentinels fail"
        policy, failing, size = self._policy, len(self._failing), self._size - len(self._down)
        if not policy.services or len(self._dark) < policy.services or failing < policy.share * size:
            return ""
        if not self._are_unrelated(policy.services):
            return ""
        return f"{failing} of {size} endpoints, in {len(self._dark)} services, began to fail within {policy.window:g} s"

    def _are_unrelated(self, number: int) -> bool:
        """Whether that many of the services that are down share no address: a machine that dies takes all of its
        services with it."""
        hosts: dict[ServiceKey, set[str]] = {service: set() for service in islice(self._dark, _MOST_COMPARED)}
        for one in self._failing.values():
            found = hosts.get(one.service)
            if found is not None and len(found) < _MOST_COMPARED:
                found.add(one.host)
        seen: set[str] = set()
        unrelated = 0
        for found in hosts.values():
            if seen.isdisjoint(found):
                unrelated += 1
                if unrelated == number:
                    return True
            seen |= found
        return False

    def _forget_old(self, now: float) -> None:
        """What has failed for longer than the window is down."""
        while self._failing:
            target = next(iter(self._failing))
            known = self._failing[target]
            if known.since > now - self._policy.window:
                return
            self._remove(target)
            self._down[target] = known.service
            service = self._services.get(known.service)
            if service is not None:
                service.down += 1
                self._weigh(known.service, service)

    def _remove(self, target: str) -> _Failing | None:
        """The target does not fail, or is no longer there."""
        known = self._failing.pop(target, None)
        name = known.service if known is not None else self._down.pop(target, None)
        service = None if name is None else self._services.get(name)
        if name is not None and service is not None:
            if known is not None:
                service.failing -= 1
            else:
                service.down -= 1
            self._weigh(name, service)
        return known

    def _weigh(self, name: ServiceKey, service: _Service) -> None:
        rest = service.size - service.down
        if rest > 0 and service.failing >= self._policy.service_share * rest:
            self._dark[name] = None
        else:
            self._dark.pop(name, None)
