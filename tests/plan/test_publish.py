"""Changes between the ways of publishing, step by step, beside the mirroring controller."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from extsync.model import State
from extsync.objects import MANAGED_BY_LABEL, MIRRORING_CONTROLLER, SKIP_MIRROR_LABEL
from extsync.plan.plan import Plan, plan
from extsync.plan.policy import PackPolicy
from tests.plan.cluster import KEY, Cluster, endpoint, many

POLICIES = {
    "slices": PackPolicy(endpoints=False, max_endpoints_per_slice=4),
    "endpoints": PackPolicy(slices=False),
    "both": PackPolicy(max_endpoints_per_slice=4),
}
DESIRED = (*many(9), endpoint("10.0.0.50", State.NOT_READY))


def mirrored(cluster: Cluster) -> list[str]:
    return [n for n, s in cluster.slices.items() if s.labels.get(MANAGED_BY_LABEL) == MIRRORING_CONTROLLER]


def settle(cluster: Cluster, policy: PackPolicy, desired: tuple[object, ...] = DESIRED) -> list[Plan]:
    """Plans, writes and mirrors until nothing is left to do; at each single write all that was served is served."""
    plans = []
    for _ in range(6):
        planned = plan(KEY, cluster.current, desired, policy)  # type: ignore[arg-type]
        plans.append(planned)
        for change in planned.changes:
            served = cluster.served()
            cluster.carry_out_one(change)
            assert served <= cluster.served(), f"{change} left endpoints in no slice"
            cluster.mirror()
            assert served <= cluster.served(), f"the mirror after {change} left endpoints in no slice"
        if planned.changes.is_empty:
            return plans
    raise AssertionError("it never ends")


def check(cluster: Cluster, mode: str) -> None:
    assert bool(cluster.ours) == (mode != "endpoints")
    assert (cluster.endpoints is not None) == (mode != "slices")
    assert bool(mirrored(cluster)) == (mode == "endpoints")
    if cluster.endpoints is not None:
        assert (cluster.endpoints.labels.get(SKIP_MIRROR_LABEL) == "true") == (mode == "both")


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(POLICIES, 2)))
def test_a_change_of_mode_never_leaves_the_service_without_slices_nor_keeps_both_sets(before: str, after: str) -> None:
    cluster = Cluster()
    settle(cluster, POLICIES[before])
    check(cluster, before)
    settle(cluster, POLICIES[after])
    check(cluster, after)


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(POLICIES, 2)))
def test_a_change_of_mode_with_nothing_to_publish_ends_as_well(before: str, after: str) -> None:
    cluster = Cluster()
    settle(cluster, POLICIES[before], ())
    settle(cluster, POLICIES[after], ())
    assert (bool(cluster.ours), cluster.endpoints is not None) == (after != "endpoints", after != "slices")


def test_our_slices_wait_for_the_mirror_and_the_plan_says_so() -> None:
    cluster = Cluster()
    settle(cluster, POLICIES["both"])
    cluster.carry_out(plan(KEY, cluster.current, DESIRED, POLICIES["endpoints"]).changes)
    planned = plan(KEY, cluster.current, DESIRED, POLICIES["endpoints"])
    assert [note.code for note in planned.notes] == ["WaitingForMirror"]
    assert planned.changes.is_empty
    assert cluster.ours


def test_the_mirror_waits_for_our_slices_and_readiness_goes_on_meanwhile() -> None:
    cluster = Cluster()
    settle(cluster, POLICIES["endpoints"])
    first = plan(KEY, cluster.current, (endpoint("10.0.0.1", State.NOT_READY), *DESIRED[1:]), POLICIES["both"])
    assert [note.code for note in first.notes] == ["WaitingForSlices"]
    assert first.changes.summary == "3 to create, 1 to update"
    (update,) = first.changes.updates
    assert SKIP_MIRROR_LABEL not in update.obj.labels
    assert "not ready" in update.reason


def test_an_endpoint_that_is_new_while_the_mode_changes_does_not_hold_it_up() -> None:
    cluster = Cluster()
    settle(cluster, POLICIES["endpoints"])
    cluster.carry_out(plan(KEY, cluster.current, DESIRED, POLICIES["both"]).changes)
    cluster.mirror()
    planned = plan(KEY, cluster.current, (*DESIRED, endpoint("10.0.0.60")), POLICIES["both"])
    assert not planned.notes


def test_an_endpoint_that_leaves_while_the_mode_changes_does_not_hold_it_up() -> None:
    cluster = Cluster()
    settle(cluster, POLICIES["endpoints"])
    cluster.carry_out(plan(KEY, cluster.current, DESIRED[1:], POLICIES["both"]).changes.creates)
    assert not plan(KEY, cluster.current, DESIRED[1:], POLICIES["both"]).notes


@pytest.mark.parametrize("value", [None, "false", "True"])
def test_a_skip_mirror_label_that_somebody_changed_is_put_right(value: str | None) -> None:
    cluster = Cluster()
    settle(cluster, POLICIES["both"])
    assert cluster.endpoints is not None
    labels = {k: v for k, v in cluster.endpoints.labels.items() if k != SKIP_MIRROR_LABEL}
    if value is not None:
        labels[SKIP_MIRROR_LABEL] = value
    metadata = msgspec.structs.replace(cluster.endpoints.metadata, labels=labels)
    cluster.put(msgspec.structs.replace(cluster.endpoints, metadata=metadata))
    cluster.mirror()
    assert mirrored(cluster)
    settle(cluster, POLICIES["both"])
    check(cluster, "both")


def test_too_many_for_endpoints_alone_leaves_both_as_they_are() -> None:
    cluster = Cluster()
    settle(cluster, PackPolicy(), many(1001))
    planned = plan(KEY, cluster.current, many(1001), PackPolicy(slices=False))
    assert [refusal.code for refusal in planned.refusals] == ["TooManyForEndpoints"]
    assert planned.changes.is_empty
    check(cluster, "both")
