"""A server of ``exec`` as an API server with a kubelet behind it: websockets, the channel protocols, real processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer

PATH = "/api/v1/namespaces/{namespace}/pods/{pod}/exec"


@dataclass
class ExecServer:
    """Runs what it is asked to on this machine.

    ``protocols`` are those that it speaks, ``refuses`` the HTTP status of its refusal, 0 for none. ``asked`` are the
    paths and queries of what it was asked to run.
    """

    protocols: Sequence[str] = ("v5.channel.k8s.io", "v4.channel.k8s.io")
    ends_early: bool = False
    refuses: int = 0
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, {name: request.query.getall(name) for name in request.query}))
        self.tokens.append(request.headers.get("Authorization", ""))
        if self.refuses:
            return web.json_response({"kind": "Status", "message": "no"}, status=self.refuses)
        socket = web.WebSocketResponse(protocols=self.protocols)
        await socket.prepare(request)
        for channel in (0, 1, 2, 3):  # kubelet begins with an empty message on each channel
            await socket.send_bytes(bytes([channel]))
        process = await asyncio.create_subprocess_exec(
            *request.query.getall("command"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()  # to its end, or its transport outlives the loop
        for channel, data in ((1, out), (2, err)):
            for begin in range(0, len(data), 1000):
                await socket.send_bytes(bytes([channel]) + data[begin : begin + 1000])
        if not self.ends_early:
            await socket.send_bytes(b"\x03" + json.dumps(_status(process.returncode or 0)).encode())
        await socket.close()
        return socket


def _status(code: int) -> dict[str, object]:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


@asynccontextmanager
async def served(server: ExecServer, *routes: web.RouteDef) -> AsyncIterator[ExecServer]:
    application = web.Application()
    application.router.add_get(PATH, server.handle)
    application.add_routes(routes)
    async with TestServer(application) as running:
        server.url = str(running.make_url("/")).rstrip("/")
        yield server
