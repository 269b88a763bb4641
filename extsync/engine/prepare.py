"""From a manifest to what the stages of the engine take: each value is made once a manifest, not once a reconcile."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import msgspec

from extsync.addresses import is_address
from extsync.config.checks import Check as CheckBlock
from extsync.config.manifest import ExternalService
from extsync.config.policy import Guard
from extsync.engine.rules import Rule
from extsync.errors import ConfigError
from extsync.health.base import Check, CheckContext
from extsync.health.registry import CheckRegistry
from extsync.health.target import Timing
from extsync.limits import USUAL, Limits
from extsync.model import ServiceKey
from extsync.plan.guard import GuardPolicy
from extsync.plan.panic import PanicPolicy
from extsync.plan.policy import PackPolicy
from extsync.plan.ports import PortSpec
from extsync.plan.service import ServiceWish
from extsync.plan.tier import TierPolicy
from extsync.sources.told import told


class Hurry(msgspec.Struct, frozen=True):
    """How one-shot commands probe: no initial delay, and ``period`` seconds between probes."""

    period: float = 1.0


HURRY = Hurry()


class Prepared(msgspec.Struct, frozen=True):
    """A manifest, made ready.

    ``ports`` is None where the manifest leaves them to the Service that exists, ``wish`` where that Service has to
    exist.
    """

    manifest: ExternalService
    base_dir: Path
    ports: tuple[PortSpec, ...] | None
    rules: tuple[Rule, ...]
    tier_policy: TierPolicy
    pack_policy: PackPolicy
    panic_policy: PanicPolicy
    guard_policy: GuardPolicy
    wish: ServiceWish | None
    limits: Limits = USUAL

    @property
    def key(self) -> ServiceKey:
        return self.manifest.key


def prepare(
    manifest: ExternalService, base_dir: Path, *, owner: str, hurry: Hurry | None = None, limits: Limits = USUAL
) -> Prepared:
    """Makes ``manifest`` ready.

    Raises ConfigError where the plugin of a check refuses its block, or where a check asks for an address or a file
    that ``limits`` denies.
    """
    spec = manifest.spec
    rules = tuple(_rule(block, base_dir, hurry, limits) for block in spec.checks)
    for rule in rules:
        if rule.host and (reason := limits.policy.contacted(manifest.key.namespace).denied(rule.host)):
            raise ConfigError(f"the host of a check: {reason}")
    ports = tuple(
        PortSpec(port.name or "", port.port, port.target_port, port.protocol, port.app_protocol) for port in spec.ports
    )
    return Prepared(
        manifest=manifest,
        base_dir=base_dir,
        ports=ports or None,
        rules=rules,
        tier_policy=TierPolicy(min_ready=spec.policy.min_ready, failback_delay=float(spec.policy.failback_delay)),
        pack_policy=_pack_policy(manifest, owner),
        panic_policy=PanicPolicy(spec.policy.panic_threshold, spec.policy.panic_mode),
        guard_policy=_guard_policy(spec.policy.guard),
        wish=None if spec.service is None else _wish(manifest, ports, owner),
        limits=limits,
    )


def _pack_policy(manifest: ExternalService, owner: str) -> PackPolicy:
    spec = manifest.spec
    return PackPolicy(
        owner=owner,
        labels=manifest.metadata.labels,
        annotations=manifest.metadata.annotations,
        max_endpoints_per_slice=spec.policy.max_endpoints_per_slice,
        slices="EndpointSlice" in spec.publish,
        endpoints="Endpoints" in spec.publish,
        adopt=spec.policy.adopt == "IfUnmanaged",
    )


def _guard_policy(block: Guard) -> GuardPolicy:
    return GuardPolicy(
        max_removal=block.max_removal_percent / 100,
        min_removals=block.min_removals,
        window=float(block.window),
        confirm_after=float(block.confirm_after),
    )


def _wish(manifest: ExternalService, ports: tuple[PortSpec, ...], owner: str) -> ServiceWish:
    service = manifest.spec.service
    assert service is not None
    return ServiceWish(
        key=manifest.key,
        ports=ports,
        fields=service.model_dump(mode="json", by_alias=True, exclude_none=True),
        labels=manifest.metadata.labels,
        annotations=manifest.metadata.annotations,
        owner=owner,
    )


def _check(block: CheckBlock, base_dir: Path, limits: Limits) -> Check:
    try:
        context = CheckContext(base_dir, limits.variables.within(os.environ), limits.roots)
        return _checks().factory(block.factory)(block.config, context)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # a plugin may do anything, and the other manifests are none of its affair
        raise ConfigError(
            f"the check {block.factory!r} failed on its configuration ({told(error)}): check the block,"
            " or report this to the plugin's authors"
        ) from error


def _rule(block: CheckBlock, base_dir: Path, hurry: Hurry | None, limits: Limits) -> Rule:
    timing = Timing(
        initial_delay=0.0 if hurry else float(block.initial_delay_seconds),
        period=hurry.period if hurry else float(block.period_seconds),
        timeout=float(block.timeout_seconds),
        success_threshold=block.success_threshold,
        failure_threshold=block.failure_threshold,
        transition_period=None
        if hurry or block.transition_period_seconds is None
        else float(block.transition_period_seconds),
        close=block.close,
    )
    host = None if block.plugin is not None else getattr(block.config, "host", None)
    # A host that is a name is what an HTTP request asks for; the endpoint itself is what is connected to.
    return Rule(
        _check(block, base_dir, limits), timing, block.port, host if host is not None and is_address(host) else None
    )


@cache
def _checks() -> CheckRegistry:
    return CheckRegistry()
