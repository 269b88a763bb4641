"""The stream of events on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import msgspec
import pytest
from aiohttp import ClientPayloadError, ClientResponse, ClientSession, ClientTimeout, web

from tests.web.stage import Stage, manifest

pytestmark = pytest.mark.sockets

A, B = "192.0.2.1", "192.0.2.2"


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage(["test"])
    made.put(manifest("test", "web", [A], checked=False))
    async with made.running():
        yield made


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession(timeout=ClientTimeout(total=50.0)) as one:
        yield one


async def event(answer: ClientResponse) -> dict[str, str]:
    """The next event, by field."""
    fields: dict[str, str] = {}
    while line := (await answer.content.readline()).decode().rstrip("\n"):
        name, _, value = line.partition(": ")
        fields[name] = value
    return fields


async def services(answer: ClientResponse, name: str = "services") -> dict[str, str]:
    while (told := await event(answer)).get("event") != name:
        pass
    return told


async def test_events_come_as_they_happen_and_go_on_from_where_they_broke_off(
    stage: Stage, session: ClientSession
) -> None:
    async with stage.serving() as url, session.get(f"{url}/api/v1/events") as answer:
        assert answer.content_type == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        assert (await event(answer)) == {"retry": "2000"}
        await stage.settled(1)
        stage.put(manifest("test", "web", [A, B], checked=False))
        while True:
            told = await services(answer)
            rows = msgspec.json.decode(told["data"])["items"]
            if rows and rows[0]["ready"] == 2:
                break
        async with session.get(f"{url}/api/v1/events", headers={"Last-Event-ID": told["id"]}) as again:
            assert msgspec.json.decode((await services(again))["data"])["first"] is False


async def test_so_many_may_watch_and_the_next_is_told_why_not(
    stage: Stage, session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extsync.web.stream.MOST_STREAMS", 2)
    async with stage.serving() as url, AsyncExitStack() as watching:
        for _ in range(2):
            await services(await watching.enter_async_context(session.get(f"{url}/api/v1/events")), "process")
        async with session.get(f"{url}/api/v1/events") as refused:
            assert refused.status == 503
            assert (await refused.json())["error"].startswith("2 others watch already")
        async with session.head(f"{url}/api/v1/events") as head:
            assert (head.status, head.content_type) == (200, "text/event-stream")


async def test_a_stream_ends_with_the_process_and_holds_nothing_up(stage: Stage, session: ClientSession) -> None:
    async with AsyncExitStack() as serving:
        url = await serving.enter_async_context(stage.serving())
        async with session.get(f"{url}/api/v1/events") as answer:
            await services(answer)
            await serving.aclose()
            await answer.content.read()


async def test_who_reads_too_slowly_is_cut_off(
    stage: Stage, session: ClientSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def never(response: web.StreamResponse, data: bytes) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("extsync.web.stream.WRITE_SECONDS", 0.01)
    monkeypatch.setattr("aiohttp.web.StreamResponse.write", never)
    async with stage.serving() as url, session.get(f"{url}/api/v1/events") as answer:
        with pytest.raises((ClientPayloadError, ConnectionError)):
            await answer.content.read()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
