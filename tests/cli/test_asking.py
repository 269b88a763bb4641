"""``extsync status`` and ``extsync explain`` ask a running extsync, as users do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from extsync.cli import asking
from extsync.cli.world import world_of
from extsync.engine.desired import Desired
from extsync.engine.manifests import ManifestFeed
from extsync.engine.options import Options
from extsync.engine.run import Engine
from extsync.errors import ExtsyncError, UsageError
from extsync.kube.memory import MemoryStore
from extsync.seams import SystemClock, SystemRandom
from extsync.web.documents import ProcessDocument
from extsync.web.server import serving
from tests.cli.command import COMMAND
from tests.engine.support import NAMESPACE, A, B, Manifests, manifest, rack
from tests.health.listeners import until

pytestmark = pytest.mark.sockets


class Asked:
    """What a command that asks prints."""

    def __init__(self, port: int) -> None:
        self.server = f"http://127.0.0.1:{port}"

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        pipe = asyncio.subprocess.PIPE
        command = (str(COMMAND), *arguments, "--server", self.server)
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    clock = SystemClock()
    store = MemoryStore(clock=clock, random=SystemRandom(), namespaces=[NAMESPACE])
    engine = Engine(world_of(store), Options(namespaces=(NAMESPACE,)))
    manifests = Manifests()
    check = {"tcpSocket": {"port": 1, "host": "127.0.0.1"}, "periodSeconds": 1}
    manifests.put(manifest("web", rack(A), checks=[check]))
    feed = ManifestFeed(manifests, Desired(removal_delay=60.0), clock=clock, poll_interval=10.0, hint=manifests.changed)
    async with store.running(), serving(engine, host="127.0.0.1", port=0, clock=clock) as port:
        run = asyncio.create_task(engine.run(feed))
        await until(lambda: engine.status().probes.failed >= 3)
        yield Asked(port)
        run.cancel()
        await asyncio.wait([run])


async def test_status_lists_services_with_their_endpoints_and_sources(asked: Asked) -> None:
    status, out, err = await asked("status")
    assert (status, err) == (0, "")
    header, row = out.splitlines()[-2:]
    assert header.split() == ["NAMESPACE", "NAME", "READY", "NOT", "READY", "DRAINING", "SOURCES"]
    assert row.split() == [NAMESPACE, "web", "0", "1", "0", "ok"]
    status, out, _ = await asked("status", f"{NAMESPACE}/web", "-o", "json")
    assert [one["notReady"] for one in json.loads(out)["services"]] == [1]


async def test_whoever_watches_sees_the_end_of_a_restart_too() -> None:
    clock = SystemClock()
    engine = Engine(world_of(MemoryStore(clock=clock, random=SystemRandom())), Options())
    pipe = asyncio.subprocess.PIPE
    async with serving(engine, host="127.0.0.1", port=0, clock=clock) as port:
        command = (str(COMMAND), "status", "--watch", "--server", f"http://127.0.0.1:{port}")
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        assert process.stdout is not None
        assert process.stderr is not None
        await process.stdout.readuntil(b"it keeps no service\n")
    told = (await process.stderr.readline()).decode()
    assert told.startswith(f"extsync: http://127.0.0.1:{port}: ")
    assert told.endswith("; it is asked again until it answers\n")
    restarted = Engine(world_of(MemoryStore(clock=clock, random=SystemRandom())), Options(instance="restarted"))
    async with serving(restarted, host="127.0.0.1", port=port, clock=clock):
        await process.stdout.readuntil(b"restarted: 0 services\n")
    process.terminate()
    assert await process.stderr.read() == b""
    await process.wait()


async def test_status_of_what_is_not_kept_finds_nothing(asked: Asked) -> None:
    status, out, _ = await asked("status", f"{NAMESPACE}/other")
    assert (status, out.splitlines()[-1]) == (1, f"it keeps no service {NAMESPACE}/other")


async def test_explain_says_why_an_address_is_not_ready(asked: Asked) -> None:
    status, out, err = await asked("explain", f"{NAMESPACE}/web", A)
    assert (status, err) == (0, "")
    assert f"{A}:80   NotReady" in out
    assert "connection refused" in out
    assert "PROBED" in out


async def test_explain_of_what_is_not_there_says_so(asked: Asked) -> None:
    status, out, _ = await asked("explain", f"{NAMESPACE}/other")
    assert (status, out) == (1, f"extsync does not keep {NAMESPACE}/other; extsync status lists what it keeps\n")
    status, out, _ = await asked("explain", f"{NAMESPACE}/web", B)
    assert (status, out.splitlines()[-1]) == (1, f"no source of {NAMESPACE}/web names {B}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("explain", "web"), "'web' is no service: write NAMESPACE/NAME, such as default/orders"),
        (("explain", "test/web", "db-1"), "'db-1' is no IP address"),
    ],
)
async def test_a_wrong_argument_is_told(asked: Asked, arguments: tuple[str, ...], said: str) -> None:
    assert await asked(*arguments) == (2, "", f"extsync: {said}\n")


async def test_nobody_to_ask_is_told_in_one_line_with_what_to_do() -> None:
    status, out, err = await Asked(1)("status")
    assert (status, out) == (1, "")
    assert err.startswith("extsync: http://127.0.0.1:1: connection refused: nobody listens there; ")
    assert "kubectl port-forward" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"\x00\x01\x02 no HTTP\r\n\r\n", "what answers there does not speak HTTP"),
        (b"", "the connection was closed without an answer; where it speaks TLS, write https:// for http://"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "its answer breaks off"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000, "no answer of extsync's status API"),
        (b'HTTP/1.1 503 No\r\n\r\n{"error":"a\\n\xff"}', "503 No"),
        (b'HTTP/1.1 503 No\r\n\r\n{"error":"a\\n\x1b[31m"}', "503 No"),
        (b'HTTP/1.1 503 No\r\n\r\n{"error":"a\\nb"}', "503 a b"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"\xff\x1b"', "no answer of extsync's status API"),
        (b'HTTP/1.1 421 No\r\nContent-Length: 13\r\n\r\n{"error":"x"}', "421 x"),
    ],
)
async def test_who_answers_and_is_no_extsync_is_told_without_the_password(answer: bytes, said: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, asking.session() as session:
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        running = asking.Running(session, f"http://ann:topsecret@{place}")
        with pytest.raises(ExtsyncError) as told:
            await running.ask("status", kind=ProcessDocument)
    text = str(told.value)
    assert text.startswith(f"http://{place}")
    assert said in text
    assert "topsecret" not in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    "server",
    ["127.0.0.1:9440", "http://", "ftp://x", "http://[::1", "http://x:99999", "http://a..b", "http://xn--", ""],
)
async def test_a_server_that_is_no_url_is_a_wrong_argument(server: str) -> None:
    async with asking.session() as session:
        with pytest.raises(UsageError, match="--server: that is no URL of a status port: write http://HOST:PORT"):
            asking.Running(session, server)


async def test_an_answer_without_an_end_is_not_read_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MOST", 1 << 20)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    async with TestServer(application) as server, asking.session() as session:
        with pytest.raises(ExtsyncError, match="its answer breaks off, or is no answer"):
            await asking.Running(session, str(server.make_url("/"))).ask("status", kind=ProcessDocument)
