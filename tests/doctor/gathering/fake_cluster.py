"""An API server that has what a test gives it, reviews rights, and runs commands on this machine."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from extsync.doctor.gathering.asking import Asking
from extsync.kube.access import Access
from extsync.kube.api import KubeStore
from extsync.kube.credentials import Fixed
from extsync.kube.enquiries import Enquiries
from extsync.seams import SystemClock, SystemDialer
from tests.kube.exec_server import ExecServer, served


@dataclass
class FakeCluster:
    """``objects`` by path; what is not there is 404, and so is a list. ``denied`` are verbs and resources ("get pods")
    that reviews and requests refuse. ``hangs``: but for the version nothing is answered."""

    objects: dict[str, Any] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    hangs: bool = False
    exec_server: ExecServer = field(default_factory=ExecServer)
    reviewed: list[dict[str, Any]] = field(default_factory=list)
    asking: Asking = field(init=False)
    enquiries: Enquiries = field(init=False)

    def add(self, path: str, *objects: dict[str, Any]) -> None:
        """Objects at ``path`` of their collection, to be listed and to be got one by one."""
        self.objects[path] = {"metadata": {"resourceVersion": "1"}, "items": list(objects)}
        self.objects |= {f"{path}/{one['metadata']['name']}": one for one in objects}

    async def get(self, request: web.Request) -> web.Response:
        if self.hangs and request.path != "/version":
            await asyncio.Event().wait()
        resource = next((word for word in self.denied if request.path.endswith(f"/{word.partition(' ')[2]}")), "")
        if resource:
            return web.json_response({"message": f"you may not {resource}"}, status=403)
        found = self.objects.get(request.path)
        if found is None:
            return web.json_response({"message": f"{request.path} not found"}, status=404)
        return web.json_response(found)

    async def review(self, request: web.Request) -> web.Response:
        if self.hangs:
            await asyncio.Event().wait()
        review = json.loads(await request.read())
        self.reviewed.append(review)
        if review["kind"] in self.denied:
            return web.json_response({"message": f"you may not create {review['kind']}"}, status=403)
        asked = review["spec"].get("resourceAttributes", {})
        resource = "/".join(filter(None, (asked.get("resource"), asked.get("subresource"))))
        status = {
            "SelfSubjectReview": {"userInfo": {"username": "ann", "groups": ["staff"]}},
            "SelfSubjectRulesReview": {
                "resourceRules": [{"verbs": ["get"], "resources": ["pods"]}],
                "incomplete": True,
            },
        }.get(review["kind"], {"allowed": f"{asked.get('verb')} {resource}" not in self.denied})
        return web.json_response({**review, "status": status}, status=201)

    @asynccontextmanager
    async def running(self, *, seconds: float = 30.0) -> AsyncIterator[FakeCluster]:
        routes = [
            web.post("/apis/authorization.k8s.io/v1/{kind}", self.review),
            web.post("/apis/authentication.k8s.io/v1/{kind}", self.review),
            web.get("/{path:.*}", self.get),
        ]
        async with served(self.exec_server, *routes) as server:
            clock, dialer = SystemClock(), SystemDialer()
            access = Access(server.url, tls=ssl.create_default_context(), credentials=Fixed(), place="the test")
            store = KubeStore(access, clock=clock, dialer=dialer)
            self.enquiries = Enquiries(access, clock=clock, dialer=dialer)
            self.asking = Asking(store, clock=clock, seconds=seconds)
            try:
                yield self
            finally:
                await self.enquiries.close()
                await store.close()
