"""Panic: what to do where so few endpoints are healthy that the checks are doubted, or that the rest would drown.

Load balancers have this as a panic threshold (Envoy) or as fail-open (AWS, Route 53). It is decided on what is to be
published, after tiers: while a standby can come in there is no reason for panic.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from extsync.model import Endpoint, State, Why
from extsync.plan.judge import States

PanicMode: TypeAlias = Literal["HoldLast", "ServeAll", "FailClosed"]
"""HoldLast: whoever is published ready stays so, and promotions go on. ServeAll: all are ready. FailClosed: none is.

None of them touches an endpoint that is draining.
"""

_DOWN = (Why.UNHEALTHY, Why.SOURCE_NOT_READY, Why.DAMPED)


class PanicPolicy(msgspec.Struct, frozen=True):
    """The manifest's policy; ``threshold``: percent of healthy endpoints below which there is panic, 0: never."""

    threshold: int = 0
    mode: PanicMode = "HoldLast"


class Panic(msgspec.Struct, frozen=True):
    """The endpoints to publish, and what to say of the panic, "" where there is none."""

    endpoints: tuple[Endpoint, ...]
    reason: str = ""


def panic(endpoints: tuple[Endpoint, ...], published: States, policy: PanicPolicy) -> Panic:
    """Applies the panic mode where fewer than ``policy.threshold`` percent of the endpoints are healthy.

    Those that are draining do not count. An endpoint is not healthy once its checks or its source say so, nor while it
    is damped; one that has yet to be probed is no reason for panic.
    """
    if not policy.threshold:
        return Panic(endpoints)
    counted = [endpoint for endpoint in endpoints if not _drains(endpoint)]
    down = sum(endpoint.why in _DOWN for endpoint in counted)
    if not counted or 100 * (len(counted) - down) >= policy.threshold * len(counted):
        return Panic(endpoints)
    reason = (
        f"panic: {len(counted) - down} of {len(counted)} endpoints are healthy, less than {policy.threshold} %, "
        f"so panicMode {policy.mode} rules"
    )
    return Panic(tuple(_under(endpoint, published, policy.mode) for endpoint in endpoints), reason)


def _under(endpoint: Endpoint, published: States, mode: PanicMode) -> Endpoint:
    if _drains(endpoint):
        return endpoint
    if mode == "FailClosed":
        return _as(endpoint, State.NOT_READY, Why.PANIC_CLOSED)
    if mode == "ServeAll":
        return _as(endpoint, State.READY, Why.PANIC_READY)
    was = published.get(endpoint.identity)
    return _as(endpoint, State.READY, Why.PANIC_KEPT) if was is State.READY else endpoint


def _as(endpoint: Endpoint, state: State, why: Why) -> Endpoint:
    return endpoint if endpoint.state is state else msgspec.structs.replace(endpoint, state=state, why=why)


def _drains(endpoint: Endpoint) -> bool:
    return endpoint.state is State.DRAINING or endpoint.why in (Why.DRAINING_DOWN, Why.DRAINING_DAMPED)
