"""Which endpoints are probed, where and how: keeps the prober's targets equal to the candidates of all services.

A service's verdicts are kept in a list that is aligned with its candidates, so that a reconcile reads 10,000 of them
without a lookup. They are the prober's, except where it is doubted (``plan/doubt.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from pathlib import Path

import msgspec

from extsync.config.checks import TcpSocket
from extsync.engine.prober import AnyProber
from extsync.errors import ConfigError
from extsync.health.base import Check, CheckContext, host_port
from extsync.health.target import Probe, Target, Timing
from extsync.health.tcp import TcpCheck
from extsync.model import UNKNOWN, Health, PortSet, ServiceKey, Verdict
from extsync.plan.doubt import Freeze, Look, SelfDoubt
from extsync.plan.merge import Candidate

CUT_OFF = "extsync itself seems to be cut off"
STALE = "some endpoints have not been probed for over three periods: until they are, they stay as they were"

SENTINEL_TIMING = Timing(period=2.0, timeout=1.0, failure_threshold=2)


class Rule(msgspec.Struct, frozen=True):
    """One check of a manifest, made ready: shared by all endpoints of the service.

    ``port`` is a number, the name of a port, or None for the endpoint's first port; ``host`` is an address to probe
    instead of the endpoint's own.
    """

    check: Check
    timing: Timing
    port: int | str | None
    host: str | None = None


class _Watch:
    """One service's part: its candidates, the id of each target ("": nothing checks it) and its verdict, aligned.

    ``stale`` is how many of the verdicts are.
    """

    __slots__ = ("candidates", "fault", "ids", "rules", "stale", "verdicts")

    def __init__(self) -> None:
        self.rules: tuple[Rule, ...] = ()
        self.candidates: tuple[Candidate, ...] = ()
        self.ids: tuple[str, ...] = ()
        self.verdicts: list[Verdict | None] = []
        self.stale = 0
        self.fault = ""


class Probing:
    """Tells the prober what to probe and keeps what it answers."""

    def __init__(
        self,
        prober: AnyProber,
        *,
        on_change: Callable[[ServiceKey], None],
        immediate: bool = False,
        doubt: SelfDoubt | None = None,
    ) -> None:
        """``doubt`` None: failures are believed as they come."""
        self._prober = prober
        self._doubt = doubt
        self._on_change = on_change
        self._immediate = immediate
        self._watches: dict[ServiceKey, _Watch] = {}
        self._places: dict[str, tuple[ServiceKey, int]] = {}

    def sync(
        self, key: ServiceKey, candidates: tuple[Candidate, ...], rules: tuple[Rule, ...]
    ) -> tuple[Verdict | None, ...]:
        """Probes exactly ``candidates`` by ``rules``; returns their verdicts, aligned, None where nothing checks one.

        An endpoint that was there before keeps its verdict and its thresholds, unless what is asked of it changed.
        Where a check asks for a port that the Service does not have, nothing is probed, every verdict is unknown and
        ``fault`` says why.
        """
        watch = self._watches.setdefault(key, _Watch())
        if watch.candidates is not candidates or watch.rules is not rules:
            self._realign(key, watch, candidates, rules)
        return tuple(watch.verdicts)

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
        concerned: dict[ServiceKey, None] = {}
        transitions = self._prober.drain()
        look_again = None
        if self._doubt is not None:  # before its newest verdicts count, the prober may be doubted, or no longer
            look = self._look(self._doubt, transitions, now)
            look_again = look.look_again
            for name in self._doubt.concerning(look.changed):
                self._put(name, self._prober.verdict(name), concerned)
        for target, verdict in transitions:
            self._put(str(target), verdict, concerned)
        for key in concerned:
            self._on_change(key)
        return look_again

    @property
    def freeze(self) -> Freeze | None:
        """Why demotions are frozen, None where they are not."""
        return None if self._doubt is None else self._doubt.freeze

    def fault(self, key: ServiceKey) -> str:
        """Why nothing of a service can be probed, "" where it can."""
        watch = self._watches.get(key)
        return "" if watch is None else watch.fault

    def is_frozen(self, key: ServiceKey) -> bool:
        """Whether endpoints of a service fail and are not believed."""
        return self._doubt is not None and self._doubt.withheld(key) > 0

    def remarks(self, key: ServiceKey) -> list[str]:
        """What a person should know of the probing of a service."""
        remarks = [fault] if (fault := self.fault(key)) else []
        if self._doubt is not None and self._doubt.freeze is not None and self.is_frozen(key):
            remarks.append(f"what fails is kept as it was: {CUT_OFF}: {self._doubt.freeze.reason}")
        if (watch := self._watches.get(key)) is not None and watch.stale:
            remarks.append(STALE)  # without their number, which would be a new remark whenever it changes
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
                self._doubt.resize(key, 0, 0.0)

    def _look(self, doubt: SelfDoubt, transitions: list[tuple[Hashable, Verdict]], now: float) -> Look:
        for target, verdict in transitions:
            if target not in self._places:
                doubt.sentinel(str(target), verdict.health)
        for target, sign in self._prober.drain_signs():
            if place := self._places.get(str(target)):
                key, index = place
                host = self._watches[key].candidates[index].identity.address
                doubt.sign(str(target), key, host, now, failing=sign.failing, was_healthy=sign.was_healthy)
        return doubt.look(now)

    def _put(self, target: str, verdict: Verdict, concerned: dict[ServiceKey, None]) -> None:
        if place := self._places.get(target):  # else it left while its last probe was under way
            key, index = place
            watch, now = self._watches[key], self._believed(target, verdict)
            before, watch.verdicts[index] = watch.verdicts[index], now
            some_were, watch.stale = watch.stale > 0, watch.stale + now.stale - _is_stale(before)
            # Staleness by itself decides nothing: the service is looked at only where there is something new to tell.
            if now.stale is _is_stale(before) or not _decides_alike(before, now) or some_were is not (watch.stale > 0):
                concerned[key] = None

    def _believed(self, target: str, verdict: Verdict) -> Verdict:
        return verdict if self._doubt is None else self._doubt.believe(target, verdict)

    def _realign(
        self, key: ServiceKey, watch: _Watch, candidates: tuple[Candidate, ...], rules: tuple[Rule, ...]
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
        watch.verdicts = [self._believed(one, self._prober.verdict(one)) if one else nothing for one in ids]
        watch.stale = sum(map(_is_stale, watch.verdicts))
        if self._doubt is not None:
            self._doubt.resize(key, sum(map(bool, ids)), max(map(_round, rules), default=0.0))

    def _drop(self, targets: list[str]) -> None:
        for target in targets:
            del self._places[target]
            if self._doubt is not None:
                self._doubt.forget(target)
        self._prober.remove(targets)


def _is_stale(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.stale


def _decides_alike(before: Verdict | None, now: Verdict) -> bool:
    return before is not None and (before.health, before.doubted) == (now.health, now.doubted)


def _sentinel(host: str, port: int) -> Target:
    check = TcpCheck(TcpSocket(port=port), CheckContext(Path(), {}))
    return Target(f"sentinel/{host_port(host, port)}", (Probe(check, SENTINEL_TIMING, host, port),), immediate=True)


def _round(rule: Rule) -> float:
    """Seconds after which an endpoint has shown that it is healthy, if it is."""
    timing = rule.timing
    return timing.period * timing.success_threshold + timing.timeout + 1.0


def probes_of(candidate: Candidate, rules: tuple[Rule, ...]) -> tuple[Probe, ...]:
    """The probes of one endpoint. Its backend's own ``probe`` wins over the check's host and port.

    Raises ConfigError.
    """
    override = candidate.backend.probe
    if candidate.health == "source" or (override is not None and not override.enabled):
        return ()
    probes = []
    for rule in rules:
        port = override.port if override is not None and override.port is not None else rule.port
        host = (override.host if override is not None else None) or rule.host or candidate.identity.address
        probes.append(Probe(rule.check, rule.timing, host, _number(port, candidate.identity.ports)))
    return tuple(probes)


def _number(port: int | str | None, ports: PortSet) -> int:
    if isinstance(port, int):
        return port
    for value in ports:
        if port is None or value.name == port:
            return value.port
    # Validation sees to it where the manifest has the ports; here they are those of a Service that exists.
    known = ", ".join(value.name or "one without a name" for value in ports) or "none"
    raise ConfigError(f"a check asks for port {port or 'number one'!r}, and the Service has {known}: name one of those")
