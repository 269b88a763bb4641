"""The marks on the objects of a service: which of them say that somebody else has written."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from extsync.engine.marks import UNMARKED, Marks
from extsync.objects import WRITTEN_BY_ANNOTATION, EndpointSlice, ObjectMeta

OURS = {"manager": "extsync", "operation": "Update", "time": "2026-11-23T10:00:00Z"}
KUBECTL = {"manager": "kubectl-edit", "operation": "Update", "time": "2026-11-23T10:00:01Z"}


def slice_of(mark: str | None, *managers: dict[str, Any], name: str = "orders-1") -> EndpointSlice:
    annotations = None if mark is None else {WRITTEN_BY_ANNOTATION: f"{mark}/extsync-default/1/replica"}
    metadata = ObjectMeta(name=name, namespace="test", annotations=annotations, managed_fields=managers or None)
    return EndpointSlice(metadata=metadata, address_type="IPv4")


def test_what_is_found_at_first_says_nothing_and_what_takes_the_place_of_ones_own_does() -> None:
    marks = Marks()
    assert marks.look([slice_of("other")], "mine") == ()
    marks.wrote(slice_of("mine"))
    assert marks.look([slice_of("other")], "mine") == ("other",)
    assert marks.look([slice_of("other")], "mine") == (), "it was not ours in between"


def test_without_election_a_stamp_is_somebody_elses() -> None:
    marks = Marks()
    marks.wrote(slice_of(None))
    assert marks.look([slice_of("other")], None) == ("other",)


@pytest.mark.parametrize(
    ("managers", "found"),
    [((OURS,), (UNMARKED,)), ((OURS, KUBECTL), ()), ((), ())],
    ids=["extsync", "kubectl", "unknown"],
)
def test_a_stamp_that_is_gone_is_a_writer_only_where_extsync_itself_wrote_last(
    managers: tuple[dict[str, Any], ...], found: tuple[str, ...]
) -> None:
    marks = Marks()
    marks.wrote(slice_of("mine"))
    assert marks.look([slice_of(None, *managers)], "mine") == found


@pytest.mark.parametrize("text", ["", "mine", "a/b/c/d", "a/b/-1/d", "a/b/1/", "a/b/" + "9" * 5000 + "/d"])
def test_a_stamp_that_somebody_made_up_is_none(text: str) -> None:
    marks = Marks()
    marks.wrote(slice_of("mine"))
    metadata = replace(slice_of("mine").metadata, annotations={WRITTEN_BY_ANNOTATION: text})
    assert marks.look([replace(slice_of("mine"), metadata=metadata)], "mine") == ()


def test_another_replica_by_the_same_namespace_is_none() -> None:
    marks = Marks()
    marks.wrote(slice_of("mine"))
    seen = slice_of("mine")
    annotations = {WRITTEN_BY_ANNOTATION: "mine/extsync-default/2/another"}
    assert marks.look([replace(seen, metadata=replace(seen.metadata, annotations=annotations))], "mine") == ()


def test_after_a_take_over_what_was_seen_before_counts_no_more() -> None:
    marks = Marks()
    marks.wrote(slice_of("mine"))
    marks.forget()
    assert marks.look([slice_of("other")], "mine") == ()


def test_a_webhook_that_takes_the_stamp_off_is_no_writer() -> None:
    marks = Marks()
    marks.wrote(slice_of(None, OURS))
    assert marks.look([slice_of(None, OURS)], "mine") == ()
