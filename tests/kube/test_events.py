"""Events: what is said is written once, counted, put together and limited, and nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from extsync.errors import Forbidden, StoreError, TooManyRequests, Unavailable
from extsync.kube.events import ATTEMPTS, BURST, MOST_QUEUED, SIMILAR, SIMILAR_WITHIN, Recorder
from extsync.kube.memory import Fault, MemoryStore
from extsync.objects import Event, KubeObject, ObjectMeta, Service
from extsync.seams.virtual import SeededRandom, VirtualClock, virtual_time

NAMESPACE = "test"
ORDERS = Service(metadata=ObjectMeta(name="orders", namespace=NAMESPACE, uid="u-1", resource_version="7"))
OTHER = Service(metadata=ObjectMeta(name="other", namespace=NAMESPACE, uid="u-2", resource_version="8"))


class Rig:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        random = SeededRandom(0)
        self.error: StoreError | None = None
        self.requests: list[str] = []
        self.store = MemoryStore(clock=self.clock, random=random, namespaces=[NAMESPACE], faults=self._fault)
        self.recorder = Recorder(self.store, clock=self.clock, random=random, instance="extsync-1")

    def _fault(self, verb: str, kind: type[KubeObject], at: tuple[str, str]) -> Fault | None:
        self.requests.append(verb)
        return None if self.error is None else Fault(error=self.error)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self.store.running():
            task = asyncio.create_task(self.recorder.run())
            yield
            assert not task.done()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def events(self) -> list[Event]:
        await self.clock.sleep(0.1)
        return list((await self.store.list(Event, namespace=NAMESPACE)).items)


@virtual_time
async def test_an_event_names_its_object_and_who_says_what() -> None:
    rig = Rig()
    async with rig.running():
        rig.recorder.tell(ORDERS, "Warning", "ProberIsolated", "nothing can be reached")
        [event] = await rig.events()
    about = event.involved_object
    assert (about.kind, about.namespace, about.name, about.uid) == ("Service", NAMESPACE, "orders", "u-1")
    assert (about.api_version, about.resource_version) == ("v1", "7")
    assert (event.type, event.reason, event.message) == ("Warning", "ProberIsolated", "nothing can be reached")
    assert (event.count, event.reporting_component, event.reporting_instance) == (1, "extsync", "extsync-1")
    assert event.first_timestamp == event.last_timestamp
    assert event.first_timestamp is not None
    assert event.first_timestamp.endswith("Z")


@virtual_time
async def test_what_is_said_again_is_counted() -> None:
    rig = Rig()
    async with rig.running():
        for _ in range(3):
            rig.recorder.tell(ORDERS, "Normal", "Recovered", "it is back")
            await rig.clock.sleep(5)
        rig.recorder.tell(OTHER, "Normal", "Recovered", "it is back")
        events = await rig.events()
    counted = {event.involved_object.name: event for event in events}
    assert {name: event.count for name, event in counted.items()} == {"orders": 3, "other": 1}
    assert counted["orders"].first_timestamp != counted["orders"].last_timestamp


@virtual_time
async def test_many_messages_of_one_reason_share_an_event() -> None:
    rig = Rig()
    async with rig.running():
        for number in range(SIMILAR + 4):
            rig.recorder.tell(ORDERS, "Normal", "EndpointDown", f"192.0.2.{number} is down")
        events = await rig.events()
    assert len(events) == SIMILAR
    [combined] = [event for event in events if event.message.startswith("(combined from similar events): ")]
    assert (combined.count, combined.message[-18:]) == (5, "192.0.2.13 is down")


@virtual_time
async def test_after_a_quiet_time_messages_count_by_themselves_again() -> None:
    rig = Rig()
    async with rig.running():
        for number in range(SIMILAR):
            rig.recorder.tell(ORDERS, "Normal", "EndpointDown", f"192.0.2.{number} is down")
        await rig.clock.sleep(SIMILAR_WITHIN + 1)
        rig.recorder.tell(ORDERS, "Normal", "EndpointDown", "192.0.2.99 is down")
        messages = [event.message for event in await rig.events()]
    assert "192.0.2.99 is down" in messages


@virtual_time
async def test_an_object_gets_only_so_many_and_the_others_theirs() -> None:
    rig = Rig()
    async with rig.running():
        for _ in range(100):
            rig.recorder.tell(ORDERS, "Normal", "Recovered", "it is back")
        rig.recorder.tell(OTHER, "Normal", "Recovered", "it is back")
        counts = {event.involved_object.name: event.count for event in await rig.events()}
        assert counts == {"orders": BURST, "other": 1}
        assert rig.recorder.dropped == 100 - BURST
        await rig.clock.sleep(300)
        rig.recorder.tell(ORDERS, "Normal", "Recovered", "it is back")
        counts = {event.involved_object.name: event.count for event in await rig.events()}
    assert counts["orders"] == BURST + 1


@virtual_time
async def test_an_event_that_has_expired_is_made_anew() -> None:
    rig = Rig()
    async with rig.running():
        rig.recorder.tell(ORDERS, "Normal", "Recovered", "it is back")
        [event] = await rig.events()
        rig.store.remove(Event, *event.key)
        await rig.clock.sleep(1)
        rig.recorder.tell(ORDERS, "Normal", "Recovered", "it is back")
        [anew] = await rig.events()
    assert (anew.count, anew.metadata.name != event.metadata.name) == (1, True)


@pytest.mark.parametrize("error", [Unavailable("503"), TooManyRequests("429", retry_after=2.0)])
@virtual_time
async def test_it_waits_for_a_server_that_is_away_but_not_for_ever(error: StoreError) -> None:
    rig = Rig()
    async with rig.running():
        rig.error = error
        rig.recorder.tell(ORDERS, "Normal", "Recovered", "it is back")
        await rig.clock.sleep(20)
        rig.error = None
        await rig.clock.sleep(30)
        assert len(await rig.events()) == 1
        rig.error = error
        before = len(rig.requests)
        rig.recorder.tell(OTHER, "Normal", "Recovered", "it is back")
        await rig.clock.sleep(ATTEMPTS * 31)
        assert len(rig.requests) - before == ATTEMPTS
        assert rig.recorder.dropped == 1


@virtual_time
async def test_a_missing_right_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    async with rig.running():
        rig.error = Forbidden("events is forbidden")
        for number in range(3):
            rig.recorder.tell(ORDERS, "Normal", "Recovered", f"it is back {number}")
        await rig.clock.sleep(1)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 1
    assert said[0].startswith("events cannot be written: events is forbidden")


@virtual_time
async def test_what_comes_faster_than_it_can_be_written_is_dropped_and_counted() -> None:
    rig = Rig()
    async with rig.running():
        for number in range(MOST_QUEUED + 5):
            rig.recorder.tell(ORDERS, "Normal", "Recovered", f"it is back {number}")
        assert rig.recorder.dropped == 5


@virtual_time
async def test_events_on_many_objects_go_out_no_faster_than_is_allowed() -> None:
    rig = Rig()
    async with rig.running():
        began = rig.clock.monotonic()
        for number in range(230):
            rig.recorder.tell(
                Service(metadata=ObjectMeta(name=f"s-{number}", namespace=NAMESPACE)), "Normal", "Up", "up"
            )
        while len(await rig.events()) < 230:
            pass
        assert 9.0 < rig.clock.monotonic() - began < 11.0  # 30 at once, and then 20 a second


@virtual_time
async def test_a_message_is_one_line_that_steers_no_terminal_and_that_the_server_takes() -> None:
    rig = Rig()
    async with rig.running():
        rig.recorder.tell(ORDERS, "Warning", "SourceFailing", "a\x1b[2J\n\u202e\ud800é")
        [event] = await rig.events()
    assert event.message == "a\ufffd[2J\ufffd\ufffd\ufffdé"


@virtual_time
async def test_a_message_is_cut_where_the_server_would_refuse_it() -> None:
    rig = Rig()
    async with rig.running():
        rig.recorder.tell(ORDERS, "Normal", "Recovered", "ü" * 1000)
        [event] = await rig.events()
    assert len(event.message.encode()) <= 1024
    assert event.message.endswith("…")
