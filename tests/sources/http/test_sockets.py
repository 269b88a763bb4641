"""The source with its own client, against real listeners: one clear report for each kind of bad input, and recovery."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from extsync.model import Outcome
from extsync.seams import SystemClock
from extsync.sources.http import HttpSource
from extsync.sources.registry import Registry
from extsync.sources.supervise import first_report
from tests.health.listeners import LOOPBACK, Handler, answering, closing, listening, nobody, resetting, silent
from tests.sources.client.support import Asked, redirect
from tests.sources.http.support import block
from tests.sources.support import GENEROUS, context, running

pytestmark = pytest.mark.sockets

ONE = b'[{"targets": ["10.0.0.1:80"]}]'


def answer(body: bytes, *, status: str = "200 OK", kind: str = "application/json", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def source(port: int, base_dir: Path = Path(), **keys: Any) -> HttpSource:
    config = block(url=f"http://{LOOPBACK}:{port}/sd", refreshInterval="50ms", **keys)
    made: Any = Registry(tuple).create("http", config, context(base_dir))
    assert isinstance(made, HttpSource)
    return made


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (answering(answer(b"<html>Log in</html>", kind="text/html")), "an HTML page instead of JSON"),
        (answering(answer(b"", status="401 Unauthorized")), "wants other credentials (status 401"),
        (answering(answer(b"", status="503 Service Unavailable")), "fails by itself (status 503"),
        (answering(f"HTTP/1.1 200 OK\r\nContent-Length: {1 << 30}\r\n\r\n[".encode()), "1,073,741,824 bytes"),
        (answering(answer(gzip.compress(ONE), more="Content-Encoding: gzip\r\n")), "compressed ('gzip')"),
        (answering(answer(b'[{"targets": ["10.0.0')), "is not JSON"),
        (answering(b"garbage\r\n\r\n"), "does not speak proper HTTP"),
        (answering(redirect("/sd")), "redirects more than 10 times"),
        (resetting(after_request=True, start=b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n["), "broke off"),
        (closing, "closed the connection without an answer"),
    ],
)
async def test_what_a_server_does_wrong_is_one_error_and_the_next_good_answer_ends_it(bad: Handler, told: str) -> None:
    good = answering(answer(ONE))
    behaviour: Handler = good

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await behaviour(reader, writer)

    async with listening(handle) as port, running(source(port)) as reports:
        found = await reports.addresses("10.0.0.1")
        behaviour = bad
        failed = await reports.until(lambda report: report.outcome is not Outcome.FOUND)
        assert failed.outcome is Outcome.ERROR
        assert failed.detail.startswith(f"http://{LOOPBACK}:{port}/sd")
        assert told in failed.detail
        behaviour = good
        assert await reports.addresses("10.0.0.1") is found


async def test_a_server_that_is_not_there_is_one_error() -> None:
    with nobody() as port:
        async with running(source(port)) as reports:
            report = await reports.until(lambda report: True)
    assert report.outcome is Outcome.ERROR
    assert "(connection refused): does the server run, and on this port?" in report.detail


async def test_where_the_first_report_is_waited_for_the_source_says_itself_what_took_too_long() -> None:
    async with listening(silent) as port:
        patient = msgspec.structs.replace(context(), patience=0.2)
        made = HttpSource(block(url=f"http://{LOOPBACK}:{port}/sd"), patient)
        report = await first_report(made, SystemClock(), GENEROUS)
    assert "gave no complete answer within 0.19 s (it ended while waiting for the answer" in report.detail


async def test_a_new_password_in_its_file_counts_from_the_next_read_on(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("old")
    asked = Asked(answer(ONE))
    config = {"basicAuth": {"username": "u", "passwordFile": "password"}}
    async with listening(asked) as port, running(source(port, tmp_path, **config)) as reports:
        await reports.addresses("10.0.0.1")
        assert asked.headers["authorization"] == "Basic dTpvbGQ="
        (tmp_path / "password").write_text("new")
        await until(lambda: asked.headers["authorization"] == "Basic dTpuZXc=")
        (tmp_path / "password").unlink()
        report = await reports.until(lambda report: report.outcome is Outcome.ERROR)
        assert report.detail.endswith(f"/sd: was not asked: {tmp_path}/password: there is no such file or directory")


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0.01)


async def test_a_secret_comes_from_the_environment_of_the_context() -> None:
    asked = Asked(answer(ONE))
    async with listening(asked) as port:
        config = block(url=f"http://{LOOPBACK}:{port}/sd", authorization={"credentials": "${TOKEN}"})
        made = HttpSource(config, msgspec.structs.replace(context(), environ={"TOKEN": "t0ken"}))
        async with running(made) as reports:
            await reports.addresses("10.0.0.1")
    assert asked.headers["authorization"] == "Bearer t0ken"
