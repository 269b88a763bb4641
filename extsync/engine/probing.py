"""Which endpoints are probed, where and how: keeps the prober's targets equal to the candidates of all services.

A service's verdicts are kept in a list that is aligned with its candidates, so that a reconcile reads 10,000 of them
without a lookup. They are the prober's, except where it is doubted (``plan/doubt.py``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from extsync.config.checks import TcpSocket
from extsync.engine.prober import AnyProber
from extsync.engine.rules import Rule, host_of, pace_of, probes_of
from extsync.engine.watched import Watch, decides_alike, has_note, is_stale, is_unknown, notes, says_what_is_published
from extsync.errors import ConfigError
from extsync.health.base import CheckContext, host_port
from extsync.health.target import Probe, Target, Timing
from extsync.health.tcp import TcpCheck
from extsync.model import UNKNOWN, Health, ServiceKey, State, Verdict
from extsync.plan.doubt import Freeze, Look, Pace, SelfDoubt
from extsync.plan.judge import States
from extsync.plan.merge import Candidate

log = logging.getLogger(__name__)

CUT_OFF = "extsync itself seems to be cut off"
KEPT = f"what fails is kept as it was: {CUT_OFF}"
STALE = "some endpoints have not been probed for over three periods: until they are, they stay as they were"

_BEAT = 0.5
"""Seconds from look to look while a freeze ends, so that it is noticed where the process stands still for a second or
longer: attempts that were due in that are not made (``health/scheduler.py``)."""

SENTINEL_TIMING = Timing(period=1.0, timeout=1.0)


class _Concerned:
    """The services of which verdicts ``changed`` something, and where they only ``confirmed`` what is published."""

    def __init__(self) -> None:
        self.changed: dict[ServiceKey, None] = {}
        self.confirmed: dict[ServiceKey, None] = {}


class Probing:
    """Tells the prober what to probe and keeps what it answers."""

    def __init__(
        self,
        prober: AnyProber,
        *,
        on_change: Callable[[ServiceKey], None],
        on_confirmed: Callable[[ServiceKey], None] | None = None,
        immediate: bool = False,
        doubt: SelfDoubt | None = None,
    ) -> None:
        """``on_confirmed``, else ``on_change``, is called where first verdicts say no more than what is published, and
        others are still to come: there is no hurry. ``doubt`` None: failures are believed as they come.
        """
        self._prober = prober
        self._doubt = doubt
        self._on_change = on_change
        self._on_confirmed = on_confirmed or on_change
        self._immediate = immediate
        self._watches: dict[ServiceKey, Watch] = {}
        self._places: dict[str, tuple[ServiceKey, int]] = {}
        self._collected = 0.0
        self._beat: float | None = None

    def sync(
        self,
        key: ServiceKey,
        candidates: tuple[Candidate, ...],
        rules: tuple[Rule, ...],
        *,
        published: States | None = None,
    ) -> tuple[Verdict | None, ...]:
        """Probes exactly ``candidates`` by ``rules``; returns their verdicts, aligned, None where nothing checks one.

        An endpoint that was there before keeps its verdict and its thresholds, unless what is asked of it changed.
        Where a check asks for a port that the Service does not have, nothing is probed, every verdict is unknown and
        ``fault`` says why. ``published`` tells which endpoints were up before they were probed.
        """
        watch = self._watches.setdefault(key, Watch())
        watch.published = published
        if watch.candidates is not candidates or watch.rules is not rules:
            self._realign(key, watch, candidates, rules)
        return tuple(watch.verdicts)

    def show(self, key: ServiceKey, published: States) -> None:
        """Takes note of what is published of a service since something was written for it."""
        if watch := self._watches.get(key):
            watch.published = published

    def watch_sentinels(self, sentinels: Iterable[tuple[str, int]]) -> None:
        """Probes addresses and ports where connections are accepted whenever the network is there."""
        targets = [_sentinel(host, port) for host, port in sentinels]
        if self._doubt is not None and targets:
            self._doubt.expect(tuple(str(target.id) for target in targets))
            self._prober.upsert(targets)

    def collect(self, now: float) -> float | None:
        """Takes over the verdicts that changed and reports each service concerned, once.

        Returns the monotonic time at which to collect again without a cause, None: never.
        """
        self._collected = now
        concerned = _Concerned()
        transitions = self._prober.drain()
        look_again = None
        if self._doubt is not None:  # before its newest verdicts count, the prober may be doubted, or no longer
            look = self._look(self._doubt, now)
            self._beat = now + _BEAT if self._doubt.is_thawing else None
            look_again = _earliest(look.look_again, self._beat)
            concerned.changed.update((key, None) for key in look.services if key in self._watches)
            for name in look.targets:
                self._put(name, self._prober.verdict(name), concerned, now)
        for target, verdict in transitions:
            self._put(str(target), verdict, concerned, now)
        if self._doubt is not None:
            look_again = _earliest(look_again, self._doubt.due(now))
        for key in concerned.changed:
            self._on_change(key)
        for key in concerned.confirmed:
            if key not in concerned.changed:
                self._on_confirmed(key)
        return look_again

    @property
    def freeze(self) -> Freeze | None:
        """Why demotions are frozen, None where they are not."""
        return None if self._doubt is None else self._doubt.freeze

    def fault(self, key: ServiceKey) -> str:
        """Why nothing of a service can be probed, "" where it can."""
        watch = self._watches.get(key)
        return "" if watch is None else watch.fault

    def targets(self, key: ServiceKey) -> tuple[str, ...]:
        """The id of each candidate of a service for the prober, aligned; "" for one that is not probed."""
        watch = self._watches.get(key)
        return () if watch is None else watch.ids

    def transitions(self, key: ServiceKey) -> Mapping[Health, int]:
        """How often the verdict on an endpoint of a service became what it says."""
        watch = self._watches.get(key)
        return {} if watch is None else watch.transitions

    def in_doubt(self, key: ServiceKey) -> bool:
        """Whether no failure of an endpoint of a service is believed now, be there any or not."""
        return self._doubt is not None and self._doubt.is_frozen(key)

    def is_frozen(self, key: ServiceKey) -> bool:
        """Whether endpoints of a service fail and are not believed."""
        return self._doubt is not None and self._doubt.withheld(key) > 0

    def remarks(self, key: ServiceKey) -> list[str]:
        """What a person should know of the probing of a service."""
        remarks = [fault] if (fault := self.fault(key)) else []
        if self.is_frozen(key):
            remarks.append(KEPT)
        if (watch := self._watches.get(key)) is not None and watch.stale:
            remarks.append(STALE)  # without their number, which would be a new remark whenever it changes
        if watch is not None and watch.noted:
            remarks.extend(notes(watch))
        return remarks

    def undecided(self) -> int:
        """How many endpoints that are checked have no verdict yet."""
        return sum(
            verdict is not None and verdict.health is Health.UNKNOWN
            for watch in self._watches.values()
            for verdict in watch.verdicts
        )

    def forget(self, key: ServiceKey) -> None:
        """Stops probing for a service."""
        if watch := self._watches.pop(key, None):
            self._drop([target for target in watch.ids if target])
            if self._doubt is not None:
                self._doubt.resize(key, 0, Pace())

    def _look(self, doubt: SelfDoubt, now: float) -> Look:
        if self._beat is not None and now > self._beat + _BEAT:
            doubt.stood_still(now)
        doubt.count(self._prober.stats.passed)
        for name, sign in self._prober.drain_signs():
            target = str(name)
            if (place := self._places.get(target)) is None:
                self._hear_sentinel(doubt, target, failing=sign.failing)
            elif not sign.failing:
                doubt.passes(target)
            else:
                key, index = place
                watch = self._watches[key]
                candidate = watch.candidates[index]
                was_up = sign.was_healthy or (
                    watch.published is not None and watch.published.get(candidate.identity) is State.READY
                )
                host = host_of(candidate, watch.rules[0])
                doubt.fails(target, key, host, now, was_healthy=sign.was_healthy, was_up=was_up)
        return doubt.look(now)

    def _hear_sentinel(self, doubt: SelfDoubt, target: str, *, failing: bool) -> None:
        if not doubt.sentinel(target, failing=failing):
            return
        if failing:
            log.warning("%s fails; where all sentinels do, and endpoints as well, no failure is believed", target)
        else:
            log.info("%s answers again", target)

    def _put(self, target: str, verdict: Verdict, concerned: _Concerned, at: float) -> None:
        if place := self._places.get(target):  # else it left while its last probe was under way
            key, index = place
            watch, now = self._watches[key], self._believed(target, verdict, at)
            before, watch.verdicts[index] = watch.verdicts[index], now
            if before is None or before.health is not now.health:
                watch.transitions[now.health] += 1
            watch.noted += has_note(now) - has_note(before)
            watch.unknown += is_unknown(now) - is_unknown(before)
            some_were, watch.stale = watch.stale > 0, watch.stale + now.stale - is_stale(before)
            # Staleness by itself decides nothing: the service is looked at only where there is something new to tell.
            if now.stale is is_stale(before) or not decides_alike(before, now) or some_were is not (watch.stale > 0):
                confirms = watch.unknown > 0 and is_unknown(before) and says_what_is_published(watch, index)
                (concerned.confirmed if confirms else concerned.changed)[key] = None

    def _believed(self, target: str, verdict: Verdict, now: float) -> Verdict:
        return verdict if self._doubt is None else self._doubt.believe(target, verdict, now)

    def _realign(
        self, key: ServiceKey, watch: Watch, candidates: tuple[Candidate, ...], rules: tuple[Rule, ...]
    ) -> None:
        try:
            probes = [probes_of(candidate, rules) for candidate in candidates]
            watch.fault = ""
        except ConfigError as error:  # whoever is published stays as it is, and whoever is new is not ready
            probes = [() for _ in candidates]
            watch.fault = f"nothing is probed: {error}"
        # The id is the service and the endpoint in words: the same in every process, as a stable jitter needs it.
        ids = tuple(f"{key}/{c.identity}" if some else "" for c, some in zip(candidates, probes, strict=True))
        kept = set(ids)
        self._drop([target for target in watch.ids if target and target not in kept])
        self._prober.upsert(  # what is unchanged stays as it is
            [
                Target(id=target, probes=some, immediate=self._immediate)
                for target, some in zip(ids, probes, strict=True)
                if some
            ]
        )
        self._places.update({target: (key, index) for index, target in enumerate(ids) if target})
        watch.rules, watch.candidates, watch.ids = rules, candidates, ids
        nothing = UNKNOWN if watch.fault else None
        now = self._collected
        watch.verdicts = [self._believed(one, self._prober.verdict(one), now) if one else nothing for one in ids]
        watch.stale = sum(map(is_stale, watch.verdicts))
        watch.noted = sum(map(has_note, watch.verdicts))
        watch.unknown = sum(map(is_unknown, watch.verdicts))
        if self._doubt is not None:
            self._doubt.resize(key, sum(map(bool, ids)), pace_of(rules))

    def _drop(self, targets: list[str]) -> None:
        for target in targets:
            del self._places[target]
            if self._doubt is not None:
                self._doubt.forget(target)
        self._prober.remove(targets)


def _earliest(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)


def _sentinel(host: str, port: int) -> Target:
    check = TcpCheck(TcpSocket(port=port), CheckContext(Path(), {}))
    return Target(f"sentinel/{host_port(host, port)}", (Probe(check, SENTINEL_TIMING, host, port),), immediate=True)
