"""The status port on a real socket: health, readiness and metrics, for reading only."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout

from extsync.cli.world import world_of
from extsync.engine.desired import Desired
from extsync.engine.manifests import ManifestFeed
from extsync.engine.options import Options
from extsync.engine.run import Engine
from extsync.errors import ConfigError
from extsync.kube.memory import MemoryStore
from extsync.seams import SystemClock, SystemRandom
from extsync.web import connections, server
from extsync.web.hosts import is_own
from extsync.web.server import serving
from tests.engine.support import NAMESPACE, A, Manifests, manifest, rack

pytestmark = pytest.mark.sockets

LOOPBACK = "127.0.0.1"


class Port:
    """The status port of an engine that need not run."""

    def __init__(self, session: ClientSession, number: int, engine: Engine, store: MemoryStore) -> None:
        self._session = session
        self.number = number
        self.engine = engine
        self._store = store

    async def ask(self, path: str, *, method: str = "GET", accept: str = "", host: str = "") -> tuple[int, str, str]:
        """Status, content type and text."""
        url = f"http://{LOOPBACK}:{self.number}{path}"
        headers = {"Accept": accept, "Host": host or LOOPBACK}
        async with self._session.request(method, url, headers=headers) as answer:
            return answer.status, answer.headers.get("Content-Type", ""), await answer.text()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        manifests = Manifests()
        manifests.put(manifest("web", rack(A), checks=[]))
        feed = ManifestFeed(
            manifests, Desired(removal_delay=60.0), clock=SystemClock(), poll_interval=10.0, hint=manifests.changed
        )
        async with self._store.running():
            run = asyncio.create_task(self.engine.run(feed))
            yield
            run.cancel()
            with suppress(asyncio.CancelledError):
                await run


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    clock = SystemClock()
    store = MemoryStore(clock=clock, random=SystemRandom(), namespaces=[NAMESPACE])
    engine = Engine(world_of(store), Options(namespaces=(NAMESPACE,)))
    async with (
        serving(engine, host=LOOPBACK, port=0, clock=clock) as number,
        ClientSession(timeout=ClientTimeout(total=50.0)) as session,
    ):
        yield Port(session, number, engine, store)


async def test_it_is_ready_once_the_cluster_and_the_manifests_have_been_read(port: Port) -> None:
    assert (await port.ask("/healthz"))[0] == 200
    status, _, text = await port.ask("/readyz")
    assert (status, text) == (503, "the cluster and the manifests have not been read yet\n")
    async with port.running():
        while (await port.ask("/readyz"))[0] != 200:
            pass


async def test_metrics_come_in_the_format_that_is_asked_for(port: Port) -> None:
    async with port.running():
        while (
            'extsync_service_endpoints{namespace="test",service="web",state="ready"} 1.0'
            not in (answer := await port.ask("/metrics"))[2]
        ):
            pass
        assert answer[1].startswith("text/plain; version=0.0.4")
        status, content_type, text = await port.ask("/metrics", accept="application/openmetrics-text; version=1.0.0")
        assert (status, content_type.split(";")[0]) == (200, "application/openmetrics-text")
        assert text.endswith("# EOF\n")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/assets/app.js",
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/v1/status",
        "/api/v1/services",
        "/api/v1/services/test/web",
        "/api/v1/events",
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_can_be_written(port: Port, path: str, method: str) -> None:
    assert (await port.ask(path, method=method))[0] == 405


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01 no HTTP\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Accept: application/openmetrics-text;version=none\r\n\r\n",
    ],
)
async def test_a_request_that_is_none_is_answered_and_fills_no_log(
    port: Port, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, port.number)
    writer.write(request_)
    status = (await reader.read()).split()[1]
    assert status == (b"200" if b"metrics" in request_ else b"400")
    writer.close()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/events", "/api/v1/services", "/"])
async def test_the_answer_to_head_has_no_body(port: Port, path: str) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, port.number)
    writer.write(f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nX-Content-Type-Options: nosniff" in head
    assert b"\r\nServer: extsync\r\n" in head + b"\r\n"
    assert body == b""
    writer.close()


@pytest.mark.parametrize("path", ["/", "/assets/app.js", "/api/v1/status", "/api/v1/events", "/nothing"])
async def test_a_foreign_page_whose_name_resolves_to_loopback_reads_nothing(port: Port, path: str) -> None:
    status, _, text = await port.ask(path, host=f"evil.example:{port.number}")
    assert (status, "localhost" in text) == (421, True)


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
async def test_health_and_metrics_are_told_by_any_name(port: Port, path: str) -> None:
    assert (await port.ask(path, host="vm-1.example.com:9440"))[0] == 200


@pytest.mark.parametrize("host", ["localhost:8001", "127.0.0.1", "[::1]:9440", "extsync:9440", "extsync.extsync.svc"])
async def test_names_that_nobody_can_own_are_answered(port: Port, host: str) -> None:
    assert (await port.ask("/api/v1/status", host=host))[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example@localhost", "localhost.example", "EVIL.EXAMPLE.:80", "127.0.0.1.example"]
)
def test_a_name_that_looks_like_an_own_one_is_foreign(host: str) -> None:
    assert not is_own(host)


async def test_a_scrape_that_is_read_too_slowly_is_cut_off_and_fills_no_log(
    port: Port, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "SCRAPE_SECONDS", 0.0)
    with pytest.raises(ClientError):
        await port.ask("/metrics")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_no_more_than_so_many_scrapes_are_made_at_a_time(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_SCRAPES", 0)
    assert (await port.ask("/metrics"))[0] == 503


async def test_of_too_many_connections_the_oldest_are_cut_and_who_comes_is_served(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 4)
    idle = [await asyncio.open_connection(LOOPBACK, port.number) for _ in range(12)]
    cut = [asyncio.ensure_future(reader.read()) for reader, _ in idle]
    assert (await port.ask("/healthz"))[0] == 200
    await asyncio.wait(cut[:8])
    assert not any(one.done() for one in cut[9:])
    assert (await port.ask("/healthz"))[0] == 200
    for _, writer in idle:
        writer.close()
    await asyncio.gather(*cut, return_exceptions=True)


async def test_what_there_is_not_is_not_found(port: Port) -> None:
    assert (await port.ask("/nothing"))[0] == 404


async def test_an_address_in_use_is_said_with_its_cure(port: Port) -> None:
    with pytest.raises(ConfigError, match=rf"^listen: 127\.0\.0\.1:{port.number} cannot be listened on: .* or none$"):
        async with serving(port.engine, host=LOOPBACK, port=port.number, clock=SystemClock()):
            pass


async def test_it_listens_where_it_is_told_alone(port: Port) -> None:
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", port.number))
