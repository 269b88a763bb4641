"""What only newer versions of Consul send, and what is no Consul at all: over real connections, from a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from extsync.config.sources import ConsulSource as ConsulBlock
from extsync.model import Observation, Outcome
from extsync.sources.consul import ConsulSource
from extsync.sources.consul.pace import Pace
from tests.health.listeners import listening
from tests.sources.client.support import Asked, headers_of, redirect
from tests.sources.consul.support import addresses, body, instance, part
from tests.sources.support import Reports, context, running

pytestmark = pytest.mark.sockets

QUICK = Pace(burst=10, interval=0.01, first_pause=0.01, last_pause=0.05, doubt_pause=0.05)
FULL = body(instance("192.0.2.1"), instance("192.0.2.2"))


def answer(content: bytes, *, status: str = "200 OK", length: int | None = None, **headers: Any) -> bytes:
    """A whole answer; ``X_Consul_Index`` is the header X-Consul-Index."""
    named = {"Content-Length": str(len(content) if length is None else length)}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + content


class AskedOfOrders(Asked):
    """As a proxy that lets nothing through but questions about the service orders."""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            except asyncio.IncompleteReadError:
                return
            await reader.readexactly(int(headers_of(head).get("content-length", "0")))
            if "/v1/health/service/orders?" in head:
                self.heads.append(head)
                writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
            else:
                writer.write(answer(b"not through here", status="403 Forbidden"))
            await writer.drain()


@asynccontextmanager
async def told_by(*answers: bytes, **keys: Any) -> AsyncIterator[tuple[Asked, Reports]]:
    asked = AskedOfOrders(*answers)
    async with listening(asked) as port:
        server = f"http://127.0.0.1:{port}"
        config = ConsulBlock.model_validate({"server": server, "services": ["orders"], "token": "hunter2", **keys})
        async with running(ConsulSource(config, context(), pace=QUICK)) as reports:
            yield asked, reports


def is_in(outcome: Outcome, words: str = "") -> Any:
    def check(report: Observation) -> bool:
        return part(report).outcome is outcome and words in part(report).detail

    return check


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"X_Consul_Results_Filtered_By_Acls": "true"}, "the token needs service:read and node:read"),
        ({"X_Consul_Knownleader": "false"}, "knows of no leader"),
        ({"X_Consul_Lastcontact": "9000"}, "has not heard from its leader for over 5 s"),
    ],
)
async def test_headers_that_speak_against_an_answer_make_it_suspect(headers: dict[str, Any], words: str) -> None:
    good, doubtful = answer(FULL, X_Consul_Index="7"), answer(b"[]", X_Consul_Index="8", **headers)
    async with told_by(good, doubtful, doubtful, doubtful, good) as (asked, reports):
        await reports.until(is_in(Outcome.SUSPECT, words))
        report = await reports.until(is_in(Outcome.FOUND))
    assert addresses(report) == ["192.0.2.1", "192.0.2.2"]
    assert [part(seen).outcome for seen in reports.seen] == [Outcome.FOUND, Outcome.SUSPECT, Outcome.FOUND]
    assert "?consistent= " in asked.heads[0]
    assert "?stale=&index=7&wait=300000ms " in asked.heads[1]
    assert "?consistent= " in asked.heads[2]


@pytest.mark.parametrize(
    ("answered", "words"),
    [
        (answer(b"<!DOCTYPE html>", X_Consul_Index="7"), "the answer is an HTML page"),
        (answer(b"<!DOCTYPE html>"), "the answer has no X-Consul-Index"),
        (answer(b"[", X_Consul_Index="7"), "the answer is not JSON"),
        (answer(b'{"a": 1}', X_Consul_Index="7"), "the answer is no list of instances"),
        (answer(b"", length=1 << 30, X_Consul_Index="7"), "has 1,073,741,824 bytes, and the limit is 67,108,864"),
        (answer(b"No cluster leader", status="500 Internal Server Error"), "the answer has status 500 (No cluster"),
    ],
)
async def test_what_is_no_answer_of_consul_is_one_line(answered: bytes, words: str) -> None:
    async with told_by(answered) as (_, reports):
        report = await reports.until(is_in(Outcome.ERROR))
    assert words in part(report).detail
    assert part(report).detail.startswith("http://127.0.0.1:")
    assert part(report).detail.isprintable()
    assert "hunter2" not in report.detail


async def test_the_token_does_not_follow_a_redirect_elsewhere() -> None:
    elsewhere = Asked(answer(FULL, X_Consul_Index="7"))
    async with listening(elsewhere) as port, told_by(redirect(f"http://127.0.0.1:{port}/")) as (asked, reports):
        await reports.until(is_in(Outcome.FOUND))
    assert "hunter2" in asked.heads[0]
    assert "hunter2" not in elsewhere.heads[0]


async def test_where_a_proxy_lets_nothing_else_through_what_is_removed_still_leaves() -> None:
    before, after = answer(FULL, X_Consul_Index="7"), answer(b"[]", X_Consul_Index="8")
    async with told_by(before, after) as (_, reports):
        await reports.until(is_in(Outcome.FOUND))
        await reports.until(is_in(Outcome.GONE))
    assert [part(seen).outcome for seen in reports.seen] == [Outcome.FOUND, Outcome.GONE]
