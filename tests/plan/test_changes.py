from __future__ import annotations

import pytest

from extsync.changes import ApplyService, Create, Delete, Update
from extsync.objects import Endpoints, EndpointSlice, ObjectMeta
from extsync.plan.changes import Changes, Policy, allowed

SLICE = EndpointSlice(metadata=ObjectMeta(name="s"), address_type="IPv4")
ENDPOINTS = Endpoints(metadata=ObjectMeta(name="e"))
APPLY, CREATE_SLICE, CREATE_ENDPOINTS = ApplyService({}), Create(SLICE), Create(ENDPOINTS)
UPDATE_SLICE, UPDATE_ENDPOINTS = Update(SLICE), Update(ENDPOINTS)
DELETE_SLICE = Delete(EndpointSlice, "n", "s", "u")


def test_changes_are_counted_by_kind() -> None:
    changes = Changes((APPLY, CREATE_SLICE, CREATE_ENDPOINTS, UPDATE_SLICE, DELETE_SLICE))
    assert changes.summary == "1 to apply, 2 to create, 1 to update, 1 to delete"
    assert (len(changes), changes.is_empty) == (5, False)
    assert list(changes) == [APPLY, CREATE_SLICE, CREATE_ENDPOINTS, UPDATE_SLICE, DELETE_SLICE]
    assert changes.applies == (APPLY,)


def test_no_changes_say_so() -> None:
    assert Changes().summary == "no changes"
    assert Changes().is_empty


@pytest.mark.parametrize(
    ("policy", "exists", "given", "passed"),
    [
        ("sync", True, (APPLY, UPDATE_SLICE, DELETE_SLICE), (APPLY, UPDATE_SLICE, DELETE_SLICE)),
        ("upsert-only", True, (APPLY, CREATE_SLICE, UPDATE_SLICE, DELETE_SLICE), (APPLY, CREATE_SLICE, UPDATE_SLICE)),
        ("create-only", False, (APPLY, CREATE_SLICE), (APPLY, CREATE_SLICE)),
        ("create-only", True, (APPLY, CREATE_SLICE, UPDATE_ENDPOINTS), (CREATE_SLICE,)),
        ("create-only", True, (CREATE_SLICE, UPDATE_SLICE, CREATE_ENDPOINTS), (CREATE_ENDPOINTS,)),
        ("create-only", True, (CREATE_SLICE, DELETE_SLICE), ()),
    ],
)
def test_a_policy_lets_through_what_it_says(
    policy: Policy, exists: bool, given: tuple[object, ...], passed: tuple[object, ...]
) -> None:
    changes = Changes(given)  # type: ignore[arg-type]
    assert allowed(changes, policy, service_exists=exists).items == passed
