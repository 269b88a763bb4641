"""``--via-cluster``: status and explain through the proxy of an API server, here a stand-in that passes requests on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from extsync.cli.proxied import Place
from extsync.errors import UsageError
from tests.cli.command import COMMAND
from tests.cli.test_asking import Asked, asked
from tests.engine.support import NAMESPACE, A

__all__ = ["asked"]

SERVICE = "/api/v1/namespaces/extsync/services/extsync:9440/proxy"


class Cluster:
    """A stand-in for an API server with one Service, ``extsync``; ``refuses`` are the codes of answers to others."""

    def __init__(self, directory: Path, behind: str) -> None:
        self._kubeconfig = directory / "kubeconfig"
        self._behind = behind
        self.users: set[str] = set()
        self.refuses = 404
        self.says = "as the API server says it"

    async def answer(self, request: web.Request) -> web.Response:
        self.users.add(request.headers.get("Impersonate-User", ""))
        if not request.path.startswith(SERVICE):
            status = {"kind": "Status", "message": self.says, "code": self.refuses}
            return web.json_response(status, status=self.refuses)
        url = self._behind + request.raw_path.removeprefix(SERVICE)
        async with ClientSession() as session, session.get(url) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        application = web.Application()
        application.router.add_get("/{path:.*}", self.answer)
        async with TestServer(application) as server:
            config = {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "it",
                "clusters": [{"name": "it", "cluster": {"server": str(server.make_url("/"))}}],
                "users": [{"name": "it", "user": {"as": "somebody"}}],
                "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            }
            self._kubeconfig.write_text(yaml.safe_dump(config))
            yield

    async def __call__(self, *arguments: str, via: str = "extsync/extsync") -> tuple[int, str, str]:
        """Exit status, standard output and standard error of a command."""
        pipe = asyncio.subprocess.PIPE
        command = (str(COMMAND), *arguments, "--via-cluster", via, "--kubeconfig", str(self._kubeconfig))
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
async def cluster(asked: Asked, tmp_path: Path) -> AsyncIterator[Cluster]:
    standing = Cluster(tmp_path, asked.server)
    async with standing.serving():
        yield standing


@pytest.mark.sockets
async def test_status_and_explain_ask_through_the_api_server_as_the_user_of_the_kubeconfig(cluster: Cluster) -> None:
    status, out, err = await cluster("status")
    assert (status, err) == (0, "")
    assert NAMESPACE in out
    status, out, err = await cluster("explain", f"{NAMESPACE}/web", A)
    assert (status, err) == (0, "")
    assert "connection refused" in out
    assert cluster.users == {"somebody"}


@pytest.mark.sockets
async def test_what_is_not_kept_is_told_from_a_service_that_is_not_there(cluster: Cluster) -> None:
    status, out, err = await cluster("explain", f"{NAMESPACE}/other")
    assert (status, err) == (1, "")
    assert out == f"extsync does not keep {NAMESPACE}/other; extsync status lists what it keeps\n"
    status, out, err = await cluster("explain", f"{NAMESPACE}/web", via="extsync/nothing")
    assert (status, out) == (1, "")
    assert "as the API server says it; is that the Service, or the pod, of an extsync?" in err


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("code", "says", "cure"),
    [
        (401, "Unauthorized", "renew the token"),
        (403, "no", "the verb get for services/proxy"),
        (503, "no endpoints available", "listen: :9440"),
        (503, 'no service port 9440 found for service "other"', "NAMESPACE/SERVICE:PORT"),
    ],
)
async def test_a_refusal_is_told_with_what_helps(cluster: Cluster, code: int, says: str, cure: str) -> None:
    cluster.refuses, cluster.says = code, says
    status, out, err = await cluster("status", via="extsync/other")
    assert (status, out) == (1, "")
    assert says in err
    assert cure in err


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("ops/extsync", "/api/v1/namespaces/ops/services/extsync:9440/proxy"),
        ("ops/services/extsync:http", "/api/v1/namespaces/ops/services/extsync:http/proxy"),
        ("ops/pods/extsync-1a:81", "/api/v1/namespaces/ops/pods/extsync-1a:81/proxy"),
    ],
)
def test_where_a_place_is(text: str, path: str) -> None:
    assert Place.parse(text).path == path


@pytest.mark.parametrize("text", ["extsync", "a/b/c", "a/../b", "a/b:c/d", "/b", "a/"])
def test_what_is_no_place_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="write NAMESPACE/SERVICE"):
        Place.parse(text)
