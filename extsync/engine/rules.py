"""Rules: the checks of a manifest made ready, and which probes they mean for one endpoint."""

from __future__ import annotations

import msgspec

from extsync.errors import ConfigError
from extsync.health.base import Check
from extsync.health.target import Probe, Timing
from extsync.model import PortSet
from extsync.plan.doubt import Pace
from extsync.plan.merge import Candidate

MARGIN = 1.0
"""Seconds by which a verdict that has waited comes sooner than it would have come anyway."""


class Rule(msgspec.Struct, frozen=True):
    """One check of a manifest, made ready: shared by all endpoints of the service.

    ``port`` is a number, the name of a port, or None for the endpoint's first port; ``host`` is an address to probe
    instead of the endpoint's own.
    """

    check: Check
    timing: Timing
    port: int | str | None
    host: str | None = None


def pace_of(rules: tuple[Rule, ...]) -> Pace:
    """How soon probes by these rules say something, for self-doubt."""
    timings = [rule.timing for rule in rules]
    return Pace(
        round=max((one.period * one.success_threshold + one.timeout + 1.0 for one in timings), default=0.0),
        patience=min((max(0.0, one.period * (one.failure_threshold - 1) - MARGIN) for one in timings), default=0.0),
    )


def host_of(candidate: Candidate, rule: Rule) -> str:
    """Where an endpoint is probed."""
    override = candidate.backend.probe
    return (override.host if override is not None else None) or rule.host or candidate.identity.address


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
        number = _number(port, candidate.identity.ports)
        probes.append(Probe(rule.check, rule.timing, host_of(candidate, rule), number))
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
