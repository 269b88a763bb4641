"""Adoption, plan by plan: what is new comes first, and what was nobody's goes when that is seen."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from extsync.changes import Create, Delete, Update
from extsync.objects import SKIP_MIRROR_LABEL, Endpoints, EndpointSlice, ObjectMeta
from extsync.plan.plan import plan
from extsync.plan.policy import PackPolicy
from tests.plan.cluster import KEY, Cluster, many
from tests.plan.test_publish import settle

POLICIES = {
    "both": PackPolicy(adopt=True),
    "slices": PackPolicy(adopt=True, endpoints=False),
    "endpoints": PackPolicy(adopt=True, slices=False),
}
DESIRED = many(3)


def by_hand(*, endpoints: bool, slices: bool, skip: bool) -> Cluster:
    """A cluster in which somebody wrote what extsync would write, without its marks."""
    made = Cluster()
    settle(made, PackPolicy(), DESIRED)
    cluster = Cluster()
    if endpoints:
        labels = {SKIP_MIRROR_LABEL: "true"} if skip else None
        assert made.endpoints is not None
        cluster.put(Endpoints(metadata=ObjectMeta(name=KEY.name, labels=labels), subsets=made.endpoints.subsets))
        cluster.mirror()
    if slices:
        (slice_,) = made.ours
        labels = {"kubernetes.io/service-name": KEY.name}
        cluster.put(msgspec.structs.replace(slice_, metadata=ObjectMeta(name="by-hand", labels=labels)))
    return cluster


def test_endpoints_are_taken_over_in_one_write_once_our_slices_are_there() -> None:
    cluster = by_hand(endpoints=True, slices=False, skip=False)
    first = plan(KEY, cluster.current, DESIRED, POLICIES["both"])
    assert [type(change) for change in first.changes] == [Create]
    assert [note.code for note in first.notes] == ["WaitingForSlices"]
    cluster.carry_out(first.changes)
    (update,) = plan(KEY, cluster.current, DESIRED, POLICIES["both"]).changes
    assert isinstance(update, Update)
    assert update.adopts
    assert update.obj.labels[SKIP_MIRROR_LABEL] == "true"


@pytest.mark.parametrize("mode", ["both", "slices"])
def test_slices_go_in_a_later_plan_than_ours_come(mode: str) -> None:
    cluster = by_hand(endpoints=False, slices=True, skip=False)
    first = plan(KEY, cluster.current, DESIRED, POLICIES[mode])
    assert {type(change) for change in first.changes} == {Create}
    cluster.carry_out(first.changes)
    (delete,) = plan(KEY, cluster.current, DESIRED, POLICIES[mode]).changes
    assert isinstance(delete, Delete)
    assert delete.adopts
    assert (delete.kind, delete.name) == (EndpointSlice, "by-hand")


@pytest.mark.parametrize(
    ("endpoints", "slices", "skip", "mode"),
    [
        (*found, mode)
        for found, mode in itertools.product(itertools.product([True, False], repeat=3), POLICIES)
        if found[0] or not found[2]
    ],
)
def test_whatever_is_found_nothing_is_missing_at_any_write_and_nothing_is_there_twice_at_the_end(
    endpoints: bool, slices: bool, skip: bool, mode: str
) -> None:
    cluster = by_hand(endpoints=endpoints, slices=slices, skip=skip)
    settle(cluster, POLICIES[mode], DESIRED)
    shown = [e.addresses[0] for slice_ in cluster.slices.values() for e in slice_.endpoints or ()]
    assert sorted(shown) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert bool(cluster.ours) == (mode != "endpoints")
    assert (cluster.endpoints is not None) == (mode != "slices")


def test_a_refusal_takes_nothing_over() -> None:
    cluster = by_hand(endpoints=True, slices=True, skip=False)
    assert cluster.endpoints is not None
    metadata = msgspec.structs.replace(cluster.endpoints.metadata, labels={"app.kubernetes.io/managed-by": "Helm"})
    cluster.put(msgspec.structs.replace(cluster.endpoints, metadata=metadata))
    assert plan(KEY, cluster.current, DESIRED, POLICIES["both"]).changes.is_empty
