"""What is put right, and what is left to others."""

from __future__ import annotations

import msgspec
import pytest

from extsync.changes import Create
from extsync.objects import (
    EndpointConditions,
    OwnerReference,
    SliceEndpoint,
)
from extsync.plan.plan import PlanMemo, plan
from tests.plan.cluster import KEY, UID, addresses, many
from tests.plan.making import SLICES, edited, made, make, small


def test_a_slice_deleted_by_hand_comes_back() -> None:
    cluster = made(many(2))
    name, _ = cluster.slices.popitem()
    make(cluster, many(2))
    assert list(cluster.slices) == [name]


def test_an_edited_endpoint_is_put_right() -> None:
    cluster = made(many(2))
    before = cluster.only_slice.endpoints
    wrong = SliceEndpoint(addresses=("10.0.0.1",), conditions=EndpointConditions(False), zone="nowhere")
    cluster.put(edited(cluster.only_slice, endpoints=(wrong, *(before or ())[1:])))
    make(cluster, many(2))
    assert cluster.only_slice.endpoints == before


def test_an_endpoint_that_others_put_into_two_slices_is_left_in_one() -> None:
    cluster = made(many(4), small(2))
    first, second = cluster.ours
    cluster.put(edited(second, endpoints=(*(second.endpoints or ()), (first.endpoints or ())[0])))
    make(cluster, many(4), small(3))
    assert sorted(shown[0] for shown in cluster.shown()) == addresses(4)


def test_labels_are_exactly_ours_and_annotations_of_others_stay() -> None:
    cluster = made(many(1), small(9, annotations={"description": "Orders"}))
    slice_ = cluster.only_slice
    cluster.put(
        edited(
            slice_,
            labels={**slice_.labels, "theirs": "1", "app": "wrong"},
            annotations={**slice_.annotations, "theirs": "1", "description": "wrong"},
        )
    )
    planned = make(cluster, many(1), small(9, annotations={"description": "Orders"}))
    assert planned.changes.updates[0].reason == "labels, annotations"
    assert cluster.only_slice.labels == slice_.labels
    assert cluster.only_slice.annotations == {**slice_.annotations, "theirs": "1"}


def test_an_annotation_that_left_the_manifest_leaves_the_slice() -> None:
    cluster = made(many(1), small(9, annotations={"description": "Orders", "maintainer": "a"}))
    make(cluster, many(1), small(9, annotations={"maintainer": "b"}))
    assert cluster.only_slice.annotations == {"maintainer": "b", "extsync.dev/annotations": "maintainer"}
    make(cluster, many(1), small(9))
    assert cluster.only_slice.annotations == {}


def test_the_owner_reference_is_repaired_and_other_owners_stay() -> None:
    cluster = made(many(1))
    other = OwnerReference(api_version="v1", kind="ConfigMap", name="c", uid="9")
    cluster.put(edited(cluster.only_slice, owner_references=(other,)))
    make(cluster, many(1))
    references = cluster.only_slice.metadata.owner_references or ()
    assert [reference.uid for reference in references] == ["9", UID]


@pytest.mark.parametrize("mark", ["endpointslice.kubernetes.io/managed-by", "extsync.dev/owner"])
def test_a_slice_that_lost_a_mark_of_ours_is_repaired_and_not_doubled(mark: str) -> None:
    cluster = made(many(1))
    labels = dict(cluster.only_slice.labels)
    del labels[mark]
    cluster.put(edited(cluster.only_slice, labels=labels))
    assert make(cluster, many(1)).changes.summary == "1 to update"
    assert mark in cluster.only_slice.labels


@pytest.mark.parametrize(
    ("label", "value"),
    [("endpointslice.kubernetes.io/managed-by", "another.io"), ("extsync.dev/owner", "blue")],
)
def test_a_slice_that_others_took_over_is_left_to_them(label: str, value: str) -> None:
    cluster = made(many(1))
    taken = edited(cluster.only_slice, labels={**cluster.only_slice.labels, label: value})
    cluster.put(taken)
    (name,) = cluster.slices
    before = cluster.slices[name]
    make(cluster, many(1))
    assert cluster.slices[name] is before
    assert len(cluster.ours) == 1


def test_a_slice_that_another_controller_took_over_is_left_to_it() -> None:
    cluster = made(many(1))
    (name,) = cluster.slices
    other = OwnerReference(api_version="v1", kind="Thing", name="t", uid="9", controller=True)
    cluster.put(edited(cluster.only_slice, owner_references=(other,)))
    before = cluster.slices[name]
    make(cluster, many(1))
    assert cluster.slices[name] is before
    assert len(cluster.ours) == 1


def test_with_a_memo_a_slice_that_others_took_over_is_left_to_them() -> None:
    cluster, memo = made(many(1)), PlanMemo()
    assert plan(KEY, cluster.current, many(1), SLICES, memo=memo).changes.is_empty
    labels = {**cluster.only_slice.labels, "endpointslice.kubernetes.io/managed-by": "another.io"}
    cluster.put(edited(cluster.only_slice, labels=labels))
    assert plan(KEY, cluster.current, many(1), SLICES, memo=memo).changes.summary == "1 to create"


@pytest.mark.parametrize("memo", [None, PlanMemo()])
def test_slices_of_an_earlier_service_are_never_used_again(memo: PlanMemo | None) -> None:
    cluster = made(many(1))
    (name,) = cluster.slices
    old = cluster.slices[name]
    assert plan(KEY, cluster.current, many(1), SLICES, memo=memo).changes.is_empty
    assert cluster.service is not None
    metadata = msgspec.structs.replace(cluster.service.metadata, uid="another-uid")
    cluster.service = msgspec.structs.replace(cluster.service, metadata=metadata)
    cluster.carry_out(plan(KEY, cluster.current, many(1), SLICES, memo=memo).changes)
    assert cluster.slices[name] is old, "the garbage collector's business"
    assert len(cluster.ours) == 1


def test_a_slice_that_outlived_its_service_without_a_reference_is_swept() -> None:
    cluster = made(many(1))
    (name,) = cluster.slices
    cluster.put(edited(cluster.only_slice, owner_references=None))
    assert cluster.service is not None
    metadata = msgspec.structs.replace(cluster.service.metadata, uid="another-uid")
    cluster.service = msgspec.structs.replace(cluster.service, metadata=metadata)
    planned = make(cluster, many(1))
    assert planned.changes.summary == "1 to create, 1 to delete"
    assert name not in cluster.slices


def test_a_slice_that_is_being_deleted_is_replaced() -> None:
    cluster = made(many(1))
    (name,) = cluster.slices
    dying = cluster.slices[name]
    metadata = msgspec.structs.replace(dying.metadata, deletion_timestamp="2027-01-01T00:00:00Z")
    cluster.slices[name] = msgspec.structs.replace(dying, metadata=metadata)
    planned = plan(KEY, cluster.current, many(1), SLICES)
    (create,) = planned.changes
    assert isinstance(create, Create)
    assert create.obj.metadata.name != name
