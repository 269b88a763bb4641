"""What was imported and is then kept: ownership changes, and at no moment does an endpoint."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from extsync.config.dump import to_text
from extsync.engine.prepare import prepare
from extsync.model import PortValue, State
from extsync.objects import OWNER_LABEL, KubeObject, ServicePort
from extsync.plan.imports.manifest import import_service
from extsync.plan.judge import judge
from extsync.plan.merge import SourceSet, merge
from extsync.plan.plan import plan
from extsync.plan.published import Place, Published, places, port_set
from tests.config.texts import load_one
from tests.plan.cluster import KEY, Cluster, service
from tests.plan.imports.byhand import Served, pairs
from tests.plan.imports.sets import SETS, as_endpoints, as_slices, plain

IPV4 = SETS.map(lambda sets: [one for one in sets if ":" not in one.address]).filter(bool)
MOST_ROUNDS = 6


def cluster_of(*objects: KubeObject) -> Cluster:
    """A Service with these objects, and what Kubernetes makes of them."""
    ports = (ServicePort(name="mysql", port=3306), ServicePort(name="metrics", port=9104))
    cluster = Cluster(service(ports=ports))
    for obj in objects:
        cluster.put(obj)
    cluster.mirror()
    return cluster


def ready(cluster: Cluster) -> dict[Place, set[bool]]:
    """How each address and port is shown: what kube-proxy makes of all slices together."""
    shown: dict[Place, set[bool]] = {}
    for slice_ in cluster.slices.values():
        for entry in slice_.endpoints or ():
            for place in places(entry.addresses[0], port_set(slice_.ports)):
                shown.setdefault(place, set()).add(entry.conditions.ready is not False)
    return shown


def take_over(cluster: Cluster) -> None:
    """Keeps the manifest until nothing is left to do; after each write the same is shown as before."""
    before = ready(cluster)
    imported = import_service(cluster.current)
    assert not imported.changes
    prepared = prepare(load_one(to_text(imported.manifest)), Path(), owner="default")
    [source] = prepared.manifest.spec.sources
    assert source.static is not None
    candidates = merge(prepared.ports or (), [SourceSet(source.name, source.static.backends)]).candidates
    endpoints = judge(candidates, [None] * len(candidates), Published())
    for _ in range(MOST_ROUNDS):
        changes = plan(KEY, cluster.current, endpoints, prepared.pack_policy).changes
        if changes.is_empty:
            return
        for change in changes:
            cluster.carry_out_one(change)
            assert ready(cluster) == before
        cluster.mirror()
        assert ready(cluster) == before
    raise AssertionError("it does not come to rest")


def in_endpoints(cluster: Cluster) -> set[Served]:
    """What the Endpoints show."""
    return {
        Served(
            one.ip,
            pairs(tuple(PortValue(port.name or "", port.port) for port in subset.ports or ())),
            state,
            one.hostname,
            one.node_name,
            None,
        )
        for subset in (cluster.endpoints.subsets if cluster.endpoints else None) or ()
        for state, addresses in ((State.READY, subset.addresses), (State.NOT_READY, subset.not_ready_addresses))
        for one in addresses or ()
    }


@given(IPV4)
def test_endpoints_stay_what_they_are_and_become_ours(sets: list[Served]) -> None:
    cluster = cluster_of(as_endpoints(sets))
    take_over(cluster)
    assert in_endpoints(cluster) == set(map(plain, sets))
    assert cluster.endpoints is not None
    assert cluster.endpoints.labels[OWNER_LABEL] == "default"
    assert not cluster.ours  # their slices are Kubernetes's, as before


@given(IPV4, st.data())
def test_slices_are_replaced_by_ours_that_show_the_same(sets: list[Served], data: st.DataObject) -> None:
    cluster = cluster_of(*as_slices(sets, data))
    take_over(cluster)
    assert len(cluster.ours) == len(cluster.slices)
    assert cluster.endpoints is None


@given(IPV4, st.data())
def test_slices_and_endpoints_beside_each_other(sets: list[Served], data: st.DataObject) -> None:
    cluster = cluster_of(*as_slices(sets, data), as_endpoints(sets))
    take_over(cluster)
    assert len(cluster.ours) == len(cluster.slices)
    assert in_endpoints(cluster) == set(map(plain, sets))
