"""What the tests of slices have in common: plan, carry out, and look again."""

from __future__ import annotations

from typing import Any

import msgspec

from extsync.model import Endpoint, PortValue
from extsync.objects import EndpointSlice
from extsync.plan.plan import Plan, plan
from extsync.plan.policy import PackPolicy
from tests.plan.cluster import KEY, Cluster, service

SLICES = PackPolicy(endpoints=False)
OTHER_PORT = (PortValue("mysql", 3307),)


def small(limit: int, **changes: Any) -> PackPolicy:
    return PackPolicy(endpoints=False, max_endpoints_per_slice=limit, **changes)


def make(cluster: Cluster, endpoints: tuple[Endpoint, ...], policy: PackPolicy = SLICES) -> Plan:
    """Plans and carries out; the plan after it has to be empty."""
    planned = plan(KEY, cluster.current, endpoints, policy)
    cluster.carry_out(planned.changes)
    assert plan(KEY, cluster.current, endpoints, policy).changes.is_empty
    return planned


def made(endpoints: tuple[Endpoint, ...], policy: PackPolicy = SLICES, **spec: object) -> Cluster:
    cluster = Cluster(service(**spec))
    make(cluster, endpoints, policy)
    return cluster


def edited(slice_: EndpointSlice, **changes: Any) -> EndpointSlice:
    metadata = {k: v for k, v in changes.items() if k in ("labels", "annotations", "owner_references")}
    fields = {k: v for k, v in changes.items() if k not in metadata}
    return msgspec.structs.replace(slice_, metadata=msgspec.structs.replace(slice_.metadata, **metadata), **fields)
