"""What is told to those who watch: everything, then what changes, and to a slow one only how things are now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import msgspec
import pytest

from extsync.engine.status import ServiceStatus
from extsync.model import ServiceKey
from extsync.seams.virtual import virtual_time
from extsync.web import board as boards
from extsync.web.board import Board, Message
from extsync.web.openapi import document
from tests.engine.support import NAMESPACE, A, B, Rig, feed, manifest, rack, ready

NAMES = [f"web-{number}" for number in range(5)]


class Watcher:
    """Somebody who watches, and what was told last of each service."""

    def __init__(self, board: Board, after: str = "") -> None:
        self._messages: AsyncIterator[Message] = board.messages(after)
        self.services: dict[str, Any] = {}
        self.told = 0
        self.begun = 0
        self.most = 0
        self.last = after

    async def next(self) -> tuple[str, Any]:
        """One event and its data."""
        message = await anext(self._messages)
        data = msgspec.json.decode(message.data)
        self.last = message.id or self.last
        if message.event == "services":
            if data["first"]:
                self.services.clear()
                self.begun += 1
            self.services.update({one["name"]: one for one in data["items"]})
            for name in data["gone"]:
                self.services.pop(name.partition("/")[2], None)
            self.told += len(data["items"])
            self.most = max(self.most, len(data["items"]))
        return message.event, data

    async def rest(self) -> int:
        """How many more messages there are; returns when they end."""
        return len([message async for message in self._messages])

    async def complete(self) -> None:
        """Reads until nothing is left to be told."""
        while True:
            event, data = await self.next()
            if event == "services" and data["complete"]:
                return


def services(*names: str) -> list[dict[str, Any]]:
    return [manifest(name, feed(name), checks=[]) for name in names]


def fed(rig: Rig, *names: str) -> None:
    for name in names:
        rig.feed(name).found(A)


async def published(rig: Rig, *names: str) -> None:
    await rig.until(lambda: all(rig.slices(name) == ready(A) for name in names), within=30.0)


@virtual_time
async def test_every_service_is_told_then_what_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "MOST_TOLD", 2)
    rig = Rig()
    fed(rig, *NAMES)
    async with rig.running(*services(*NAMES)):
        await published(rig, *NAMES)
        board = Board(rig.engine, rig.clock)
        async with board.watched():
            watcher = Watcher(board)
            await watcher.complete()
            assert sorted(watcher.services) == NAMES
            assert (watcher.begun, watcher.most, watcher.told) == (1, 2, 5)
            rig.feed("web-3").found(A, B)
            await watcher.complete()
            assert watcher.services["web-3"]["ready"] == 2
            assert watcher.told == 6


@virtual_time
async def test_who_reads_slowly_misses_what_was_in_between() -> None:
    rig = Rig()
    fed(rig, "web-0")
    async with rig.running(*services("web-0")):
        await published(rig, "web-0")
        board = Board(rig.engine, rig.clock)
        async with board.watched():
            slow = Watcher(board)
            await slow.complete()
            for number in range(30):
                rig.feed("web-0").found(A, *([B] if number % 2 else []))
                await rig.clock.sleep(5.0)
            await slow.complete()
            assert slow.told <= 3
            assert slow.services["web-0"]["ready"] == 2


@virtual_time
async def test_a_change_is_encoded_once_for_all_who_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    fed(rig, *NAMES)
    async with rig.running(*services(*NAMES)):
        await published(rig, *NAMES)
        await rig.clock.sleep(10.0)
        asked: list[ServiceKey] = []
        status = rig.engine.service_status

        def noted(key: ServiceKey) -> ServiceStatus | None:
            asked.append(key)
            return status(key)

        monkeypatch.setattr(rig.engine, "service_status", noted)
        board = Board(rig.engine, rig.clock)
        async with board.watched():
            watchers = [Watcher(board) for _ in range(10)]
            for watcher in watchers:
                await watcher.complete()
            await rig.clock.sleep(60.0)
            assert len(asked) == len(NAMES)
            assert all(sorted(watcher.services) == NAMES for watcher in watchers)


@virtual_time
async def test_who_comes_back_is_told_what_changed_meanwhile() -> None:
    rig = Rig()
    fed(rig, *NAMES)
    async with rig.running(*services(*NAMES)):
        await published(rig, *NAMES)
        board = Board(rig.engine, rig.clock)
        async with board.watched():
            before = Watcher(board)
            await before.complete()
            rig.feed("web-1").found(A, B)
            await rig.clock.sleep(5.0)
            back = Watcher(board, before.last)
            await back.complete()
            assert (back.begun, sorted(back.services)) == (0, ["web-1"])
            for unknown in ("", "nonsense", "1.000/3", f"{before.last}9999", "/"):
                other = Watcher(board, unknown)
                await other.complete()
                assert (other.begun, sorted(other.services)) == (1, NAMES)


@virtual_time
async def test_services_that_leave_are_told_and_in_the_end_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "MOST_GONE", 2)
    rig = Rig()
    fed(rig, *NAMES)
    async with rig.running(*services(*NAMES)):
        await published(rig, *NAMES)
        board = Board(rig.engine, rig.clock)
        async with board.watched():
            one, late = Watcher(board), Watcher(board)
            await one.complete()
            await late.complete()
            known = late.last
            rig.manifests.put(*services(*NAMES[:4]))
            await rig.until(lambda: len(rig.engine.service_keys()) == 4, within=300.0)
            await rig.clock.sleep(1.0)
            await one.complete()
            assert (sorted(one.services), one.begun) == (NAMES[:4], 1)
            rig.manifests.put(*services(NAMES[0]))
            await rig.until(lambda: len(rig.engine.service_keys()) == 1, within=300.0)
            await rig.clock.sleep(1.0)
            await late.complete()
            again = Watcher(board, known)
            await again.complete()
            assert (sorted(late.services), late.begun) == (NAMES[:1], 2)
            assert (sorted(again.services), again.begun) == (NAMES[:1], 1)


@virtual_time
async def test_where_nobody_watches_nothing_is_followed() -> None:
    rig = Rig()
    fed(rig, "web-0")
    async with rig.running(*services("web-0")):
        await published(rig, "web-0")
        board = Board(rig.engine, rig.clock)
        async with board.watched(), board.watched():
            await rig.clock.sleep(1.0)
            assert board._lines
        assert not board._lines
        rig.feed("web-0").found(A, B)
        await rig.clock.sleep(5.0)
        assert not board._changed
        async with board.watched():
            watcher = Watcher(board)
            await watcher.complete()
            assert watcher.services["web-0"]["ready"] == 2


@virtual_time
async def test_messages_end_when_the_process_does() -> None:
    rig = Rig()
    async with rig.running():
        board = Board(rig.engine, rig.clock)
        async with board.watched():
            watcher = Watcher(board)
            await watcher.complete()
            board.close()
            assert await watcher.rest() <= 1


@virtual_time
async def test_what_is_told_is_as_described() -> None:
    rig = Rig()
    rig.up(A)
    rig.feed().fail()
    kinds = {"process": "ProcessDocument", "services": "ServicesEvent"}
    components = document()["components"]
    async with rig.running(manifest("web", rack(A), feed())):
        await rig.clock.sleep(30.0)
        board = Board(rig.engine, rig.clock)
        async with board.watched():
            watcher, seen = Watcher(board), set()
            for _ in range(4):
                event, data = await watcher.next()
                seen.add(event)
                schema = {"$ref": f"#/components/schemas/{kinds[event]}", "components": components}
                jsonschema.validate(data, schema)
    assert seen == set(kinds)
    sources = {one["name"]: one for one in watcher.services["web"]["sources"]}
    assert sources["feed"]["goodAt"] is None
    assert (sources["feed"]["lastError"], sources["feed"]["lastErrorAt"]) == ("scripted", "2027-01-15T08:00:00Z")
    assert watcher.services["web"]["namespace"] == NAMESPACE


@virtual_time
@pytest.mark.parametrize("number", ["9" * 5000, "\u0663", "-1", ""])
async def test_an_id_that_no_event_had_begins_anew(number: str) -> None:
    rig = Rig()
    fed(rig, *NAMES)
    async with rig.running(*services(*NAMES)):
        await published(rig, *NAMES)
        board = Board(rig.engine, rig.clock)
        async with board.watched():
            first = Watcher(board)
            await first.complete()
            again = Watcher(board, f"{first.last.partition('/')[0]}/{number}")
            await again.complete()
            assert again.begun == 1
            assert again.services == first.services
