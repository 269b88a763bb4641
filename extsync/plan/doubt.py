"""Self-doubt: where too much fails at once, in services that have nothing to do with each other, it is not they.

A prober that has lost its own network sees every endpoint fail, and one that believes itself then empties every Service
(haproxy #1286; AWS, October 2025). So failures are compared across services, from the first failed attempt on and long
before thresholds are met:

1. What counts is endpoints that began to fail within the window: ``window`` seconds, or as long as a service takes to
   probe all of its endpoints. One that has failed for longer, or was not up to begin with, says nothing of the network.
2. A service is down where ``service_share`` of its endpoints fail. extsync is cut off where ``services`` services
   are down, on as many addresses at least, and ``share`` of all endpoints fail; or where endpoints fail and all
   sentinels do as well.
3. From then on nothing is demoted for failures of that window, and what was demoted for one already is taken back.
   Promotions go on.
4. Once that is no longer so each service thaws, after as long as its slowest endpoint needs to show that it is
   healthy; what still fails then is down. A freeze ends after ``max_freeze`` seconds whatever happens, and the evidence
   for it counts again once it was gone. Time in which the process stood still shows nothing: where it should have ended
   in that, what fails has the time to be probed anew.
5. A verdict that comes early, since a faster period rules while one is about to change, waits until it would have come
   without that, or until so many others have passed in the meantime that there is nothing to suspect.

Pure: times are seconds of one monotonic clock and come in as parameters.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final, Literal, TypeAlias

import msgspec

from extsync.model import Health, ServiceKey, Verdict

_WAITING_LOOK: Final = 0.5
"""Seconds from look to look while verdicts wait."""

_MANY: Final = 1000

_STOPPED: Final = 5.0
"""Seconds by which a look is late only where the process was stopped, or the machine suspended."""

_Evidence: TypeAlias = Literal["services", "sentinels"]
_EVIDENCE: Final[tuple[_Evidence, ...]] = ("services", "sentinels")


class DoubtPolicy(msgspec.Struct, frozen=True):
    """When to doubt, see above; shares are of 1, durations seconds. ``services`` 0: only sentinels count."""

    services: int = 3
    service_share: float = 0.8
    share: float = 0.5
    window: float = 30.0
    max_freeze: float = 600.0


class Pace(msgspec.Struct, frozen=True):
    """How fast the checks of a service can tell, in seconds.

    Within ``round`` each endpoint that is healthy has shown that it is, in whatever phase it is probed. ``patience`` is
    how long after its first failure a verdict comes where no faster period makes it earlier.
    """

    round: float = 0.0
    patience: float = 0.0


class Freeze(msgspec.Struct, frozen=True):
    """That demotions are frozen: since when (monotonic seconds), and why."""

    since: float
    reason: str


class Look(msgspec.Struct, frozen=True):
    """What a look found: the targets whose verdicts now count in another way, the services of which there is something
    new to tell, and when to look again, None: never."""

    targets: tuple[str, ...] = ()
    services: tuple[ServiceKey, ...] = ()
    look_again: float | None = None


class _Failing(msgspec.Struct, frozen=True, gc=False):
    """An endpoint that fails: where it is probed, since when, and whether it was healthy before.

    ``window`` is for how many seconds that is evidence; ``failures`` and ``passes`` are how many there had been when it
    began.
    """

    service: ServiceKey
    host: str
    since: float
    window: float
    was_healthy: bool
    failures: int
    passes: int


class _Service(msgspec.Struct, gc=False):
    """Endpoints of one service: all that are probed, those that began to fail, those that say nothing."""

    pace: Pace = Pace()
    size: int = 0
    failing: int = 0
    down: int = 0


class SelfDoubt:
    """Watches what fails, and says whose failures are not to be believed."""

    def __init__(self, policy: DoubtPolicy) -> None:
        self._policy = policy
        self._services: dict[ServiceKey, _Service] = {}
        self._failing: dict[str, _Failing] = {}
        # By the length of their window, in the order in which they began: a plain dict is slow to lose its first key.
        self._fresh: dict[float, OrderedDict[str, None]] = {}
        self._hosts: Counter[str] = Counter()  # of those that are failing
        self._down: dict[str, ServiceKey] = {}
        self._recovering: dict[str, _Failing] = {}
        self._unhealthy: dict[str, None] = {}  # failing or recovering, and by their thresholds down
        self._waiting: OrderedDict[str, float] = OrderedDict()
        self._dark: dict[ServiceKey, None] = {}  # the services that are down
        self._size = 0
        self._failures = 0
        self._passes = 0
        self._sentinels: dict[str, bool] = {}
        self._began: float | None = None
        self._reason = ""
        self._end = 0.0
        self._thaws: dict[ServiceKey, float] | None = None
        self._look_at: float | None = None
        self._spent: dict[_Evidence, float] = {}

    @property
    def freeze(self) -> Freeze | None:
        """The freeze that is in force, None where there is none."""
        return None if self._began is None else Freeze(self._began, self._reason)

    def is_frozen(self, service: ServiceKey) -> bool:
        """Whether no failure of its endpoints is believed now, be there any or not."""
        return self._began is not None and (self._thaws is None or service in self._thaws)

    @property
    def is_thawing(self) -> bool:
        """Whether the evidence is gone, and services have yet to show what they are like."""
        return self._began is not None and self._thaws is not None

    def due(self, now: float) -> float | None:
        """When to look again at verdicts that wait, also at those that came after the last look; None: never."""
        return now + _WAITING_LOOK if self._waiting else None

    def withheld(self, service: ServiceKey) -> int:
        """How many endpoints of a service fail and are not believed."""
        known = self._services.get(service)
        return known.failing if known is not None and self.is_frozen(service) else 0

    # ---- what is probed ----------------------------------------------------------------------------------------------

    def resize(self, service: ServiceKey, size: int, pace: Pace) -> None:
        """A service has ``size`` endpoints that are probed; 0: no longer any."""
        known = self._services.setdefault(service, _Service())
        self._size += size - known.size
        known.size, known.pace = size, pace
        self._weigh(service, known)
        if not size:
            del self._services[service]

    def forget(self, target: str) -> None:
        """An endpoint is no longer probed."""
        self._remove(target)
        self._recovering.pop(target, None)
        self._unhealthy.pop(target, None)
        self._waiting.pop(target, None)

    def expect(self, sentinels: tuple[str, ...]) -> None:
        """Names the targets that are sentinels: addresses that answer whenever the network is there."""
        self._sentinels = dict.fromkeys(sentinels, False)

    # ---- what is seen ------------------------------------------------------------------------------------------------

    def fails(
        self, target: str, service: ServiceKey, host: str, now: float, *, was_healthy: bool, was_up: bool
    ) -> None:
        """The latest attempt at an endpoint failed, and the one before did not.

        ``was_healthy``: by its checks; ``was_up``: by them, or because it is published as ready.
        """
        known = self._services.get(service)
        if known is None or target in self._failing or target in self._down:
            return
        before = self._recovering.pop(target, None)
        if not was_up and before is None:
            self._down[target] = service
            known.down += 1
            self._weigh(service, known)
            return
        healthy = was_healthy or (before is not None and before.was_healthy)
        length = max(self._policy.window, known.pace.round)
        one = _Failing(service, host, now, length, healthy, self._failures, self._passes)
        self._failing[target] = one
        self._fresh.setdefault(length, OrderedDict())[target] = None
        self._hosts[host] += 1
        self._failures += 1
        known.failing += 1
        self._weigh(service, known)

    def passes(self, target: str) -> None:
        """The latest attempt at an endpoint passed, and the one before did not."""
        known = self._remove(target)
        self._waiting.pop(target, None)
        if known is not None and self.is_frozen(known.service):
            self._recovering[target] = known
        else:
            self._unhealthy.pop(target, None)

    def count(self, passes: int) -> None:
        """How many attempts have passed so far, at any endpoint; to be told before what happened by then."""
        self._passes = passes

    def sentinel(self, target: str, *, failing: bool) -> bool:
        """The latest attempt at a sentinel failed or passed; False where ``target`` is none."""
        if target not in self._sentinels:
            return False
        self._sentinels[target] = failing
        return True

    def stood_still(self, now: float) -> None:
        """Attempts that were due lately were not made: whoever was about to thaw has all the time once more."""
        if self._thaws is not None:
            shown = self._shown_by(now)
            self._thaws = {name: max(at, shown.get(name, now)) for name, at in self._thaws.items()}

    # ---- what follows ------------------------------------------------------------------------------------------------

    def believe(self, target: str, verdict: Verdict, now: float) -> Verdict:
        """The verdict on an endpoint as it counts: a failure that is not believed leaves what was known before."""
        known = self._failing.get(target) or self._recovering.get(target)
        if known is None or verdict.health is not Health.UNHEALTHY:
            self._unhealthy.pop(target, None)
            self._waiting.pop(target, None)
            return verdict
        self._unhealthy[target] = None
        if not self.is_frozen(known.service) and not self._has_to_wait(target, known, now):
            return verdict
        health = Health.HEALTHY if known.was_healthy else Health.UNKNOWN
        return Verdict(health, verdict.since, verdict.reason, doubted=True, stale=verdict.stale, note=verdict.note)

    def look(self, now: float) -> Look:
        """Decides whether extsync is cut off, at the time ``now``."""
        if self._began is not None and self._look_at is not None and now > self._look_at + _STOPPED:
            self._make_up(now)
        look = self._decide(now)
        self._look_at = look.look_again
        return look

    def _decide(self, now: float) -> Look:
        if self._began is None:
            self._forget_old(now)
        reason = self._evidence(now)
        if self._began is None:
            return self._freeze(now, reason) if reason else self._go_on_waiting(now)
        if now >= self._end:
            self._spent = {one: now for one in _EVIDENCE if self._why(one)}
            return self._thaw(now, frozenset(self._services))
        if reason:
            changed = () if self._thaws is None else tuple(self._unhealthy)
            self._thaws = None
            return Look(changed, look_again=self._end)
        if self._thaws is None:
            self._thaws = self._shown_by(now)
        return self._thaw(now, frozenset(name for name, at in self._thaws.items() if at <= now))

    def _freeze(self, now: float, reason: str) -> Look:
        self._recovering.clear()
        self._waiting.clear()
        self._began, self._reason, self._thaws = now, reason, None
        self._end = now + self._policy.max_freeze
        return Look(tuple(self._unhealthy), self._with_failures(), self._end)

    def _make_up(self, now: float) -> None:
        """The process stood still until now: what is known of failures is older than that."""
        shown = self._shown_by(now)
        self._end = max(self._end, min(max(shown.values(), default=now), now + self._policy.max_freeze))
        self.stood_still(now)

    def _shown_by(self, now: float) -> dict[ServiceKey, float]:
        """When each service of which something fails or did so has shown what it is like from ``now`` on."""
        recovering = {one.service for one in self._recovering.values()}
        return {
            name: now + service.pace.round
            for name, service in self._services.items()
            if service.failing or service.down or name in recovering
        }

    def _thaw(self, now: float, services: frozenset[ServiceKey]) -> Look:
        """Believes what is known of these services, and ends the freeze with the last of them."""
        targets = tuple(
            target
            for target in self._unhealthy
            if (known := self._failing.get(target) or self._recovering.get(target)) and known.service in services
        )
        told = tuple(name for name in self._services if name in services)
        left = {name: at for name, at in (self._thaws or {}).items() if name not in services}
        if left and now < self._end:
            self._thaws = left
            return Look(targets, told, min(min(left.values()), self._end))
        self._began, self._thaws = None, None
        return Look(targets, told)

    def _with_failures(self) -> tuple[ServiceKey, ...]:
        return tuple(name for name, service in self._services.items() if service.failing or service.down)

    # ---- verdicts that come early ------------------------------------------------------------------------------------

    def _has_to_wait(self, target: str, known: _Failing, now: float) -> bool:
        service = self._services.get(known.service)
        until = known.since + (service.pace.patience if service is not None else 0.0)
        if self._began is not None or until <= now or not self._is_suspicious(known):
            self._waiting.pop(target, None)
            return False
        self._waiting.setdefault(target, until)
        return True

    def _is_suspicious(self, known: _Failing) -> bool:
        """Whether, of what has been heard since this one began to fail, too much fails."""
        policy, failures = self._policy, self._failures - known.failures
        if not policy.services or len(self._services) < policy.services or "services" in self._spent:
            return False
        return failures >= policy.share * (failures + self._passes - known.passes)

    def _go_on_waiting(self, now: float) -> Look:
        """Lets go of verdicts that have waited for long enough, or that there is nothing to suspect of any more."""
        if not self._waiting:
            return Look()
        go = []
        for target, until in self._waiting.items():
            known = self._failing.get(target)
            if known is None or until <= now or not self._is_suspicious(known):
                go.append(target)
            elif not go and len(self._waiting) > _MANY:
                break  # those behind it have heard even less since they began to fail
        return Look(tuple(go), look_again=self.due(now))

    # ---- the evidence ------------------------------------------------------------------------------------------------

    def _evidence(self, now: float) -> str:
        """Why extsync seems to be cut off, "" where it does not."""
        for one in _EVIDENCE:
            reason = self._why(one)
            if one not in self._spent:
                if reason:
                    return reason
            elif not reason and now >= self._spent[one] + self._policy.window:
                del self._spent[one]
        return ""

    def _why(self, evidence: _Evidence) -> str:
        policy, failing, size = self._policy, len(self._failing), self._size - len(self._down)
        if not failing:
            return ""
        if evidence == "sentinels":
            failed = bool(self._sentinels) and all(self._sentinels.values())
            return f"all {len(self._sentinels)} sentinels fail, and so do endpoints" if failed else ""
        if not policy.services or min(len(self._dark), len(self._hosts)) < policy.services:
            return ""
        if failing < policy.share * size:
            return ""
        return f"{failing} of {size} endpoints, in {len(self._dark)} services, began to fail at once"

    def _forget_old(self, now: float) -> None:
        """What has failed for longer than the window is down."""
        for queue in self._fresh.values():
            while queue:
                target = next(iter(queue))
                known = self._failing[target]
                if known.since + known.window > now:
                    break
                self._remove(target)
                self._unhealthy.pop(target, None)
                service = self._services.get(known.service)
                if service is not None:
                    self._down[target] = known.service
                    service.down += 1
                    self._weigh(known.service, service)

    def _remove(self, target: str) -> _Failing | None:
        """The target does not fail, or is no longer there."""
        known = self._failing.pop(target, None)
        name = known.service if known is not None else self._down.pop(target, None)
        if known is not None:
            del self._fresh[known.window][target]
            self._hosts[known.host] -= 1
            if not self._hosts[known.host]:
                del self._hosts[known.host]
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
