"""Which endpoints are probed, where and how: keeps the prober's targets equal to the candidates of all services.

A service's verdicts are kept in a list that is aligned with its candidates, so that a reconcile reads 10,000 of them
without a lookup.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from extsync.errors import ConfigError
from extsync.health.base import Check
from extsync.health.prober import Prober
from extsync.health.target import Probe, Target, Timing
from extsync.model import UNKNOWN, Health, PortSet, ServiceKey, Verdict
from extsync.plan.merge import Candidate


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
    """One service's part: its candidates, the id of each target ("": nothing checks it) and its verdict, aligned."""

    __slots__ = ("candidates", "fault", "ids", "rules", "verdicts")

    def __init__(self) -> None:
        self.rules: tuple[Rule, ...] = ()
        self.candidates: tuple[Candidate, ...] = ()
        self.ids: tuple[str, ...] = ()
        self.verdicts: list[Verdict | None] = []
        self.fault = ""


class Probing:
    """Tells the prober what to probe and keeps what it answers."""

    def __init__(self, prober: Prober, *, on_change: Callable[[ServiceKey], None], immediate: bool = False) -> None:
        self._prober = prober
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

    def collect(self) -> None:
        """Takes over the verdicts that changed and reports each service concerned, once."""
        concerned: dict[ServiceKey, None] = {}
        for target, verdict in self._prober.drain():
            if place := self._places.get(str(target)):  # else it left while its last probe was under way
                key, index = place
                self._watches[key].verdicts[index] = verdict
                concerned[key] = None
        for key in concerned:
            self._on_change(key)

    def fault(self, key: ServiceKey) -> str:
        """Why nothing of a service can be probed, "" where it can."""
        watch = self._watches.get(key)
        return "" if watch is None else watch.fault

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
        watch.verdicts = [self._prober.verdict(target) if target else nothing for target in ids]

    def _drop(self, targets: list[str]) -> None:
        for target in targets:
            del self._places[target]
        self._prober.remove(targets)


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
