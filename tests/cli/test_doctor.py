"""``extsync doctor`` on the command line, without a cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from extsync.cli.main import main
from extsync.cli.running import told_by
from extsync.doctor.facts import Kept, Running, Unread
from extsync.model import ServiceKey
from extsync.web.documents import LeaseDocument, ProcessDocument, ServiceDocument, ServiceSummary, SourceDocument
from tests.cli.command import kubeconfig

KEY = ServiceKey("shop", "orders")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["shop/orders/x"], "is no service"),
        (["/orders"], "is no service"),
        (["shop/orders", "-n", "lab"], "is not in namespace lab"),
        (["--exec"], "name that as NAMESPACE/NAME"),
        (["--from-pod", "web-0"], "name that as NAMESPACE/NAME"),
        (["shop/orders", "--service-account", "extsync"], "write NAMESPACE:NAME"),
    ],
)
def test_a_wrong_command_line(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *flags]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.sockets
def test_an_api_server_that_is_away_is_a_finding_in_every_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:9")
    flags = ["doctor", "shop/orders", "--server", "none", "--kubeconfig", str(path), "--context", "lab"]
    assert main(flags) == 1
    text = capsys.readouterr().out
    assert text.startswith("ERROR cluster: the API server cannot be asked")
    assert text.endswith("1 error, 0 warnings, 0 notes, 0 in order; looked at 0 Services and the cluster\n")
    assert main([*flags, "-o", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["healthy"], document["services"], document["omitted"]) == (False, [], 0)
    [finding] = document["findings"]
    assert set(finding) == {"code", "severity", "theme", "about", "summary", "evidence", "cure", "command"}
    assert (finding["code"], finding["severity"]) == ("ApiUnreachable", "error")
    assert finding["command"] == f"kubectl --kubeconfig {path} --context lab cluster-info"


@pytest.mark.sockets
async def test_a_login_that_has_run_out_is_the_one_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And not a want of rights for each of the questions."""

    async def unknown(request: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "message": "Unauthorized", "code": 401}, status=401)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", unknown)
    async with TestServer(application) as server:
        path = kubeconfig(tmp_path / "kubeconfig", str(server.make_url("/")))
        flags = ["doctor", "shop/orders", "--server", "none", "--kubeconfig", str(path), "-o", "json"]
        assert await asyncio.to_thread(main, flags) == 1
    [finding] = json.loads(capsys.readouterr().out)["findings"]
    assert finding["code"] == "ApiUnreachable"
    assert "Unauthorized" in finding["summary"]
    assert "login" in finding["cure"]


# ---- a running extsync -----------------------------------------------------------------------------------------------

PROCESS = ProcessDocument(
    version="0.1.0",
    owner="default",
    instance="pod-1",
    synced=True,
    isolated="",
    services=1,
    queued=2,
    queue_age_seconds=1.5,
    cache_age_seconds=3.0,
    probe_targets=0,
    probes_passed=0,
    probes_failed=0,
    probes_skipped=0,
    leases=(LeaseDocument("extsync-default", True, "pod-1"),),
)
SOURCES = (
    SourceDocument("rack", "found", "", 1.0, False, 2),
    SourceDocument("cloud", "error", "no route to host", None, True, 0),
)
SERVICE = ServiceDocument(
    summary=ServiceSummary("shop", "orders", 1, 2, 3, False, True, None, SOURCES),
    notices=("a notice",),
    endpoints=(),
    omitted=0,
    set_aside=(),
    journal=(),
)


@pytest.fixture
async def server() -> AsyncIterator[str]:
    def give(document: Any, status: int = 200) -> Any:
        async def answer(request: web.Request) -> web.Response:
            return web.Response(body=msgspec.json.encode(document), status=status, content_type="application/json")

        return answer

    application = web.Application()
    application.router.add_get("/api/v1/status", give(PROCESS))
    application.router.add_get("/api/v1/services/shop/orders", give(SERVICE))
    application.router.add_get("/api/v1/services/shop/web", give({"error": "extsync does not keep shop/web"}, 404))
    application.router.add_get("/api/v1/services/shop/db", give({}, 500))
    async with TestServer(application) as running:
        yield str(running.make_url("/"))


@pytest.mark.sockets
async def test_a_running_extsync_tells_what_only_it_knows(server: str) -> None:
    async with told_by(server) as told:
        assert isinstance(told.running, Running)
        assert (told.running.queued, told.running.queue_age, told.running.cache_age) == (2, 1.5, 3.0)
        assert told.running.leads
        kept = await told.kept(KEY)
        assert isinstance(kept, Kept)
        assert (kept.ready, kept.not_ready, kept.draining) == (1, 2, 3)
        assert kept.stale_sources == ("cloud: no route to host",)
        assert await told.kept(ServiceKey("shop", "web")) is None
        assert isinstance(await told.kept(ServiceKey("shop", "db")), Unread)


@pytest.mark.sockets
async def test_one_that_does_not_answer_is_a_fact() -> None:
    async with told_by("http://127.0.0.1:9") as told:
        assert told.running == Unread("http://127.0.0.1:9: connection refused: nobody listens there")
        assert await told.kept(KEY) == told.running


async def test_nobody_is_asked_where_none_is_wanted() -> None:
    async with told_by("none") as told:
        assert told.running is None
        assert isinstance(await told.kept(KEY), Unread)
