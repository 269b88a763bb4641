"""Commands in pods, over real websockets that speak Kubernetes's channel protocols."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from extsync.errors import Forbidden, StoreError, TooLarge, Unavailable
from extsync.kube import remote_command
from extsync.kube.access import Access
from extsync.kube.credentials import Fixed
from extsync.kube.remote_command import Executed, execute
from extsync.kube.transport import Transport
from extsync.seams import SystemClock, SystemDialer
from tests.kube.exec_server import ExecServer, served

pytestmark = pytest.mark.sockets


@asynccontextmanager
async def transport(server: ExecServer) -> AsyncIterator[Transport]:
    async with served(server):
        access = Access(
            server.url,
            tls=ssl.create_default_context(),
            credentials=Fixed((("Authorization", "Bearer sesame-open"),)),
            place="the test",
        )
        made = Transport(access, clock=SystemClock(), dialer=SystemDialer())
        try:
            yield made
        finally:
            await made.close()


async def run(server: ExecServer, *command: str, timeout: float = 20.0) -> Executed:
    async with transport(server) as made:
        return await execute(made, "shop", "web-0", "app", command, timeout=timeout)


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
async def test_a_command_runs_and_its_output_comes_back(protocol: str) -> None:
    server = ExecServer(protocols=[protocol])
    done = await run(server, "sh", "-c", 'echo "$1"; echo careful >&2', "sh", "a & b=c?")
    assert done == Executed("a & b=c?\n", "careful\n", "", protocol)
    [(path, query)] = server.asked
    assert path == "/api/v1/namespaces/shop/pods/web-0/exec"
    assert (query["container"], query["stdout"], query["stderr"]) == (["app"], ["true"], ["true"])
    assert server.tokens == ["Bearer sesame-open"]


async def test_the_newest_protocol_that_both_speak_is_used() -> None:
    assert (await run(ExecServer(), "true")).protocol == "v5.channel.k8s.io"


async def test_a_command_that_fails_says_how() -> None:
    done = await run(ExecServer(), "sh", "-c", "echo half; exit 3")
    assert (done.stdout, done.failure) == ("half\n", "command terminated with non-zero exit code: exit status 3")


async def test_long_output_arrives_whole() -> None:
    assert len((await run(ExecServer(), "seq", "3000")).stdout.splitlines()) == 3000


async def test_output_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_command, "MOST_OUTPUT", 5000)
    with pytest.raises(TooLarge, match="over 5000 bytes of output"):
        await run(ExecServer(), "seq", "3000")


async def test_a_connection_that_ends_before_the_command_is_no_success() -> None:
    with pytest.raises(Unavailable, match="ended before the command did"):
        await run(ExecServer(ends_early=True), "true")


@pytest.mark.parametrize(("code", "error"), [(403, Forbidden), (500, Unavailable)])
async def test_a_refused_upgrade_is_the_error_that_its_code_stands_for(code: int, error: type[StoreError]) -> None:
    with pytest.raises(error, match=f"exec in Pod shop/web-0: .* HTTP {code}"):
        await run(ExecServer(refuses=code), "true")


async def test_a_command_that_does_not_end_is_left_at_the_deadline() -> None:
    with pytest.raises(Unavailable, match="did not answer in time"):
        await run(ExecServer(), "sleep", "5", timeout=0.3)
