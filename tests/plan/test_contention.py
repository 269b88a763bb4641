"""Contention: what repeats the last write waits ever longer, what is new does not, and who the other manager is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from extsync.changes import Create, Delete, Update
from extsync.objects import EndpointSlice, ObjectMeta, OwnerReference, SliceEndpoint
from extsync.plan.contention import FREE, LONGEST, QUIET, Contest, after_write, content_of, rivals, wait_before

SLICE = EndpointSlice(
    metadata=ObjectMeta(name="a", namespace="b", labels={"x": "1"}),
    address_type="IPv4",
    endpoints=(SliceEndpoint(addresses=("10.0.0.1",)),),
)


def written(times: int, content: bytes = b"c", *, every: float = 1.0) -> Contest:
    """The contest after so many writes of the same."""
    contest = None
    for number in range(times):
        contest = after_write(contest, content, number * every)
    assert contest is not None
    return contest


def test_the_first_repetitions_are_free() -> None:
    contest = written(FREE)
    assert wait_before(contest, b"c", contest.at) == 0
    assert not contest.is_contested


def test_each_further_one_waits_twice_as_long_up_to_a_limit() -> None:
    waits = []
    contest = written(1 + FREE)
    for _ in range(8):
        waits.append(wait_before(contest, b"c", contest.at))
        contest = after_write(contest, b"c", contest.at + waits[-1])
    assert waits == [10, 20, 40, 80, 160, LONGEST, LONGEST, LONGEST]
    assert contest.is_contested


def test_what_is_new_does_not_wait_and_makes_nothing_forgotten() -> None:
    contest = written(FREE + 3)
    assert wait_before(contest, b"new", contest.at) == 0
    after = after_write(contest, b"new", contest.at)
    assert after.repeats == contest.repeats


def test_an_object_whose_content_goes_back_and_forth_is_not_contested() -> None:
    contest: Contest | None = None
    for number in range(50):
        contest = after_write(contest, b"up" if number % 2 else b"down", float(number))
    assert contest is not None
    assert contest.repeats == 0


def test_a_write_that_stands_ends_it() -> None:
    contest = written(FREE + 3)
    assert wait_before(contest, b"c", contest.at + QUIET) == 0
    assert after_write(contest, b"c", contest.at + QUIET).repeats == 0


def test_content_is_what_extsync_keeps_of_an_object() -> None:
    annotated = msgspec.structs.replace(
        SLICE, metadata=msgspec.structs.replace(SLICE.metadata, annotations={"theirs": "1"}, resource_version="7")
    )
    relabelled = msgspec.structs.replace(SLICE, metadata=msgspec.structs.replace(SLICE.metadata, labels={"x": "2"}))
    emptied = msgspec.structs.replace(SLICE, endpoints=())
    assert content_of(Create(SLICE)) == content_of(Update(annotated))
    others = {content_of(Update(relabelled)), content_of(Update(emptied)), content_of(Delete.of(SLICE, ""))}
    assert len(others | {content_of(Create(SLICE))}) == 4


def test_the_object_of_another_service_of_the_name_is_new() -> None:
    def owned_by(uid: str) -> EndpointSlice:
        owner = OwnerReference(api_version="v1", kind="Service", name="s", uid=uid, controller=True)
        return msgspec.structs.replace(
            SLICE, metadata=msgspec.structs.replace(SLICE.metadata, owner_references=(owner,))
        )

    assert content_of(Create(owned_by("1"), "why")) != content_of(Create(owned_by("2"), "why"))


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        (None, "somebody"),
        ([("extsync", 5), ("kubectl-edit", 7)], "kubectl-edit"),
        ([("extsync", 5), ("kubectl-edit", 7), ("argocd", 7), ("helm", 6)], "kubectl-edit and argocd"),
        ([("extsync", 5), ("kubectl-edit", 3)], "another process of extsync with the same owner id"),
        ([("extsync", 5), ("vendor", 5)], "vendor"),
    ],
)
def test_the_rival_is_who_wrote_last(fields: list[tuple[str, int]] | None, who: str) -> None:
    entries: tuple[dict[str, Any], ...] | None = None
    if fields is not None:
        entries = tuple({"manager": name, "time": f"2026-01-01T00:00:0{second}Z"} for name, second in fields)
    metadata = msgspec.structs.replace(SLICE.metadata, managed_fields=entries)
    assert rivals(msgspec.structs.replace(SLICE, metadata=metadata)) == who
