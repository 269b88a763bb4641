"""A metered store answers as the store behind it, and counts what was asked and what failed."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from extsync.errors import Conflict, NotFound, Unavailable
from extsync.kube.memory import Fault, MemoryStore
from extsync.kube.metered import Metered
from extsync.objects import EndpointSlice
from extsync.seams.virtual import SeededRandom, VirtualClock, virtual_time
from tests.contract.things import slice_of


def metered() -> tuple[MemoryStore, Metered]:
    clock = VirtualClock()
    store = MemoryStore(clock=clock, random=SeededRandom(0), namespaces=["default"])
    return store, Metered(store, clock)


@virtual_time
async def test_requests_are_counted_by_verb_and_kind_and_failures_by_code() -> None:
    store, meter = metered()
    made = await meter.create(slice_of("default", "one"))
    await meter.update(made)
    assert (await meter.list(EndpointSlice)).items
    with pytest.raises(NotFound):
        await meter.get(EndpointSlice, "default", "missing")
    with pytest.raises(Conflict):
        await meter.delete(EndpointSlice, "default", "one", uid="another")
    store.faults = lambda verb, kind, key: Fault(error=Unavailable("scripted"))
    with pytest.raises(Unavailable):
        await meter.create(slice_of("default", "two"))
    verbs = {"create": 2, "update": 1, "list": 1, "get": 1, "delete": 1}
    assert meter.requests.sent == {(verb, "EndpointSlice"): number for verb, number in verbs.items()}
    failed = {("get", "404"), ("delete", "409"), ("create", "unavailable")}
    assert meter.requests.failed == {(verb, "EndpointSlice", code): 1 for verb, code in failed}
    assert sum(meter.requests.write_seconds.counts) == 4


@virtual_time
async def test_a_write_counts_once_it_is_made_so_that_no_count_ever_shrinks() -> None:
    store, meter = metered()
    store.faults = lambda verb, kind, key: Fault(error=Unavailable("scripted"), before=1.0)
    writing = asyncio.create_task(meter.create(slice_of("default", "one")))
    await meter._clock.sleep(0.5)
    assert meter.requests.sent["create", "EndpointSlice"] == 1
    assert meter.requests.written["create", "EndpointSlice"] == 0
    with pytest.raises(Unavailable):
        await writing
    store.faults = lambda verb, kind, key: None
    await meter.create(slice_of("default", "one"))
    assert meter.requests.written["create", "EndpointSlice"] == 1


@virtual_time
async def test_a_watch_passes_through_and_ends_when_it_is_closed() -> None:
    store, meter = metered()
    async with store.running(), aclosing(meter.watch(EndpointSlice, resource_version=None)) as events:
        await meter.create(slice_of("default", "one"))
        seen = [await anext(events), await anext(events)]
    assert any(event.object is not None and event.object.metadata.name == "one" for event in seen)
    assert meter.requests.sent["watch", "EndpointSlice"] == 1
