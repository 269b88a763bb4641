"""An answer that shows what was sent is no news; anything else in it is."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from extsync.changes import ApplyService, Create, Delete, Update
from extsync.kube.answered import is_as_sent, is_in_vain
from extsync.kube.writer import Done
from extsync.objects import Endpoints, EndpointSlice, KubeObject, ObjectMeta, Service
from tests.contract.things import slice_of

SENT = slice_of("default", "one", "192.0.2.1", labels={"a": "b"}, annotations={"c": "d"})
MADE = replace(
    SENT,
    metadata=replace(SENT.metadata, uid="1", resource_version="2", annotations={"c": "d", "stamped": "by the writer"}),
)
EMPTY = Endpoints(metadata=ObjectMeta(name="one", namespace="default"), subsets=())


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        (SENT, MADE),
        (replace(SENT, endpoints=()), replace(MADE, endpoints=None)),
        (EMPTY, replace(EMPTY, subsets=None)),
    ],
)
def test_what_a_server_adds_to_every_object_is_no_news(sent: KubeObject, got: KubeObject) -> None:
    assert is_as_sent(Done(Create(sent, "why"), got))
    assert is_as_sent(Done(Update(sent, "why"), got))


@pytest.mark.parametrize(
    "got",
    [
        replace(MADE, metadata=replace(MADE.metadata, labels={"a": "another"})),
        replace(MADE, metadata=replace(MADE.metadata, labels={"a": "b", "of": "a webhook"})),
        replace(MADE, metadata=replace(MADE.metadata, annotations={})),
        replace(MADE, endpoints=()),
        replace(MADE, ports=()),
    ],
)
def test_what_was_changed_on_its_way_is(got: EndpointSlice) -> None:
    assert not is_as_sent(Done(Create(SENT, "why"), got))


def test_what_is_deleted_may_make_room() -> None:
    assert not is_as_sent(Done(Delete(EndpointSlice, "default", "one", "1")))


def test_a_service_that_is_as_it_was_before_was_applied_in_vain() -> None:
    before = Service(metadata=ObjectMeta(name="one", namespace="default", uid="1", resource_version="7"))
    after = replace(before, metadata=replace(before.metadata, resource_version="8"))
    assert is_in_vain(Done(ApplyService.of(before, {}, "why"), before))
    assert not is_in_vain(Done(ApplyService.of(before, {}, "why"), after))
    assert not is_in_vain(Done(ApplyService({}, "it is not there"), after))
    assert not is_in_vain(Done(Create(SENT, "why"), MADE))
