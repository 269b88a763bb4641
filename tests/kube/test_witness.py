"""A store that is witnessed answers as the store behind it; that its data went back shows in the answers to writes."""

from __future__ import annotations

from contextlib import aclosing

import msgspec
import pytest

from extsync.errors import Conflict
from extsync.kube.era import Era
from extsync.kube.memory import MemoryStore
from extsync.kube.witness import Witness
from extsync.objects import FIELD_MANAGER, EndpointSlice
from extsync.seams.virtual import SeededRandom, VirtualClock, virtual_time
from tests.contract.things import endpoints_of, service_body, slice_of


def witnessed() -> tuple[MemoryStore, Witness, Era]:
    era = Era()
    store = MemoryStore(clock=VirtualClock(), random=SeededRandom(0), namespaces=["default"])
    return store, Witness(store, era), era


def changed(slice_: EndpointSlice, value: str) -> EndpointSlice:
    metadata = msgspec.structs.replace(slice_.metadata, annotations={"changed": value})
    return msgspec.structs.replace(slice_, metadata=metadata)


@virtual_time
async def test_versions_that_grow_show_nothing() -> None:
    store, witness, era = witnessed()
    one = await witness.create(slice_of("default", "one"))
    one = await witness.update(changed(one, "x"))
    await witness.delete(EndpointSlice, "default", "one", uid=one.metadata.uid or "")
    await store.create(slice_of("default", "two"))
    assert await witness.version(EndpointSlice) == (await witness.list(EndpointSlice)).resource_version
    await witness.create(slice_of("default", "three"))
    assert era.number == 0


@virtual_time
async def test_a_write_that_changes_nothing_shows_nothing() -> None:
    _, witness, era = witnessed()
    one = await witness.create(slice_of("default", "one"))
    service = await witness.apply_service(service_body("default"), field_manager=FIELD_MANAGER)
    await witness.create(slice_of("default", "two"))
    await witness.apply_service(service_body("default", "other"), field_manager=FIELD_MANAGER)
    assert await witness.update(one) == one
    same = service_body("default")
    await witness.apply_service(same, field_manager=FIELD_MANAGER)
    same["metadata"] |= {"uid": service.metadata.uid, "resourceVersion": service.metadata.resource_version}
    await witness.apply_service(same, field_manager=FIELD_MANAGER)
    assert era.number == 0


@virtual_time
async def test_an_answer_that_is_older_than_what_was_written_before_shows_once_that_data_are_lost() -> None:
    store, witness, era = witnessed()
    one = await witness.create(slice_of("default", "one"))
    backup = store.backup()
    two = await witness.create(slice_of("default", "two"))
    await witness.update(changed(two, "x"))
    store.restore(backup)
    one = await witness.update(changed(one, "x"))
    assert era.number == 1
    await witness.update(changed(one, "y"))
    assert era.number == 1


@virtual_time
async def test_so_does_one_that_is_older_than_what_a_watch_or_a_list_has_shown() -> None:
    for read in (_watched, _listed):
        store, witness, era = witnessed()
        backup = store.backup()
        for name in ("one", "two", "three"):
            await store.create(slice_of("default", name))
        await read(witness)
        store.restore(backup)
        await witness.create(slice_of("default", "four"))
        assert era.number == 1


async def _watched(witness: Witness) -> None:
    async with aclosing(witness.watch(EndpointSlice, resource_version=None)) as events:
        async for event in events:
            if event.initial_end:
                return


async def _listed(witness: Witness) -> None:
    await witness.list(EndpointSlice)


@virtual_time
async def test_kinds_are_not_compared_with_each_other() -> None:
    """They may be kept in different places, and count for themselves there."""
    store, witness, era = witnessed()
    backup = store.backup()
    await witness.create(slice_of("default", "one"))
    await witness.create(slice_of("default", "two"))
    store.restore(backup)
    await witness.create(endpoints_of("default", "one", "192.0.2.1"))
    assert era.number == 0


@virtual_time
async def test_what_others_have_noticed_already_is_not_noticed_again() -> None:
    store, witness, era = witnessed()
    backup = store.backup()
    await witness.create(slice_of("default", "one"))
    await witness.create(slice_of("default", "two"))
    store.restore(backup)
    era.ended(0)
    await witness.create(slice_of("default", "three"))
    assert era.number == 1


@virtual_time
async def test_so_does_an_object_that_is_older_than_an_update_that_was_refused_took_it_for() -> None:
    store, witness, era = witnessed()
    one = await witness.create(slice_of("default", "one"))
    backup = store.backup()
    newer = await store.update(changed(one, "x"))
    store.restore(backup)
    for name in ("two", "three"):
        await store.create(slice_of("default", name))
    with pytest.raises(Conflict):
        await witness.update(changed(newer, "y"))
    assert era.number == 0
    assert await witness.get(EndpointSlice, "default", "one") == one
    assert era.number == 1


@virtual_time
async def test_an_update_that_somebody_else_was_faster_than_shows_nothing() -> None:
    store, witness, era = witnessed()
    one = await witness.create(slice_of("default", "one"))
    await store.update(changed(one, "x"))
    with pytest.raises(Conflict):
        await witness.update(changed(one, "y"))
    await witness.get(EndpointSlice, "default", "one")
    assert era.number == 0
